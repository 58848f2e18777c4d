//! Producers that overwrite the oldest records.

use std::vec::Vec;

use super::*;

fn numbered(numbers: impl IntoIterator<Item = u32>) -> Vec<[u8; 4]> {
    numbers.into_iter().map(u32::to_le_bytes).collect()
}

#[test]
fn the_oldest_gives_way() {
    let (mut producer, mut consumer) = heap::overwriting(64).unwrap();
    for number in 0..100u32 {
        producer.push(&number.to_le_bytes()).unwrap();
    }
    assert_eq!(read(&mut consumer), numbered(92..100));
    assert_eq!(consumer.release(8), 8);
    let ledger = producer.ledger();
    assert_eq!((ledger.accepted, ledger.refused, ledger.overwritten), (100, 0, 92));
    assert!(ledger.balances(8));
    assert!(read(&mut consumer).is_empty());
}

#[test]
fn no_more_is_dropped_than_is_needed() {
    let (mut producer, mut consumer) = heap::overwriting(64).unwrap();
    for number in 0..8u32 {
        producer.push(&number.to_le_bytes()).unwrap();
    }
    // 16 bytes are left to the end of the memory.
    producer.push(b"twelve  ").unwrap();
    assert_eq!(producer.ledger().overwritten, 2);
    // 4 are, for which the new one is too long: padding.
    producer.push(&[1; 4]).unwrap();
    assert_eq!(producer.ledger().overwritten, 3);
    producer.push(&[2; 4]).unwrap();
    assert_eq!(producer.ledger().overwritten, 4);
    assert_eq!(read(&mut consumer)[..4], numbered(4..8));
}

#[test]
fn the_longest_record_takes_the_place_of_all() {
    let (mut producer, mut consumer) = heap::overwriting(64).unwrap();
    for round in 0..20 {
        for number in 0..round {
            producer.push(&[number]).unwrap();
        }
        producer.push(&[round; 28]).unwrap();
        producer.push(&[round + 1; 28]).unwrap();
        let records = read(&mut consumer);
        assert_eq!(records[records.len() - 1], [round + 1; 28]);
        assert_eq!(consumer.release(0), 0);
    }
    assert_eq!(producer.ledger().refused, 0);
}

#[test]
fn a_group_is_overwritten_whole() {
    let (mut producer, mut consumer) = heap::overwriting(64).unwrap();
    producer.push_group(&[b"a", b"b", b"c"]).unwrap(); // padding and 24 bytes
    producer.push_group(&[b"d", b"e"]).unwrap();
    producer.push(b"f").unwrap();
    // The padding is enough for one, and then a group goes.
    producer.push(b"g").unwrap();
    producer.push(b"h").unwrap();
    assert_eq!(producer.ledger().overwritten, 0);
    producer.push(b"i").unwrap();
    assert_eq!(producer.ledger().overwritten, 3);
    assert_eq!(read(&mut consumer), [b"d", b"e", b"f", b"g", b"h", b"i"]);
}

#[test]
fn what_the_consumer_holds_is_not_overwritten() {
    let (mut producer, mut consumer) = heap::overwriting(16).unwrap();
    producer.push(b"1111").unwrap();
    producer.push(b"2222").unwrap();
    assert_eq!(read(&mut consumer), [b"1111", b"2222"]);
    let busy = ReserveError::Busy { needed: 8, free: 0 };
    assert_eq!(producer.push(b"3333"), Err(busy));
    assert_eq!(producer.push_group(&[b"", b""]), Err(busy));
    // With the first released the second is the producer's to drop.
    assert_eq!(consumer.release(1), 1);
    producer.push(b"3333").unwrap();
    producer.push(b"4444").unwrap();
    assert_eq!(read(&mut consumer), [b"3333", b"4444"]);
    assert_eq!(consumer.release(0), 0);
    producer.push(b"5555").unwrap();
    let ledger = producer.ledger();
    assert_eq!((ledger.refused, ledger.busy, ledger.overwritten), (3, 3, 2));
    assert!(ledger.balances(3));
}

#[test]
fn a_look_at_nothing_holds_nothing() {
    let (mut producer, mut consumer) = heap::overwriting(16).unwrap();
    let mut records = consumer.records();
    assert_eq!(records.next(), None);
    for number in 0..9u32 {
        producer.push(&number.to_le_bytes()).unwrap();
    }
    // What is there by now; from here on it is held.
    assert_eq!(records.next(), Some(&7u32.to_le_bytes()[..]));
    producer.push(&9u32.to_le_bytes()).unwrap_err();
    consumer.release(0);
    assert!(consumer.has_next());
    producer.push(&9u32.to_le_bytes()).unwrap();
    assert_eq!(read(&mut consumer), numbered(8..10));
    assert_eq!(consumer.release(2), 2);
    assert!(!consumer.has_next());
}

#[test]
fn what_is_not_committed_is_not_overwritten() {
    let (mut first, mut consumer) = heap::overwriting(32).unwrap();
    let mut second = first.clone();
    second.push(b"old ").unwrap();
    let mut grant = first.reserve(4).unwrap();
    grant.copy_from_slice(b"slow");
    second.push(b"new ").unwrap();
    second.push(b"newr").unwrap();
    // To drop the oldest would not be enough, so it stays.
    let error = second.push(&[0; 12]).unwrap_err();
    assert_eq!(error, ReserveError::Busy { needed: 16, free: 0 });
    assert_eq!(read(&mut consumer), [b"old "]);
    consumer.release(0);
    second.push(b"last").unwrap();
    assert_eq!(second.push(b"none"), Err(ReserveError::Busy { needed: 8, free: 0 }));

    grant.commit();
    assert_eq!(read(&mut consumer), [b"slow", b"new ", b"newr", b"last"]);
    assert_eq!((second.ledger().overwritten, second.ledger().busy), (1, 2));
    assert_eq!(first.ledger().overwritten, 0);
}

#[test]
fn dropped_grants_are_overwritten_uncounted() {
    let (mut producer, mut consumer) = heap::overwriting(32).unwrap();
    for _ in 0..50 {
        drop(producer.reserve(12).unwrap());
    }
    let mut grant = producer.reserve(12).unwrap();
    grant.fill(7);
    grant.commit_first(3);
    assert_eq!(read(&mut consumer), [[7; 3]]);
    assert!(producer.ledger().balances(1));
    assert_eq!(producer.ledger().overwritten, 0);
}

#[test]
fn while_a_producer_has_the_hold_there_may_be_records() {
    let (mut producer, mut consumer) = heap::overwriting(32).unwrap();
    producer.push(b"1").unwrap();
    let mut other = producer.clone();
    assert!(producer.region.take_hold());
    assert!(consumer.has_next());
    assert!(read(&mut consumer).is_empty());
    assert_eq!(consumer.next_place().map(|place| place.len), None);
    assert_eq!(consumer.release(1), 0);
    for _ in 0..3 {
        other.push(b"2").unwrap();
    }
    assert_eq!(other.push(b"3"), Err(ReserveError::Busy { needed: 8, free: 0 }));
    producer.region.give_hold_back();
    assert_eq!(read(&mut consumer), [b"1", b"2", b"2", b"2"]);
}

#[test]
fn without_its_consumer_nothing_is_overwritten() {
    let (mut producer, mut consumer) = heap::overwriting(16).unwrap();
    producer.push(b"1111").unwrap();
    assert_eq!(consumer.records().count(), 1);
    drop(consumer);
    producer.push(b"2222").unwrap();
    assert_eq!(producer.push(b"3333"), Err(ReserveError::Closed));
    let ledger = producer.ledger();
    assert_eq!((ledger.accepted, ledger.refused, ledger.overwritten, ledger.busy), (2, 1, 0, 0));
}

#[test]
fn the_end_is_seen_without_the_hold() {
    let (mut producer, mut consumer) = heap::overwriting(32).unwrap();
    producer.push(b"1").unwrap();
    let other = producer.clone();
    drop(producer);
    assert!(!consumer.is_finished());
    drop(other);
    assert!(!consumer.is_finished(), "a record is left");
    assert_eq!(consumer.release(1), 1);
    assert!(consumer.is_finished());
}

#[test]
fn an_inline_ring_is_made_new() {
    let mut ring = Ring::<16>::new();
    for _ in 0..2 {
        let (mut producer, mut consumer) = ring.overwrite();
        for record in [b"1111", b"2222", b"3333"] {
            producer.push(record).unwrap();
        }
        assert_eq!(read(&mut consumer), [b"2222", b"3333"]);
        // With the hold taken.
        core::mem::forget((producer, consumer));
    }
    assert!(ring.overwrite_once().is_none());
    let (mut producer, mut consumer) = ring.split();
    producer.push(b"one").unwrap();
    assert_eq!(read(&mut consumer), [b"one"]);
}

#[test]
fn a_walk_past_the_tail_that_it_knows_finds_more_than_the_capacity() {
    let head = Position::FIRST;
    let tail = head.plus(48);
    for (at, free) in [(0, 16), (40, 56), (48, 64), (56, 72)] {
        assert_eq!(super::super::overwrite::room(64, tail, head.plus(at)), free, "{at}");
    }
}
