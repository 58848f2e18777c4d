//! The examples, against a FIFO whose far end the test holds, and the real
//! daemon.

#![allow(dead_code, reason = "a test does not call their `main`")]

#[path = "../../examples/dlt_log.rs"]
mod dlt_log;
#[path = "../../examples/dlt_send.rs"]
mod dlt_send;

use std::process::ExitCode;

use forebay_linux::dlt::Level;

use crate::{
    await_that,
    common::watchdog,
    daemon::Daemon,
    fake::{CONTEXT, Fake, LONG, texts},
};

/// Runs `dlt_send`; what it prints.
fn dlt_send(args: &[&str], input: &str) -> (ExitCode, String) {
    let mut output = Vec::new();
    let args = args.iter().map(|&arg| arg.to_owned());
    let code = dlt_send::run(args, &mut input.as_bytes(), &mut output).unwrap();
    (code, String::from_utf8(output).unwrap())
}

#[test]
fn dlt_send_sends_lines_and_counts() {
    let _held = watchdog("dlt_send");
    let Some(daemon) = Daemon::start() else { return };
    let witness = daemon.witness();
    let directory = daemon.directory().to_str().unwrap();
    let ids = ["--app", "RUST", "--context", "RING", "--directory", directory];
    let (code, said) = dlt_send(&ids, "one line\n\nanother\n");
    assert_eq!(code, ExitCode::SUCCESS);
    let ledger = "offered 3, accepted 3, refused 0, delivered 3, in flight 0\n";
    assert!(said.starts_with(ledger), "{said}");
    let lines = witness.texts(3).into_iter().map(|(_, _, text)| text);
    assert!(lines.eq(["one line", "", "another"]));

    let (code, said) = dlt_send(&[&ids[..], &["--count", "30000"]].concat(), "");
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(said.contains(" delivered 30000, in flight 0\n"), "{said}");
    let sent = witness.texts(30_000).into_iter().map(|(_, _, text)| text);
    assert!(sent.eq((0..30_000).map(|number| format!("message {number}"))));
}

#[test]
fn dlt_send_without_a_daemon_says_what_has_not_left() {
    let fake = Fake::absent();
    let directory = fake.directory();
    let args = ["--directory", directory.to_str().unwrap(), "--seconds", "0"];
    let (code, said) = dlt_send(&args, "a line\n");
    assert_eq!(code, ExitCode::FAILURE);
    assert!(said.starts_with("offered 1, accepted 1, refused 0, delivered 0, in flight 1\n"));

    let wrong = |args: &[&str]| {
        let args = args.iter().map(|&arg| arg.to_owned());
        dlt_send::run(args, &mut &b""[..], &mut Vec::new()).unwrap_err().to_string()
    };
    assert_eq!(wrong(&["--app", "LONGER"]), "an id of 6 bytes, the longest has 4");
    assert!(wrong(&["--what", "x"]).starts_with("no option --what; usage: "));
    assert!(wrong(&["--app"]).starts_with("--app needs a value; "));
}

/// Logs while it is formatted.
struct Nested;

impl std::fmt::Display for Nested {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        log::info!("inside");
        f.write_str("outside")
    }
}

#[test]
fn the_logger_sends_from_every_thread_at_the_daemons_level() {
    let _held = watchdog("the logger");
    let mut fake = Fake::new();
    let client = fake.client(1 << 16);
    let context = client.context(CONTEXT, "");
    dlt_log::DltLogger::install(context.clone()).unwrap();
    std::thread::scope(|threads| {
        for number in 0..4 {
            threads.spawn(move || log::info!(target: "t", "thread {number}"));
        }
    });
    log::debug!("below the level");
    log::error!(target: "t", "{}", Nested);
    assert!(!log::log_enabled!(log::Level::Debug));
    let seen = fake.await_seen(8);
    let mut texts = texts(&seen);
    texts[..4].sort_unstable();
    let inside = format!("{}: inside", module_path!());
    let expected =
        ["t: thread 0", "t: thread 1", "t: thread 2", "t: thread 3", &inside, "t: outside"];
    assert_eq!(texts, expected);
    assert_eq!(context.level(), Some(Level::Info));
    await_that("all is counted", || client.counts().ledger.delivered == 6);
    assert!(client.close(LONG).ledger.balances(0));
}
