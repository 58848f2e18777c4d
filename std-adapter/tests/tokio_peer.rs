//! tokio-util's `LengthDelimitedCodec`, little-endian with four bytes of
//! length, is flatstream without a checksum: a live peer both ways.

mod common;

use std::{
    io::Write,
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
};

use bytes::Bytes;
use common::watchdog;
use forebay_std::{Drainer, FrameReader, WriteSink, forebay::frame::Prefixed};
use futures_util::{SinkExt, StreamExt};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

const LEN_MAX: usize = 100_000;
const FORMAT: Prefixed = Prefixed::flatstream(LEN_MAX);

/// From nothing to the maximum, different in each byte.
fn messages() -> Vec<Vec<u8>> {
    let lens = (0..300).chain([4095, 4096, 4097, 65_535, 65_536, LEN_MAX]);
    lens.map(|len| (0..len).map(|at| (at * 31 + len).to_le_bytes()[0]).collect()).collect()
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// Does `job` with a framed tokio socket, on a thread of its own.
fn tokio_peer<T: Send + 'static, F: Future<Output = T>>(
    socket: TcpStream,
    job: impl FnOnce(Framed<tokio::net::TcpStream, LengthDelimitedCodec>) -> F + Send + 'static,
) -> thread::JoinHandle<T> {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            socket.set_nonblocking(true).unwrap();
            let socket = tokio::net::TcpStream::from_std(socket).unwrap();
            let codec = LengthDelimitedCodec::builder()
                .little_endian()
                .length_field_length(4)
                .max_frame_length(LEN_MAX)
                .new_codec();
            job(Framed::new(socket, codec)).await
        })
    })
}

#[test]
fn tokio_reads_what_forebay_writes() {
    let _held = watchdog("tokio_peer");
    let (near, far) = pair();
    let peer = tokio_peer(far, |mut frames| async move {
        let mut received = Vec::new();
        while let Some(frame) = frames.next().await {
            received.push(frame.unwrap().to_vec());
        }
        received
    });
    let messages = messages();
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(near));
    let mut sender = drainer.sender(1 << 20).unwrap();
    for message in &messages {
        sender.send(message).unwrap();
    }
    drop(sender);
    drainer.run().unwrap();
    drop(drainer);
    assert!(peer.join().unwrap() == messages);
}

#[test]
fn forebay_reads_what_tokio_writes() {
    let _held = watchdog("tokio_peer");
    let (near, far) = pair();
    let peer = tokio_peer(far, |mut frames| async move {
        for message in messages() {
            frames.feed(Bytes::from(message)).await.unwrap();
        }
        SinkExt::<Bytes>::close(&mut frames).await.unwrap();
    });
    let mut frames = FrameReader::new(near, FORMAT);
    let mut received = Vec::new();
    while frames.fill().unwrap() {
        while let Some(frame) = frames.next_frame().unwrap() {
            received.push(frame.payload.to_vec());
        }
    }
    peer.join().unwrap();
    assert!(received == messages());
}

/// The same bytes, and the same limit.
#[test]
fn both_refuse_a_length_over_the_maximum() {
    let _held = watchdog("tokio_peer");
    let head = u32::try_from(LEN_MAX + 1).unwrap().to_le_bytes();
    let (mut near, far) = pair();
    let peer = tokio_peer(far, |mut frames| async move { frames.next().await.unwrap().is_err() });
    near.write_all(&head).unwrap();
    assert!(peer.join().unwrap());
    let mut frames = FrameReader::new(&head[..], FORMAT);
    assert!(frames.fill().unwrap());
    assert!(frames.next_frame().is_err());
}
