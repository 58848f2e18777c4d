//! What two threads do with one ring, and what may come of it.
//!
//! Positions begin 16 bytes before the machine word wraps. Threads try and do
//! not wait, so that each model ends.

#![allow(dead_code, reason = "a twin runs one model")]

use forebay_loom_tests::explore;
use loom::thread;

use super::ring::{Consumer, Producer, ReserveError, heap};

/// Reads all that is there and releases it; how many records that were.
fn take(consumer: &mut Consumer<'_>, taken: &mut Vec<Vec<u8>>) -> usize {
    let before = taken.len();
    taken.extend(consumer.records().map(<[u8]>::to_vec));
    let count = taken.len() - before;
    assert_eq!(consumer.release(count), count);
    count
}

/// Whether there was room.
fn push(producer: &mut Producer<'_>, record: &[u8]) -> bool {
    match producer.push(record) {
        Ok(()) => true,
        Err(ReserveError::Full { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Two records arrive whole and in order, whenever the consumer looks.
pub(super) fn publish() {
    explore(|| {
        let (mut producer, mut consumer) = heap::ring(64).unwrap();
        let thread = thread::spawn(move || {
            producer.push(b"abcd").unwrap();
            let mut grant = producer.reserve(4).unwrap();
            grant.copy_from_slice(b"e---");
            grant.commit_first(1);
        });
        let mut taken = Vec::new();
        let counts = [take(&mut consumer, &mut taken), take(&mut consumer, &mut taken)];
        thread.join().unwrap();
        take(&mut consumer, &mut taken);
        assert_eq!(taken, [&b"abcd"[..], b"e"]);
        counts
    })
    .expect(50, [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0]]);
}

/// A group is there whole or not at all.
pub(super) fn group() {
    explore(|| {
        let (mut producer, mut consumer) = heap::ring(64).unwrap();
        let thread = thread::spawn(move || {
            producer.push_group(&[b"ab", b"c"]).unwrap();
        });
        let mut taken = Vec::new();
        let counts = [take(&mut consumer, &mut taken), take(&mut consumer, &mut taken)];
        thread.join().unwrap();
        take(&mut consumer, &mut taken);
        assert_eq!(taken, [&b"ab"[..], b"c"]);
        counts
    })
    .expect(15, [[0, 0], [0, 2], [2, 0]]);
}

/// A full ring takes a record when one was released, in its place.
pub(super) fn reuse() {
    explore(|| {
        let (mut producer, mut consumer) = heap::ring(16).unwrap();
        producer.push(b"abcd").unwrap();
        producer.push(b"efgh").unwrap();
        let thread =
            thread::spawn(move || [push(&mut producer, b"ijkl"), push(&mut producer, b"mnop")]);
        let mut taken = Vec::new();
        let counts = [take(&mut consumer, &mut taken), take(&mut consumer, &mut taken)];
        let pushed = thread.join().unwrap();
        take(&mut consumer, &mut taken);
        let mut expected = vec![b"abcd", b"efgh"];
        expected.extend(pushed[0].then_some(b"ijkl"));
        expected.extend(pushed[1].then_some(b"mnop"));
        assert_eq!(taken, expected);
        (pushed, counts)
    })
    .expect(
        50,
        [
            ([false, false], [2, 0]),
            ([false, true], [2, 0]),
            ([false, true], [2, 1]),
            ([true, true], [2, 0]),
            ([true, true], [2, 1]),
            ([true, true], [2, 2]),
        ],
    );
}

/// A record behind padding, over the wrap of the machine word, and one more
/// that needs the room of the first.
pub(super) fn wrap() {
    explore(|| {
        let (mut producer, mut consumer) = heap::ring(32).unwrap();
        let thread = thread::spawn(move || {
            producer.push(b"abcd").unwrap();
            producer.push(b"efghijkl").unwrap();
            push(&mut producer, b"mnop")
        });
        let mut taken = Vec::new();
        let counts = [take(&mut consumer, &mut taken), take(&mut consumer, &mut taken)];
        let pushed = thread.join().unwrap();
        take(&mut consumer, &mut taken);
        let mut expected = vec![&b"abcd"[..], b"efghijkl"];
        expected.extend(pushed.then_some(&b"mnop"[..]));
        assert_eq!(taken, expected);
        (pushed, counts)
    })
    .expect(
        200,
        [
            (false, [0, 0]),
            (false, [0, 1]),
            (false, [0, 2]),
            (false, [1, 0]),
            (false, [1, 1]),
            (false, [2, 0]),
            (true, [0, 1]),
            (true, [0, 2]),
            (true, [1, 0]),
            (true, [1, 1]),
            (true, [1, 2]),
            (true, [2, 0]),
            (true, [2, 1]),
        ],
    );
}

/// More of everything: four records through room for two, one at a time, and
/// the end.
pub(super) fn all_together() {
    explore(|| {
        let (mut producer, mut consumer) = heap::ring(16).unwrap();
        let thread = thread::spawn(move || {
            [b"abcd", b"efgh", b"ijkl", b"mnop"].map(|record| push(&mut producer, record))
        });
        let mut taken = Vec::new();
        let mut step = || {
            let finished = consumer.is_finished();
            let record = consumer.records().next().map(<[u8]>::to_vec);
            let count = usize::from(record.is_some());
            assert_eq!(consumer.release(count), count);
            assert!(!finished || record.is_none(), "finished with a record left");
            taken.extend(record);
            finished
        };
        let mut finished = false;
        for _ in 0..3 {
            finished = step();
        }
        let pushed = thread.join().unwrap();
        while !step() {}
        let accepted = pushed.iter().filter(|pushed| **pushed).count();
        assert_eq!(taken.len(), accepted);
        assert_eq!(&taken[..2], [b"abcd", b"efgh"]);
        (pushed, finished)
    })
    .expect(
        12_000,
        [
            ([true, true, false, false], false),
            ([true, true, false, false], true),
            ([true, true, false, true], false),
            ([true, true, true, false], false),
            ([true, true, true, true], false),
        ],
    );
}

/// Grants that are dropped and forgotten show nothing and spoil nothing.
pub(super) fn no_commit() {
    explore(|| {
        let (mut producer, mut consumer) = heap::ring(32).unwrap();
        let thread = thread::spawn(move || {
            producer.reserve(8).unwrap().fill(0xFF);
            let mut grant = producer.reserve(4).unwrap();
            grant.fill(0xEE);
            core::mem::forget(grant);
            producer.push(b"a").unwrap();
            producer.push(b"b").unwrap();
        });
        let mut taken = Vec::new();
        let counts = [take(&mut consumer, &mut taken), take(&mut consumer, &mut taken)];
        thread.join().unwrap();
        take(&mut consumer, &mut taken);
        assert_eq!(taken, [b"a", b"b"]);
        counts
    })
    .expect(50, [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0]]);
}

/// A consumer is not finished before it has the last record.
pub(super) fn producer_leaves() {
    explore(|| {
        let (mut producer, mut consumer) = heap::ring(16).unwrap();
        let thread = thread::spawn(move || producer.push(b"last").unwrap());
        let mut taken = Vec::new();
        let mut step = || {
            let finished = consumer.is_finished();
            let count = take(&mut consumer, &mut taken);
            assert!(!finished || count == 0, "finished with a record left");
            (finished, count)
        };
        let steps = [step(), step()];
        thread.join().unwrap();
        step();
        assert!(consumer.is_finished());
        assert_eq!(taken, [b"last"]);
        steps
    })
    .expect(
        100,
        [
            [(false, 0), (false, 0)],
            [(false, 0), (false, 1)],
            [(false, 1), (false, 0)],
            [(false, 1), (true, 0)],
        ],
    );
}

/// A producer is told that the ring is closed when no room will come any more,
/// and not before.
pub(super) fn consumer_leaves() {
    explore(|| {
        let (mut producer, mut consumer) = heap::ring(16).unwrap();
        producer.push(b"abcd").unwrap();
        producer.push(b"efgh").unwrap();
        let thread = thread::spawn(move || assert_eq!(consumer.release(1), 1));
        let answers = [producer.push(b"ijkl"), producer.push(b"mnop")].map(|answer| match answer {
            Ok(()) => "room",
            Err(ReserveError::Full { .. }) => "full",
            Err(ReserveError::Closed) => "closed",
            Err(error) => panic!("{error}"),
        });
        assert_ne!(answers, ["closed", "room"], "closed with room left");
        assert_ne!(answers[0], "closed", "closed with room left");
        thread.join().unwrap();
        assert!(producer.is_abandoned());
        answers
    })
    .expect(100, [["full", "full"], ["full", "room"], ["room", "full"], ["room", "closed"]]);
}
