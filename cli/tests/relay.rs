//! Device lines through `forebay relay`: damaged, many at once, vanishing,
//! serial.

mod common;

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    process::Stdio,
};

use common::{Dir, Running, await_that};
use forebay::{
    checksum::{
        Crc32Fast,
        crc::{CRC_16_IBM_3740, Crc, Table},
    },
    frame::{Cobs, Encode, Prefixed},
};
use forebay_std::FrameReader;
use rustix::{
    io::fcntl_setfd,
    process::Signal,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

static CRC16: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_IBM_3740);
const LEN_MAX: usize = 200;

/// A frame as a device sends it.
fn frame(payload: &[u8]) -> Vec<u8> {
    let format = Cobs::new(LEN_MAX, &CRC16);
    let mut frame = vec![0; Encode::frame_len_max(&format, payload.len())];
    let len = format.encode(payload, &mut frame).unwrap();
    frame.truncate(len);
    frame
}

fn frames(payloads: &[Vec<u8>]) -> Vec<u8> {
    payloads.iter().flat_map(|payload| frame(payload)).collect()
}

/// What a relay sends on.
struct Sent<R>(FrameReader<R, Prefixed<Crc32Fast>>);

impl<R: Read> Sent<R> {
    fn new(reader: R) -> Self {
        Self(FrameReader::new(reader, Prefixed::native(LEN_MAX, Crc32Fast)))
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(frame) = self.0.next_frame().unwrap() {
                return Some(frame.payload.to_vec());
            }
            if !self.0.fill().unwrap() {
                return None;
            }
        }
    }
}

/// Starts a relay of lines in `dir` to a socket; with what it sends.
fn relay(dir: &Dir, lines: &[String], flags: &[&str]) -> (Running, Sent<UnixStream>) {
    let out = UnixListener::bind(dir.path("out")).unwrap();
    let to = dir.target("unix", "out");
    let max_len = LEN_MAX.to_string();
    let mut args = vec!["relay", "--to", &to, "--max-len", &max_len];
    args.extend(lines.iter().flat_map(|line| ["--from", line]));
    args.extend(flags);
    let running = Running::spawn(&args, Stdio::null(), Stdio::null());
    (running, Sent::new(out.accept().unwrap().0))
}

#[test]
fn many_lines_keep_their_order_and_damage_costs_itself() {
    let dir = Dir::new();
    let payloads = |line: u8| -> Vec<Vec<u8>> {
        (0..100u8).map(|n| [&[line, n][..], &vec![n; usize::from(n % 50)]].concat()).collect()
    };
    let lines: Vec<String> = (0..5).map(|line| dir.target("unix", &line.to_string())).collect();
    let devices: Vec<_> =
        (0..5u8).map(|line| UnixListener::bind(dir.path(&line.to_string())).unwrap()).collect();
    let (relay, mut sent) = relay(&dir, &lines, &["--once"]);
    for (line, device) in (0u8..).zip(&devices) {
        let mut bytes = frames(&payloads(line));
        // In the middle of frame 0's payload, and the last frame cut short.
        bytes[1] ^= 0x40;
        bytes.truncate(bytes.len() - 3);
        device.accept().unwrap().0.write_all(&bytes).unwrap();
    }
    let mut came = vec![Vec::new(); 5];
    while let Some(payload) = sent.next() {
        came[usize::from(payload[0])].push(payload);
    }
    for line in 0..5u8 {
        assert_eq!(came[usize::from(line)], payloads(line)[1..99], "line {line}");
    }
    let (status, told) = relay.end();
    assert_eq!(status.code(), Some(1), "{told}");
    for line in &lines {
        assert!(told.contains(&format!("{line}: messages 98, damages 2, bytes lost ")), "{told}");
    }
    assert!(told.contains("sent: offered 490, accepted 490, refused 0, delivered 490,"), "{told}");
}

#[test]
fn a_device_that_vanishes_and_comes_back_is_picked_up_again() {
    let dir = Dir::new();
    let line = dir.target("unix", "device");
    // Not there at first.
    let (mut relay, mut sent) = relay(&dir, std::slice::from_ref(&line), &[]);
    relay.await_line(&format!("{line}: waiting: "));
    for visit in 0..3u8 {
        let device = UnixListener::bind(dir.path("device")).unwrap();
        let mut connection = device.accept().unwrap().0;
        relay.await_line(&format!("{line}: there"));
        let cut = frame(b"cut short");
        connection.write_all(&frame(&[visit])).unwrap();
        connection.write_all(&cut[..4]).unwrap();
        assert_eq!(sent.next().unwrap(), [visit]);
        drop((connection, device));
        std::fs::remove_file(dir.path("device")).unwrap();
        relay.await_line(&format!("{line}: offset "));
        relay.await_line(&format!("{line}: gone"));
    }
}

#[test]
fn a_serial_line_brings_every_byte_as_it_is() {
    let dir = Dir::new();
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    fcntl_setfd(&master, rustix::io::FdFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let line = format!("serial:{name}");
    let (mut relay, mut sent) = relay(&dir, std::slice::from_ref(&line), &["--once"]);
    relay.await_line(&format!("{line}: there"));
    // A terminal would act on many of them, or send them back.
    let payloads: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte, b'x', byte]).collect();
    let mut master = File::from(master);
    for payload in &payloads {
        master.write_all(&frame(payload)).unwrap();
        assert_eq!(sent.next().unwrap(), *payload);
    }
    drop(master);
    assert_eq!(sent.next(), None);
    let (status, told) = relay.end();
    assert_eq!(status.code(), Some(0), "{told}");
    assert!(told.contains(&format!("{line}: messages 256, damages 0, bytes lost 0")), "{told}");
}

#[test]
fn a_line_with_much_to_say_holds_no_other_back() {
    /// Of one read of a line.
    const READ_LEN: usize = 64 * 1024;
    let dir = Dir::new();
    let lines = [dir.target("unix", "busy"), dir.target("unix", "quiet")];
    let busy = UnixListener::bind(dir.path("busy")).unwrap();
    let quiet = UnixListener::bind(dir.path("quiet")).unwrap();
    let (mut relay, mut sent) = relay(&dir, &lines, &[]);
    let mut busy = busy.accept().unwrap().0;
    busy.set_nonblocking(true).unwrap();
    let mut quiet = quiet.accept().unwrap().0;
    lines.iter().for_each(|line| drop(relay.await_line(&format!("{line}: there"))));

    // All that the line's socket holds waits when the relay comes to look.
    relay.signal(Signal::STOP);
    await_that("the relay has stopped", || relay.state() == 'T');
    let flood = frames(&vec![vec![b'b'; LEN_MAX]; 1000]);
    let len = busy.write(&flood).unwrap();
    assert!(len > 2 * READ_LEN, "no more than {len} bytes wait");
    quiet.write_all(&frame(b"q")).unwrap();
    relay.signal(Signal::CONT);

    let before = (0..).find(|_| sent.next().unwrap() == b"q").unwrap();
    assert!(before * LEN_MAX <= READ_LEN, "{before} frames of the busy line came before");
}

#[test]
fn what_cannot_be_a_line_is_refused() {
    let dir = Dir::new();
    let to = dir.target("file", "out");
    let output = common::run(&["relay", "--from", "tcp:host:1", "--to", &to], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(common::stderr(&output).contains("known are unix:PATH, serial:PATH"));

    // There, but no terminal.
    File::create(dir.path("plain")).unwrap();
    let output =
        common::run(&["relay", "--from", &dir.target("serial", "plain"), "--to", &to], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(common::stderr(&output).contains("plain: "), "{}", common::stderr(&output));
}
