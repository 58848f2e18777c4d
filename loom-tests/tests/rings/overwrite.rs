//! What producers that overwrite and the consumer of one ring do, and what may
//! come of it.
//!
//! Records bear numbers that rise, so that what is left shows what was dropped.

#![allow(dead_code, reason = "a twin runs one model")]

use forebay_loom_tests::explore;
use loom::thread;

use super::ring::{Consumer, Overwrite, Producer, ReserveError, heap};

/// Reads all that is there and releases it; how many records that were.
fn take(consumer: &mut Consumer<'_>, taken: &mut Vec<Vec<u8>>) -> usize {
    let before = taken.len();
    taken.extend(consumer.records().map(<[u8]>::to_vec));
    let count = taken.len() - before;
    assert_eq!(consumer.release(count), count, "what was read is there to release");
    count
}

fn push(producer: &mut Producer<'_, Overwrite>, record: &[u8]) -> &'static str {
    match producer.push(record) {
        Ok(()) => "pushed",
        Err(ReserveError::Busy { .. }) => "busy",
        Err(ReserveError::Closed) => "closed",
        Err(error) => panic!("{error}"),
    }
}

/// Nothing is torn, doubled or lost uncounted, whenever the consumer looks.
pub(super) fn reader() {
    explore(|| {
        let (mut producer, mut consumer) = heap::overwriting(16).unwrap();
        producer.push(b"0000").unwrap();
        producer.push(b"1111").unwrap();
        let thread = thread::spawn(move || {
            let pushed = [push(&mut producer, b"2222"), push(&mut producer, b"3333")];
            (pushed, producer.ledger())
        });
        let mut taken = Vec::new();
        let count = take(&mut consumer, &mut taken);
        let (pushed, ledger) = thread.join().unwrap();
        take(&mut consumer, &mut taken);
        let mut expected = vec![b"0000", b"1111"];
        expected.extend((pushed[0] == "pushed").then_some(b"2222"));
        expected.extend((pushed[1] == "pushed").then_some(b"3333"));
        // The newest are there, and the oldest if the consumer was first.
        assert!(ledger.balances(taken.len() as u64), "{ledger}, taken {taken:?}");
        assert!(taken.is_sorted());
        assert!(taken.iter().all(|record| expected.iter().any(|one| one[..] == record[..])));
        assert_eq!(taken.last().unwrap()[..], expected.last().unwrap()[..]);
        (pushed, ledger.overwritten, count)
    })
    .expect(
        120,
        [
            (["busy", "busy"], 0, 2),
            (["busy", "pushed"], 0, 2),
            (["pushed", "busy"], 1, 1),
            (["pushed", "busy"], 1, 2),
            (["pushed", "pushed"], 0, 2),
            (["pushed", "pushed"], 1, 1),
            (["pushed", "pushed"], 1, 2),
            (["pushed", "pushed"], 2, 0),
            (["pushed", "pushed"], 2, 1),
            (["pushed", "pushed"], 2, 2),
        ],
    );
}

/// Two producers that want the room of one long record, which is enough for
/// both.
pub(super) fn two() {
    explore(|| {
        let (mut first, mut consumer) = heap::overwriting(32).unwrap();
        // From 16 bytes before the end of the memory up to it, and the rest.
        first.push(b"0000--------").unwrap();
        first.push(b"1111--------").unwrap();
        let mut second = first.clone();
        let threads = [
            thread::spawn(move || (push(&mut first, b"2222"), first.ledger())),
            thread::spawn(move || (push(&mut second, b"3333"), second.ledger())),
        ];
        let [first, second] = threads.map(|thread| thread.join().unwrap());
        let ledger = first.1 + second.1;
        let mut taken = Vec::new();
        take(&mut consumer, &mut taken);
        assert!(ledger.balances(taken.len() as u64), "{ledger}, taken {taken:?}");
        assert_eq!(taken[0], b"1111--------");
        let second_first = taken[1] == b"3333";
        (first.0, second.0, ledger.overwritten, second_first)
    })
    .expect(
        1500,
        [
            ("busy", "pushed", 1, true),
            ("pushed", "busy", 1, false),
            ("pushed", "pushed", 1, false),
            ("pushed", "pushed", 1, true),
        ],
    );
}

/// A group is seen whole or not at all, and overwritten so.
pub(super) fn groups() {
    explore(|| {
        let (mut producer, mut consumer) = heap::overwriting(32).unwrap();
        producer.push_group(&[b"00", b"01"]).unwrap();
        producer.push(b"0200").unwrap();
        let thread = thread::spawn(move || {
            let pushed = producer.push_group(&[b"10", b"11"]).is_ok();
            (pushed, producer.ledger())
        });
        let mut taken = Vec::new();
        let count = take(&mut consumer, &mut taken);
        let (pushed, ledger) = thread.join().unwrap();
        take(&mut consumer, &mut taken);
        assert!(ledger.balances(taken.len() as u64), "{ledger}, taken {taken:?}");
        let old = taken.iter().filter(|record| record.starts_with(b"0") && record.len() == 2);
        assert_eq!(old.count() % 2, 0, "a group was parted: {taken:?}");
        (pushed, ledger.overwritten, count)
    })
    .expect(30, [(false, 0, 3), (true, 0, 3), (true, 2, 0), (true, 2, 1), (true, 2, 3)]);
}

/// Two producers and the consumer at once.
pub(super) fn all_together() {
    explore(|| {
        let (mut first, mut consumer) = heap::overwriting(16).unwrap();
        first.push(b"0000").unwrap();
        first.push(b"1111").unwrap();
        let mut second = first.clone();
        let threads = [
            thread::spawn(move || (push(&mut first, b"2222"), first.ledger())),
            thread::spawn(move || (push(&mut second, b"3333"), second.ledger())),
        ];
        let mut taken = Vec::new();
        let count = take(&mut consumer, &mut taken);
        let [first, second] = threads.map(|thread| thread.join().unwrap());
        take(&mut consumer, &mut taken);
        let ledger = first.1 + second.1;
        assert!(ledger.balances(taken.len() as u64), "{ledger}, taken {taken:?}");
        let mut sorted = taken.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), taken.len(), "{taken:?}");
        (first.0, second.0, ledger.overwritten, count)
    })
    .expect(
        300_000,
        [
            ("busy", "busy", 0, 2),
            ("busy", "pushed", 0, 2),
            ("busy", "pushed", 1, 0),
            ("busy", "pushed", 1, 1),
            ("busy", "pushed", 1, 2),
            ("pushed", "busy", 0, 2),
            ("pushed", "busy", 1, 0),
            ("pushed", "busy", 1, 1),
            ("pushed", "busy", 1, 2),
            ("pushed", "pushed", 0, 2),
            ("pushed", "pushed", 1, 1),
            ("pushed", "pushed", 1, 2),
            ("pushed", "pushed", 2, 0),
            ("pushed", "pushed", 2, 1),
            ("pushed", "pushed", 2, 2),
        ],
    );
}

/// A record that is claimed and not committed stays where it is.
pub(super) fn uncommitted() {
    explore(|| {
        let (mut first, mut consumer) = heap::overwriting(16).unwrap();
        let mut second = first.clone();
        let threads = [
            thread::spawn(move || (push(&mut first, b"0000"), first.ledger())),
            thread::spawn(move || {
                let pushed = [push(&mut second, b"1111"), push(&mut second, b"2222")];
                (if pushed == ["pushed"; 2] { "pushed" } else { pushed[1] }, second.ledger())
            }),
        ];
        let [first, second] = threads.map(|thread| thread.join().unwrap());
        let ledger = first.1 + second.1;
        let mut taken = Vec::new();
        take(&mut consumer, &mut taken);
        assert!(ledger.balances(taken.len() as u64), "{ledger}, taken {taken:?}");
        let left: String = taken.iter().map(|record| char::from(record[3])).collect();
        (first.0, second.0, left)
    })
    .expect(
        300,
        [
            ("busy", "pushed", "12"),
            ("pushed", "busy", "01"),
            ("pushed", "pushed", "02"),
            ("pushed", "pushed", "12"),
            ("pushed", "pushed", "20"),
        ]
        .map(|(first, second, left)| (first, second, String::from(left))),
    );
}

/// A full ring is closed for good when the consumer is gone, with records in
/// its hands or without.
pub(super) fn consumer_leaves() {
    explore(|| {
        let (mut producer, mut consumer) = heap::overwriting(16).unwrap();
        producer.push(b"0000").unwrap();
        producer.push(b"1111").unwrap();
        let thread = thread::spawn(move || consumer.records().count());
        let pushed = [push(&mut producer, b"2222"), push(&mut producer, b"3333")];
        let count = thread.join().unwrap();
        assert_eq!(push(&mut producer, b"4444"), "closed");
        assert_ne!(pushed, ["closed", "pushed"]);
        (pushed, count)
    })
    .expect(
        600,
        [
            (["busy", "busy"], 2),
            (["busy", "closed"], 2),
            (["closed", "closed"], 2),
            (["pushed", "busy"], 1),
            (["pushed", "busy"], 2),
            (["pushed", "closed"], 0),
            (["pushed", "closed"], 1),
            (["pushed", "closed"], 2),
            (["pushed", "pushed"], 0),
            (["pushed", "pushed"], 1),
            (["pushed", "pushed"], 2),
        ],
    );
}

/// A consumer is not finished before it has the last record.
pub(super) fn producers_leave() {
    explore(|| {
        let (mut producer, mut consumer) = heap::overwriting(16).unwrap();
        producer.push(b"0000").unwrap();
        producer.push(b"1111").unwrap();
        let thread = thread::spawn(move || push(&mut producer, b"2222"));
        let mut taken = Vec::new();
        let mut step = || {
            let finished = consumer.is_finished();
            let count = take(&mut consumer, &mut taken);
            assert!(!finished || count == 0, "finished with a record left");
            (finished, count)
        };
        let steps = [step(), step()];
        let pushed = thread.join().unwrap();
        step();
        assert!(consumer.is_finished());
        let last = if pushed == "pushed" { b"2222" } else { b"1111" };
        assert_eq!(taken.last().unwrap(), last);
        (pushed, steps)
    })
    .expect(
        700,
        [
            ("busy", [(false, 2), (false, 0)]),
            ("busy", [(false, 2), (true, 0)]),
            ("pushed", [(false, 0), (false, 0)]),
            ("pushed", [(false, 0), (false, 1)]),
            ("pushed", [(false, 0), (false, 2)]),
            ("pushed", [(false, 1), (false, 0)]),
            ("pushed", [(false, 1), (false, 1)]),
            ("pushed", [(false, 2), (false, 0)]),
            ("pushed", [(false, 2), (false, 1)]),
            ("pushed", [(false, 2), (true, 0)]),
        ],
    );
}
