//! Producers and a consumer that stall anywhere, for a while: the ledger
//! balances to the message.

use std::{
    println, thread,
    time::{Duration, Instant},
    vec,
    vec::Vec,
};

use super::{operations::Kind, *};

const PRODUCERS: usize = 3;

/// Pseudo-random numbers (xorshift32).
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn below(&mut self, end: u32) -> u32 {
        self.next() % end
    }

    /// Does nothing for a while, or lets others run.
    fn stall(&mut self) {
        match self.below(64) {
            0 => thread::yield_now(),
            1..4 => (0..self.below(2000)).for_each(|_| core::hint::spin_loop()),
            _ => {}
        }
    }
}

/// A message: its producer, number, place in its group, the group's length,
/// then bytes made of the number.
fn message(producer: usize, number: u32, place: u32, group: u32, len: usize) -> Vec<u8> {
    let mut message =
        vec![producer.to_le_bytes()[0], place.to_le_bytes()[0], group.to_le_bytes()[0]];
    message.extend(number.to_le_bytes());
    message.resize(7 + len, number.to_le_bytes()[0] | 1);
    message
}

/// Offers messages, alone and in groups, in place and copied, until `end`.
fn offer<M: Mode>(id: usize, mut producer: Producer<'_, M>, end: &dyn Fn(u32) -> bool) -> Ledger {
    let mut random = Random(0x9E37_79B9 ^ u32::try_from(id + 1).unwrap());
    let mut number = 0;
    while !end(number) {
        random.stall();
        let len = usize::try_from(random.below(20)).unwrap();
        match random.below(8) {
            0 => {
                let places = 1 + random.below(3);
                let group: Vec<_> = (0..places)
                    .map(|place| message(id, number + place, place, places, len))
                    .collect();
                let group: Vec<_> = group.iter().map(|message| &message[..]).collect();
                let _ = producer.push_group(&group);
                number += places - 1;
            }
            1 => {
                if let Ok(mut grant) = producer.reserve(len) {
                    grant.fill(0xFF);
                    random.stall();
                }
            }
            2..4 => {
                let message = message(id, number, 0, 1, len);
                if let Ok(mut grant) = producer.reserve(message.len() + 5) {
                    grant.fill(0xFF);
                    random.stall();
                    grant[..message.len()].copy_from_slice(&message);
                    grant.commit_first(message.len());
                }
            }
            _ => {
                let _ = producer.push(&message(id, number, 0, 1, len));
            }
        }
        number += 1;
    }
    producer.ledger()
}

/// Takes what comes, whole, each producer's in order, groups in one piece,
/// until the end; how many there were.
fn take(mut consumer: Consumer<'_>) -> u64 {
    let mut random = Random(0x1234_5678);
    let (mut taken, mut next) = (0, [0; PRODUCERS]);
    while !consumer.is_finished() {
        random.stall();
        let mut records = 0;
        let mut expected_place = 0;
        for record in consumer.records() {
            let [producer, place, group] = [0, 1, 2].map(|at| usize::from(record[at]));
            let number = u32::from_le_bytes(record[3..7].try_into().unwrap());
            assert_eq!(place, expected_place, "a group was parted");
            expected_place = (place + 1) % group;
            assert!(number >= next[producer], "{number} of {producer} again");
            next[producer] = number + 1;
            assert!(record[7..].iter().all(|byte| *byte == number.to_le_bytes()[0] | 1), "torn");
            records += 1;
            random.stall();
            // Only between groups: what is left may be overwritten.
            if expected_place == 0 && random.below(16) == 0 {
                break;
            }
        }
        assert_eq!(consumer.release(records), records, "what was read is there to release");
        taken += records as u64;
        if records == 0 {
            thread::yield_now();
        }
    }
    taken
}

fn run<M: Kind + Send>(
    (producer, consumer): (Producer<'_, M>, Consumer<'_>),
    end: &(dyn Fn(u32) -> bool + Sync),
) -> Ledger {
    let (ledger, taken) = thread::scope(|scope| {
        let mut producers = vec![producer];
        while let (true, Some(more)) =
            (producers.len() < PRODUCERS.min(M::PRODUCERS), M::more(&producers[0]))
        {
            producers.push(more);
        }
        let offers: Vec<_> = producers
            .into_iter()
            .enumerate()
            .map(|(id, producer)| scope.spawn(move || offer(id, producer, end)))
            .collect();
        let taken = take(consumer);
        (offers.into_iter().map(|offer| offer.join().unwrap()).sum::<Ledger>(), taken)
    });
    let ledger = Ledger { delivered: taken, ..ledger };
    assert!(ledger.balances(0), "{ledger}");
    assert!(taken > 0, "{ledger}");
    ledger
}

fn run_all(end: impl Fn(u32) -> bool + Sync) -> Ledger {
    run(heap::ring(128).unwrap(), &end);
    run(heap::shared(128).unwrap(), &end);
    run(heap::overwriting(128).unwrap(), &end)
}

#[test]
fn the_ledger_balances_to_the_message() {
    let messages = if cfg!(miri) { 20 } else { 20_000 };
    let ledger = run_all(|number| number >= messages);
    // So few may find the reader holding the ring each time.
    assert!(cfg!(miri) || ledger.overwritten > 0, "{ledger}");
}

/// For as long as `FOREBAY_STRESS_SECONDS` says, a minute by default:
///
/// ```text
/// cargo test -p forebay --release --features alloc --lib stalls -- --ignored --nocapture
/// ```
#[test]
#[ignore = "takes a minute; by command"]
fn the_ledger_balances_for_long() {
    let seconds =
        std::env::var("FOREBAY_STRESS_SECONDS").map_or(60, |seconds| seconds.parse().unwrap());
    // A third for each kind of ring.
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        let ledger = run_all(|number| number >= 1_000_000);
        println!("overwriting: {ledger}");
    }
}
