//! The example `dlt_tracing`: its layer against a FIFO whose far end the test
//! holds, its program and `dlt_log`'s through the real daemon to `dlt-receive`.

#![allow(dead_code, reason = "a test does not call the example's `main`")]

#[path = "../../examples/dlt_tracing.rs"]
mod dlt_tracing;

use std::{
    fmt, fs,
    process::{Command, Stdio},
    sync::Arc,
};

use forebay_linux::dlt::{Client, Id, Level};
use forebay_std::forebay::frame::dlt::{Message, UserRecord, Value};
use tracing::{debug, error, field, info, info_span, trace, warn};
use tracing_subscriber::layer::SubscriberExt;

use crate::{
    await_that,
    common::{example, watchdog},
    daemon::{Daemon, has},
    fake::{APP, Fake, LONG},
    tools::converted,
};
use dlt_tracing::DltLayer;

/// Runs `events` with the layer as this thread's subscriber.
fn with_layer(client: &Arc<Client>, events: impl FnOnce()) {
    let layer = DltLayer::new(client, &[("a::b", Id::new("AB")), ("a", Id::new("A"))]);
    let subscriber = tracing_subscriber::registry().with(layer.filtered());
    tracing::subscriber::with_default(subscriber, events);
}

fn client(fake: &Fake) -> Arc<Client> {
    Arc::new(fake.client(1 << 16))
}

/// A message's context and level, and its arguments as `name=value`.
fn told(message: &[u8]) -> (String, Level, Vec<String>) {
    let message = Message::parse(message).unwrap();
    let extended = message.header.extended.unwrap();
    assert_eq!(extended.app, APP);
    let arguments = message.arguments().map(|argument| {
        let argument = argument.unwrap();
        let name = String::from_utf8(argument.name.unwrap_or_default().to_vec()).unwrap();
        match argument.value {
            Value::Utf8(text) => format!("{name}={:?}", str::from_utf8(text).unwrap()),
            value => format!("{name}={value:?}"),
        }
    });
    let level = extended.kind.level().unwrap();
    (extended.context.to_string(), level, arguments.collect())
}

/// The arguments of messages.
fn arguments(messages: &[Vec<u8>]) -> Vec<Vec<String>> {
    messages.iter().map(|message| told(message).2).collect()
}

#[test]
fn fields_are_arguments_of_their_types() {
    let _held = watchdog("fields");
    let mut fake = Fake::new();
    let client = client(&fake);
    with_layer(&client, || {
        let failed = std::io::Error::other("no water");
        info!(
            target: "x::pump",
            flag = true,
            small = 7_u8,
            signed = -7_i32,
            wide = u128::MAX,
            deep = i128::MIN,
            ratio = 0.25_f32,
            name = "inlet",
            raw = &b"\x00\xFF"[..],
            error = &failed as &dyn std::error::Error,
            debug = ?[1, 2],
            display = %"shown",
            absent = field::Empty,
            "filling {}",
            "up"
        );
        warn!(target: "x::pump", only = 1);
        info!("");
    });
    let messages = fake.await_messages(3);
    let (context, level, arguments) = told(&messages[0]);
    assert_eq!((context.as_str(), level), ("PUMP", Level::Info));
    assert_eq!(
        arguments,
        [
            "=\"filling up\"",
            "flag=Bool(true)",
            "small=U64(7)",
            "signed=I64(-7)",
            "wide=U128(340282366920938463463374607431768211455)",
            "deep=I128(-170141183460469231731687303715884105728)",
            "ratio=F64(0.25)",
            "name=\"inlet\"",
            "raw=Raw([0, 255])",
            "error=\"no water\"",
            "debug=\"[1, 2]\"",
            "display=\"shown\"",
        ]
    );
    assert_eq!(told(&messages[1]), ("PUMP".into(), Level::Warn, vec!["only=I64(1)".into()]));
    assert_eq!(told(&messages[2]).2, ["=\"\""]);
}

#[test]
fn spans_are_told_with_their_fields() {
    let _held = watchdog("spans");
    let mut fake = Fake::new();
    let client = client(&fake);
    with_layer(&client, || {
        let outer = info_span!("outer", tank = 1, late = field::Empty);
        let _entered = outer.enter();
        let inner = info_span!("inner", valve = "inlet");
        inner.in_scope(|| info!("deep"));
        outer.record("late", true);
        info!(own = 2, "shallow");
        // One that is below the level is none.
        tracing::debug_span!("below", x = 1).in_scope(|| info!("within"));
    });
    assert_eq!(
        arguments(&fake.await_messages(3)),
        [
            vec!["=\"deep\"", "tank=I64(1)", "valve=\"inlet\"", "span=\"outer:inner\""],
            vec!["=\"shallow\"", "own=I64(2)", "tank=I64(1)", "late=Bool(true)", "span=\"outer\""],
            vec!["=\"within\"", "tank=I64(1)", "late=Bool(true)", "span=\"outer\""],
        ]
    );
}

#[test]
fn targets_name_contexts() {
    let _held = watchdog("targets");
    let mut fake = Fake::new();
    let client = client(&fake);
    let expected =
        ["A", "A", "AB", "AB", "AB", "VALV", "X", "REST", "THIS"].map(str::to_owned).to_vec();
    with_layer(&client, || {
        info!(target: "a", "");
        info!(target: "a::c", "");
        info!(target: "a::b", "");
        info!(target: "a::b::c", "");
        info!(target: "ab", ""); // Under no prefix, and of that name.
        info!(target: "x::va_lve", "");
        info!(target: "x", "");
        info!(target: "::\u{e9}", "");
        info!(target: "this program", "");
    });
    let messages = fake.await_messages(9);
    let contexts: Vec<_> = messages.iter().map(|message| told(message).0).collect();
    assert_eq!(contexts, expected);
}

/// A macro's target is a constant, so that many take a macro, too.
macro_rules! many_targets {
    ($($a:literal)*) => { $(many_targets!(@ $a 0 1 2 3 4 5 6 7 8 9);)* };
    (@ $a:literal $($b:literal)*) => { $(info!(target: concat!("n", $a, $b), "");)* };
}

#[test]
fn there_are_only_so_many_contexts() {
    let _held = watchdog("many targets");
    let mut fake = Fake::new();
    let client = client(&fake);
    with_layer(&client, || {
        many_targets!(0 1 2 3 4 5 6);
        info!(target: "n00", "");
    });
    let messages = fake.await_messages(71);
    let contexts: Vec<_> = messages.iter().map(|message| told(message).0).collect();
    let mut expected: Vec<_> = (0..64).map(|number| format!("N{number:02}")).collect();
    expected.extend(vec!["REST".to_owned(); 6]);
    expected.push("N00".to_owned());
    assert_eq!(contexts, expected);
}

/// Not to be formatted.
struct Never;

impl fmt::Debug for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("it is formatted")
    }
}

#[test]
fn the_daemons_levels_decide_for_each_context() {
    let _held = watchdog("levels");
    let mut fake = Fake::new();
    let client = client(&fake);
    let (loud, quiet) = (client.context(Id::new("LOUD"), ""), client.context(Id::new("QUIE"), ""));
    fake.await_seen(3);
    with_layer(&client, || {
        debug!(target: "loud", never = ?Never);
        let record = |position, level| {
            let mut out = vec![0; 64];
            let len = UserRecord::LogLevel { level, trace: 0, position }.put(&mut out).unwrap();
            out.truncate(len);
            out
        };
        fake.say(&[record(0, 6), record(1, 2)].concat());
        await_that("the levels change", || {
            (loud.level(), quiet.level()) == (Some(Level::Verbose), Some(Level::Error))
        });
        trace!(target: "loud", "every level");
        warn!(target: "quiet", never = ?Never);
        error!(target: "quiet", "the greatest");
        debug!(target: "other", never = ?Never);
        fake.say(&record(0, 0));
        await_that("the level changes", || loud.level().is_none());
        error!(target: "loud", never = ?Never);
        info!(target: "other", "the last");
    });
    let told: Vec<_> = fake.await_messages(3).iter().map(|message| told(message)).collect();
    assert_eq!(
        told,
        [
            ("LOUD".into(), Level::Verbose, vec!["=\"every level\"".to_owned()]),
            ("QUIE".into(), Level::Error, vec!["=\"the greatest\"".to_owned()]),
            ("OTHE".into(), Level::Info, vec!["=\"the last\"".to_owned()]),
        ]
    );
    assert_eq!(client.counts().ledger.offered, 3, "what is not enabled is not offered");
}

/// Logs while it is formatted.
struct Nested;

impl fmt::Display for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!(target: "pump", "inside");
        f.write_str("outside")
    }
}

#[test]
fn every_thread_sends_and_what_is_too_long_is_counted() {
    let _held = watchdog("threads");
    let mut fake = Fake::new();
    let client = client(&fake);
    let layer = DltLayer::new(&client, &[]);
    let subscriber = Arc::new(tracing_subscriber::registry().with(layer.filtered()));
    std::thread::scope(|threads| {
        for number in 0..4 {
            let subscriber = Arc::clone(&subscriber);
            threads.spawn(move || {
                tracing::subscriber::with_default(subscriber, || info!(target: "pump", number));
            });
        }
    });
    let dispatch = tracing::Dispatch::new(Arc::clone(&subscriber));
    tracing::dispatcher::with_default(&dispatch, || {
        info!(target: "pump", "{}", "x".repeat(5000));
        info!(target: "pump", "{Nested}");
    });
    let mut texts = arguments(&fake.await_messages(5)).concat();
    texts[..4].sort_unstable();
    let numbers = [0, 1, 2, 3].map(|number| format!("number=I64({number})"));
    assert_eq!(texts[..4], numbers);
    // What is logged within a layer, `tracing` gives to no subscriber that is a
    // thread's own.
    assert_eq!(texts[4..], ["=\"outside\""]);
    await_that("all is counted", || client.counts().ledger.delivered == 5);
    let client = Arc::into_inner(client).unwrap();
    assert_eq!(client.close(LONG).ledger.refused, 1);
    // The client has ended: nothing happens.
    tracing::dispatcher::with_default(&dispatch, || {
        info!(target: "pump", "late");
        info!(target: "new", "late");
    });
}

/// The programs, the daemon and its tools: nothing here but what they print.
#[test]
fn the_programs_reach_dlt_receive() {
    let _held = watchdog("the programs");
    if !has("dlt-receive") || !has("dlt-convert") {
        return;
    }
    let programs = ["dlt_tracing", "dlt_log"].map(example);
    let [Some(dlt_tracing), Some(dlt_log)] = programs else { return };
    let Some(daemon) = Daemon::start() else { return };
    let file = daemon.path("received.dlt");
    let mut receiver = Command::new("dlt-receive")
        .args(["-p", &daemon.port.to_string(), "-o"])
        .arg(&file)
        .arg("127.0.0.1")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    for (program, count) in [(dlt_tracing, 7), (dlt_log, 5)] {
        let output =
            Command::new(program).env("DLT_PIPE_DIR", daemon.directory()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let ledger = format!(
            "offered {count}, accepted {count}, refused 0, delivered {count}, in flight 0\n"
        );
        assert_eq!(String::from_utf8(output.stdout).unwrap(), ledger);
    }
    // The daemon reads one behind the other.
    let last = b"dlt_log: the program ends\0";
    await_that("the last message is in the file", || {
        let file = fs::read(&file).unwrap_or_default();
        file.windows(last.len()).any(|window| window == last)
    });
    receiver.kill().unwrap();
    receiver.wait().unwrap();

    // Index, time, timestamp and counter aside, and the ECU.
    let lines = converted(&file);
    let of_app = |app: &str| -> Vec<String> {
        let ours = lines.iter().filter_map(|line| line.split_once(&format!(" {app} ")));
        ours.map(|(_, rest)| rest.to_owned()).collect()
    };
    // Two threads, each in order; between the beginning and the end.
    let traced = of_app("TRAC");
    assert_eq!(traced[0], "MAIN log info V 1 [the program begins]");
    assert_eq!(traced[6], "END- log info V 1 [the program ends]");
    let thread = |tank: &str| -> Vec<&str> {
        let its = format!(" {tank} fill]");
        traced.iter().map(String::as_str).filter(|line| line.ends_with(&its)).collect()
    };
    // What comes behind the message: level, open, tank and span.
    let begins = |tank| format!("PUMP log info V 5 [begins 0.25 1 {tank} fill]");
    let ends = |tank| format!("PUMP log warn V 4 [ends -12 {tank} fill]");
    let failed = "PUMP log error V 5 [has failed broken pipe inlet 2 fill]";
    assert_eq!(thread("1"), [&*begins(1), &ends(1)]);
    assert_eq!(thread("2"), [&*begins(2), failed, &ends(2)]);
    let mut logged = of_app("LOGD");
    assert_eq!(logged.pop().unwrap(), "MAIN log warn V 1 [dlt_log: the program ends]");
    logged.sort_unstable();
    let threads =
        [0, 1, 2, 3].map(|number| format!("MAIN log info V 1 [dlt_log: thread {number} is here]"));
    assert_eq!(logged, threads);
}
