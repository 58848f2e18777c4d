//! `FdSink` on every kind of descriptor, with readers that are slow, stop, go
//! on and close: the stream is whole, or the error says what happened.

mod common;

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::OpenOptionsExt, net::UnixStream},
    },
    thread,
    time::Instant,
};

use common::{FORMAT, Scratch, Slow, messages, watchdog, wire_of};
use forebay_linux::{FdSink, Kind};
use forebay_std::{
    Drained, Drainer, FrameReader, Wait,
    forebay::{
        Progress, Sink,
        checksum::Crc32,
        frame::{Plain, Prefixed},
    },
};
use rustix::{fs::OFlags, io::Errno, net::sockopt, pipe::fcntl_setpipe_size};

/// A writing end with little room, and its reading end.
struct Ends {
    name: &'static str,
    near: OwnedFd,
    far: File,
}

fn unix() -> Ends {
    let (near, far) = UnixStream::pair().unwrap();
    sockopt::set_socket_send_buffer_size(&near, 1).unwrap();
    Ends { name: "unix", near: near.into(), far: OwnedFd::from(far).into() }
}

fn tcp_streams() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    sockopt::set_socket_recv_buffer_size(&listener, 1).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    sockopt::set_socket_send_buffer_size(&near, 1).unwrap();
    (near, far)
}

fn tcp() -> Ends {
    let (near, far) = tcp_streams();
    Ends { name: "tcp", near: near.into(), far: OwnedFd::from(far).into() }
}

fn pipe() -> Ends {
    let (far, near) = io::pipe().unwrap();
    assert_eq!(fcntl_setpipe_size(&near, 4096).unwrap(), 4096);
    Ends { name: "pipe", near: near.into(), far: OwnedFd::from(far).into() }
}

fn fifo(scratch: &Scratch) -> Ends {
    let path = scratch.fifo("fifo");
    // Opened without waiting for the other end, then made to wait.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let far = OpenOptions::new().read(true).custom_flags(nonblocking).open(&path).unwrap();
    let near = OpenOptions::new().write(true).custom_flags(nonblocking).open(&path).unwrap();
    rustix::io::ioctl_fionbio(&far, false).unwrap();
    rustix::io::ioctl_fionbio(&near, false).unwrap();
    fcntl_setpipe_size(&near, 4096).unwrap();
    Ends { name: "fifo", near: near.into(), far }
}

/// Everything that can be blocked.
fn streams(scratch: &Scratch) -> [Ends; 4] {
    [unix(), tcp(), pipe(), fifo(scratch)]
}

type Line<Fd> = Drainer<Prefixed<Crc32>, FdSink<Fd>>;

/// A drainer of its own with `messages` in its ring, and no sender left.
fn line<Fd: AsFd>(sink: FdSink<Fd>, messages: &[Vec<u8>]) -> Line<Fd> {
    let mut drainer = Drainer::new(FORMAT, sink);
    let mut sender = drainer.sender(1 << 23).unwrap();
    for message in messages {
        sender.send(message).unwrap();
    }
    drainer
}

/// Drains until the sink has been blocked.
fn until_blocked<Fd: AsFd>(drainer: &mut Line<Fd>) {
    while drainer.counts().blocked == 0 {
        assert_eq!(drainer.run_until(Instant::now()).unwrap(), Drained::Deadline);
    }
}

fn received(far: impl Read) -> Vec<Vec<u8>> {
    let mut frames = FrameReader::new(far, FORMAT);
    let mut payloads = Vec::new();
    while frames.fill().unwrap() {
        while let Some(frame) = frames.next_frame().unwrap() {
            payloads.push(frame.payload.to_vec());
        }
    }
    payloads
}

#[test]
fn a_reader_that_stops_goes_on_and_is_slow_gets_the_whole_stream() {
    let scratch = Scratch::new();
    let messages = messages(1000);
    let len = wire_of(&FORMAT, &messages).len() as u64;
    for Ends { name, near, far } in streams(&scratch) {
        let _held = watchdog(name);
        let mut drainer = line(FdSink::nonblocking(near).unwrap(), &messages);
        // The reader has stopped.
        until_blocked(&mut drainer);
        assert!(drainer.ledger().in_flight() == 0 && drainer.ledger().delivered < 1000);
        thread::scope(|threads| {
            let reader = threads.spawn(|| received(Slow(far, 997)));
            drainer.run().unwrap();
            let (counts, calls) = (drainer.counts(), drainer.sink().counts());
            assert_eq!(drainer.ledger().delivered, 1000);
            drop(drainer);
            assert!(reader.join().unwrap() == messages, "{name}");
            assert_eq!(counts.bytes, len);
            assert!(counts.short > 0, "{name} {counts:?}");
            assert_eq!((calls.calls, calls.blocked), (counts.writes, counts.blocked), "{name}");
            assert!(calls.polls > 0 && calls.polls <= calls.blocked, "{name} {calls:?}");
            assert_eq!(calls.interrupted, 0);
        });
    }
}

/// One thread, both ends: what is read between two writes sets where the next
/// one goes on, in every residue of a frame.
#[test]
fn a_write_goes_on_at_any_byte() {
    let scratch = Scratch::new();
    for (step, count) in [(1, 20), (2, 20), (500, 200), (4093, 200), (4096, 200), (5001, 200)] {
        let messages = messages(count);
        let wire = wire_of(&FORMAT, &messages);
        let mut cuts = 0;
        for Ends { name, near, mut far } in streams(&scratch) {
            let _held = watchdog(name);
            rustix::io::ioctl_fionbio(&far, true).unwrap();
            let mut drainer = line(FdSink::nonblocking(near).unwrap(), &messages);
            let (mut read, mut room) = (Vec::new(), vec![0; step]);
            loop {
                let drained = drainer.run_until(Instant::now()).unwrap();
                match far.read(&mut room) {
                    Ok(len) => read.extend_from_slice(&room[..len]),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{name}"),
                }
                if drained == Drained::Finished {
                    break;
                }
            }
            cuts += drainer.counts().short;
            drop(drainer);
            rustix::io::ioctl_fionbio(&far, false).unwrap();
            far.read_to_end(&mut read).unwrap();
            assert!(read == wire, "{name} by {step}");
            std::fs::remove_file(scratch.path("fifo")).unwrap_or_default();
        }
        assert!(cuts > count as u64 / 4, "{cuts} short writes");
    }
}

#[test]
fn a_blocking_pipe_is_waited_for_in_the_write() {
    let _held = watchdog("a blocking pipe");
    let messages = messages(500);
    let Ends { near, far, .. } = pipe();
    let mut drainer = line(FdSink::new(near).unwrap(), &messages);
    thread::scope(|threads| {
        let reader = threads.spawn(|| received(Slow(far, 1000)));
        drainer.run().unwrap();
        assert_eq!((drainer.counts().blocked, drainer.sink().counts().polls), (0, 0));
        drop(drainer);
        assert!(reader.join().unwrap() == messages);
    });
}

#[test]
fn a_file_gets_the_whole_stream_behind_what_it_has() {
    let scratch = Scratch::new();
    let messages = messages(1000);
    std::fs::write(scratch.path("file"), wire_of(&FORMAT, &[b"first"])).unwrap();
    let file = OpenOptions::new().append(true).open(scratch.path("file")).unwrap();
    let mut drainer = line(FdSink::new(file).unwrap(), &messages);
    drainer.run().unwrap();
    assert_eq!(drainer.counts().blocked, 0);
    drop(drainer);
    let received = received(File::open(scratch.path("file")).unwrap());
    assert_eq!(received[0], b"first");
    assert!(received[1..] == messages);
}

#[test]
fn a_full_device_is_an_error_and_the_messages_stay() {
    let scratch = Scratch::new();
    let messages = messages(100);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut drainer = line(FdSink::new(full).unwrap(), &messages);
    let error = drainer.run().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::NOSPC.raw_os_error()));
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(drainer.ledger().delivered, 0);

    *drainer.sink_mut() = FdSink::new(File::create(scratch.path("file")).unwrap()).unwrap();
    assert_eq!(drainer.rewind(), 0);
    drainer.run().unwrap();
    assert!(received(File::open(scratch.path("file")).unwrap()) == messages);
}

#[test]
fn a_peer_that_closes_is_an_error_and_a_new_one_gets_whole_frames() {
    let scratch = Scratch::new();
    let messages = messages(1000);
    for Ends { name, near, mut far } in streams(&scratch) {
        let _held = watchdog(name);
        let mut drainer = line(FdSink::nonblocking(near).unwrap(), &messages);
        until_blocked(&mut drainer);
        // It has read something, then it closes with bytes unread.
        far.read_exact(&mut [0; 1000]).unwrap();
        drop(far);
        let error = drainer.run().unwrap_err();
        let gone = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
        assert!(gone.contains(&error.kind()), "{name}: {error}");
        assert!(drainer.run().is_err(), "{name}: the error stays");

        let delivered = usize::try_from(drainer.ledger().delivered).unwrap();
        assert!(delivered > 0 && delivered < 1000);
        let Ends { near, far, .. } = unix();
        *drainer.sink_mut() = FdSink::nonblocking(near).unwrap();
        drainer.rewind();
        thread::scope(|threads| {
            let reader = threads.spawn(|| received(far));
            drainer.run().unwrap();
            assert_eq!(drainer.ledger().delivered, 1000);
            drop(drainer);
            assert!(reader.join().unwrap() == messages[delivered..], "{name}");
        });
    }
}

#[test]
fn a_peer_that_was_gone_before_the_first_write_is_a_broken_pipe() {
    let scratch = Scratch::new();
    for Ends { name, near, far } in [unix(), pipe(), fifo(&scratch)] {
        drop(far);
        let mut sink = FdSink::new(near).unwrap();
        let error = sink.write(&[b"to nobody"]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::PIPE.raw_os_error()), "{name}");
    }
}

#[test]
fn more_slices_than_one_call_takes() {
    let scratch = Scratch::new();
    let bytes: Vec<u8> = (0..3000u32).map(|number| number.to_le_bytes()[0]).collect();
    let file = File::create(scratch.path("file")).unwrap().into();
    let (near, _unix) = UnixStream::pair().unwrap();
    let (_pipe, pipe) = io::pipe().unwrap();
    for fd in [file, near.into(), pipe.into()] {
        let fd: OwnedFd = fd;
        for (given, taken) in [
            (1, 1),
            (63, 63),
            (64, 64),
            (65, 65),
            (1023, 1023),
            (1024, 1024),
            (1025, 1024),
            (3000, 1024),
        ] {
            // Empty slices take none of the room.
            let slices: Vec<&[u8]> =
                bytes[..given].chunks(1).flat_map(|slice| [slice, &[]]).collect();
            let mut sink = FdSink::new(fd.as_fd()).unwrap();
            let kind = sink.kind();
            assert_eq!(sink.write(&slices).unwrap(), Progress::Wrote(taken), "{kind:?} {given}");
            assert_eq!(sink.counts().calls, 1);
        }
    }
}

/// As many slices as a socket gives room for, until all have left: not one is
/// skipped or doubled at the border of two calls.
#[test]
fn many_slices_arrive_in_order() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let bytes: Vec<u8> = (0..10_000u32).map(|number| number.to_le_bytes()[0]).collect();
    let slices: Vec<&[u8]> = bytes.chunks(3).collect();
    let mut sink = FdSink::new(near).unwrap();
    let (mut sent, mut read) = (0, vec![0; bytes.len()]);
    while sent < bytes.len() {
        assert_eq!(sent % 3, 0);
        let Progress::Wrote(len) = sink.write(&slices[sent / 3..]).unwrap() else {
            panic!("blocked at {sent}");
        };
        far.read_exact(&mut read[sent..sent + len]).unwrap();
        sent += len;
    }
    assert_eq!(sink.counts().calls, bytes.len().div_ceil(3 * 1024) as u64);
    assert!(read == bytes);
}

#[test]
fn a_wait_ends_at_its_deadline_and_when_there_is_room() {
    let scratch = Scratch::new();
    for Ends { name, near, mut far } in streams(&scratch) {
        let _held = watchdog(name);
        let mut sink = FdSink::nonblocking(near).unwrap();
        let chunk = vec![7; 1 << 16];
        let mut sent = 0;
        while let Progress::Wrote(len) = sink.write(&[&chunk]).unwrap() {
            sent += len;
        }
        // No room: the deadline ends it, one that has passed at once.
        sink.wait(Some(Instant::now())).unwrap();
        assert_eq!(sink.write(&[&chunk]).unwrap(), Progress::Blocked, "{name}");
        assert_eq!(sink.counts().polls, 1);

        // A reader makes room, after the wait has begun or before.
        thread::scope(|threads| {
            let reader = threads.spawn(move || {
                let mut read = vec![0; sent];
                far.read_exact(&mut read).unwrap();
                far
            });
            sink.wait(None).unwrap();
            assert_ne!(sink.write(&[&chunk]).unwrap(), Progress::Blocked, "{name}");
            drop(reader.join().unwrap());
        });
        // An end that is gone ends a wait too.
        sink.wait(None).unwrap();
        assert!(sink.write(&[&chunk]).is_err(), "{name}");
    }
}

#[test]
fn the_kind_is_found_and_the_flags_stay() {
    let scratch = Scratch::new();
    let flags = |fd: &OwnedFd| rustix::fs::fcntl_getfl(fd).unwrap();
    let file = File::create(scratch.path("file")).unwrap().into();
    let null = OpenOptions::new().write(true).open("/dev/null").unwrap().into();
    let mut ends = streams(&scratch).map(|Ends { near, .. }| near).into_iter();
    for (fd, kind) in [
        (ends.next().unwrap(), Kind::Socket),
        (ends.next().unwrap(), Kind::Socket),
        (ends.next().unwrap(), Kind::Pipe),
        (ends.next().unwrap(), Kind::Pipe),
        (file, Kind::Other),
        (null, Kind::Other),
    ] {
        let before = flags(&fd);
        let sink = FdSink::new(fd).unwrap();
        assert_eq!(sink.kind(), kind);
        assert_eq!(flags(sink.fd()), before);
        let sink = FdSink::nonblocking(sink.into_inner()).unwrap();
        assert_eq!(flags(sink.fd()), before | OFlags::NONBLOCK);
    }
}

/// A socket that blocks is not waited for in the write, and its flag is left
/// alone.
#[test]
fn a_socket_that_blocks_does_not_block_here() {
    let _held = watchdog("a socket that blocks");
    let (near, _far) = UnixStream::pair().unwrap();
    let mut sink = FdSink::new(&near).unwrap();
    let chunk = vec![7; 1 << 16];
    while sink.write(&[&chunk]).unwrap() != Progress::Blocked {}
    assert!(!rustix::fs::fcntl_getfl(&near).unwrap().contains(OFlags::NONBLOCK));
}

/// Without framing, so that each record is what one producer has framed.
#[test]
fn records_that_are_frames_already_pass_as_they_are() {
    let (near, far) = UnixStream::pair().unwrap();
    let mut drainer = Drainer::new(Plain, FdSink::new(near).unwrap());
    let mut sender = drainer.sender(1 << 16).unwrap();
    for message in [b"one", b"two"] {
        sender.send(&wire_of(&FORMAT, &[message])).unwrap();
    }
    drop(sender);
    drainer.run().unwrap();
    drop(drainer);
    assert_eq!(received(far), [b"one", b"two"]);
}
