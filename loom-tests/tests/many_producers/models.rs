//! What two producers and a consumer do with one ring, and what may come of it.
//!
//! Positions begin 16 bytes before the machine word wraps. Threads try and do
//! not wait, so that each model ends.

#![allow(dead_code, reason = "a twin runs one model")]

use forebay_loom_tests::explore;
use loom::thread;

use super::ring::{Consumer, Many, Producer, ReserveError, heap};

/// Reads all that is there and releases it.
fn take(consumer: &mut Consumer<'_>, taken: &mut Vec<u8>) {
    let before = taken.len();
    taken.extend(consumer.records().map(|record| {
        assert!(record.iter().all(|byte| *byte == record[0]), "torn: {record:?}");
        record[0]
    }));
    let count = taken.len() - before;
    assert_eq!(consumer.release(count), count);
}

/// Whether there was room.
fn push(producer: &mut Producer<'_, Many>, name: u8) -> bool {
    match producer.push(&[name; 4]) {
        Ok(()) => true,
        Err(ReserveError::Full { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

fn text(taken: Vec<u8>) -> String {
    String::from_utf8(taken).unwrap()
}

/// Each producer's records arrive whole and in its order, whoever is first.
pub(super) fn publish() {
    explore(|| {
        let (mut lower, mut consumer) = heap::shared(64).unwrap();
        let mut upper = lower.clone();
        let threads = [
            thread::spawn(move || assert!(push(&mut lower, b'a') && push(&mut lower, b'b'))),
            thread::spawn(move || assert!(push(&mut upper, b'A'))),
        ];
        let mut taken = Vec::new();
        take(&mut consumer, &mut taken);
        let early = taken.len();
        for thread in threads {
            thread.join().unwrap();
        }
        take(&mut consumer, &mut taken);
        (text(taken), early)
    })
    .expect(
        300,
        ["abA", "aAb", "Aab"]
            .iter()
            .flat_map(|order| (0..=3).map(|early| ((*order).to_owned(), early)))
            .collect::<Vec<_>>(),
    );
}

/// A full ring takes as many records as were released, whoever is first.
pub(super) fn reuse() {
    explore(|| {
        let (mut lower, mut consumer) = heap::shared(16).unwrap();
        assert!(push(&mut lower, b'0') && push(&mut lower, b'1'));
        let mut upper = lower.clone();
        let threads = [
            thread::spawn(move || push(&mut lower, b'a')),
            thread::spawn(move || push(&mut upper, b'A')),
        ];
        // Room for one, while both try.
        assert_eq!(consumer.records().next(), Some(&[b'0'; 4][..]));
        assert_eq!(consumer.release(1), 1);
        let pushed = threads.map(|thread| thread.join().unwrap());
        let mut taken = Vec::new();
        take(&mut consumer, &mut taken);
        (pushed, text(taken))
    })
    .expect(
        100,
        [
            ([false, false], "1".to_owned()),
            ([false, true], "1A".to_owned()),
            ([true, false], "1a".to_owned()),
        ],
    );
}

/// What is claimed and not committed holds up nobody behind it.
pub(super) fn dropped() {
    explore(|| {
        let (mut lower, mut consumer) = heap::shared(64).unwrap();
        let mut upper = lower.clone();
        let threads = [
            thread::spawn(move || {
                lower.reserve(4).unwrap().fill(0xFF);
                let mut grant = lower.reserve(8).unwrap();
                grant.fill(b'a');
                grant.commit_first(4);
            }),
            thread::spawn(move || assert!(push(&mut upper, b'A'))),
        ];
        for thread in threads {
            thread.join().unwrap();
        }
        let mut taken = Vec::new();
        take(&mut consumer, &mut taken);
        assert_eq!(taken.len(), 2);
        text(taken)
    })
    .expect(20, ["aA".to_owned(), "Aa".to_owned()]);
}

/// A consumer is not finished before it has the last record of each producer.
pub(super) fn producers_leave() {
    explore(|| {
        let (mut lower, mut consumer) = heap::shared(64).unwrap();
        let mut upper = lower.clone();
        let threads = [
            thread::spawn(move || assert!(push(&mut lower, b'a'))),
            thread::spawn(move || assert!(push(&mut upper, b'A'))),
        ];
        let mut taken = Vec::new();
        let finished = consumer.is_finished();
        take(&mut consumer, &mut taken);
        assert!(!finished || taken.is_empty(), "finished with a record left");
        let finished = consumer.is_finished();
        let before = taken.len();
        take(&mut consumer, &mut taken);
        assert!(!finished || taken.len() == before, "finished with a record left");
        for thread in threads {
            thread.join().unwrap();
        }
        take(&mut consumer, &mut taken);
        assert!(consumer.is_finished());
        assert_eq!(taken.len(), 2);
        (text(taken), finished)
    })
    .expect(
        500,
        [
            ("Aa".to_owned(), false),
            ("Aa".to_owned(), true),
            ("aA".to_owned(), false),
            ("aA".to_owned(), true),
        ],
    );
}
