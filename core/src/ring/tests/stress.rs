//! Two threads, as fast as they can.

use std::thread;

use super::*;

/// Messages offered, each once.
const OFFERED: u32 = if cfg!(miri) { 300 } else { 50_000 };

/// The length of a message in bytes: 4 to 20.
fn len_of(message: u32) -> usize {
    4 + (message.wrapping_mul(0x9E37_79B9) >> 28) as usize
}

/// Its number, then bytes made of it.
fn write(message: u32, out: &mut [u8]) {
    out[..4].copy_from_slice(&message.to_le_bytes());
    out[4..].fill(message.to_le_bytes()[0] | 1);
}

/// Offers each message once, with some grants dropped, forgotten or cut on the
/// way.
fn offer(mut producer: Producer<'_>) -> Ledger {
    for message in 0..OFFERED {
        let len = len_of(message);
        match message % 8 {
            5 => drop(producer.reserve(len).map(|mut grant| grant.fill(0xFF))),
            6 => {
                if let Ok(mut grant) = producer.reserve(len) {
                    grant.fill(0xFF);
                    core::mem::forget(grant);
                }
            }
            7 => {
                if let Ok(mut grant) = producer.reserve(len + 4) {
                    grant[len..].fill(0xFF);
                    write(message, &mut grant[..len]);
                    grant.commit_first(len);
                }
            }
            _ => match producer.reserve(len) {
                Ok(mut grant) => {
                    write(message, &mut grant);
                    grant.commit();
                }
                Err(_) => thread::yield_now(),
            },
        }
    }
    producer.ledger()
}

/// Takes what comes, in order and whole, until the end; how many there were.
fn take(mut consumer: Consumer<'_>) -> u64 {
    let (mut taken, mut next) = (0, 0);
    while !consumer.is_finished() {
        let mut records = 0;
        for record in consumer.records() {
            let message = u32::from_le_bytes(record[..4].try_into().unwrap());
            assert!(message >= next, "{message} after {next}");
            next = message + 1;
            let mut expected = [0; 20];
            write(message, &mut expected[..len_of(message)]);
            assert_eq!(record, &expected[..len_of(message)]);
            records += 1;
        }
        assert_eq!(consumer.release(records), records);
        taken += records as u64;
        if records == 0 {
            thread::yield_now();
        }
    }
    taken
}

fn run((producer, consumer): (Producer<'_>, Consumer<'_>)) {
    let (ledger, taken) = thread::scope(|scope| {
        let producer = scope.spawn(|| offer(producer));
        let taken = take(consumer);
        (producer.join().unwrap(), taken)
    });
    assert_eq!(ledger.accepted, taken);
    assert!(ledger.balances(taken), "{ledger}");
    // Those that were dropped or forgotten were not offered.
    assert!(ledger.offered >= u64::from(OFFERED) * 6 / 8, "{ledger}");
    assert!(taken > 0, "{ledger}");
}

#[test]
fn what_a_heap_ring_accepts_arrives() {
    run(heap::ring(64).unwrap());
}

#[test]
fn what_an_inline_ring_accepts_arrives() {
    run(Ring::<128>::new().split());
}
