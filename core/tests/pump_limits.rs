//! What a pump does at its limits: lengths, records that never fit, frames of
//! no bytes, errors, and a ring's room around what is lent from it.

#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/src/faulty.rs"]
mod faulty;

use faulty::{Failed, FaultySink, Step};
use forebay::{
    Progress, Pump, Sink,
    batch::PastEnd,
    frame::{Cobs, Encode, Plain, Prefixed, Width},
    pump::{Drive, DriveError, PumpCounts, Stuck},
    ring::{Producer, Ring},
};

/// Drives until nothing is left; a sink that is blocked is tried again.
fn drain<F, B, S, const LANES: usize, const SLICES: usize>(
    pump: &mut Pump<'_, F, B, LANES, SLICES>,
    sink: &mut S,
) where
    F: Encode,
    B: AsRef<[u8]> + AsMut<[u8]>,
    S: Sink<Error: core::fmt::Debug>,
{
    while pump.drive(sink).unwrap() != Drive::Idle {}
}

/// What a sink is given is never over the limit, but for one frame alone: on
/// a sink that takes all, and on one that takes a few bytes at a time.
#[test]
fn no_write_over_the_limit() {
    let format = Prefixed::new(Width::U8, 255);
    let record_lens = [3, 30, 0, 14, 15, 16, 1, 100, 2, 99, 7, 31, 40, 0, 0, 200, 8];
    for len_max in [0, 1, 2, 15, 16, 17, 32, 33, 64, 100] {
        for step in [Step::Take(usize::MAX), Step::Take(1), Step::Take(10), Step::Take(len_max)] {
            let mut ring = Ring::<2048>::new();
            let (mut producer, consumer) = ring.split();
            let mut pump: Pump<_, _, 1, 5> =
                Pump::new(format, [0; 600]).borrow_from(31).len_max(len_max);
            pump.add(consumer).unwrap();
            record_lens.iter().for_each(|&len| producer.push(&vec![0xEE; len]).unwrap());

            let step = if step == Step::Take(0) { Step::Take(1) } else { step };
            let mut sink = FaultySink::new(std::iter::repeat(step));
            drain(&mut pump, &mut sink);
            let frame_lens = record_lens.map(|len| len + 1);
            assert_eq!(sink.taken.len(), frame_lens.iter().sum::<usize>());
            check_writes(&sink.given, &frame_lens, step, len_max);
        }
    }
}

/// Each write is within the limit, or is (the rest of) one frame.
fn check_writes(given: &[usize], frame_lens: &[usize], step: Step, len_max: usize) {
    let ends: Vec<usize> = frame_lens
        .iter()
        .scan(0, |end, len| {
            *end += len;
            Some(*end)
        })
        .collect();
    let mut sent = 0;
    for len in given {
        let front = ends.iter().find(|end| **end > sent).unwrap();
        assert!(*len <= len_max || sent + len == *front, "{len} bytes at {sent}, {step:?}");
        let Step::Take(taken) = step else { unreachable!() };
        sent += taken.min(*len);
    }
}

/// The limit holds for what a rewind gives back.
#[test]
fn a_rewind_stays_within_the_limit() {
    let mut ring = Ring::<256>::new();
    let (mut producer, consumer) = ring.split();
    let mut pump: Pump<_, _, 1> = Pump::new(Plain, [0; 200]).len_max(20);
    pump.add(consumer).unwrap();
    producer.push(&[1; 50]).unwrap();
    producer.push(&[2; 10]).unwrap();
    producer.push(&[3; 10]).unwrap();
    assert_eq!(pump.fill().len_bytes(), 50);
    assert_eq!(pump.wrote(45), Ok(0));
    assert_eq!(pump.fill().len_bytes(), 5, "the rest of a long frame goes alone");
    assert_eq!(pump.rewind(), 45);
    assert_eq!(pump.fill().len_bytes(), 50);
    assert_eq!(pump.wrote(50), Ok(1));
    assert_eq!(pump.fill().len_bytes(), 20);
    assert_eq!(pump.wrote(12), Ok(1));
    assert_eq!(pump.rewind(), 2);
    assert_eq!(pump.fill().concat(), [3; 10]);
}

/// What never fits is counted, costs nothing else, and is out of the way.
#[test]
fn records_that_never_fit() {
    let mut ring = Ring::<1024>::new();
    let (mut producer, consumer) = ring.split();
    let mut pump: Pump<_, _, 1, 1> =
        Pump::new(Cobs::new(40, forebay::checksum::NoChecksum), [0; 32]);
    pump.add(consumer).unwrap();
    // Too long for the batch, and for the format; first, between and last.
    for len in [35, 4, 41, 5, 41, 35, 6, 35] {
        producer.push(&vec![7; len]).unwrap();
    }
    let mut sink = FaultySink::new([Step::Take(3), Step::Take(1)]);
    drain(&mut pump, &mut sink);
    assert_eq!(
        sink.taken.split(|byte| *byte == 0).map(<[u8]>::len).collect::<Vec<_>>(),
        [5, 6, 7, 0]
    );
    let ledger = producer.ledger() + pump.ledger();
    assert_eq!((ledger.delivered, ledger.undeliverable), (3, 5));
    assert!(ledger.balances(0));
    producer.push(&vec![7; producer.record_len_max()]).expect("the whole ring is free");
}

/// A long record that the buffer cannot hold is lent, and one that cannot be
/// lent now waits for a batch in which it can.
#[test]
fn a_record_waits_for_a_slice() {
    let mut ring = Ring::<1024>::new();
    let (mut producer, consumer) = ring.split();
    let mut pump: Pump<_, _, 1, 3> =
        Pump::new(Prefixed::new(Width::U8, 255), [0; 32]).borrow_from(100);
    pump.add(consumer).unwrap();
    producer.push(&[1; 200]).unwrap();
    producer.push(&[2; 200]).unwrap();
    assert_eq!(pump.fill().len_bytes(), 201);
    assert_eq!(pump.wrote(201), Ok(1));
    assert_eq!(pump.fill().concat()[1..], [2; 200]);
    assert_eq!(pump.wrote(201), Ok(1));
    assert_eq!(pump.ledger().undeliverable, 0);
}

/// Frames of no bytes are delivered in their order and hold nothing up.
#[test]
fn frames_of_no_bytes() {
    for (frames_max, buffer_len, borrow_from) in
        [(usize::MAX, 16, usize::MAX), (1, 64, usize::MAX), (2, 64, 0), (usize::MAX, 16, 0)]
    {
        let mut ring = Ring::<256>::new();
        let (mut producer, consumer) = ring.split();
        let mut pump: Pump<_, _, 1, 5> =
            Pump::new(Plain, vec![0; buffer_len]).frames_max(frames_max).borrow_from(borrow_from);
        pump.add(consumer).unwrap();
        // More than fit into a batch, before, between and behind bytes.
        for record in [&b""[..], b"", b"", b"", b"", b"ab", b"", b"c", b"", b"", b"", b"", b""] {
            producer.push(record).unwrap();
        }
        let mut sink = FaultySink::new([Step::Take(1), Step::Blocked, Step::Take(1)]);
        let first = pump.drive(&mut sink);
        assert!(matches!(first, Ok(Drive::Moved { bytes: 1, .. })), "{first:?}");
        assert_eq!(pump.ledger().delivered, 5, "those before the first byte have left");
        drain(&mut pump, &mut sink);
        assert_eq!(sink.taken, b"abc");
        assert!((producer.ledger() + pump.ledger()).balances(0));
        assert!(!pump.has_work());
        producer.push(&[0; 124]).expect("the whole ring is free");
    }
}

/// Nothing but such frames: nothing to write, and all delivered.
#[test]
fn nothing_but_frames_of_no_bytes() {
    let mut ring = Ring::<256>::new();
    let (mut producer, consumer) = ring.split();
    let mut pump: Pump<_, _, 1> = Pump::new(Plain, [0; 8]);
    pump.add(consumer).unwrap();
    (0..20).for_each(|_| producer.push(b"").unwrap());
    assert!(pump.has_work());
    assert_eq!(pump.drive(&mut FaultySink::new([Step::Fail])), Ok(Drive::Idle));
    assert_eq!(pump.ledger().delivered, 20);
    drop(producer);
    assert!(pump.is_finished() && !pump.has_work());
}

/// A sink that says it took more than it was given.
struct Boaster;

impl Sink for Boaster {
    type Error = Failed;

    fn write(&mut self, slices: &[&[u8]]) -> Result<Progress, Failed> {
        Ok(Progress::Wrote(slices.concat().len() + 1))
    }
}

/// Whatever goes wrong, what has not left stays and leaves later, once.
#[test]
fn errors_lose_nothing() {
    let mut ring = Ring::<256>::new();
    let (mut producer, consumer) = ring.split();
    let mut pump: Pump<_, _, 1> = Pump::new(Plain, [0; 64]).borrow_from(8);
    pump.add(consumer).unwrap();
    producer.push(b"small").unwrap();
    producer.push(b"large and lent").unwrap();

    let mut sink = FaultySink::new([Step::Take(9), Step::Fail, Step::Zero, Step::Blocked]);
    assert_eq!(pump.drive(&mut sink), Ok(Drive::Moved { bytes: 9, frames: 1 }));
    assert_eq!(pump.drive(&mut sink), Err(DriveError::Sink(Failed)));
    producer.push(b"fresh").unwrap();
    assert_eq!(pump.drive(&mut sink), Err(DriveError::Stuck(Stuck { pending: 15 })));
    assert_eq!(pump.drive(&mut sink), Ok(Drive::Blocked));
    let past_end = PastEnd { len: 16, pending: 15 };
    assert_eq!(pump.drive(&mut Boaster), Err(DriveError::PastEnd(past_end)));
    assert_eq!(pump.wrote(16), Err(past_end));
    assert_eq!(pump.wrote(0), Ok(0));
    assert!((producer.ledger() + pump.ledger()).balances(2));
    assert_eq!(pump.drive(&mut sink), Ok(Drive::Moved { bytes: 15, frames: 2 }));
    assert_eq!(sink.taken, b"smalllarge and lentfresh");
    assert_eq!(pump.drive(&mut sink), Ok(Drive::Idle));

    let counts = PumpCounts { writes: 6, bytes: 24, short: 1, blocked: 1 };
    assert_eq!(pump.counts(), counts);
    assert!((producer.ledger() + pump.ledger()).balances(0));
}

/// Pushes records of eight bytes in the ring until it is full; returns how
/// many.
fn fill_up(producer: &mut Producer<'_>) -> usize {
    std::iter::from_fn(|| producer.push(&[0; 4]).ok()).count()
}

/// Room of copied records comes back with the fill; from the first lent one on
/// when that one's frame has left, its tail too.
#[test]
fn room_around_lent_records() {
    let mut ring = Ring::<64>::new();
    let (mut producer, consumer) = ring.split();
    let format = Prefixed::new(Width::U8, 64).checksum(forebay::checksum::CRC16);
    let mut pump: Pump<_, _, 1> = Pump::new(format, [0; 200]).borrow_from(10);
    pump.add(consumer).unwrap();
    // Their spans in the ring: 8, 8, 16, 8, 16; 8 are left.
    let records = [&[1; 4][..], &[2; 4], &[3; 12], &[4; 4], &[5; 12]];
    records.iter().for_each(|record| producer.push(record).unwrap());
    assert_eq!(fill_up(&mut producer), 1);

    let expected: Vec<u8> = records
        .iter()
        .flat_map(|record| {
            let mut frame = [0; 32];
            let len = format.encode(record, &mut frame).unwrap();
            frame[..len].to_vec()
        })
        .collect();
    assert!(pump.fill().concat().starts_with(&expected));
    assert_eq!(fill_up(&mut producer), 2, "the two copied records before the first lent one");

    // All but the last byte of the third frame, its payload included.
    assert_eq!(pump.wrote(7 + 7 + 14), Ok(2));
    assert_eq!(fill_up(&mut producer), 0, "a torn frame stays, to be sent again");
    assert_eq!(pump.rewind(), 14);
    assert!(pump.fill().concat().starts_with(&expected[14..]));
    assert_eq!(pump.wrote(15), Ok(1));
    assert_eq!(fill_up(&mut producer), 3, "the lent record and the copied one behind it");
    assert_eq!(pump.wrote(7 + 14), Ok(1));
    assert_eq!(fill_up(&mut producer), 0);
    assert_eq!(pump.wrote(1), Ok(1));
    assert_eq!(fill_up(&mut producer), 5, "the last lent record and three copied ones");
}

/// Records that were looked at through the consumer are still drained.
#[test]
fn a_consumer_that_was_looked_at() {
    let mut ring = Ring::<64>::new();
    let (mut producer, mut consumer) = ring.split();
    producer.push(b"seen").unwrap();
    producer.push(b"unseen").unwrap();
    assert_eq!(consumer.records().next(), Some(&b"seen"[..]));
    let mut pump: Pump<_, _, 1> = Pump::new(Plain, [0; 64]);
    pump.add(consumer).unwrap();
    assert_eq!(pump.fill().concat(), b"seenunseen");
}
