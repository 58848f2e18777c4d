//! Every count of a snapshot, made to happen so many times.

mod common;

use std::{io, thread, time::Instant};

use common::{FORMAT, far, message, watchdog};
use forebay_std::{
    Drained, Drainer, FrameReader, Policy, Wait, WriteSink,
    forebay::{Progress, Sink, frame::Plain},
};

/// Answers its writes one after the other, then takes all.
struct Script(Vec<Progress>);

impl Sink for Script {
    type Error = io::Error;

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        if self.0.is_empty() {
            return Ok(Progress::Wrote(slices.iter().map(|slice| slice.len()).sum()));
        }
        Ok(self.0.remove(0))
    }
}

impl Wait for Script {
    fn wait(&mut self, _: Option<Instant>) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn every_write_is_counted() {
    use Progress::{Blocked, Wrote};
    // Ten messages of four bytes: two whole and a bit, blocked twice, nothing
    // whole, then the rest.
    let script = vec![Wrote(9), Blocked, Blocked, Wrote(1)];
    let mut drainer = Drainer::new(Plain, Script(script));
    let counters = drainer.counters();
    let mut sender = drainer.sender(256).unwrap();
    (0..10_u8).for_each(|number| sender.send(&[number; 4]).unwrap());
    sender.send(&[0; 256]).unwrap_err();
    let before = counters.snapshot();
    assert_eq!((before.ledger.accepted, before.in_flight(), before.writes), (10, 10, 0));

    drainer.flush().unwrap();
    let snapshot = counters.snapshot();
    assert_eq!(snapshot.ledger, sender.ledger() + drainer.ledger());
    assert!(snapshot.ledger.balances(0));
    assert_eq!((snapshot.ledger.offered, snapshot.ledger.refused), (11, 1));
    assert_eq!((snapshot.bytes, snapshot.writes, snapshot.partial_writes), (40, 5, 2));
    assert_eq!((snapshot.would_blocks, snapshot.waits, snapshot.system_calls()), (2, 2, 7));
    assert_eq!(snapshot.batches.iter().collect::<Vec<_>>(), [(0, 1), (2, 1), (8, 1)]);
    assert_eq!(snapshot.wake_ups, 0);
    assert_eq!(
        snapshot.to_string(),
        "offered 11, accepted 10, refused 1, delivered 10, in flight 0; 40 bytes in 7 system \
         calls, 2 partial, 2 would block; 0 wake-ups; frames a write: 0 x 1, 2-3 x 1, 8-15 x 1"
    );
    // Counts outlive the drainer.
    drop(drainer);
    assert_eq!(counters.snapshot(), snapshot);
}

/// Undeliverable messages are counted though nothing is written.
#[test]
fn what_can_never_leave_is_counted() {
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let counters = drainer.counters();
    let mut sender = drainer.sender(1 << 14).unwrap();
    sender.send(&[0; 4097]).unwrap();
    drainer.flush().unwrap();
    let snapshot = counters.snapshot();
    assert_eq!((snapshot.ledger.undeliverable, snapshot.writes), (1, 0));
    assert!(snapshot.ledger.balances(0));
}

/// Each message is awaited before the next is sent, until some have found the
/// drainer asleep.
#[test]
fn wake_ups_are_counted() {
    const WAKE_UPS: u64 = 100;
    let _held = watchdog("wake-ups");
    let (reader, writer) = io::pipe().unwrap();
    let drainer = Drainer::new(FORMAT, WriteSink::new(writer)).spawn().unwrap();
    let mut sender = drainer.sender(512).unwrap();
    let mut frames = FrameReader::new(reader, FORMAT);
    let mut rounds = 0;
    while drainer.snapshot().wake_ups < WAKE_UPS {
        sender.send(&message(0, 0)).unwrap();
        rounds += 1;
        while frames.next_frame().unwrap().is_none() {
            assert!(frames.fill().unwrap());
        }
    }
    let snapshot = drainer.shutdown(far()).snapshot();
    assert_eq!((snapshot.writes, snapshot.ledger.delivered), (rounds, rounds));
    assert_eq!(snapshot.batches.iter().collect::<Vec<_>>(), [(1, rounds)]);
}

/// Snapshots taken all along from another thread never go back.
#[test]
fn counts_only_grow() {
    const MESSAGES: u32 = 50_000;
    let _held = watchdog("snapshots");
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let counters = drainer.counters();
    let mut sender =
        drainer.channel().capacity(1 << 10).policy(Policy::Overwrite).shared().unwrap();
    thread::scope(|threads| {
        threads.spawn(move || {
            for number in 0..MESSAGES {
                let _ = sender.send(&message(0, number));
            }
        });
        let watching = threads.spawn(|| {
            let mut before = counters.snapshot();
            while before.ledger.offered < u64::from(MESSAGES) {
                let now = counters.snapshot();
                for (before, now) in [
                    (before.ledger.offered, now.ledger.offered),
                    (before.ledger.accepted, now.ledger.accepted),
                    (before.ledger.refused, now.ledger.refused),
                    (before.ledger.overwritten, now.ledger.overwritten),
                    (before.ledger.delivered, now.ledger.delivered),
                    (before.bytes, now.bytes),
                    (before.writes, now.writes),
                    (before.batches.total(), now.batches.total()),
                ] {
                    assert!(before <= now);
                }
                before = now;
            }
        });
        assert_eq!(drainer.run_until(far()).unwrap(), Drained::Finished);
        watching.join().unwrap();
    });
    let snapshot = counters.snapshot();
    assert!(snapshot.ledger.balances(0), "{snapshot}");
    assert_eq!(snapshot.batches.total() + snapshot.would_blocks, snapshot.writes);
}
