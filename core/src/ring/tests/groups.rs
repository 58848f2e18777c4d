//! Several records with one claim.

use std::vec::Vec;

use super::*;

/// The records that can be read, and whether more of the group follows.
fn marked<'c>(consumer: &'c mut Consumer<'_>) -> Vec<(&'c [u8], bool)> {
    consumer.release(0);
    let places: Vec<_> = core::iter::from_fn(|| consumer.next_place()).collect();
    let consumer = &*consumer;
    places.into_iter().map(|place| (consumer.bytes(place), place.more)).collect()
}

#[test]
fn a_group_is_marked_and_a_batch_is_not() {
    let (mut producer, mut consumer) = heap::ring(64).unwrap();
    producer.push_group(&[b"a", b"", b"bcdef"]).unwrap();
    producer.push_batch(&[b"g", b"h"]).unwrap();
    producer.push(b"i").unwrap();
    let (more, last) = (true, false);
    assert_eq!(
        marked(&mut consumer),
        [
            (&b"a"[..], more),
            (b"", more),
            (b"bcdef", last),
            (b"g", last),
            (b"h", last),
            (b"i", last)
        ]
    );
    assert_eq!(consumer.release(6), 6);
    assert_eq!(producer.ledger().accepted, 6);
    assert!(producer.free_is_zero());
}

#[test]
fn a_group_is_there_whole_or_not() {
    let (mut first, mut consumer) = heap::shared(64).unwrap();
    let mut second = first.clone();
    // Up to the end of the memory, so that the group has padding before it.
    let grant = first.reserve(8).unwrap();
    second.push_group(&[b"abcd", b"efgh"]).unwrap();
    assert!(read(&mut consumer).is_empty(), "in the order of the claims");
    grant.commit();
    assert_eq!(read(&mut consumer), [&[0; 8][..], b"abcd", b"efgh"]);
}

#[test]
fn a_group_does_not_cross_the_end_of_the_memory() {
    // 16 bytes to the end: the group takes them as padding.
    let (mut producer, mut consumer) = heap::ring(64).unwrap();
    producer.push_group(&[b"abcd", b"efgh", b"i"]).unwrap();
    let error = producer.push_group(&[b"0123", b"4567", b"89ab", b""]).unwrap_err();
    assert_eq!(error, ReserveError::Full { needed: 28, free: 24 });
    assert_eq!(read(&mut consumer), [&b"abcd"[..], b"efgh", b"i"]);
}

#[test]
fn a_group_that_is_too_long_says_how_long_it_is() {
    let (mut producer, mut consumer) = heap::ring(64).unwrap();
    // 12 + 4 bytes, 10 filled up to 12: 28 fit.
    producer.push_group(&[&[1; 12], &[2; 10]]).unwrap();
    assert_eq!(consumer.release(2), 2);
    let error = producer.push_group(&[&[1; 12], &[2; 13]]).unwrap_err();
    assert_eq!(error, ReserveError::TooLong { len: 32, len_max: 28 });
    let error = producer.push_batch(&[&b""[..]; 9]).unwrap_err();
    assert_eq!(error, ReserveError::TooLong { len: 32, len_max: 28 });
    let ledger = producer.ledger();
    assert_eq!((ledger.accepted, ledger.refused), (2, 11));
    assert!(ledger.balances(2));
}

#[test]
fn a_group_of_none_is_nothing() {
    let (mut producer, mut consumer) = heap::ring(16).unwrap();
    producer.push_group(&[]).unwrap();
    producer.push_group(&[b"one"]).unwrap();
    assert_eq!(marked(&mut consumer), [(&b"one"[..], false)]);
    assert_eq!(producer.ledger().offered, 1);
}

#[test]
fn a_group_goes_back_whole() {
    let (mut producer, mut consumer) = heap::ring(64).unwrap();
    producer.push_group(&[b"a", b"b", b"c"]).unwrap();
    let first = consumer.next_place().unwrap();
    while consumer.next_place().is_some_and(|place| place.more) {}
    consumer.put_back(first);
    assert_eq!(marked(&mut consumer).len(), 3);
}
