//! Losses that are told in the channel that has had them: what is told adds up
//! to what is counted.

mod common;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use common::{FORMAT, gated::Gated, message, payloads, watchdog};
use forebay_std::{
    Channel, Drainer, End, Losses, Policy, REPORT_LEN_MAX, SendError, Sender, WriteSink,
    forebay::{Ledger, frame::Prefixed},
};

/// The length of a report; that of a message is 8.
const REPORT_LEN: usize = 24;

fn write_report(losses: Losses, out: &mut [u8]) -> usize {
    assert_eq!(out.len(), REPORT_LEN_MAX);
    assert!(losses.total() > 0, "a report of nothing");
    let counts = [losses.refused, losses.overwritten, losses.undeliverable];
    for (place, count) in out.chunks_exact_mut(8).zip(counts) {
        place.copy_from_slice(&count.to_le_bytes());
    }
    REPORT_LEN
}

/// The sums of refused, overwritten and undeliverable over all reports of a
/// stream, and how many there are.
fn told(payloads: &[Vec<u8>]) -> ([u64; 3], u64) {
    let mut sums = [0; 3];
    let reports: Vec<_> = payloads.iter().filter(|payload| payload.len() == REPORT_LEN).collect();
    for report in &reports {
        for (sum, count) in sums.iter_mut().zip(report.chunks_exact(8)) {
            *sum += u64::from_le_bytes(count.try_into().unwrap());
        }
    }
    (sums, reports.len() as u64)
}

fn counted(ledger: Ledger) -> [u64; 3] {
    [ledger.refused, ledger.overwritten, ledger.undeliverable]
}

/// Senders that flood their channels, through a sink that takes little.
#[test]
fn what_is_told_adds_up_to_what_is_lost() {
    const MESSAGES: u32 = 20_000;
    let _held = watchdog("reports under load");
    let sink = Gated::short(200);
    sink.open();
    let mut drainer = Drainer::new(FORMAT, sink.clone());
    let counters = drainer.counters();
    let mut channel = |policy| drainer.channel().capacity(256).policy(policy).report(write_report);
    let refusing = [channel(Policy::Refuse).sender().unwrap()];
    let refusing_shared = channel(Policy::Refuse).shared().unwrap();
    let overwriting = channel(Policy::Overwrite).sender().unwrap();
    fn send<M>(mut sender: Sender<M>) {
        for number in 0..MESSAGES {
            let _ = sender.send(&message(0, number));
            if number % 1000 == 0 {
                // Longer than any, for the ring.
                sender.send(&[0; 1000]).unwrap_err();
            }
        }
    }
    thread::scope(|threads| {
        let other = refusing_shared.clone();
        for sender in refusing {
            threads.spawn(move || send(sender));
        }
        threads.spawn(move || send(refusing_shared));
        threads.spawn(move || send(other));
        threads.spawn(move || send(overwriting));
        drainer.run().unwrap();
    });
    let snapshot = counters.snapshot();
    assert!(snapshot.ledger.balances(0), "{snapshot}");
    assert!(snapshot.ledger.refused > 80 && snapshot.ledger.overwritten > 0, "{snapshot}");
    let payloads = payloads(&sink.wire()[..], FORMAT);
    let (sums, reports) = told(&payloads);
    assert_eq!(sums, counted(snapshot.ledger));
    assert_eq!(reports, snapshot.reports);
    assert_eq!(payloads.len() as u64, snapshot.ledger.delivered + reports);
}

/// Each channel is told its own.
#[test]
fn a_report_is_before_the_next_message_and_says_what_was_lost() {
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let mut quiet = drainer.channel().capacity(64).sender().unwrap();
    let mut sender = drainer.channel().capacity(1 << 14).report(write_report).sender().unwrap();
    let counters = drainer.counters();
    let len = quiet.message_len_max() + 1;
    quiet.send(&vec![0; len]).unwrap_err();
    drainer.flush().unwrap();
    assert_eq!(drainer.sink().writer().len(), 0, "nobody asked for reports here");

    // Refused, and later undeliverable: more than the format's maximum.
    sender.send(&vec![0; 1 << 14]).unwrap_err();
    sender.send(&vec![0; 1 << 14]).unwrap_err();
    sender.send(b"message1").unwrap();
    sender.send(&[0; 5000]).unwrap();
    sender.send(b"message2").unwrap();
    drainer.flush().unwrap();
    sender.send(b"message3").unwrap();
    drop(sender);
    drainer.flush().unwrap();
    let payloads = payloads(&drainer.sink().writer()[..], FORMAT);
    let lens: Vec<usize> = payloads.iter().map(Vec::len).collect();
    assert_eq!(lens, [24, 8, 8, 24, 8]);
    assert_eq!(told(&payloads[..1]).0, [2, 0, 0]);
    assert_eq!(told(&payloads[3..4]).0, [0, 0, 1]);
    assert_eq!(counters.snapshot().reports, 2);
}

/// The drainer sleeps, and the only thing that happens is a loss: it is told
/// without a message behind it, also when the sender goes with it.
#[test]
fn a_loss_alone_is_told() {
    const ROUNDS: u64 = 2_000;
    let _held = watchdog("a loss alone");
    let (reader, writer) = io::pipe().unwrap();
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(writer));
    let registrar = drainer.registrar();
    thread::scope(|threads| {
        let run = threads.spawn(move || {
            drainer.run().unwrap();
            drainer.ledger()
        });
        let mut frames = forebay_std::FrameReader::new(reader, FORMAT);
        for _ in 0..ROUNDS {
            let channel = registrar.channel().capacity(64).report(write_report);
            let mut sender = channel.sender().unwrap();
            sender.send(&[0; 64]).unwrap_err();
            drop(sender);
            while frames.next_frame().unwrap().map(|frame| frame.payload.len()) != Some(REPORT_LEN)
            {
                assert!(frames.fill().unwrap());
            }
        }
        let snapshot = registrar.snapshot();
        drop(registrar);
        assert_eq!(run.join().unwrap(), Ledger::default(), "reports are in no ledger");
        assert_eq!((snapshot.ledger.offered, snapshot.ledger.refused), (ROUNDS, ROUNDS));
    });
}

/// A report that waits for room says no more than when it was written, and the
/// next one the rest.
#[test]
fn a_report_waits_for_room_in_the_batch() {
    let sink = Gated::default();
    let mut drainer = Drainer::with_batch_len(64, FORMAT, sink.clone());
    let calls = Arc::new(AtomicU64::new(0));
    let called = Arc::clone(&calls);
    let report = move |losses: Losses, out: &mut [u8]| {
        called.fetch_add(1, Ordering::Relaxed);
        write_report(losses, out)
    };
    let channel = |drainer: &mut Drainer<_, _>| -> Channel { drainer.channel().capacity(64) };
    let mut sender = channel(&mut drainer).report(report).sender().unwrap();
    let full = |sender: &mut Sender| loop {
        match sender.send(&[7; 8]) {
            Ok(()) => {}
            Err(SendError::Full { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    };
    full(&mut sender);
    let soon = Instant::now;
    drainer.flush_until(soon()).unwrap(); // takes messages; the report is in
    full(&mut sender);
    drainer.flush_until(soon()).unwrap(); // no room for the next one
    full(&mut sender);
    drainer.flush_until(soon()).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    sink.open();
    drainer.flush().unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    let (sums, reports) = told(&payloads(&sink.wire()[..], FORMAT));
    assert_eq!((sums, reports), ([3, 0, 0], 3));
    assert!((sender.ledger() + drainer.ledger()).balances(0));
}

/// A report that no frame can carry is dropped and not tried for ever.
#[test]
fn a_report_that_does_not_fit_is_dropped() {
    let format = Prefixed::flatstream(REPORT_LEN - 1);
    let mut drainer = Drainer::new(format, WriteSink::new(Vec::new()));
    let counters = drainer.counters();
    let channel = drainer.channel().capacity(64).report(write_report);
    let mut sender = channel.sender().unwrap();
    sender.send(&[0; 64]).unwrap_err();
    sender.send(b"behind").unwrap();
    drop(sender);
    drainer.run().unwrap();
    let snapshot = counters.snapshot();
    assert_eq!((snapshot.reports, snapshot.ledger.refused, snapshot.ledger.delivered), (0, 1, 1));
}

/// A channel that goes with a loss to tell, and one that comes in its place
/// before the drainer has looked.
#[test]
fn the_last_loss_is_told_though_another_channel_comes() {
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let registrar = drainer.registrar();
    let mut goes = drainer.channel().capacity(64).report(write_report).sender().unwrap();
    drainer.flush().unwrap();
    goes.send(&[0; 64]).unwrap_err();
    drop(goes);
    let mut comes = registrar.sender(64).unwrap();
    comes.send(b"message1").unwrap();
    drainer.flush().unwrap();
    let (sums, reports) = told(&payloads(&drainer.sink().writer()[..], FORMAT));
    assert_eq!((sums, reports), ([1, 0, 0], 1));
    assert_eq!(drainer.channels().len(), 1, "it is finished then");
}

/// Whoever goes on sending to a drainer that is shut down is refused, and does
/// not keep it from its end by that.
#[test]
fn refusals_of_a_closed_drainer_are_counted_and_not_told() {
    let _held = watchdog("refusals of a closed drainer");
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let own = Arc::new(Mutex::<Option<Sender>>::default());
    let sender = Arc::clone(&own);
    // Sends one more for each report of a loss.
    let report = move |losses: Losses, out: &mut [u8]| {
        let sent = sender.lock().unwrap().as_mut().unwrap().send(b"message1");
        assert_eq!(sent, Err(SendError::Closed));
        write_report(losses, out)
    };
    let mut sender = drainer.channel().capacity(64).report(report).sender().unwrap();
    sender.send(&[0; 64]).unwrap_err();
    *own.lock().unwrap() = Some(sender);
    let shutdown = drainer.shutdown(Instant::now() + Duration::from_secs(2));
    assert!(matches!(shutdown.end(), End::Delivered), "{}", shutdown.end());
    assert_eq!(shutdown.ledger().refused, 2);
    assert!(shutdown.ledger().balances(0));
    let (sums, reports) = told(&payloads(&shutdown.sink().writer()[..], FORMAT));
    assert_eq!((sums, reports), ([1, 0, 0], 1));
    drop(own.lock().unwrap().take());
}

/// What panics, or says that it wrote too much, is not called again for the same
/// losses: the messages behind it leave, and the next report tells all.
#[test]
fn a_report_whose_writer_panics_stops_nothing_for_good() {
    for len in [None, Some(REPORT_LEN_MAX + 1)] {
        let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
        let report = move |losses: Losses, out: &mut [u8]| match (losses.refused, len) {
            // Without the hook, which would print it.
            (1, None) => resume_unwind(Box::new("no report")),
            (1, Some(len)) => len,
            _ => write_report(losses, out),
        };
        let mut sender = drainer.channel().capacity(64).report(report).sender().unwrap();
        sender.send(&[0; 64]).unwrap_err();
        sender.send(b"message1").unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| drainer.flush())).is_err());
        drainer.flush().unwrap();
        assert_eq!(drainer.ledger().delivered, 1);
        sender.send(&[0; 64]).unwrap_err();
        drainer.flush().unwrap();
        let payloads = payloads(&drainer.sink().writer()[..], FORMAT);
        assert_eq!(payloads.iter().map(Vec::len).collect::<Vec<_>>(), [8, REPORT_LEN]);
        assert_eq!(told(&payloads), ([2, 0, 0], 1));
    }
}

/// What a report's writer owns may use the drainer, also as it is dropped.
#[test]
fn a_reports_writer_is_dropped_under_no_lock() {
    let _held = watchdog("a report's writer is dropped");
    struct Asks(forebay_std::Registrar);
    impl Drop for Asks {
        fn drop(&mut self) {
            let _ = self.0.sender(64);
            let _ = self.0.snapshot();
        }
    }
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let registrar = drainer.registrar();
    let asks = Asks(drainer.registrar());
    let report = move |_: Losses, _: &mut [u8]| {
        let Asks(_registrar) = &asks;
        0
    };
    let goes = drainer.channel().capacity(64).report(report).sender().unwrap();
    drainer.flush().unwrap();
    drop(goes);
    let _comes = registrar.sender(64).unwrap();
    drainer.flush().unwrap();
}
