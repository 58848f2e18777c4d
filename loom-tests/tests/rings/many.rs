//! What two producers and the consumer of one ring do, and what may come of it.
//!
//! Under loom a word that several threads exchange has one last access, so the
//! models are small and their outcomes are those that tell claims apart: which
//! record comes first, and who finds the ring full.

#![allow(dead_code, reason = "a twin runs one model")]

use forebay_loom_tests::explore;
use loom::thread;

use super::ring::{Consumer, Many, Producer, ReserveError, heap};

/// Reads all that is there and releases it; how many records that were.
fn take(consumer: &mut Consumer<'_>, taken: &mut Vec<Vec<u8>>) -> usize {
    let before = taken.len();
    taken.extend(consumer.records().map(<[u8]>::to_vec));
    let count = taken.len() - before;
    assert_eq!(consumer.release(count), count);
    count
}

/// Whether there was room.
fn push(producer: &mut Producer<'_, Many>, record: &[u8]) -> bool {
    match producer.push(record) {
        Ok(()) => true,
        Err(ReserveError::Full { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

fn join<T>(threads: [thread::JoinHandle<T>; 2]) -> [T; 2] {
    threads.map(|thread| thread.join().unwrap())
}

/// A record of each producer arrives whole, whoever claims first.
pub(super) fn fan_in() {
    explore(|| {
        let (mut first, mut consumer) = heap::shared(32).unwrap();
        let mut second = first.clone();
        let threads = [
            thread::spawn(move || assert!(push(&mut first, b"abcd"))),
            thread::spawn(move || assert!(push(&mut second, b"ef"))),
        ];
        let mut taken = Vec::new();
        let count = take(&mut consumer, &mut taken);
        join(threads);
        take(&mut consumer, &mut taken);
        let in_order = taken == [&b"abcd"[..], b"ef"];
        assert!(in_order || taken == [&b"ef"[..], b"abcd"], "{taken:?}");
        (in_order, count)
    })
    .expect(800, [true, false].into_iter().flat_map(|first| [0, 1, 2].map(|count| (first, count))));
}

/// A batch of each producer arrives in one piece.
pub(super) fn batches() {
    explore(|| {
        let (mut first, mut consumer) = heap::shared(32).unwrap();
        let mut second = first.clone();
        let threads = [
            thread::spawn(move || first.push_batch(&[b"a", b"b"]).unwrap()),
            thread::spawn(move || second.push_batch(&[b"c", b"d"]).unwrap()),
        ];
        let mut taken = Vec::new();
        let count = take(&mut consumer, &mut taken);
        join(threads);
        take(&mut consumer, &mut taken);
        let in_order = taken == [b"a", b"b", b"c", b"d"];
        assert!(in_order || taken == [b"c", b"d", b"a", b"b"], "{taken:?}");
        (in_order, count)
    })
    .expect(
        1000,
        [true, false].into_iter().flat_map(|first| [0, 2, 4].map(|count| (first, count))),
    );
}

/// Two grants are committed in any order; the records come in that of the
/// claims.
pub(super) fn out_of_order() {
    explore(|| {
        let (first, mut consumer) = heap::shared(32).unwrap();
        let second = first.clone();
        // So that the grants may go to threads of their own.
        let [first, second] = [first, second].map(|producer| Box::leak(Box::new(producer)));
        let mut grants = [first.reserve(4).unwrap(), second.reserve(4).unwrap()];
        grants[0].copy_from_slice(b"0000");
        let threads = grants.map(|grant| thread::spawn(move || grant.commit()));
        let mut taken = Vec::new();
        let counts = [take(&mut consumer, &mut taken), take(&mut consumer, &mut taken)];
        join(threads);
        take(&mut consumer, &mut taken);
        assert_eq!(taken, [*b"0000", [0; 4]]);
        counts
    })
    .expect(100, [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0]]);
}

/// Two producers try for the room of one record, while that of another may be
/// released.
pub(super) fn last_room() {
    explore(|| {
        let (mut first, mut consumer) = heap::shared(16).unwrap();
        assert!(push(&mut first, b"0000"));
        let mut second = first.clone();
        let threads = [
            thread::spawn(move || push(&mut first, b"1111")),
            thread::spawn(move || push(&mut second, b"2222")),
        ];
        let mut taken = Vec::new();
        take(&mut consumer, &mut taken);
        let pushed = join(threads);
        take(&mut consumer, &mut taken);
        let mut expected = vec![b"0000"];
        expected.extend(pushed[0].then_some(b"1111"));
        expected.extend(pushed[1].then_some(b"2222"));
        taken.sort();
        assert_eq!(taken, expected);
        pushed
    })
    .expect(2000, [[false, true], [true, false], [true, true]]);
}

/// A grant that is dropped lets what is behind it pass.
pub(super) fn dropped() {
    explore(|| {
        let (mut first, mut consumer) = heap::shared(32).unwrap();
        let mut second = first.clone();
        let threads = [
            thread::spawn(move || first.reserve(4).unwrap().fill(0xFF)),
            thread::spawn(move || second.push(b"behind").unwrap()),
        ];
        let mut taken = Vec::new();
        let count = take(&mut consumer, &mut taken);
        join(threads);
        take(&mut consumer, &mut taken);
        assert_eq!(taken, [b"behind"]);
        count
    })
    .expect(800, [0, 1]);
}

/// A consumer is not finished before it has the last record of all producers.
pub(super) fn producers_leave() {
    explore(|| {
        let (mut first, mut consumer) = heap::shared(32).unwrap();
        let second = first.clone();
        // The first has something to say, the second only leaves.
        let threads = [
            thread::spawn(move || first.push(b"last").unwrap()),
            thread::spawn(move || drop(second)),
        ];
        assert!(!consumer.is_finished(), "finished with a record left");
        let mut taken = Vec::new();
        let count = take(&mut consumer, &mut taken);
        let finished = consumer.is_finished();
        let late = take(&mut consumer, &mut taken);
        assert!(!finished || late == 0, "finished with a record left");
        join(threads);
        take(&mut consumer, &mut taken);
        assert_eq!(taken, [b"last"]);
        assert!(consumer.is_finished());
        (count, finished)
    })
    .expect(2500, [(0, false), (1, false), (1, true)]);
}
