//! Small frames into a UNIX stream: forebay's ways beside what one would write
//! by hand and beside tokio-util.
//!
//! Every contender has a stream of its own whose far end reads and discards
//! 64 KiB at a time. A round ends when the last byte has been read, so what is
//! timed is delivery.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::{
    cell::Cell,
    io::{self, BufWriter, IoSlice, Write},
    os::unix::net::UnixStream,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use forebay::{
    Batch, Progress, Pump, Sink,
    batch::PushError,
    checksum::Crc32Fast,
    frame::{Encode, Prefixed},
    pump::Drive,
    ring::heap,
};
use forebay_benches::{
    far_end::FarEnd,
    rounds::{Group, Round, of, of_best},
};
use forebay_linux::FdSink;
use forebay_std::Wait;
use futures_util::SinkExt;
use tokio::io::AsyncWrite;
use tokio_util::codec::{FramedWrite, LengthDelimitedCodec};

/// What is copied before a write, for all who copy.
const BUFFER_LEN: usize = 64 * 1024;
/// Frames of one `writev` by hand.
const WRITEV_FRAMES: usize = 128;
/// Bytes of payload that a contender carries in one round.
const ROUND_LEN: usize = 2 * 1024 * 1024;
/// Payloads that are used in turn.
const PAYLOADS: usize = 16;
const PAYLOAD_LEN_MAX: usize = 64 * 1024;

const FLAT: Prefixed<Crc32Fast> = Prefixed::flatstream(PAYLOAD_LEN_MAX).checksum(Crc32Fast);
const NATIVE: Prefixed<Crc32Fast> = Prefixed::native(PAYLOAD_LEN_MAX, Crc32Fast);

/// What by hand one would write: length and CRC-32 before the payload. The
/// bytes are flatstream's.
fn head(payload: &[u8]) -> [u8; 8] {
    let mut head = [0; 8];
    head[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    head[4..].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    head
}

/// The frames of one round.
#[derive(Clone)]
struct Load {
    payloads: Vec<&'static [u8]>,
    frames: usize,
    /// Bytes of the round on the wire.
    wire_len: u64,
}

impl Load {
    fn new(len: usize, around: usize, part: usize) -> Self {
        let payload = |seed: usize| {
            let bytes: Vec<u8> = (0..len).map(|at| (at * 31 + seed * 17) as u8).collect();
            &*bytes.leak()
        };
        let frames = (ROUND_LEN / part / len).max(PAYLOADS);
        let wire_len = (frames * (len + around)) as u64;
        Self { payloads: (0..PAYLOADS).map(payload).collect(), frames, wire_len }
    }

    fn payload(&self, frame: usize) -> &'static [u8] {
        self.payloads[frame % PAYLOADS]
    }
}

fn main() {
    for (len, compared) in [
        (64, 0.80),
        (256, 0.90),
        (512, f64::NAN),
        (1024, f64::NAN),
        (2048, f64::NAN),
        (4096, 0.90),
        (16384, f64::NAN),
    ] {
        let budget = Duration::from_secs(if compared.is_nan() { 3 } else { 8 });
        size(len, compared, budget);
    }
}

fn size(len: usize, at_most: f64, budget: Duration) {
    const BUF_WRITER: &str = "BufWriter 64 KiB";
    let load = Load::new(len, 8, 1);
    let mut goals = Vec::new();
    if !at_most.is_nan() {
        goals.push(of_best(at_most));
        if len == 64 {
            goals.push(of(1.0, BUF_WRITER));
        }
    }
    let native_load = Load::new(len, NATIVE.frame_len(0), 1);
    Group::new(format!("{len} B frames into a UNIX stream"))
        .peer(BUF_WRITER, buf_writer(&load, BUFFER_LEN))
        .peer("BufWriter 128 KiB", buf_writer(&load, 2 * BUFFER_LEN))
        .peer("writev x128", writev(&load))
        .peer("two writes a frame", two_writes(&Load::new(len, 8, 16)))
        .peer("tokio-util feed, no checksum", tokio_feed(&Load::new(len, 4, 1)))
        .ours("Batch", &goals, batch::<33, _, _>(|| FLAT, &load, BUFFER_LEN, |batch| batch))
        .ours(
            "Batch of 128 KiB",
            &[],
            batch::<33, _, _>(|| FLAT, &load, 2 * BUFFER_LEN, |batch| batch),
        )
        .ours(
            "Batch, copy",
            &[],
            batch::<33, _, _>(|| FLAT, &load, BUFFER_LEN, |batch| batch.borrow_from(usize::MAX)),
        )
        .ours(
            "Batch, borrow",
            &[],
            batch::<33, _, _>(|| FLAT, &load, BUFFER_LEN, |batch| batch.borrow_from(0)),
        )
        .ours(
            "Batch, borrow, 257 slices",
            &[],
            batch::<257, _, _>(|| FLAT, &load, BUFFER_LEN, |batch| batch.borrow_from(0)),
        )
        .ours(
            "Batch, native format",
            &[],
            batch::<33, _, _>(|| NATIVE, &native_load, BUFFER_LEN, |batch| batch),
        )
        .ours("ring + Pump", &[], pump(&load))
        .run(budget);
}

/// Counts the writes of a stream.
struct Counting<W> {
    writer: W,
    calls: Rc<Cell<u64>>,
}

impl<W> Counting<W> {
    fn new(writer: W) -> (Self, Rc<Cell<u64>>) {
        let calls = Rc::new(Cell::new(0));
        (Self { writer, calls: Rc::clone(&calls) }, calls)
    }

    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
    }
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.count();
        self.writer.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.count();
        self.writer.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Counting<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.count();
        Pin::new(&mut self.writer).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}

/// A round: `send` all, which returns the number of system calls, then wait
/// for the far end.
fn deliver<S: FnMut(&Load) -> u64>(
    load: Load,
    mut far: FarEnd,
    mut send: S,
) -> impl FnMut() -> Round + use<S> {
    move || {
        Round::timed(load.frames as u64, || {
            let calls = send(&load);
            far.wait(load.wire_len);
            calls as f64
        })
    }
}

fn buf_writer(load: &Load, buffer_len: usize) -> impl FnMut() -> Round + use<> {
    let (near, far) = FarEnd::new().unwrap();
    let (counting, calls) = Counting::new(near);
    let mut writer = BufWriter::with_capacity(buffer_len, counting);
    deliver(load.clone(), far, move |load| {
        for frame in 0..load.frames {
            let payload = load.payload(frame);
            writer.write_all(&head(payload)).unwrap();
            writer.write_all(payload).unwrap();
        }
        writer.flush().unwrap();
        calls.take()
    })
}

/// As flatstream-rs writes: the head, then the payload, each on its own.
fn two_writes(load: &Load) -> impl FnMut() -> Round + use<> {
    let (mut near, far) = FarEnd::new().unwrap();
    deliver(load.clone(), far, move |load| {
        for frame in 0..load.frames {
            let payload = load.payload(frame);
            near.write_all(&head(payload)).unwrap();
            near.write_all(payload).unwrap();
        }
        2 * load.frames as u64
    })
}

fn writev(load: &Load) -> impl FnMut() -> Round + use<> {
    let (near, far) = FarEnd::new().unwrap();
    let (mut writer, calls) = Counting::new(near);
    deliver(load.clone(), far, move |load| {
        let mut frame = 0;
        while frame < load.frames {
            let count = WRITEV_FRAMES.min(load.frames - frame);
            let mut heads = [[0; 8]; WRITEV_FRAMES];
            let mut slices = [IoSlice::new(&[]); 2 * WRITEV_FRAMES];
            for (turn, head_room) in heads.iter_mut().enumerate().take(count) {
                *head_room = head(load.payload(frame + turn));
            }
            for turn in 0..count {
                slices[2 * turn] = IoSlice::new(&heads[turn]);
                slices[2 * turn + 1] = IoSlice::new(load.payload(frame + turn));
            }
            let mut left = &mut slices[..2 * count];
            while !left.is_empty() {
                let len = writer.write_vectored(left).unwrap();
                IoSlice::advance_slices(&mut left, len);
            }
            frame += count;
        }
        calls.take()
    })
}

/// The boundary is that of the other buffers, eight times tokio-util's own.
fn tokio_feed(load: &Load) -> impl FnMut() -> Round + use<> {
    let (near, far) = FarEnd::new().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    near.set_nonblocking(true).unwrap();
    let near = runtime.block_on(async { tokio::net::UnixStream::from_std(near).unwrap() });
    let (counting, calls) = Counting::new(near);
    let codec = LengthDelimitedCodec::builder().little_endian().new_codec();
    let mut framed = FramedWrite::new(counting, codec);
    framed.set_backpressure_boundary(BUFFER_LEN);
    deliver(load.clone(), far, move |load| {
        runtime.block_on(async {
            for frame in 0..load.frames {
                framed.feed(Bytes::from_static(load.payload(frame))).await.unwrap();
            }
            SinkExt::<Bytes>::flush(&mut framed).await.unwrap();
        });
        calls.take()
    })
}

type HeapBatch<const SLICES: usize> = Batch<'static, Box<[u8]>, SLICES>;

fn batch<const SLICES: usize, F: Encode, M: Fn() -> F>(
    format: M,
    load: &Load,
    buffer_len: usize,
    set: fn(HeapBatch<SLICES>) -> HeapBatch<SLICES>,
) -> impl FnMut() -> Round + use<SLICES, F, M> {
    let (near, far) = FarEnd::new().unwrap();
    let mut sink = FdSink::new(near).unwrap();
    let mut batch = set(Batch::new(vec![0; buffer_len].into_boxed_slice()));
    let mut calls_before = 0;
    deliver(load.clone(), far, move |load| {
        for frame in 0..load.frames {
            // The compiler knows the format, as it would where a program has one.
            while let Err(error) = batch.push(&format(), load.payload(frame)) {
                assert!(matches!(error, PushError::Full { .. }), "{error}");
                write_out(&mut batch, &mut sink);
            }
        }
        write_out(&mut batch, &mut sink);
        let calls = calls(&sink) - calls_before;
        calls_before += calls;
        calls
    })
}

fn write_out<const SLICES: usize>(batch: &mut HeapBatch<SLICES>, sink: &mut FdSink<UnixStream>) {
    while !batch.is_empty() {
        match sink.write(&batch.slices()).unwrap() {
            Progress::Wrote(len) => {
                batch.advance(len).unwrap();
            }
            Progress::Blocked => sink.wait(None).unwrap(),
        }
    }
}

fn calls(sink: &FdSink<UnixStream>) -> u64 {
    let counts = sink.counts();
    counts.calls + counts.polls
}

/// Producer and pump on one thread: push a batchful, drive.
fn pump(load: &Load) -> impl FnMut() -> Round + use<> {
    let (near, far) = FarEnd::new().unwrap();
    let mut sink = FdSink::new(near).unwrap();
    let (mut producer, consumer) = heap::ring(2 * BUFFER_LEN).unwrap();
    let mut pump: Pump<_, _, 1> = Pump::new(FLAT, vec![0; BUFFER_LEN].into_boxed_slice());
    pump.add(consumer).unwrap();
    let mut calls_before = 0;
    let payload_len = load.payload(0).len();
    let batchful = (BUFFER_LEN / (FLAT.frame_len(payload_len) + 4)).max(1);
    deliver(load.clone(), far, move |load| {
        let mut frame = 0;
        while frame < load.frames {
            let count = batchful.min(load.frames - frame);
            for turn in 0..count {
                producer.push(load.payload(frame + turn)).unwrap();
            }
            frame += count;
            loop {
                match pump.drive(&mut sink).unwrap() {
                    Drive::Idle => break,
                    Drive::Moved { .. } => {}
                    Drive::Blocked => sink.wait(None).unwrap(),
                }
            }
        }
        let calls = calls(&sink) - calls_before;
        calls_before += calls;
        calls
    })
}
