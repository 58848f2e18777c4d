//! A daemon that is absent, slow, gone, back: what becomes of the messages.

use std::{sync::mpsc, thread, time::Duration};

use forebay_linux::{
    PIPE_BUF,
    dlt::{Client, Context, Id, Level, SendError, StartError},
};
use forebay_std::forebay::{
    frame::{
        Order,
        dlt::{Argument, Extended, Header, MessageWriter, UserRecord, WriteError},
    },
    ring::ReserveError,
};

use crate::{
    await_that,
    common::watchdog,
    fake::{APP, CONTEXT, Fake, LONG, Seen, texts},
};

fn record(record: &UserRecord<'_>) -> Vec<u8> {
    let mut out = vec![0; 1024];
    let len = record.put(&mut out).unwrap();
    out.truncate(len);
    out
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| format!("message {number}")).collect()
}

/// Sends messages of these numbers; how many were refused.
fn send(context: &mut Context, range: std::ops::Range<u32>) -> u32 {
    let mut refused = 0;
    for number in range {
        match context.log_fmt(Level::Info, format_args!("message {number}")) {
            Ok(()) => {}
            Err(SendError::Ring(ReserveError::Full { .. })) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    refused
}

#[test]
fn who_is_there_comes_first_and_who_ends_last() {
    let _held = watchdog("registration");
    let mut fake = Fake::new();
    let client = fake.client(1 << 16);
    let mut context = client.context(CONTEXT, "what it is");
    context.log(Level::Info, "hello").unwrap();
    let registered = |position, description: &str| Seen::Context {
        position,
        level: -1,
        description: description.into(),
    };
    let seen = fake.await_last(|seen| matches!(seen, Seen::Log { .. }));
    let hello = Seen::Log { counter: 0, text: "hello".into() };
    assert_eq!(seen, [Seen::App("a test".into()), registered(0, "what it is"), hello]);

    let mut other = client.context(Id::new("TWO"), "");
    assert_eq!(fake.await_seen(1), [registered(1, "")]);
    // A second handle of a context is the same context.
    let mut again = client.context(CONTEXT, "said before");
    other.log(Level::Info, "other").unwrap();
    again.log(Level::Info, "again").unwrap();
    let seen = fake.await_seen(2);
    assert_eq!(seen[0], Seen::Log { counter: 0, text: "other".into() });
    assert_eq!(seen[1], Seen::Log { counter: 1, text: "again".into() });

    let counts = client.close(LONG);
    assert_eq!(fake.await_seen(3), [Seen::ContextEnd, Seen::ContextEnd, Seen::AppEnd]);
    assert_eq!(counts.ledger.delivered, 3);
    assert!(counts.ledger.balances(0));
    assert_eq!(context.log(Level::Info, "too late"), Err(SendError::Closed));
}

#[test]
fn the_counter_wraps_and_goes_on_where_a_message_is_refused() {
    let _held = watchdog("the counter");
    let mut fake = Fake::new();
    let client = fake.client(1 << 16);
    let mut context = client.context(CONTEXT, "");
    let mut clone = context.clone();
    for number in 0..300_u32 {
        let context = if number % 2 == 0 { &mut context } else { &mut clone };
        if number == 77 {
            let error = context.log(Level::Info, &"x".repeat(PIPE_BUF)).unwrap_err();
            let len = PIPE_BUF + 41;
            assert_eq!(error, SendError::TooLong { len, len_max: PIPE_BUF });
            assert_eq!(error.to_string(), "a record of 4137 bytes, the longest has 4096");
            continue;
        }
        context.log(Level::Info, "x").unwrap();
    }
    assert!(client.flush(LONG));
    let seen = fake.await_seen(302);
    let counters: Vec<u8> = seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Log { counter, .. } => Some(*counter),
            _ => None,
        })
        .collect();
    let expected: Vec<u8> = (0..300_u32).filter(|&n| n != 77).map(|n| n.to_le_bytes()[0]).collect();
    assert_eq!(counters, expected);
    assert!(client.flush(LONG));
    // The refused one is told.
    assert!(seen.contains(&Seen::Overflow(1)));
    let counts = client.counts();
    assert_eq!((counts.ledger.refused, counts.reported), (1, 1));
}

#[test]
fn a_message_wakes_the_client_from_its_sleep() {
    let _held = watchdog("the wake-up");
    let mut fake = Fake::new();
    let client = fake.client(1 << 16);
    let mut context = client.context(CONTEXT, "");
    fake.await_seen(2);
    for number in 0..200 {
        // Answered when nothing is left to do, just before it sleeps.
        assert!(client.flush(LONG));
        let text = number.to_string();
        context.log(Level::Info, &text).unwrap();
        assert_eq!(texts(&fake.await_seen(1)), [text]);
    }
}

#[test]
fn the_longest_record_goes_through_a_fifo_whole() {
    let _held = watchdog("the longest record");
    let mut fake = Fake::new();
    let client = fake.client(1 << 16);
    let mut context = client.context(CONTEXT, "");
    let text = "x".repeat(PIPE_BUF - 41);
    for _ in 0..5 {
        context.log(Level::Info, &text).unwrap();
        context.log(Level::Info, "short").unwrap();
    }
    let seen = fake.await_seen(12);
    assert_eq!(texts(&seen), [text.as_str(), "short"].repeat(5));
}

#[test]
fn what_makes_no_message_is_refused_and_leaves_nothing() {
    let _held = watchdog("no message");
    let mut fake = Fake::new();
    let client = fake.client(1 << 16);
    let mut context = client.context(CONTEXT, "");
    let wrong = Argument::from("text").unit("m");
    let error = context.log_arguments(Level::Info, &[1.into(), wrong]).unwrap_err();
    assert_eq!(error, SendError::Write(WriteError::UnitWithoutNumber));
    context.log(Level::Info, "good").unwrap();
    let seen = fake.await_seen(4);
    assert_eq!(texts(&seen), ["good"]);
    assert!(seen.contains(&Seen::Overflow(1)));
}

#[test]
fn without_a_daemon_messages_wait_and_the_newest_are_refused() {
    let _held = watchdog("no daemon");
    for has_fifo in [false, true] {
        let mut fake = Fake::absent();
        if has_fifo {
            fake.make_fifo(); // ENXIO instead of ENOENT
        }
        let client = fake.client(1 << 12);
        let mut context = client.context(CONTEXT, "");
        let refused = send(&mut context, 0..1000);
        assert!(refused > 0 && refused < 1000, "{refused}");
        assert!(!client.flush(Duration::from_millis(1)));
        assert!(!client.is_connected());
        let ledger = client.counts().ledger;
        assert_eq!((ledger.offered, ledger.refused), (1000, u64::from(refused)));
        assert_eq!((ledger.delivered, ledger.in_flight()), (0, u64::from(1000 - refused)));

        fake.make_fifo();
        fake.open();
        let kept = 1000 - refused;
        let seen = fake.await_seen(kept as usize + 3);
        assert_eq!(texts(&seen), numbers(0..kept));
        assert!(matches!(seen[..2], [Seen::App(_), Seen::Context { .. }]), "{seen:?}");
        // How many were lost comes behind those that were not.
        assert_eq!(seen.last(), Some(&Seen::Overflow(refused)));
        assert!(client.flush(LONG));
        let counts = client.counts();
        assert!(counts.ledger.balances(0));
        assert_eq!((counts.reported, counts.connects), (u64::from(refused), 1));
    }
}

/// A full FIFO is no reason to connect anew, and no byte of it is lost.
#[test]
fn a_slow_daemon_is_waited_for() {
    let _held = watchdog("a slow daemon");
    let mut fake = Fake::new();
    let client = fake.client(1 << 21);
    let mut context = client.context(CONTEXT, "");
    // More than the FIFO takes, so that writing is blocked, and less than the
    // ring.
    let count = 5000;
    assert_eq!(send(&mut context, 0..count), 0);
    while client.counts().blocked == 0 {
        thread::yield_now();
    }
    assert!(!client.flush(Duration::from_millis(1)));
    let mut seen = Vec::new();
    while texts(&seen).len() < count as usize {
        fake.read(1000);
        seen.extend(fake.seen());
    }
    assert_eq!(texts(&seen), numbers(0..count));
    assert!(client.flush(LONG));
    let counts = client.counts();
    assert_eq!(counts.connects, 1);
    assert_eq!(counts.ledger.delivered, u64::from(count));
    assert!(counts.ledger.balances(0));
}

/// A message of the same application in another process.
fn foreign() -> Vec<u8> {
    let header = Header {
        order: Order::Little,
        counter: 0,
        ecu: Some(Id::new("ECU1")),
        session: Some(1),
        timestamp: None,
        extended: Some(Extended::log(Level::Info, APP, CONTEXT)),
    };
    let mut out = vec![0; 64];
    let head_len = UserRecord::put_log_head(&mut out).unwrap();
    let mut message = MessageWriter::new(&header, &mut out[head_len..]).unwrap();
    message.argument(&"foreign".into()).unwrap();
    let len = head_len + message.finish();
    out.truncate(len);
    out
}

/// Reads a part of what was written, then is gone; a new FIFO takes its place.
/// Each message arrives once, but for the one that was read in part.
#[test]
fn what_a_daemon_has_left_unread_is_sent_again_to_the_next() {
    let _held = watchdog("a new daemon");
    for read_len in [0, 1, 4000, 5000, 10_001] {
        let mut fake = Fake::new();
        let client = fake.client(1 << 20);
        let mut context = client.context(CONTEXT, "");
        assert_eq!(send(&mut context, 0..1000), 0);
        assert!(client.flush(LONG));
        // Another process's is its own to send again; `fake::seen` would fail.
        fake.intrude(&foreign());
        let mut left = read_len;
        let mut before = Vec::new();
        while left > 0 {
            left -= fake.read(left);
            before.extend(fake.seen());
        }
        fake.die();
        await_that("the loss is noticed", || !client.is_connected());
        assert_eq!(send(&mut context, 1000..1100), 0);
        fake.make_fifo();
        fake.open();
        let after = fake
            .await_last(|seen| matches!(seen, Seen::Log { text, .. } if text == "message 1099"));
        assert!(matches!(after[..2], [Seen::App(_), Seen::Context { .. }]), "{:?}", &after[..2]);
        assert!(client.flush(LONG));
        let counts = client.counts();
        let (first, second) = (texts(&before), texts(&after));
        // A message of which a part was read; the registration's are sent anew.
        let is_cut = counts.cut_len > 0;
        let is_log_cut = is_cut && first.len() + second.len() < 1100;
        let expected = numbers(0..1100);
        assert_eq!(first, expected[..first.len()]);
        assert_eq!(second, expected[first.len() + usize::from(is_log_cut)..], "{read_len}");
        assert_eq!(counts.resent, second.len() as u64 - 100);
        assert_eq!(counts.taken, first.len() as u64 + u64::from(is_log_cut), "{read_len}");
        assert_eq!((counts.connects, counts.unread_len), (2, 0));
        assert!(counts.ledger.balances(0));
        assert_eq!(is_cut, ![0].contains(&read_len), "{read_len}: {}", counts.cut_len);
    }
}

/// The FIFO stays and is opened again: nothing of it was lost, so nothing is
/// sent again.
#[test]
fn what_the_same_fifo_holds_is_not_sent_again() {
    let _held = watchdog("the same FIFO");
    let mut fake = Fake::new();
    let client = fake.client(1 << 20);
    let mut context = client.context(CONTEXT, "");
    assert_eq!(send(&mut context, 0..1000), 0);
    assert!(client.flush(LONG));
    fake.die();
    await_that("the loss is noticed", || !client.is_connected());
    assert_eq!(send(&mut context, 1000..1100), 0);
    fake.open();
    // Before anything is read, so that there would be something to send.
    await_that("it is connected again", || client.is_connected());
    let seen =
        fake.await_last(|seen| matches!(seen, Seen::Log { text, .. } if text == "message 1099"));
    assert_eq!(texts(&seen), numbers(0..1100));
    assert_eq!(seen.iter().filter(|seen| matches!(seen, Seen::App(_))).count(), 2);
    assert!(client.flush(LONG));
    let counts = client.counts();
    // Nor is it known what that daemon has taken.
    assert_eq!((counts.resent, counts.taken, counts.connects), (0, 0, 2));
}

/// Daemons that come and go: one that opens the same FIFO again, two that read
/// a part. Each message was taken, or is sent again, perhaps twice.
#[test]
fn what_was_taken_is_known_to_the_message() {
    let _held = watchdog("daemons that come and go");
    let mut fake = Fake::new();
    let client = fake.client(1 << 20);
    let mut context = client.context(CONTEXT, "");
    let mut before = Vec::new();
    let lose = |fake: &mut Fake, makes: bool| {
        fake.die();
        await_that("the loss is noticed", || !client.is_connected());
        if makes {
            fake.make_fifo();
        }
        fake.open();
        await_that("it is connected again", || client.is_connected());
    };
    assert_eq!(send(&mut context, 0..100), 0);
    before.extend(fake.await_seen(102));
    lose(&mut fake, false);
    assert_eq!(send(&mut context, 100..1000), 0);
    let mut counts = client.counts();
    for read_len in [20_000, 5_000] {
        assert!(client.flush(LONG));
        fake.read(read_len);
        before.extend(fake.seen());
        lose(&mut fake, true);
        let now = client.counts();
        assert_eq!(now.taken + now.resent - counts.resent, 1000);
        assert!(now.taken > counts.taken && now.cut_len > counts.cut_len);
        counts = now;
    }
    let after =
        fake.await_last(|seen| matches!(seen, Seen::Log { text, .. } if text == "message 999"));
    let (before, after) = (texts(&before), texts(&after));
    // Of each of the two, the one that it had read in part is not there.
    assert_eq!((before.len() + after.len(), counts.taken), (998, before.len() as u64 + 2));
    let all = numbers(0..1000);
    let mut sent = all.iter();
    let mut came = before.iter().chain(&after);
    assert!(came.all(|text| sent.any(|sent| sent == text)), "in order, and once");
    assert!(client.counts().ledger.balances(0));
}

#[test]
fn the_daemon_is_listened_to() {
    let _held = watchdog("the daemon speaks");
    let mut fake = Fake::new();
    let (injections, injected) = mpsc::channel();
    let client = Client::builder(APP)
        .endpoint(fake.endpoint())
        .level(Level::Warn)
        .on_injection(move |injection| {
            let data = injection.data.to_vec();
            injections.send((injection.context, injection.service, data)).unwrap();
        })
        .start()
        .unwrap();
    let mut context = client.context(CONTEXT, "");
    let other = client.context(Id::new("TWO"), "");
    fake.await_seen(3);
    assert_eq!((context.level(), client.has_receiver()), (Some(Level::Warn), None));
    context.log(Level::Info, "below the level").unwrap();

    let level = |level, position| record(&UserRecord::LogLevel { level, trace: 0, position });
    let state = |state| record(&UserRecord::LogState { state });
    fake.say(&[level(6, 0), state(1)].concat());
    await_that("the state is known", || client.has_receiver() == Some(true));
    assert_eq!((context.level(), other.level()), (Some(Level::Verbose), Some(Level::Warn)));
    context.log(Level::Verbose, "within it").unwrap();
    assert_eq!(texts(&fake.await_seen(1)), ["within it"]);

    // Off, filth, positions of none, a default; in pieces.
    let said = [
        level(0, 1),
        b"filth".to_vec(),
        level(1, 2),
        level(1, -1),
        level(255, 0),
        record(&UserRecord::Injection { position: 9, service: 1, data: b"nobody's" }),
        record(&UserRecord::Injection { position: 1, service: 4097, data: b"some data" }),
        state(0),
    ]
    .concat();
    for piece in said.chunks(7) {
        fake.say(piece);
    }
    let injection = injected.recv_timeout(LONG).unwrap();
    assert_eq!(injection, (Id::new("TWO"), 4097, b"some data".to_vec()));
    await_that("the state is known", || client.has_receiver() == Some(false));
    assert_eq!((context.level(), other.level()), (Some(Level::Warn), None));
    assert!(!other.is_enabled(Level::Fatal));
    let counts = client.counts();
    assert_eq!((counts.injections, counts.damages), (1, 1));
    assert_eq!(counts.ledger.offered, 1, "what is not enabled is not offered");
}

#[test]
fn a_directory_has_one_client_of_a_process() {
    let fake = Fake::absent();
    let client = fake.client(1 << 12);
    let second = Client::builder(APP).endpoint(fake.endpoint()).start();
    assert!(matches!(second, Err(StartError::InUse(_))), "{second:?}");
    drop(client);
    let third = Client::builder(APP).endpoint(fake.endpoint()).ring_len(1000).start();
    assert!(matches!(third, Err(StartError::Ring(_))), "{third:?}");
    drop(fake.client(1 << 12));
}

/// Threads that send as fast as they can into a ring that is too small: each
/// message arrives or is counted, in order, and the daemon's clients are told.
#[test]
fn under_overload_every_message_arrives_or_is_counted() {
    const THREADS: u32 = 4;
    const EACH: u32 = 20_000;
    let _held = watchdog("overload");
    let mut fake = Fake::new();
    let client = fake.client(1 << 13);
    let (seen, refused) = thread::scope(|threads| {
        let senders: Vec<_> = (0..THREADS)
            .map(|thread| {
                let mut context = client.context(Id::new(&format!("C{thread}")), "");
                threads.spawn(move || {
                    let mut refused = 0;
                    for number in 0..EACH {
                        let text = format!("{thread} {number}");
                        refused += u32::from(context.log(Level::Info, &text).is_err());
                    }
                    refused
                })
            })
            .collect();
        let mut seen = Vec::new();
        while !senders.iter().all(thread::ScopedJoinHandle::is_finished) {
            fake.read(10_000);
            seen.extend(fake.seen());
        }
        let refused: u32 = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
        (seen, refused)
    });
    let mut seen = seen;
    let told = |seen: &[Seen]| -> u32 {
        seen.iter().map(|seen| if let Seen::Overflow(lost) = seen { *lost } else { 0 }).sum()
    };
    while texts(&seen).len() + (told(&seen) as usize) < (THREADS * EACH) as usize {
        fake.read(10_000);
        seen.extend(fake.seen());
    }
    assert_eq!(told(&seen), refused);
    let mut next = [0; THREADS as usize];
    for text in texts(&seen) {
        let (thread, number) = text.split_once(' ').unwrap();
        let (thread, number): (usize, u32) = (thread.parse().unwrap(), number.parse().unwrap());
        assert!(number >= next[thread], "{text} after {}", next[thread]);
        next[thread] = number + 1;
    }
    assert!(client.flush(LONG));
    let counts = client.counts();
    assert_eq!(counts.ledger.refused, u64::from(refused));
    assert!(counts.ledger.balances(0), "{}", counts.ledger);
}
