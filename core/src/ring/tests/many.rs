//! Several producers of one ring.

use std::{thread, vec, vec::Vec};

use super::*;

/// Messages that each producer offers, each until it is accepted.
const OFFERED: u32 = if cfg!(miri) { 60 } else { 20_000 };
const PRODUCERS: u32 = 3;

#[test]
fn a_stalled_producer_holds_up_no_other() {
    let (mut stalled, mut consumer) = heap::shared(64).unwrap();
    let mut other = stalled.clone();
    let mut grant = stalled.reserve(4).unwrap();
    other.push(b"4567").unwrap();
    other.push(b"89ab").unwrap();
    assert!(read(&mut consumer).is_empty(), "in the order of the claims");

    grant.copy_from_slice(b"0123");
    grant.commit();
    assert_eq!(read(&mut consumer), [b"0123", b"4567", b"89ab"]);
}

#[test]
fn what_a_claim_does_not_need_is_padding() {
    let (mut producer, mut consumer) = heap::shared(64).unwrap();
    let mut grant = producer.reserve(20).unwrap();
    grant.fill(0xFF);
    grant.commit_first(3);
    let mut grant = producer.reserve(8).unwrap();
    grant.fill(0xFF);
    drop(grant);
    producer.push(b"behind").unwrap();
    assert_eq!(read(&mut consumer), [&[0xFF; 3][..], b"behind"]);
    assert_eq!(consumer.release(2), 2);
    assert!(read(&mut consumer).is_empty());
}

#[test]
fn dropped_grants_do_not_fill_a_ring_that_is_read() {
    let (mut producer, mut consumer) = heap::shared(32).unwrap();
    for _ in 0..100 {
        drop(producer.reserve(12).unwrap());
        assert_eq!(consumer.records().count(), 0);
    }
    assert_eq!(producer.ledger(), Ledger::default());
}

#[test]
fn the_last_producer_ends_the_ring() {
    let (mut first, mut consumer) = heap::shared(64).unwrap();
    let second = first.clone();
    first.push(b"one").unwrap();
    drop(first);
    assert!(!consumer.is_finished(), "a record is left, and a producer");
    assert_eq!(consumer.release(1), 1);
    assert!(!consumer.is_finished(), "a producer is left");
    drop(second);
    assert!(consumer.is_finished());
}

#[test]
fn each_handle_counts_what_it_was_offered() {
    let (mut first, consumer) = heap::shared(16).unwrap();
    first.push(b"1234").unwrap();
    let mut second = first.clone();
    second.push(b"1234").unwrap();
    second.push(b"1234").unwrap_err();
    drop(consumer);
    assert_eq!(first.push(b"1234"), Err(ReserveError::Closed));
    let (first, second) = (first.ledger(), second.ledger());
    assert_eq!((first.accepted, first.refused), (1, 1));
    assert_eq!((second.accepted, second.refused), (1, 1));
}

/// Its producer and number, then 0 to 12 bytes made of them.
fn message(producer: u32, number: u32) -> Vec<u8> {
    let filler =
        vec![number.to_le_bytes()[0] | 1; (number.wrapping_mul(0x9E37_79B9) >> 28) as usize];
    [&producer.to_le_bytes()[..], &number.to_le_bytes(), &filler[..filler.len().min(12)]].concat()
}

/// Offers each message until it is accepted, some of them after a grant that
/// is dropped or in one that is too long.
fn offer(id: u32, mut producer: Producer<'_, Many>) -> Ledger {
    for number in 0..OFFERED {
        let message = message(id, number);
        if number % 8 == 5
            && let Ok(mut grant) = producer.reserve(message.len())
        {
            grant.fill(0xFF);
        }
        loop {
            let longer = if number % 8 == 7 { 4 } else { 0 };
            match producer.reserve(message.len() + longer) {
                Ok(mut grant) => {
                    grant[message.len()..].fill(0xFF);
                    grant[..message.len()].copy_from_slice(&message);
                    if number % 64 == 0 {
                        thread::yield_now();
                    }
                    grant.commit_first(message.len());
                    break;
                }
                Err(ReserveError::Full { .. }) => thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }
    producer.ledger()
}

/// Takes what comes, whole and each producer's in order, until the end.
fn take(mut consumer: Consumer<'_>) -> u64 {
    let mut next = [0; PRODUCERS as usize];
    while !consumer.is_finished() {
        let mut records = 0;
        for record in consumer.records() {
            let id = u32::from_le_bytes(record[..4].try_into().unwrap());
            let next = &mut next[id as usize];
            assert_eq!(record, message(id, *next), "producer {id}");
            *next += 1;
            records += 1;
        }
        assert_eq!(consumer.release(records), records);
        if records == 0 {
            thread::yield_now();
        }
    }
    next.into_iter().map(u64::from).sum()
}

fn run((producer, consumer): (Producer<'_, Many>, Consumer<'_>)) {
    let (ledger, taken) = thread::scope(|scope| {
        let offers: Vec<_> = (0..PRODUCERS)
            .map(|id| {
                let producer = producer.clone();
                scope.spawn(move || offer(id, producer))
            })
            .collect();
        drop(producer);
        let taken = take(consumer);
        (offers.into_iter().map(|offer| offer.join().unwrap()).sum::<Ledger>(), taken)
    });
    assert_eq!(taken, u64::from(PRODUCERS) * u64::from(OFFERED));
    assert_eq!(ledger.accepted, taken);
    assert!(ledger.balances(taken), "{ledger}");
}

#[test]
fn what_a_shared_heap_ring_accepts_arrives() {
    run(heap::shared(128).unwrap());
}

#[test]
fn what_a_shared_inline_ring_accepts_arrives() {
    run(Ring::<256>::new().share());
}
