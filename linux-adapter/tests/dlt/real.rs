//! Through the real daemon to its clients.

use std::{
    env,
    process::{Command, Stdio},
    sync::mpsc,
};

use forebay_linux::dlt::{Client, Context, Endpoint, Id, Level};

use rustix::process::Signal;

use crate::{
    await_that,
    common::watchdog,
    daemon::{Daemon, Received, has},
    fake::{APP, CONTEXT, LONG},
};

const COUNT: u32 = 100_000;

/// A text with which the record is 103 bytes long: 34 of heads, 4 and 2 of the
/// argument, and its zero.
pub(crate) fn text(number: u32) -> String {
    format!("{number:062}")
}

/// Sends messages of these numbers, none of which is refused.
pub(crate) fn send(context: &mut Context, numbers: std::ops::Range<u32>) {
    for number in numbers {
        context.log(Level::Info, &text(number)).unwrap();
    }
}

#[test]
fn a_hundred_thousand_messages_reach_a_client_of_the_daemon() {
    let _held = watchdog("100,000 messages");
    let Some(daemon) = Daemon::start() else { return };
    let witness = daemon.witness();
    let client = daemon.client(1 << 24);
    let mut context = client.context(CONTEXT, "the ring");
    await_that("the daemon says that somebody receives", || client.has_receiver() == Some(true));
    // The FIFO is full before the others are sent, so that what is counted is
    // the way under load, however the threads of this machine take turns.
    daemon.signal(Signal::STOP);
    send(&mut context, 0..COUNT / 20);
    await_that("the FIFO is full", || client.counts().blocked > 0);
    let before = client.counts();
    send(&mut context, COUNT / 20..COUNT);
    daemon.signal(Signal::CONT);
    for (number, received) in (0..COUNT).zip(witness.texts(COUNT as usize)) {
        assert_eq!(received, (CONTEXT, number.to_le_bytes()[0], text(number)));
    }
    assert!(client.flush(LONG));
    let counts = client.close(LONG);
    assert_eq!(counts.ledger.delivered, u64::from(COUNT));
    assert_eq!(counts.ledger.refused, 0);
    assert!(counts.ledger.balances(0));
    assert_eq!(counts.connects, 1);
    let calls = counts.calls() - before.calls();
    let per_message = calls as f64 / (counts.ledger.delivered - before.ledger.delivered) as f64;
    println!("{per_message} system calls a message, {calls} in all");
    assert!(per_message <= 0.03, "{per_message} system calls a message: {counts:?}");
}

/// Sends through the daemon's FIFO. Run by the tests below, in processes of
/// their own.
#[test]
#[ignore = "a part of other tests"]
fn process() {
    let directory = env::var_os("FOREBAY_DLT_DIRECTORY").unwrap();
    let name = env::var("FOREBAY_DLT_CONTEXT").unwrap();
    let endpoint = Endpoint::Fifo(directory.into());
    let client = Client::builder(APP).endpoint(endpoint).ring_len(1 << 23).start().unwrap();
    let mut context = client.context(Id::new(&name), "");
    // So that what strace sees is sending, and not waiting for a connection.
    await_that("the client is connected", || client.is_connected());
    for number in 0..COUNT / 4 {
        // Of many lengths, so that batches are, too.
        let len = (number * 7919 % 200) as usize;
        context
            .log_fmt(Level::Info, format_args!("{number} {}", &text(0).repeat(4)[..len]))
            .unwrap();
    }
    let counts = client.close(LONG);
    assert_eq!(counts.ledger.delivered, u64::from(COUNT / 4), "{counts:?}");
    println!("\nwrites {} calls {}", counts.writes, counts.calls());
}

fn process_command(daemon: &Daemon, name: &str, before: &[&str]) -> Command {
    let exe = env::current_exe().unwrap();
    let mut words: Vec<_> = before.iter().map(std::ffi::OsString::from).collect();
    words.push(exe.into());
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .args(["--exact", "real::process", "--ignored", "--nocapture"])
        .env("FOREBAY_DLT_DIRECTORY", daemon.directory())
        .env("FOREBAY_DLT_CONTEXT", name)
        // Where AddressSanitizer is on: its search for leaks is a tracer too.
        .env("ASAN_OPTIONS", "detect_leaks=0")
        .stdout(Stdio::piped());
    command
}

#[test]
fn records_of_two_processes_do_not_mix() {
    let _held = watchdog("two processes");
    let Some(daemon) = Daemon::start() else { return };
    let witness = daemon.witness();
    let names = ["ONE", "TWO"];
    let children: Vec<_> =
        names.iter().map(|name| process_command(&daemon, name, &[]).spawn().unwrap()).collect();
    let mut next = [0, 0];
    // The witness would fail on records that are mixed.
    for (context, counter, text) in witness.texts(COUNT as usize / 2) {
        let process = names.iter().position(|name| Id::new(name) == context).unwrap();
        let number: u32 = text.split_once(' ').unwrap().0.parse().unwrap();
        assert_eq!((number, counter), (next[process], number.to_le_bytes()[0]), "{context}");
        next[process] += 1;
    }
    assert_eq!(next, [COUNT / 4; 2]);
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
}

/// As many system calls as are counted, of all threads, and of the kinds that
/// are.
#[test]
fn the_kernel_sees_as_many_calls_as_are_counted() {
    let _held = watchdog("strace");
    let probe = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !probe.as_ref().is_ok_and(|probe| probe.status.success()) {
        println!("SKIPPED: no strace that may trace here: {probe:?}");
        return;
    }
    let Some(daemon) = Daemon::start() else { return };
    let witness = daemon.witness();
    let trace = daemon.path("trace");
    let strace = [
        "strace",
        "-f",
        "-qq",
        "-e",
        "trace=pwritev2,writev,sendmsg",
        "-o",
        trace.to_str().unwrap(),
    ];
    let output = process_command(&daemon, "ONE", &strace).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(witness.texts(COUNT as usize / 4).len(), COUNT as usize / 4);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let line = stdout.lines().find_map(|line| line.strip_prefix("writes ")).unwrap();
    let writes: usize = line.split(' ').next().unwrap().parse().unwrap();
    let trace = std::fs::read_to_string(trace).unwrap();
    let begun = |line: &&str| ["pwritev2(", "writev("].iter().any(|call| line.contains(call));
    let seen = trace.lines().filter(begun).count();
    // A kernel that does not know a flag of `pwritev2` is asked once more.
    assert!(seen == writes || seen == writes + 1, "{seen} seen, {writes} counted");
    assert!(!trace.contains("sendmsg("));
}

#[test]
fn levels_and_injections_arrive() {
    let _held = watchdog("dlt-control");
    if !has("dlt-control") {
        return;
    }
    let Some(daemon) = Daemon::start() else { return };
    let witness = daemon.witness();
    let (injections, injected) = mpsc::channel();
    let client = daemon
        .builder()
        .level(Level::Fatal)
        .on_injection(move |injection| {
            let data = injection.data.to_vec();
            injections.send((injection.context, injection.service, data)).unwrap();
        })
        .start()
        .unwrap();
    let first = client.context(Id::new("ONE"), "");
    let mut context = client.context(CONTEXT, "");
    // The daemon's default comes as soon as it knows of the context.
    await_that("the level is the default", || context.level() == Some(Level::Info));
    context.log(Level::Debug, "not yet").unwrap();
    control(&daemon, &["-c", "RING", "-l", "6"]);
    await_that("the level changes", || context.level() == Some(Level::Verbose));
    context.log(Level::Verbose, "now").unwrap();
    assert_eq!(witness.texts(1), [(CONTEXT, 0, "now".into())]);
    assert_eq!(first.level(), Some(Level::Info));
    control(&daemon, &["-c", "RING", "-l", "0"]);
    await_that("the level changes", || context.level().is_none());

    control(&daemon, &["-c", "ONE", "-s", "4097", "-m", "hello"]);
    let (id, service, data) = injected.recv_timeout(LONG).unwrap();
    assert_eq!((id, service), (Id::new("ONE"), 4097));
    assert!(data.starts_with(b"hello"), "{data:02x?}");
    assert_eq!(client.counts().damages, 0);
}

/// Runs `dlt-control` for a context of the application.
fn control(daemon: &Daemon, words: &[&str]) {
    let output = Command::new("dlt-control")
        .args(["-t", "100", "-p", &daemon.port.to_string(), "-a", "RUST"])
        .args(words)
        .arg("127.0.0.1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_client_of_the_daemon_is_told_of_what_was_refused() {
    let _held = watchdog("the overflow");
    let Some(mut daemon) = Daemon::start() else { return };
    daemon.kill();
    let client = daemon.builder().ring_len(1 << 12).start().unwrap();
    let mut context = client.context(CONTEXT, "");
    let refused = (0..100).filter(|&number| context.log(Level::Info, &text(number)).is_err());
    let refused = refused.count();
    assert!(refused > 0);
    daemon.restart();
    let witness = daemon.witness();
    // The daemon keeps what comes before its first client.
    const MESSAGE_BUFFER_OVERFLOW: u32 = 0x14;
    let mut texts = 0;
    let lost = loop {
        match witness.next() {
            Received::Text { .. } => texts += 1,
            Received::Control { service: MESSAGE_BUFFER_OVERFLOW, data } => {
                // All is well, it did overflow, so many.
                assert_eq!(data[..2], [0, 1]);
                break u32::from_le_bytes(data[2..].try_into().unwrap());
            }
            Received::Control { .. } => {}
        }
    };
    assert_eq!((texts + refused, lost as usize), (100, refused));
    assert!(client.flush(LONG));
    assert_eq!(client.counts().reported, refused as u64);
}
