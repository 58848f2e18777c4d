//! What sends: plain calls, io_uring, and the choice where that is really
//! refused.

mod common;
#[path = "../../tests/src/restrict.rs"]
mod restrict;

use std::{
    fs::{self, File},
    io::Read,
    os::unix::net::UnixListener,
    process::Stdio,
    thread,
};

use common::{Dir, Running, Sent, assert_same, log, read, run, stderr};

/// Whether there is io_uring, as the tool finds.
fn has_uring() -> bool {
    let output = run(&["doctor"], b"");
    let has = String::from_utf8(output.stdout).unwrap().contains("ok io_uring: works");
    if !has {
        println!("SKIPPED: no io_uring here");
    }
    has
}

/// Operation not permitted (`errno(3)`).
const NO_URING: &str = "setup=1";
const REASON: &str = "a seccomp filter forbids io_uring (EPERM)";

/// Runs `work` in a thread from which rights are taken, and so from what it
/// starts.
fn restricted<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let restricted = || {
        restrict::apply(NO_URING);
        work()
    };
    thread::scope(|threads| threads.spawn(restricted).join().unwrap())
}

/// Sends a log by `backend`; what came of it, and what the sender told.
fn send(backend: &str, log: &[u8]) -> (Vec<u8>, String) {
    let dir = Dir::new();
    let (target, out) = (dir.target("unix", "socket"), dir.path("out"));
    let recv = ["recv", "--from", &target];
    let mut receiver = Running::spawn(&recv, Stdio::null(), File::create(&out).unwrap().into());
    receiver.await_line("listening on ");
    let sent = run(&["send", "--to", &target, "--backend", backend], log);
    assert!(sent.status.success(), "{}", stderr(&sent));
    assert!(receiver.end().0.success());
    (read(&out), stderr(&sent).to_owned())
}

#[test]
fn a_log_arrives_identical_by_every_backend() {
    let has_uring = has_uring();
    let log = log(5_000_000);
    for backend in ["writev", "auto", "uring"] {
        if backend == "uring" && !has_uring {
            continue;
        }
        let (arrived, told) = send(backend, &log);
        assert_same(&arrived, &log);
        let sent = Sent::parse(&told);
        assert_eq!(sent.accepted, sent.delivered);
        assert!(sent.calls > 0, "{told}");
        let fell_back = told.contains("no io_uring, so writev");
        assert_eq!(fell_back, backend == "auto" && !has_uring, "{told}");
    }
}

#[test]
fn where_io_uring_is_refused_the_reason_is_told() {
    let log = log(100_000);
    let (arrived, told) = restricted(|| send("auto", &log));
    assert_same(&arrived, &log);
    assert!(told.starts_with(&format!("no io_uring, so writev: {REASON}\n")), "{told}");
    let (arrived, told) = restricted(|| send("writev", &log));
    assert_same(&arrived, &log);
    assert!(told.starts_with("sent: "), "{told}");

    let dir = Dir::new();
    let _listener = UnixListener::bind(dir.path("socket")).unwrap();
    let target = dir.target("unix", "socket");
    let send = ["send", "--to", &target, "--backend", "uring"];
    let output = restricted(|| run(&send, b"line\n"));
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    assert!(told.starts_with(&format!("forebay: no io_uring: {REASON}; let the")), "{told}");
}

/// Rings send to stream sockets alone.
#[test]
fn a_file_is_written_by_plain_calls() {
    let dir = Dir::new();
    let target = dir.target("file", "frames");
    let output = run(&["send", "--to", &target, "--backend", "auto"], b"line\n");
    assert!(output.status.success(), "{}", stderr(&output));
    let told = format!("no io_uring, so writev: {target} is no socket\n");
    assert!(stderr(&output).starts_with(&told), "{}", stderr(&output));
    for command in ["send", "relay"] {
        let mut args = vec![command, "--to", &target, "--backend", "uring"];
        if command == "relay" {
            args.extend(["--from", "unix:/no/such/line"]);
        }
        let output = run(&args, b"line\n");
        assert_eq!(output.status.code(), Some(2));
        let told = format!("forebay: --backend uring needs a unix: or tcp: target, not {target}\n");
        assert_eq!(stderr(&output), told);
    }
}

#[test]
fn a_relay_forwards_by_every_backend() {
    let has_uring = has_uring();
    for backend in ["writev", "auto", "uring"] {
        if backend == "uring" && !has_uring {
            continue;
        }
        let dir = Dir::new();
        let out = UnixListener::bind(dir.path("out")).unwrap();
        let device = UnixListener::bind(dir.path("device")).unwrap();
        let (to, from) = (dir.target("unix", "out"), dir.target("unix", "device"));
        let relay = ["relay", "--to", &to, "--from", &from, "--line-format", "prefixed"];
        let args = [&relay[..], &["--once", "--backend", backend]].concat();
        let relay = Running::spawn(&args, Stdio::null(), Stdio::null());
        let mut peer = out.accept().unwrap().0;
        let device = device.accept().unwrap().0;
        // The same format on both sides, so that the bytes are the same.
        let frames = run(&["send", "--to", "stdio:"], &log(1_000_000)).stdout;
        let arrived = thread::scope(|threads| {
            threads.spawn(|| std::io::Write::write_all(&mut { device }, &frames).unwrap());
            let mut arrived = Vec::new();
            peer.read_to_end(&mut arrived).unwrap();
            arrived
        });
        assert_same(&arrived, &frames);
        let (status, told) = relay.end();
        assert!(status.success(), "{told}");
        assert_eq!(told.contains("so writev"), backend == "auto" && !has_uring, "{told}");
        drop(fs::remove_file(dir.path("out")));
    }
}
