//! Files and pipes that go to a descriptor uncopied, between messages that are
//! copied; and batches that wait for full segments.

mod common;

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::FileExt, net::UnixStream},
    },
    thread,
};

use common::{Scratch, Slow, watchdog};
use forebay_linux::{FdSink, FileEnded, forward, send_file};
use forebay_std::{
    Drainer, FrameReader, Wait,
    forebay::{
        Progress, Sink,
        checksum::NoChecksum,
        frame::{Plain, Prefixed},
    },
};
use rustix::{io::Errno, net::sockopt};

fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    near.set_nodelay(true).unwrap();
    (near, listener.accept().unwrap().0)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251).to_le_bytes()[0]).collect()
}

fn file(scratch: &Scratch, content: &[u8]) -> File {
    fs::write(scratch.path("file"), content).unwrap();
    File::open(scratch.path("file")).unwrap()
}

/// Messages, a file as the payload of a frame, and messages again.
#[test]
fn a_file_stands_in_its_place_between_messages() {
    const FORMAT: Prefixed<NoChecksum> = Prefixed::flatstream(1 << 22);
    let _held = watchdog("a file between messages");
    let scratch = Scratch::new();
    let content = bytes(500_017);
    let file = file(&scratch, &content);
    let range = 4099..content.len() as u64 - 5;
    let expected = &content[4099..content.len() - 5];
    let unix = UnixStream::pair().unwrap();
    let tcp = tcp();
    let ends: [(OwnedFd, File); 2] = [
        (unix.0.into(), OwnedFd::from(unix.1).into()),
        (tcp.0.into(), OwnedFd::from(tcp.1).into()),
    ];
    let mut waits = 0;
    for (near, far) in ends {
        sockopt::set_socket_send_buffer_size(&near, 1).unwrap();
        let sink = FdSink::nonblocking(near).unwrap();
        let mut drainer = Drainer::new(FORMAT, sink);
        let mut sender = drainer.sender(1 << 16).unwrap();
        thread::scope(|threads| {
            let reader = threads.spawn(|| {
                let mut frames = FrameReader::new(Slow(far, 9973), FORMAT);
                let mut payloads = Vec::new();
                while frames.fill().unwrap() {
                    while let Some(frame) = frames.next_frame().unwrap() {
                        payloads.push(frame.payload.to_vec());
                    }
                }
                payloads
            });
            for _ in 0..2 {
                sender.send(b"before").unwrap();
                drainer.flush().unwrap();
                let len = u32::try_from(expected.len()).unwrap();
                let mut head = &len.to_le_bytes()[..];
                while !head.is_empty() {
                    match drainer.sink_mut().write(&[head]).unwrap() {
                        Progress::Wrote(len) => head = &head[len..],
                        Progress::Blocked => drainer.sink_mut().wait(None).unwrap(),
                    }
                }
                let (mut left, mut blocked) = (range.clone(), 0);
                while !left.is_empty() {
                    let before = left.start;
                    match send_file(drainer.sink().fd(), &file, &mut left).unwrap() {
                        Progress::Wrote(len) => assert_eq!(left.start, before + len as u64),
                        Progress::Blocked => {
                            blocked += 1;
                            assert_eq!(left.start, before);
                            drainer.sink_mut().wait(None).unwrap();
                        }
                    }
                }
                waits += blocked;
                assert_eq!(left, range.end..range.end);
                sender.send(b"after").unwrap();
            }
            drop(sender);
            drainer.run().unwrap();
            drop(drainer);
            let payloads = reader.join().unwrap();
            assert_eq!(payloads.len(), 6);
            for three in payloads.chunks(3) {
                assert_eq!((&three[0][..], &three[2][..]), (&b"before"[..], &b"after"[..]));
                assert!(three[1] == expected);
            }
        });
    }
    assert!(waits > 0, "it never had to wait");
}

#[test]
fn a_file_that_ends_early_is_told_with_the_figures() {
    let scratch = Scratch::new();
    let file = file(&scratch, &bytes(1000));
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut range = 900..1100;
    assert_eq!(send_file(&near, &file, &mut range).unwrap(), Progress::Wrote(100));
    let error = send_file(&near, &file, &mut range).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    let ended = error.get_ref().unwrap().downcast_ref::<FileEnded>().unwrap();
    assert_eq!(*ended, FileEnded { end: 1000, missing: 100 });
    assert_eq!(error.to_string(), "the file ends at 1000, 100 bytes too early");
    assert_eq!(range, 1000..1100, "as before");
    // Nothing to be sent is no early end.
    assert_eq!(send_file(&near, &file, &mut (2000..2000)).unwrap(), Progress::Wrote(0));
    drop(near);
    let mut read = Vec::new();
    far.read_to_end(&mut read).unwrap();
    assert_eq!(read, bytes(1000)[900..]);
}

/// In a file that is longer than 32 bits count, and mostly a hole.
#[test]
fn an_offset_has_more_than_32_bits() {
    let scratch = Scratch::new();
    let writer = File::create(scratch.path("file")).unwrap();
    let at = (5 << 30) + 3;
    writer.write_all_at(b"far behind", at).unwrap();
    let file = File::open(scratch.path("file")).unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut range = at..at + 10;
    assert_eq!(send_file(&near, &file, &mut range).unwrap(), Progress::Wrote(10));
    assert!(range.is_empty());
    let mut read = [0; 10];
    far.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"far behind");
}

#[test]
fn a_peer_that_is_gone_is_an_error() {
    let scratch = Scratch::new();
    let file = file(&scratch, b"bytes");
    let (near, far) = UnixStream::pair().unwrap();
    drop(far);
    let error = send_file(&near, &file, &mut (0..5)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let (pipe, mut writer) = io::pipe().unwrap();
    writer.write_all(b"bytes").unwrap();
    assert_eq!(forward(&near, &pipe, 5).unwrap_err().kind(), ErrorKind::BrokenPipe);
}

/// Two megabytes through two pipes and a socket, each with less room.
#[test]
fn a_pipe_is_forwarded_whole_and_in_order() {
    let _held = watchdog("two pipes");
    let content = bytes(2_000_003);
    let (source, mut writer) = io::pipe().unwrap();
    let (near, far) = UnixStream::pair().unwrap();
    let (mut reader, sink) = io::pipe().unwrap();
    /// Until `from` has ended, waiting in `poll` where it blocks.
    fn all(to: impl AsFd, from: impl AsFd) {
        use rustix::event::{PollFd, PollFlags, poll};
        loop {
            match forward(&to, &from, 1 << 16).unwrap() {
                Progress::Wrote(0) => return,
                Progress::Wrote(_) => {}
                Progress::Blocked => {
                    poll(&mut [PollFd::new(&from, PollFlags::IN)], None).unwrap();
                    poll(&mut [PollFd::new(&to, PollFlags::OUT)], None).unwrap();
                }
            }
        }
    }
    thread::scope(|threads| {
        threads.spawn(|| {
            writer.write_all(&content).unwrap();
            drop(writer);
        });
        threads.spawn(move || all(near, source));
        threads.spawn(move || all(sink, far));
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == content);
    });
}

#[test]
fn one_of_both_is_a_pipe() {
    let (near, _far) = UnixStream::pair().unwrap();
    let (other, _peer) = UnixStream::pair().unwrap();
    let error = forward(&near, &other, 10).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::INVAL.raw_os_error()));
}

/// What a corked sink has written waits for more; a flush lets go of it. The
/// kernel may let go of it sooner, but not each time.
#[test]
fn a_corked_end_waits_for_the_flush() {
    let _held = watchdog("a corked end");
    let (near, mut far) = tcp();
    let held_back = |sink: &mut FdSink<&TcpStream>, far: &mut TcpStream| {
        assert_eq!(sink.write(&[b"end"]).unwrap(), Progress::Wrote(3));
        far.set_nonblocking(true).unwrap();
        let read = far.read(&mut [0; 3]);
        far.set_nonblocking(false).unwrap();
        sink.flush().unwrap();
        match read {
            Ok(len) => assert_eq!(len, 3),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                far.read_exact(&mut [0; 3]).unwrap();
                return true;
            }
        }
        false
    };
    let mut sink = FdSink::new(&near).unwrap().cork().unwrap();
    assert!((0..100).any(|_| held_back(&mut sink, &mut far)), "it is never held back");
}

/// What a drainer has sent does not wait for anything.
#[test]
fn a_drainer_with_a_corked_sink_holds_nothing_back() {
    let _held = watchdog("a corked sink");
    let (near, mut far) = tcp();
    let mut drainer = Drainer::new(Plain, FdSink::new(near).unwrap().cork().unwrap());
    let mut sender = drainer.sender(1 << 16).unwrap();
    for number in 0..100_u8 {
        sender.send(&[number; 1000]).unwrap();
        drainer.flush().unwrap();
        let mut read = [0; 1000];
        far.read_exact(&mut read).unwrap();
        assert_eq!(read, [number; 1000]);
    }
}

#[test]
fn what_is_no_tcp_is_not_corked() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let (_reader, pipe) = io::pipe().unwrap();
    FdSink::new(pipe).unwrap().cork().unwrap().flush().unwrap();
    let mut sink = FdSink::new(OwnedFd::from(near)).unwrap().cork().unwrap();
    assert_eq!(sink.write(&[b"end"]).unwrap(), Progress::Wrote(3));
    far.read_exact(&mut [0; 3]).unwrap();
    sink.flush().unwrap();
    // One that takes its place is.
    let (near, mut far) = tcp();
    sink.replace(near.into()).unwrap();
    assert!(
        (0..100).any(|_| {
            sink.write(&[b"end"]).unwrap();
            far.set_nonblocking(true).unwrap();
            let waits = far.read(&mut [0; 3]).is_err();
            far.set_nonblocking(false).unwrap();
            sink.flush().unwrap();
            if waits {
                far.read_exact(&mut [0; 3]).unwrap();
            }
            waits
        }),
        "it is never held back"
    );
}
