//! SIGINT and SIGTERM in the middle: what was read is delivered, or told.

mod common;

use std::{
    fs,
    io::{Read, Write},
    os::unix::{net::UnixListener, process::ExitStatusExt},
    process::{ExitStatus, Stdio},
};

use common::{Dir, Running, Sent, await_that, forebay};
use forebay::{
    checksum::{
        Crc32Fast,
        crc::{CRC_16_IBM_3740, Crc, Table},
    },
    frame::{Cobs, Encode, Prefixed},
};
use forebay_std::FrameReader;
use rustix::process::Signal;

const SIGNALS: [Signal; 2] = [Signal::INT, Signal::TERM];

/// A shell and a supervisor see the signal.
#[track_caller]
fn ended_by(status: ExitStatus, signal: Signal, told: &str) {
    assert_eq!(status.signal(), Some(signal.as_raw()), "{status}: {told}");
}

/// All lines that came, however many to a frame.
fn payloads(peer: impl Read) -> Vec<u8> {
    let mut frames = FrameReader::new(peer, Prefixed::native(1 << 20, Crc32Fast));
    let mut payloads = Vec::new();
    while frames.fill().unwrap() {
        while let Some(frame) = frames.next_frame().unwrap() {
            payloads.extend_from_slice(frame.payload);
        }
    }
    payloads
}

/// The input stays open, and the last line has not ended: it is delivered as
/// far as it was read.
#[test]
fn send_delivers_what_it_has_read() {
    for signal in SIGNALS {
        let dir = Dir::new();
        let listener = UnixListener::bind(dir.path("socket")).unwrap();
        let target = dir.target("unix", "socket");
        let mut sender = Running::spawn(&["send", "--to", &target], Stdio::piped(), Stdio::null());
        let mut stdin = sender.child.stdin.take().unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        stdin.write_all(b"one\ntwo\nthe third has no end").unwrap();
        // Two of them are here, so all of it has been read.
        let mut frames = vec![0; 2 * (4 + 10)];
        peer.read_exact(&mut frames).unwrap();
        await_that("it waits for more", || sender.state() == 'S');
        sender.signal(signal);
        let rest = payloads(peer);
        assert_eq!(rest, b"the third has no end");
        let (status, told) = sender.end();
        ended_by(status, signal, &told);
        let sent = Sent::parse(&told);
        assert_eq!((sent.offered, sent.delivered, sent.in_flight), (3, 3, 0), "{told}");
        drop(stdin);
    }
}

/// A peer that takes nothing is not waited for for ever; what it has not taken
/// is in the account.
#[test]
fn send_to_a_peer_that_takes_nothing_ends_with_an_account() {
    let dir = Dir::new();
    let listener = UnixListener::bind(dir.path("socket")).unwrap();
    let input = b"a line of some bytes\n".repeat(100_000);
    fs::write(dir.path("in"), &input).unwrap();
    let target = dir.target("unix", "socket");
    let stdin = fs::File::open(dir.path("in")).unwrap();
    let sender = Running::spawn(&["send", "--to", &target], stdin.into(), Stdio::null());
    let (peer, _) = listener.accept().unwrap();
    await_that("the sender is held up", || {
        rustix::io::ioctl_fionread(&peer).unwrap() > 0 && sender.state() == 'S'
    });
    sender.signal(Signal::TERM);
    let (status, told) = sender.end();
    ended_by(status, Signal::TERM, &told);
    let sent = Sent::parse(&told);
    assert!(sent.delivered > 0 && sent.in_flight > 0, "{told}");
    // The last frame may be there in part.
    let came = common::lines(&{
        let mut frames = FrameReader::new(peer, Prefixed::native(1 << 20, Crc32Fast));
        let mut lines = Vec::new();
        while frames.fill().unwrap() {
            while let Ok(Some(frame)) = frames.next_frame() {
                lines.extend_from_slice(frame.payload);
            }
        }
        lines
    });
    assert_eq!(came, sent.delivered, "{told}");
}

/// Nobody has come yet, or will: the socket's file goes, too.
#[test]
fn waiting_for_a_peer_is_given_up() {
    let commands: [(&[&str], &str); 4] = [
        (&["recv", "--from"], "listening on "),
        (&["send", "--listen", "--to"], "listening on "),
        (&["send", "--to"], "waiting for "),
        (&["recv", "--connect", "--from"], "waiting for "),
    ];
    for (command, line) in commands {
        for signal in SIGNALS {
            let dir = Dir::new();
            let target = dir.target("unix", "socket");
            let args = [command, &[&target]].concat();
            let mut running = Running::spawn(&args, Stdio::piped(), Stdio::null());
            running.await_line(line);
            running.signal(signal);
            let (status, told) = running.end();
            ended_by(status, signal, &told);
            assert!(!dir.path("socket").exists(), "{command:?}: the socket's file is left");
        }
    }
}

#[test]
fn recv_writes_what_has_come_and_says_how_much() {
    for signal in SIGNALS {
        let dir = Dir::new();
        let target = dir.target("unix", "socket");
        let recv = ["recv", "--keep", "--from", &target];
        let mut receiver = Running::spawn(&recv, Stdio::null(), Stdio::piped());
        receiver.await_line("listening on ");
        let mut peer = std::os::unix::net::UnixStream::connect(dir.path("socket")).unwrap();
        let format = Prefixed::native(100, Crc32Fast);
        let mut frame = [0; 100];
        let len = format.encode(b"whole\n", &mut frame).unwrap();
        peer.write_all(&frame[..len]).unwrap();
        // A frame that is under way is no damage.
        peer.write_all(&frame[..5]).unwrap();
        let mut stdout = receiver.child.stdout.take().unwrap();
        let mut line = [0; 6];
        stdout.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"whole\n");
        await_that("it waits for more", || {
            rustix::io::ioctl_fionread(&peer).is_ok() && receiver.state() == 'S'
        });
        receiver.signal(signal);
        let (status, told) = receiver.end();
        ended_by(status, signal, &told);
        assert!(told.contains("received: messages 1, bytes 6, damages 0, bytes lost 0"), "{told}");
        assert!(!dir.path("socket").exists());
        assert_eq!(stdout.read(&mut line).unwrap(), 0);
    }
}

static CRC16: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_IBM_3740);

#[test]
fn a_relay_says_what_became_of_everything() {
    for signal in SIGNALS {
        let dir = Dir::new();
        let device = UnixListener::bind(dir.path("device")).unwrap();
        let out = UnixListener::bind(dir.path("out")).unwrap();
        let (from, to) = (dir.target("unix", "device"), dir.target("unix", "out"));
        let args = ["relay", "--from", &from, "--to", &to];
        let relay = Running::spawn(&args, Stdio::null(), Stdio::null());
        let (mut peer, _) = out.accept().unwrap();
        let (mut device, _) = device.accept().unwrap();
        let format = Cobs::new(100, &CRC16);
        let mut frame = [0; 100];
        let len = format.encode(b"measured", &mut frame).unwrap();
        for _ in 0..10 {
            device.write_all(&frame[..len]).unwrap();
        }
        peer.read_exact(&mut [0; 10 * (8 + 10)]).unwrap();
        relay.signal(signal);
        let (status, told) = relay.end();
        ended_by(status, signal, &told);
        assert!(told.contains(&format!("{from}: messages 10, damages 0,")), "{told}");
        assert_eq!(Sent::parse(&told).delivered, 10);
    }
}

/// The second one ends the process at once, wherever it is.
#[test]
fn a_second_signal_does_not_wait() {
    let dir = Dir::new();
    let listener = UnixListener::bind(dir.path("socket")).unwrap();
    let target = dir.target("unix", "socket");
    // Its output takes no more and blocks.
    let mut receiver =
        Running::spawn(&["recv", "--connect", "--from", &target], Stdio::null(), Stdio::piped());
    let (mut peer, _) = listener.accept().unwrap();
    let frames = common::run(&["send", "--to", "stdio:"], &b"a line\n".repeat(100_000)).stdout;
    peer.set_nonblocking(true).unwrap();
    let mut left = &frames[..];
    await_that("the receiver is held up", || match peer.write(left) {
        Ok(len) => {
            left = &left[len..];
            false
        }
        Err(_) => receiver.state() == 'S',
    });
    receiver.signal(Signal::INT);
    await_that("a second one ends it", || {
        receiver.signal(Signal::INT);
        receiver.child.try_wait().unwrap().is_some()
    });
    let (status, told) = receiver.end();
    ended_by(status, Signal::INT, &told);
}

/// What has come of it is that of the command, not of a shell.
#[test]
fn what_is_not_interrupted_ends_as_ever() {
    let output = forebay(&["send", "--to", "stdio:"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}
