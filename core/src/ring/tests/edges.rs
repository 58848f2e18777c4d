//! Full and empty, the longest and the shortest, the end of the memory.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    vec,
};

use super::*;

#[test]
fn an_empty_ring_has_nothing_to_read_or_release() {
    let (_producer, mut consumer) = heap::ring(16).unwrap();
    assert_eq!(consumer.records().next(), None);
    assert_eq!(consumer.release(usize::MAX), 0);
    assert!(!consumer.has_next());
}

#[test]
fn a_ring_fills_to_its_last_byte() {
    let (mut producer, mut consumer) = heap::ring(16).unwrap();
    producer.push(b"abcd").unwrap();
    producer.push(b"efgh").unwrap();
    assert_eq!(producer.reserve(0).unwrap_err(), ReserveError::Full { needed: 4, free: 0 });

    // The walk ends after a lap, though a header stands there.
    assert_eq!(read(&mut consumer), [b"abcd", b"efgh"]);
    assert_eq!(consumer.release(1), 1);
    producer.push(b"ijkl").unwrap();
    assert_eq!(read(&mut consumer), [b"efgh", b"ijkl"]);
    assert_eq!(consumer.release(usize::MAX), 2);
    assert!(producer.free_is_zero());
}

#[test]
fn positions_go_through_the_wrap_of_the_word() {
    let (mut producer, mut consumer) = heap::ring(16).unwrap();
    let first = consumer.walked();
    for _ in 0..3 {
        producer.push(b"abcd").unwrap();
        assert_eq!(consumer.release(1), 1);
    }
    assert!(consumer.walked() < first);
}

#[test]
fn empty_records_are_records() {
    let (mut producer, mut consumer) = heap::ring(16).unwrap();
    for _ in 0..3 {
        for _ in 0..4 {
            producer.push(b"").unwrap();
        }
        assert_eq!(producer.push(b""), Err(ReserveError::Full { needed: 4, free: 0 }));
        assert_eq!(read(&mut consumer), [b""; 4]);
        assert_eq!(consumer.release(5), 4);
    }
}

#[test]
fn the_longest_record_fits_an_empty_ring_wherever_it_falls() {
    for capacity in [16, 64] {
        let longest = vec![0xA5; record_len_max(capacity)];
        for before in 0..capacity / HEADER_LEN {
            let (mut producer, mut consumer) = heap::ring(capacity).unwrap();
            for _ in 0..before {
                producer.push(b"").unwrap();
            }
            consumer.release(before);
            producer.push(&longest).unwrap();
            assert_eq!(read(&mut consumer), [&longest[..]]);
        }
    }
}

#[test]
fn a_record_over_the_longest_is_refused() {
    let (mut producer, _consumer) = heap::ring(64).unwrap();
    assert_eq!(producer.record_len_max(), 28);
    for len in [29, 64, usize::MAX - 3, usize::MAX] {
        let error = producer.reserve(len).unwrap_err();
        assert_eq!(error, ReserveError::TooLong { len, len_max: 28 });
    }
    assert_eq!(producer.ledger().refused, 4);
}

#[test]
fn padding_counts_as_needed() {
    // 16 bytes to the end of the memory, as positions begin.
    let (mut producer, mut consumer) = heap::ring(64).unwrap();
    producer.push(&[1; 20]).unwrap(); // 16 of padding, 24 of record
    assert_eq!(producer.push(&[2; 24]), Err(ReserveError::Full { needed: 28, free: 24 }));
    producer.push(&[3; 20]).unwrap();
    assert_eq!(producer.push(b""), Err(ReserveError::Full { needed: 4, free: 0 }));
    assert_eq!(read(&mut consumer), [[1; 20], [3; 20]]);
    // The padding is released with the record behind it.
    assert_eq!(consumer.release(1), 1);
    let error = producer.push(&[4; 21]).unwrap_err();
    assert_eq!(error, ReserveError::Full { needed: 44, free: 40 });
    assert_eq!(producer.push(&[4; 20]), Ok(()));
}

#[test]
fn a_dropped_grant_leaves_nothing() {
    let (mut producer, mut consumer) = heap::ring(32).unwrap();
    producer.reserve(12).unwrap().fill(0xFF);
    assert!(producer.free_is_zero());
    assert_eq!(consumer.records().next(), None);
    assert_eq!(producer.ledger(), Ledger::default());
    assert_eq!(&*producer.reserve(12).unwrap(), [0; 12]);
}

#[test]
fn a_forgotten_grant_leaves_nothing_behind_the_next() {
    let (mut producer, mut consumer) = heap::ring(32).unwrap();
    // The first has 16 bytes of padding before it, the second has none.
    let mut grant = producer.reserve(12).unwrap();
    grant.fill(0xFF);
    core::mem::forget(grant);
    assert_eq!(consumer.records().next(), None);

    let mut grant = producer.reserve(9).unwrap();
    assert_eq!(&*grant, [0; 9]);
    grant.fill(0xEE);
    core::mem::forget(grant);

    producer.push(b"").unwrap();
    assert!(producer.free_is_zero());
    assert_eq!(read(&mut consumer), [b""]);
}

#[test]
fn a_grant_that_is_cut_gives_the_rest_back() {
    let (mut producer, mut consumer) = heap::ring(32).unwrap();
    let mut grant = producer.reserve(12).unwrap();
    grant.fill(0xFF);
    grant.commit_first(5);
    assert!(producer.free_is_zero());
    producer.push(b"z").unwrap();
    assert_eq!(read(&mut consumer), [&[0xFF; 5][..], b"z"]);
}

#[test]
fn a_grant_is_not_cut_to_more_than_it_has() {
    let (mut producer, mut consumer) = heap::ring(32).unwrap();
    let mut grant = producer.reserve(4).unwrap();
    grant.fill(0xFF);
    let cut = AssertUnwindSafe(|| grant.commit_first(5));
    let panic = catch_unwind(cut).unwrap_err();
    let text = panic.downcast_ref::<std::string::String>().unwrap();
    assert_eq!(text, "5 bytes of a grant of 4");
    assert!(producer.free_is_zero());
    assert_eq!(consumer.records().next(), None);
}

#[test]
fn a_place_goes_back_once_and_not_after_its_release() {
    let (mut producer, mut consumer) = heap::ring(32).unwrap();
    producer.push(b"a").unwrap();
    producer.push(b"b").unwrap();
    let a = consumer.next_place().unwrap();
    let b = consumer.next_place().unwrap();
    assert!(consumer.next_place().is_none());
    consumer.put_back(b);
    assert!(consumer.has_next());
    assert_eq!((consumer.bytes(a), consumer.bytes(b)), (&b"a"[..], &b"b"[..]));

    consumer.release_to(a.end());
    assert_eq!(consumer.bytes(b), b"b");
    // A programmer's error: debug builds say so, others do nothing. `b` has
    // been put back, so that it is not the consumer's to release.
    let debug = cfg!(debug_assertions);
    let late = catch_unwind(AssertUnwindSafe(|| consumer.bytes(a).len()));
    assert_eq!(late.ok(), (!debug).then_some(0));
    let early = catch_unwind(AssertUnwindSafe(|| consumer.release_to(b.end())));
    assert_eq!(early.ok(), (!debug).then_some(()));
    assert_eq!(read(&mut consumer), [b"b"]);
}
