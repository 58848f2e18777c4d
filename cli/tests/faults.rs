//! A log of 100 MB from `send` to `recv`: undisturbed, with a receiver that
//! is stopped, with one that is killed.

mod common;

use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Write},
    process::{ChildStdin, ChildStdout, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use common::{Dir, Running, Sent, assert_same, await_that, lines, log};
use rustix::process::Signal;

/// The log, made once.
fn the_log() -> &'static [u8] {
    static LOG: OnceLock<Vec<u8>> = OnceLock::new();
    LOG.get_or_init(|| log(100_000_000))
}

/// A sender and a receiver, at a target of each kind.
struct Pair {
    target: String,
    sender: Running,
    receiver: Running,
    /// For the socket's file.
    _dir: Dir,
}

/// Starts a pair; the sender reads `stdin`.
fn pair(kind: &str, send: &[&str], stdin: Stdio) -> Pair {
    let dir = Dir::new();
    let target = match kind {
        "unix" => dir.target("unix", "socket"),
        _ => "tcp:127.0.0.1:0".to_owned(),
    };
    let (target, receiver) = receiver(&target);
    let sender = Running::spawn(&[&["send", "--to", &target], send].concat(), stdin, Stdio::null());
    Pair { target, sender, receiver, _dir: dir }
}

/// Starts a receiver; with where it listens.
fn receiver(target: &str) -> (String, Running) {
    let recv = ["recv", "--from", target];
    let mut receiver = Running::spawn(&recv, Stdio::null(), Stdio::piped());
    (receiver.await_line("listening on "), receiver)
}

/// Reads to the end, and says all the while how much has come.
fn collect(mut stdout: ChildStdout, arrived: &AtomicUsize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        let len = stdout.read(&mut chunk).unwrap();
        if len == 0 {
            return bytes;
        }
        bytes.extend_from_slice(&chunk[..len]);
        arrived.store(bytes.len(), Ordering::Relaxed);
    }
}

/// Writes to the sender's input until it takes no more because it is itself
/// held up: its input is full, and it sleeps all the same. Returns how much
/// it took.
fn write_until_held_up(stdin: &mut ChildStdin, sender: &Running, mut bytes: &[u8]) -> usize {
    let all = bytes.len();
    rustix::io::ioctl_fionbio(&*stdin, true).unwrap();
    await_that("the sender is held up", || match stdin.write(bytes) {
        Ok(len) => {
            bytes = &bytes[len..];
            assert!(!bytes.is_empty(), "the sender has taken all of it");
            false
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => sender.state() == 'S',
        Err(error) => panic!("{error}"),
    });
    rustix::io::ioctl_fionbio(&*stdin, false).unwrap();
    all - bytes.len()
}

/// Stops the receiver, after something has arrived, and feeds the sender
/// until it is held up. Returns how much of `bytes` it took.
fn stop(pair: &Pair, stdin: &mut ChildStdin, arrived: &AtomicUsize, bytes: &[u8]) -> usize {
    let fed = 10_000_000;
    stdin.write_all(&bytes[..fed]).unwrap();
    await_that("something has arrived", || arrived.load(Ordering::Relaxed) > 0);
    pair.receiver.signal(Signal::STOP);
    await_that("the receiver is stopped", || pair.receiver.state() == 'T');
    fed + write_until_held_up(stdin, &pair.sender, &bytes[fed..])
}

fn arrives_identical(kind: &str) {
    let log = the_log();
    let dir = Dir::new();
    fs::write(dir.path("log"), log).unwrap();
    let stdin = File::open(dir.path("log")).unwrap();
    let mut pair = pair(kind, &[], stdin.into());
    let stdout = pair.receiver.child.stdout.take().unwrap();
    assert_same(&collect(stdout, &AtomicUsize::new(0)), log);
    let (status, told) = pair.sender.end();
    assert!(status.success(), "{told}");
    let sent = Sent::parse(&told);
    assert_eq!((sent.offered, sent.delivered), (lines(log), lines(log)));
    let (status, told) = pair.receiver.end();
    assert!(status.success(), "{told}");
    let received =
        format!("received: messages {}, bytes {}, damages 0, bytes lost 0", lines(log), log.len());
    assert!(told.contains(&received), "{told}");
}

#[test]
fn a_log_arrives_identical_over_a_unix_socket() {
    arrives_identical("unix");
}

#[test]
fn a_log_arrives_identical_over_tcp() {
    arrives_identical("tcp");
}

/// A stopped receiver holds the sender up, which sleeps meanwhile and loses
/// nothing.
fn survives_a_stop(kind: &str) {
    let log = the_log();
    let mut pair = pair(kind, &[], Stdio::piped());
    let mut stdin = pair.sender.child.stdin.take().unwrap();
    let stdout = pair.receiver.child.stdout.take().unwrap();
    let arrived = AtomicUsize::new(0);
    thread::scope(|threads| {
        let collected = threads.spawn(|| collect(stdout, &arrived));
        let taken = stop(&pair, &mut stdin, &arrived, log);
        pair.receiver.signal(Signal::CONT);
        stdin.write_all(&log[taken..]).unwrap();
        drop(stdin);
        assert_same(&collected.join().unwrap(), log);
    });
    let (status, told) = pair.sender.end();
    assert!(status.success(), "{told}");
    assert_eq!(Sent::parse(&told).delivered, lines(log));
    let (status, told) = pair.receiver.end();
    assert!(status.success(), "{told}");
}

#[test]
fn a_stopped_receiver_loses_nothing_over_a_unix_socket() {
    survives_a_stop("unix");
}

#[test]
fn a_stopped_receiver_loses_nothing_over_tcp() {
    survives_a_stop("tcp");
}

/// Without `--retry` the sender ends with an error and an exact account.
fn accounts_for_a_kill(kind: &str) {
    let log = the_log();
    let mut pair = pair(kind, &[], Stdio::piped());
    let mut stdin = pair.sender.child.stdin.take().unwrap();
    let stdout = pair.receiver.child.stdout.take().unwrap();
    let arrived = AtomicUsize::new(0);
    let (taken, collected) = thread::scope(|threads| {
        let collected = threads.spawn(|| collect(stdout, &arrived));
        let mut taken = stop(&pair, &mut stdin, &arrived, log);
        pair.receiver.signal(Signal::KILL);
        // Until the sender has ended.
        while let Ok(len) = stdin.write(&log[taken..]) {
            taken += len;
        }
        (taken, collected.join().unwrap())
    });
    let (status, told) = pair.sender.end();
    assert_eq!(status.code(), Some(2), "{told}");
    let error = told.lines().last().unwrap();
    assert!(error.starts_with(&format!("forebay: {}: ", pair.target)), "{told}");

    // What was accepted is what was taken, less what is left in the pipe and
    // a part of a line.
    let sent = Sent::parse(&told);
    assert_eq!(sent.refused, 0);
    assert!(sent.accepted <= lines(&log[..taken]), "{told}");
    assert!(sent.accepted >= lines(&log[..taken - (128 << 10)]), "{told}");
    // What is in flight was in the ring when the peer went.
    assert!(sent.in_flight > 0, "{told}");
    assert_same(&collected, &log[..collected.len()]);
    assert!(sent.delivered >= lines(&collected), "{told}");
}

#[test]
fn a_killed_receiver_is_accounted_for_over_a_unix_socket() {
    accounts_for_a_kill("unix");
}

#[test]
fn a_killed_receiver_is_accounted_for_over_tcp() {
    accounts_for_a_kill("tcp");
}

/// With `--retry` the rest goes to a new receiver, whole frames from its
/// first byte on, though the old one was killed inside a frame.
fn goes_on_after_a_kill(kind: &str, backend: &str) {
    let log = the_log();
    let mut pair = pair(kind, &["--retry", "--backend", backend], Stdio::piped());
    let mut stdin = pair.sender.child.stdin.take().unwrap();
    let stdout = pair.receiver.child.stdout.take().unwrap();
    let arrived = AtomicUsize::new(0);
    let (taken, first) = thread::scope(|threads| {
        let first = threads.spawn(|| collect(stdout, &arrived));
        let taken = stop(&pair, &mut stdin, &arrived, log);
        pair.receiver.signal(Signal::KILL);
        (taken, first.join().unwrap())
    });
    pair.receiver.child.wait().unwrap();

    let (_, mut second) = receiver(&pair.target);
    let stdout = second.child.stdout.take().unwrap();
    let rest = thread::scope(|threads| {
        let rest = threads.spawn(|| collect(stdout, &arrived));
        stdin.write_all(&log[taken..]).unwrap();
        drop(stdin);
        rest.join().unwrap()
    });
    let (status, told) = pair.sender.end();
    assert!(status.success(), "{told}");
    assert!(told.contains("; going on with the next peer"), "{told}");
    let sent = Sent::parse(&told);
    assert_eq!((sent.accepted, sent.delivered), (lines(log), lines(log)));
    let (status, told) = second.end();
    assert!(status.success(), "{told}");
    assert!(told.contains("damages 0, "), "{told}");

    assert_same(&first, &log[..first.len()]);
    let begin = log.len() - rest.len();
    assert_same(&rest, &log[begin..]);
    assert_eq!(log[begin - 1], b'\n');
    // Nothing twice; what lies between died with the first, in its socket.
    assert!(first.len() <= begin);
}

#[test]
fn a_new_receiver_gets_the_rest_over_a_unix_socket() {
    goes_on_after_a_kill("unix", "writev");
}

#[test]
fn a_new_receiver_gets_the_rest_over_tcp() {
    goes_on_after_a_kill("tcp", "writev");
}

/// By io_uring where it can be had.
#[test]
fn a_new_receiver_gets_the_rest_by_a_ring() {
    goes_on_after_a_kill("unix", "auto");
}
