//! `forebay send` and `forebay recv`, run as programs: what goes in comes out.

mod common;

use std::{
    fs::{self, File},
    io::{Read, Write},
    process::Stdio,
};

use common::{Dir, FORMATS, Running, Sent, assert_same, forebay, read, run, stderr};
use rustix::process::Signal;

/// Lines of every awkward kind: empty, with carriage returns, zeros and bytes
/// that are no UTF-8, longer than a batch, and a last one without a newline.
fn awkward() -> Vec<u8> {
    let mut input = b"\n\nplain\r\n\r\n\0\0\0\n\xff\xfe\n \t\n".to_vec();
    for len in [1, 253, 254, 255, 4095, 4096, 65_535, 65_536, 200_000] {
        input.extend((0..len).map(|at| if at % 251 == 10 { 0 } else { (at % 251) as u8 }));
        input.push(b'\n');
    }
    input.extend_from_slice(b"\n".repeat(1000).as_slice());
    input.extend_from_slice(b"the end has no newline");
    input
}

/// Sends `input` from a `send` to a `recv`; returns what came out.
fn transfer(input: &[u8], send: &[&str], recv: &[&str]) -> Vec<u8> {
    let dir = Dir::new();
    let target = dir.target("unix", "socket");
    let out = dir.path("out");
    let receiver = Running::spawn(
        &[&["recv", "--from", &target], recv].concat(),
        Stdio::null(),
        File::create(&out).unwrap().into(),
    );
    let sent = run(&[&["send", "--to", &target], send].concat(), input);
    assert!(sent.status.success(), "{}", stderr(&sent));
    let (status, told) = receiver.end();
    assert!(status.success(), "{told}");
    assert!(!dir.path("socket").exists(), "the socket's file is left");
    read(&out)
}

#[test]
fn every_format_carries_awkward_lines() {
    let input = awkward();
    for format in FORMATS {
        let args = ["--format", format];
        assert_same(&transfer(&input, &args, &args), &input);
    }
    assert_same(&transfer(b"", &[], &[]), b"");
    assert_same(&transfer(b"\n", &[], &[]), b"\n");
}

#[test]
fn binary_messages_keep_their_bytes_and_lengths() {
    let mut input = Vec::new();
    for message in [&b""[..], b"\n", b"two\nlines\n", &[0; 70_000], b"", b"end"] {
        input.extend_from_slice(&u32::try_from(message.len()).unwrap().to_le_bytes());
        input.extend_from_slice(message);
    }
    for format in FORMATS {
        let args = ["--format", format, "--binary"];
        assert_same(&transfer(&input, &args, &args), &input);
    }
}

/// `recv` of lines that were sent in binary mode has the messages alone.
#[test]
fn each_end_chooses_its_own_representation() {
    assert_eq!(transfer(b"\x02\0\0\0a\n\x01\0\0\0b", &["--binary"], &[]), b"a\nb");
    assert_eq!(transfer(b"a\nb", &[], &["--binary"]), b"\x02\0\0\0a\n\x01\0\0\0b");
}

#[test]
fn a_binary_message_that_is_cut_short_is_counted_and_told() {
    let sent = run(&["send", "--to", "stdio:", "--binary"], b"\x01\0\0\0a\x05\0\0\0abc");
    assert_eq!(sent.status.code(), Some(1));
    let told = "message 2 refused: the input ends after 7 of its 9 bytes\n";
    assert!(stderr(&sent).starts_with(told), "{}", stderr(&sent));
    let Sent { offered, refused, delivered, .. } = Sent::parse(stderr(&sent));
    assert_eq!((offered, refused, delivered), (2, 1, 1));
}

#[test]
fn a_line_over_the_maximum_is_refused_counted_and_told() {
    let input = b"fits\nis too long\nfits too\nis too long again";
    let sent = run(&["send", "--to", "stdio:", "--max-len", "9"], input);
    assert_eq!(sent.status.code(), Some(1));
    let told = "line 2 refused: 12 bytes, the longest payload is 9\n\
                line 4 refused: 17 bytes, the longest payload is 9\n";
    assert!(stderr(&sent).starts_with(told), "{}", stderr(&sent));
    let Sent { offered, accepted, refused, delivered, .. } = Sent::parse(stderr(&sent));
    assert_eq!((offered, accepted, refused, delivered), (4, 2, 2, 2));
    let received = run(&["recv", "--from", "stdio:", "--max-len", "9"], &sent.stdout);
    assert!(received.status.success());
    assert_eq!(received.stdout, b"fits\nfits too\n");
}

#[test]
fn the_longest_payload_is_the_maximum_in_every_format() {
    for len in ["1", "4096", "300000"] {
        let input = vec![b'x'; len.parse().unwrap()];
        for format in FORMATS {
            let args = ["--format", format, "--max-len", len];
            assert_same(&transfer(&input, &args, &args), &input);
        }
    }
}

#[test]
fn files_carry_frames() {
    let dir = Dir::new();
    let target = dir.target("file", "frames");
    fs::write(dir.path("frames"), [b'x'; 10_000]).unwrap();
    let input = awkward();
    let sent = run(&["send", "--to", &target], &input);
    assert!(sent.status.success(), "{}", stderr(&sent));
    let received = run(&["recv", "--from", &target], b"");
    assert!(received.status.success(), "{}", stderr(&received));
    assert_same(&received.stdout, &input);
}

#[test]
fn either_end_may_listen() {
    let input = awkward();
    let dir = Dir::new();
    fs::write(dir.path("in"), &input).unwrap();
    for target in [dir.target("unix", "socket"), "tcp:127.0.0.1:0".to_owned()] {
        let stdin = File::open(dir.path("in")).unwrap();
        let send = ["send", "--listen", "--to", &target];
        let mut sender = Running::spawn(&send, stdin.into(), Stdio::null());
        let at = sender.await_line("listening on ");
        let received = run(&["recv", "--connect", "--from", &at], b"");
        assert!(received.status.success(), "{}", stderr(&received));
        assert_same(&received.stdout, &input);
        let (status, told) = sender.end();
        assert!(status.success(), "{told}");
    }
}

/// What was accepted does not wait for more input.
#[test]
fn a_line_arrives_while_the_input_stays_open() {
    let dir = Dir::new();
    let target = dir.target("unix", "socket");
    let mut receiver = Running::spawn(&["recv", "--from", &target], Stdio::null(), Stdio::piped());
    let mut sender = Running::spawn(&["send", "--to", &target], Stdio::piped(), Stdio::null());
    let mut stdin = sender.child.stdin.take().unwrap();
    let mut stdout = receiver.child.stdout.take().unwrap();
    for line in [&b"one\n"[..], b"two\nthree\n", b"four\n"] {
        // The beginning of the next line is held back, as it must be.
        stdin.write_all(line).unwrap();
        let mut arrived = vec![0; line.len()];
        stdout.read_exact(&mut arrived).unwrap();
        assert_eq!(arrived, line);
    }
    drop(stdin);
    assert!(sender.end().0.success());
    assert!(receiver.end().0.success());
}

#[test]
fn recv_keeps_serving_when_told_to() {
    let dir = Dir::new();
    let target = dir.target("unix", "socket");
    let mut receiver =
        Running::spawn(&["recv", "--keep", "--from", &target], Stdio::null(), Stdio::piped());
    let mut stdout = receiver.child.stdout.take().unwrap();
    for line in ["from the first\n", "from the second\n", "from the third\n"] {
        assert!(run(&["send", "--to", &target], line.as_bytes()).status.success());
        let mut arrived = vec![0; line.len()];
        stdout.read_exact(&mut arrived).unwrap();
        assert_eq!(arrived, line.as_bytes());
    }
    assert_eq!(receiver.await_line("received: "), "messages 1, bytes 15, damages 0, bytes lost 0");
    receiver.signal(Signal::KILL);
}

/// A peer whose last frame is cut short: with `--retry` the next one is
/// served, without it that is the end; either way it is told.
#[test]
fn recv_tells_a_peer_that_is_cut_short() {
    let dir = Dir::new();
    let target = dir.target("unix", "socket");
    let frames = run(&["send", "--to", "stdio:"], b"whole\ncut short\n").stdout;
    for retry in [false, true] {
        let args: &[&str] = if retry { &["--retry"] } else { &[] };
        let mut receiver = Running::spawn(
            &[&["recv", "--from", &target], args].concat(),
            Stdio::null(),
            Stdio::piped(),
        );
        let mut stdout = receiver.child.stdout.take().unwrap();
        receiver.await_line("listening on ");
        let mut peer = std::os::unix::net::UnixStream::connect(dir.path("socket")).unwrap();
        peer.write_all(&frames[..frames.len() - 1]).unwrap();
        drop(peer);
        receiver.await_line("offset 16: the stream ends inside a frame: 19 bytes received");
        let mut expected = "whole\n".to_owned();
        if retry {
            assert!(run(&["send", "--to", &target], b"again\n").status.success());
            expected.push_str("again\n");
        }
        let mut arrived = String::new();
        stdout.read_to_string(&mut arrived).unwrap();
        assert_eq!(arrived, expected);
        let (status, told) = receiver.end();
        assert_eq!(status.code(), Some(1), "{told}");
    }
}

#[test]
fn recv_tells_damage_and_goes_on() {
    let mut wire = run(&["send", "--to", "stdio:"], b"first\nsecond\nthird\n").stdout;
    wire[16 + 8] ^= 1;
    let received = run(&["recv", "--from", "stdio:"], &wire);
    assert_eq!(received.status.code(), Some(1));
    assert_eq!(received.stdout, b"first\nthird\n");
    let told: Vec<&str> = stderr(&received).lines().collect();
    assert!(told[0].starts_with("offset 16: checksum "), "{told:?}");
    assert_eq!(told[1..], ["received: messages 2, bytes 12, damages 1, bytes lost 17"]);
}

/// A socket's file of a process that was killed is no obstacle; other files
/// are, and stay, and so does a listener that lives.
#[test]
fn a_stale_socket_is_replaced_and_nothing_else() {
    let dir = Dir::new();
    let target = dir.target("unix", "socket");
    let recv = ["recv", "--from", &target];
    let mut killed = Running::spawn(&recv, Stdio::null(), Stdio::null());
    killed.await_line("listening on ");
    killed.signal(Signal::KILL);
    killed.end();
    assert!(dir.path("socket").exists());

    let mut receiver = Running::spawn(&recv, Stdio::null(), Stdio::null());
    receiver.await_line("listening on ");
    let second = run(&recv, b"");
    assert_eq!(second.status.code(), Some(2));
    assert!(stderr(&second).contains("Address already in use"), "{}", stderr(&second));
    // The look at it was no peer.
    assert!(run(&["send", "--to", &target], b"line\n").status.success());
    let (status, told) = receiver.end();
    assert!(status.success() && told.contains("messages 1,"), "{told}");

    fs::write(dir.path("file"), b"precious").unwrap();
    let output = run(&["recv", "--from", &dir.target("unix", "file")], b"");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(read(&dir.path("file")), b"precious");
}

#[test]
fn send_waits_for_its_peer_as_long_as_it_is_told_to() {
    let dir = Dir::new();
    let target = dir.target("unix", "socket");
    let send = ["send", "--to", &target];
    let stdin = {
        fs::write(dir.path("in"), b"patience\n").unwrap();
        File::open(dir.path("in")).unwrap()
    };
    let mut sender = Running::spawn(&send, stdin.into(), Stdio::null());
    sender.await_line("waiting for unix:");
    let received = run(&["recv", "--from", &target], b"");
    assert_eq!(received.stdout, b"patience\n");
    assert!(sender.end().0.success());

    for args in [&["--listen"][..], &[]] {
        let output = run(&[&send[..], &["--wait", "0"], args].concat(), b"line\n");
        assert_eq!(output.status.code(), Some(2));
        let told = format!("forebay: no peer at {target} for 0 seconds");
        assert!(stderr(&output).contains(&told), "{}", stderr(&output));
    }
}

#[test]
fn a_full_disk_is_an_error_with_a_ledger() {
    let sent = run(&["send", "--to", "file:/dev/full"], b"one\ntwo\n");
    assert_eq!(sent.status.code(), Some(2));
    let told = "forebay: file:/dev/full: No space left on device (os error 28)\n";
    assert!(stderr(&sent).ends_with(told), "{}", stderr(&sent));
    let Sent { accepted, delivered, in_flight, .. } = Sent::parse(stderr(&sent));
    assert_eq!((accepted, delivered, in_flight), (2, 0, 2));

    let full = File::options().write(true).open("/dev/full").unwrap();
    let dir = Dir::new();
    fs::write(dir.path("frames"), sent_frames(b"line\n")).unwrap();
    let received = forebay(&["recv", "--from", &dir.target("file", "frames")])
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .unwrap();
    assert_eq!(received.status.code(), Some(2));
    let told = "forebay: standard output: No space left on device (os error 28)\n";
    assert!(stderr(&received).ends_with(told), "{}", stderr(&received));
}

fn sent_frames(input: &[u8]) -> Vec<u8> {
    run(&["send", "--to", "stdio:"], input).stdout
}

#[test]
fn a_closed_pipe_is_an_error_with_a_ledger() {
    let dir = Dir::new();
    fs::write(dir.path("in"), b"line\n".repeat(100_000)).unwrap();
    let stdin = File::open(dir.path("in")).unwrap();
    let mut sender = Running::spawn(&["send", "--to", "stdio:"], stdin.into(), Stdio::piped());
    let mut stdout = sender.child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 1]).unwrap();
    drop(stdout);
    let (status, told) = sender.end();
    assert_eq!(status.code(), Some(2), "{told}");
    assert!(told.ends_with("forebay: stdio:: Broken pipe (os error 32)\n"), "{told}");
    assert!(Sent::parse(&told).in_flight > 0);
}

#[test]
fn what_cannot_be_done_is_told() {
    let cases: [(&[&str], &str); 12] = [
        (&["send", "--to", "udp:host:1"], "unknown target 'udp:host:1'"),
        (&["recv", "--from", "tcp:host"], "'tcp:host' is not tcp:HOST:PORT"),
        (&["recv", "--from", "unix:"], "a path is missing behind 'unix:'"),
        (&["send", "--to", "stdio:", "--format", "morse"], "flatstream-xxh3"),
        (&["recv", "--from", "stdio:", "--max-len", "0"], "0 is not in 1..=268435456"),
        (&["send", "--to", "stdio:", "--retry"], "--retry needs a unix: or tcp: target"),
        (&["send", "--to", "file:/tmp/x", "--listen"], "--listen needs a unix: or tcp: target"),
        (&["recv", "--from", "stdio:", "--keep"], "--keep needs a unix: or tcp: target"),
        (&["send", "--to", "stdio:", "--sndbuf", "1"], "--sndbuf needs a unix: or tcp: target"),
        (&["recv", "--from", "file:/no/such/file"], "file:/no/such/file: No such file"),
        (&["send", "--to", "tcp:no-such-host.invalid:1"], "cannot connect to tcp:no-such-host"),
        (&["recv", "--from", "unix:/no/such/directory/s"], "cannot listen on unix:/no/such/dir"),
    ];
    for (args, told) in cases {
        let output = run(args, b"line\n");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(told), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn a_send_buffer_that_is_clamped_is_told() {
    let dir = Dir::new();
    let target = dir.target("unix", "socket");
    let limit: usize =
        fs::read_to_string("/proc/sys/net/core/wmem_max").unwrap().trim().parse().unwrap();
    for (requested, clamped) in [(limit * 4, true), (limit / 4, false)] {
        let receiver = Running::spawn(&["recv", "--from", &target], Stdio::null(), Stdio::null());
        let requested = requested.to_string();
        let sent = run(&["send", "--to", &target, "--sndbuf", &requested], b"line\n");
        assert!(sent.status.success());
        let told = format!("send buffer of {} bytes instead of {}", limit * 2, limit * 8);
        assert_eq!(stderr(&sent).contains(&told), clamped, "{}", stderr(&sent));
        assert!(receiver.end().0.success());
    }
}
