//! What `strace` sees: as many system calls as the sink counts, and the faults
//! that it injects into them.

mod common;

use std::{
    env,
    fs::{self, OpenOptions},
    io::{self, Read},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixStream},
    },
    process::{Command, Output},
    thread,
    time::Instant,
};

use common::{FORMAT, Scratch, messages, watchdog, wire_of};
use forebay_linux::{
    AutoTune, FdSink, FdSinkCounts,
    datagram::{DatagramReader, DatagramSink, Each},
};
use forebay_std::{
    Drainer, FrameReader,
    forebay::{
        Progress, Sink,
        checksum::{CRC32, Crc32},
        frame::{Plain, Prefixed},
    },
};
use rustix::{net::sockopt, pipe::fcntl_setpipe_size};

const KIND: &str = "FOREBAY_STRACE_KIND";
const CALLS: [&str; 3] = ["sendmsg", "writev", "pwritev2"];
const COUNT: usize = 1000;

/// Sends messages through a descriptor with little room, checks that they have
/// arrived, and says what the sink has counted. Run by the tests below, under
/// `strace`.
#[test]
#[ignore = "a part of other tests"]
fn traced() {
    let scratch = Scratch::new();
    let path = scratch.path("file");
    let (near, far): (OwnedFd, OwnedFd) = match env::var(KIND).unwrap().as_str() {
        "unix" => {
            let (near, far) = UnixStream::pair().unwrap();
            sockopt::set_socket_send_buffer_size(&near, 1).unwrap();
            (near.into(), far.into())
        }
        "pipe" => {
            let (far, near) = io::pipe().unwrap();
            fcntl_setpipe_size(&near, 4096).unwrap();
            (near.into(), far.into())
        }
        "file" => {
            let file = OpenOptions::new().write(true).create_new(true).open(&path).unwrap();
            // At its end at once.
            (file.into(), io::pipe().unwrap().0.into())
        }
        other => panic!("no kind {other}"),
    };
    let sink = FdSink::nonblocking(near).unwrap();
    let mut drainer = Drainer::new(FORMAT, sink);
    let mut sender = drainer.sender(1 << 23).unwrap();
    let messages = messages(COUNT);
    for message in &messages {
        sender.send(message).unwrap();
    }
    drop(sender);
    // What can be blocked is, before anybody reads.
    while !path.exists() && drainer.counts().blocked == 0 {
        drainer.run_until(Instant::now()).unwrap();
    }
    let mut received = thread::scope(|threads| {
        let reader = threads.spawn(|| {
            let mut received = Vec::new();
            io::PipeReader::from(far).read_to_end(&mut received).unwrap();
            received
        });
        drainer.run().unwrap();
        let FdSinkCounts { calls, interrupted, blocked, polls } = drainer.sink().counts();
        let raises = u64::from(drainer.sink().raises_sigpipe());
        println!("\ncounts {calls} {interrupted} {blocked} {polls} {raises}");
        assert_eq!(drainer.ledger().delivered, COUNT as u64);
        drop(drainer);
        reader.join().unwrap()
    });
    if path.exists() {
        received = fs::read(path).unwrap();
    }
    assert!(received == wire_of(&FORMAT, &messages));
}

/// Runs `test` under `strace` with `options`; returns what it prints and the
/// trace. `None` when there is no `strace` that may trace here.
fn strace(test: &str, kind: &str, options: &[&str]) -> Option<(String, String)> {
    let probe = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !probe.as_ref().is_ok_and(|probe| probe.status.success()) {
        println!("SKIPPED: no strace that may trace here: {probe:?}");
        return None;
    }
    let scratch = Scratch::new();
    let path = scratch.path("trace");
    let Output { status, stdout, stderr } = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&path)
        .args(options)
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(KIND, kind)
        // Where AddressSanitizer is on: its search for leaks is a tracer too.
        .env("ASAN_OPTIONS", "detect_leaks=0")
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{kind} {options:?}: {stdout}{stderr}");
    Some((stdout.into_owned(), fs::read_to_string(path).unwrap()))
}

/// What `traced` says.
#[derive(Debug)]
struct Counts {
    calls: u64,
    interrupted: u64,
    blocked: u64,
    polls: u64,
    raises_sigpipe: bool,
}

/// Runs `traced` under `strace`.
fn trace(kind: &str, options: &[&str]) -> Option<(Counts, String)> {
    let (stdout, trace) = strace("traced", kind, options)?;
    let line = stdout.lines().find_map(|line| line.strip_prefix("counts ")).unwrap();
    let counts: Vec<u64> = line.split(' ').map(|count| count.parse().unwrap()).collect();
    let [calls, interrupted, blocked, polls, raises] = counts[..] else { panic!("{line}") };
    Some((Counts { calls, interrupted, blocked, polls, raises_sigpipe: raises == 1 }, trace))
}

/// How often a trace has the beginning of a call.
fn count(trace: &str, call: &str) -> u64 {
    let call = format!("{call}(");
    // "pid call(...", and for other threads' calls in between a second line
    // without the bracket.
    let begins = |line: &&str| {
        line.trim_start()
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .trim_start()
            .starts_with(&call)
    };
    trace.lines().filter(begins).count() as u64
}

fn all(trace: &str) -> u64 {
    CALLS.iter().map(|call| count(trace, call)).sum()
}

#[test]
fn the_kernel_sees_as_many_calls_as_are_counted() {
    let _held = watchdog("strace");
    for (kind, call) in [("unix", "sendmsg"), ("pipe", "pwritev2"), ("file", "writev")] {
        let Some((counts, trace)) = trace(kind, &["-e", "trace=sendmsg,writev,pwritev2"]) else {
            return;
        };
        assert_eq!(all(&trace), counts.calls, "{kind} {counts:?}");
        if !counts.raises_sigpipe {
            assert_eq!(count(&trace, call), counts.calls, "{kind}");
        }
        assert_eq!(counts.interrupted, 0);
        if kind == "file" {
            // A batch lends sixteen payloads at most, and each seventh is lent.
            assert!(counts.calls < COUNT as u64 / 10, "{counts:?}");
        } else {
            assert!(counts.blocked > 0 && counts.polls > 0, "{kind} {counts:?}");
        }
    }
}

#[test]
fn a_call_that_is_interrupted_is_made_again() {
    let _held = watchdog("strace");
    for kind in ["unix", "pipe", "file"] {
        // Each third call, the first among them.
        let inject = "inject=sendmsg,writev,pwritev2:error=EINTR:when=1+3";
        let again = "inject=poll,ppoll:error=EINTR:when=1+2";
        let Some((counts, trace)) =
            trace(kind, &["-e", "trace=sendmsg,writev,pwritev2", "-e", inject, "-e", again])
        else {
            return;
        };
        assert!(counts.interrupted > 0, "{kind} {counts:?}");
        assert_eq!(all(&trace), counts.calls, "{kind} {counts:?}");
        assert_eq!(trace.matches("EINTR").count() as u64, counts.interrupted, "{kind}");
    }
}

/// As on a kernel that does not know `RWF_NOSIGNAL`, or not `pwritev2`, or
/// under a filter that forbids it.
#[test]
fn a_pipe_without_rwf_nosignal_is_written_to_all_the_same() {
    let _held = watchdog("strace");
    for error in ["EOPNOTSUPP", "ENOSYS", "EPERM"] {
        let inject = format!("inject=pwritev2:error={error}");
        let Some((counts, trace)) =
            trace("pipe", &["-e", "trace=sendmsg,writev,pwritev2", "-e", &inject])
        else {
            return;
        };
        assert!(counts.raises_sigpipe, "{error}");
        assert_eq!(count(&trace, "pwritev2"), 1, "asked once");
        assert_eq!(count(&trace, "writev"), counts.calls - 1);
    }
}

/// Writes with nobody reading, so that the buffer is to grow. Run by the test
/// below, under `strace`.
#[test]
#[ignore = "a part of another test"]
fn traced_growth() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut sink = FdSink::new(near).unwrap().auto_tune(AutoTune::new(1 << 20));
    let mut sent = 0;
    while !sink.tune().unwrap().is_done() {
        // An error here would be taken for one of the write.
        if let Progress::Wrote(len) = sink.write(&[&[7; 1000]]).unwrap() {
            sent += len;
        }
    }
    assert_eq!(sink.tune().unwrap().last(), None);
    drop(sink);
    let mut received = Vec::new();
    far.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), sent);
}

#[test]
fn a_buffer_that_cannot_grow_costs_no_byte() {
    let _held = watchdog("strace");
    for call in ["setsockopt", "getsockopt", "socket"] {
        let inject = format!("inject={call}:error=ENOBUFS");
        let options = ["-e", &format!("trace={call}"), "-e", &inject];
        let Some((_, trace)) = strace("traced_growth", "", &options) else { return };
        assert_eq!(count(&trace, call), 1, "{call} was tried once");
    }
}

const FLATSTREAM: Prefixed<Crc32> = Prefixed::flatstream(64).checksum(CRC32);

/// Sends messages of flatstream, one at a time or all that there are, into a
/// socket with room for all of them, and reads them back. Run by the test
/// below, under `strace`.
#[test]
#[ignore = "a part of another test"]
fn traced_flatstream() {
    let (near, far) = UnixStream::pair().unwrap();
    sockopt::set_socket_send_buffer_size(&near, 1 << 20).unwrap();
    let mut drainer = Drainer::new(FLATSTREAM, FdSink::nonblocking(near).unwrap());
    let mut sender = drainer.sender(1 << 20).unwrap();
    let one_by_one = env::var(KIND).unwrap() == "one by one";
    for number in 0..COUNT {
        sender.send(&[number.to_le_bytes()[0]; 64]).unwrap();
        if one_by_one {
            drainer.run_until(Instant::now()).unwrap();
        }
    }
    drop(sender);
    drainer.run().unwrap();
    drop(drainer);
    let mut frames = FrameReader::new(far, FLATSTREAM);
    let mut number = 0_usize;
    while frames.fill().unwrap() {
        while let Some(frame) = frames.next_frame().unwrap() {
            assert_eq!(frame.payload, [number.to_le_bytes()[0]; 64]);
            number += 1;
        }
    }
    assert_eq!(number, COUNT);
}

/// At most one call a message; 64 messages and more a call where they wait;
/// and as many a read.
#[test]
fn flatstream_takes_few_calls_both_ways() {
    let _held = watchdog("strace");
    for (kind, most) in [("one by one", COUNT), ("batched", COUNT / 64)] {
        let Some((_, trace)) = strace("traced_flatstream", kind, &["-y", "-e", "trace=%net,%desc"])
        else {
            return;
        };
        let on_sockets = |calls: &[&str]| {
            let begins = |line: &&str| {
                calls.iter().any(|call| line.contains(&format!(" {call}(")))
                    && (line.contains("<UNIX") || line.contains("<socket:"))
            };
            trace.lines().filter(begins).count()
        };
        let sent = on_sockets(&["sendmsg", "sendto", "write", "writev", "pwritev2"]);
        let read = on_sockets(&["read", "readv", "recvfrom", "recvmsg"]);
        println!("{kind}: {COUNT} messages, {sent} calls out, {read} calls in");
        assert!((1..=most).contains(&sent), "{kind}: {sent} calls of {COUNT} messages");
        assert!((1..=COUNT / 64).contains(&read), "{kind}: {read} reads");
    }
}

const DATAGRAMS: u32 = 500;

/// Sends datagrams through a socket and receives them, and says what it has
/// counted. Run by the test below, under `strace`.
#[test]
#[ignore = "a part of another test"]
fn traced_datagrams() {
    let (near, far) = UnixDatagram::pair().unwrap();
    let mut drainer = Drainer::new(Each::new(Plain, 100), DatagramSink::new(near));
    let mut sender = drainer.sender(1 << 20).unwrap();
    (0..DATAGRAMS).for_each(|number| sender.send(&number.to_le_bytes()).unwrap());
    let mut datagrams = DatagramReader::new(far, 100);
    let mut number = 0_u32;
    while number < DATAGRAMS {
        drainer.run_until(Instant::now()).unwrap();
        datagrams.fill().unwrap();
        while let Some(datagram) = datagrams.next_datagram() {
            assert_eq!(datagram.unwrap(), number.to_le_bytes());
            number += 1;
        }
    }
    let counts = drainer.sink().counts();
    println!("\ncounts {} {} {}", counts.calls, counts.interrupted, datagrams.calls());
}

/// As many calls as are counted, few of them, and each that a signal interrupts
/// is made again.
#[test]
fn datagrams_take_few_calls_both_ways() {
    let _held = watchdog("strace");
    for inject in ["", "error=EINTR:when=1+3"] {
        let inject = if inject.is_empty() {
            "trace=sendmmsg,recvmmsg".into()
        } else {
            format!("inject=sendmmsg,recvmmsg:{inject}")
        };
        let options = ["-e", "trace=sendmmsg,recvmmsg,sendmsg,recvmsg", "-e", &inject];
        let Some((stdout, trace)) = strace("traced_datagrams", "", &options) else { return };
        let line = stdout.lines().find_map(|line| line.strip_prefix("counts ")).unwrap();
        let counts: Vec<usize> = line.split(' ').map(|count| count.parse().unwrap()).collect();
        let [sends, interrupted, receives] = counts[..] else { panic!("{line}") };
        assert_eq!(
            (count(&trace, "sendmmsg"), count(&trace, "recvmmsg")),
            (sends as u64, receives as u64)
        );
        assert_eq!((count(&trace, "sendmsg"), count(&trace, "recvmsg")), (0, 0));
        assert_eq!(interrupted > 0, inject.contains("EINTR"), "{line}");
        assert!(sends.max(receives) * 8 <= 3 * DATAGRAMS as usize, "{line}");
    }
}

/// Writes to a TCP socket through a corked sink, twice with more to come. Run by
/// the test below, under `strace`.
#[test]
#[ignore = "a part of another test"]
fn traced_cork() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let _far = listener.accept().unwrap();
    let sink = FdSink::new(near).unwrap().cork().unwrap();
    let mut drainer = Drainer::with_batch_len(1000, FORMAT, sink);
    let mut sender = drainer.sender(1 << 16).unwrap();
    for _ in 0..3 {
        (0..3).for_each(|_| sender.send(&[7; 600]).unwrap());
        drainer.flush().unwrap();
        // Nothing has been held back since.
        drainer.flush().unwrap();
    }
}

/// Each write says that there is more; one call a flush says that there is not.
#[test]
fn a_corked_sink_lets_go_once_a_flush() {
    let _held = watchdog("strace");
    let options = ["-e", "trace=sendmsg,setsockopt"];
    let Some((_, trace)) = strace("traced_cork", "", &options) else { return };
    let lines: Vec<&str> = trace
        .lines()
        .filter(|line| line.contains("sendmsg(") || line.contains("TCP_CORK"))
        .collect();
    assert_eq!(lines.len(), 3 * 4, "{trace}");
    for flush in lines.chunks(4) {
        assert!(flush[..3].iter().all(|line| line.contains("MSG_MORE")), "{trace}");
        assert!(flush[3].contains("TCP_CORK, [0]"), "{trace}");
    }
}
