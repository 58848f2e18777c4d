//! How rings are made and split, and what the end of a handle means.

use super::*;

#[test]
fn the_capacity_is_a_power_of_two_in_the_range() {
    for capacity in [0, 1, 8, 15, 17, 24, (1 << 30) + 1, 1 << 31, usize::MAX] {
        assert_eq!(heap::ring(capacity).unwrap_err(), BadCapacity { capacity });
    }
    assert!(heap::ring(16).is_ok());
}

#[test]
fn a_shared_ring_is_split_once() {
    let ring = Ring::<64>::new();
    let first = ring.split_once();
    assert!(first.is_some());
    assert!(ring.split_once().is_none());
    drop(first);
    assert!(ring.split_once().is_none());
}

#[test]
fn a_ring_that_was_split_is_not_split_once() {
    let mut ring = Ring::<64>::new();
    drop(ring.split());
    assert!(ring.split_once().is_none());
}

#[test]
fn a_new_split_finds_the_ring_new() {
    let mut ring = Ring::<64>::new();
    for round in 0..3 {
        let (mut producer, mut consumer) = ring.split();
        assert!(producer.free_is_zero());
        assert!(!producer.is_abandoned());
        assert!(!consumer.is_finished());
        assert_eq!(consumer.records().next(), None);

        producer.push(&[round; 20]).unwrap();
        producer.push(&[round; 20]).unwrap();
        producer.reserve(5).unwrap_err();
        assert_eq!(read(&mut consumer), [[round; 20]; 2]);
        consumer.release(1);
        let mut grant = producer.reserve(1).unwrap();
        grant.fill(round);
        core::mem::forget(grant);
        if round == 1 {
            core::mem::forget((producer, consumer));
        }
    }
}

#[test]
fn records_outlive_their_producer() {
    let (mut producer, mut consumer) = heap::ring(64).unwrap();
    producer.push(b"last").unwrap();
    assert!(!consumer.is_finished());
    drop(producer);
    assert!(!consumer.is_finished());
    assert_eq!(read(&mut consumer), [b"last"]);
    // Read, but not released.
    assert!(!consumer.is_finished());
    consumer.release(1);
    assert!(consumer.is_finished());
}

#[test]
fn a_grant_ends_with_its_producer() {
    let (mut producer, mut consumer) = heap::ring(64).unwrap();
    core::mem::forget(producer.reserve(4).unwrap());
    drop(producer);
    assert!(consumer.is_finished());
    assert_eq!(consumer.records().next(), None);
}

#[test]
fn a_producer_fills_the_room_that_its_consumer_left() {
    let (mut producer, mut consumer) = heap::ring(16).unwrap();
    producer.push(b"abcd").unwrap();
    producer.push(b"efgh").unwrap();
    assert_eq!(producer.push(b""), Err(ReserveError::Full { needed: 4, free: 0 }));
    consumer.release(1);
    assert!(!producer.is_abandoned());
    drop(consumer);
    assert!(producer.is_abandoned());
    producer.push(b"ijkl").unwrap();
    assert_eq!(producer.push(b""), Err(ReserveError::Closed));
    // That a record never fits is said first.
    assert_eq!(producer.push(&[0; 5]), Err(ReserveError::TooLong { len: 5, len_max: 4 }));
    let ledger = producer.ledger();
    assert_eq!((ledger.offered, ledger.accepted, ledger.refused), (6, 3, 3));
}

#[test]
fn the_last_handle_frees_a_heap_ring() {
    for producer_first in [true, false] {
        let (producer, consumer) = heap::ring(64).unwrap();
        let shared = producer.shared();
        assert_eq!(shared.strong_count(), 2);
        if producer_first {
            drop(producer);
            assert_eq!(shared.strong_count(), 1);
            drop(consumer);
        } else {
            drop(consumer);
            assert_eq!(shared.strong_count(), 1);
            drop(producer);
        }
        assert_eq!(shared.strong_count(), 0);
    }
}
