//! Pumps under random operations against queues of frames.

#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/src/faulty.rs"]
mod faulty;

use std::collections::VecDeque;

use faulty::{FaultySink, Step};
use forebay::{
    Ledger, Pump,
    checksum::{CRC16, CRC32, NoChecksum},
    frame::{Cobs, Encode, Plain, Prefixed, Width},
    pump::{Drive, DriveError},
    ring::{Producer, Ring},
};
use proptest::prelude::*;

/// The most lanes of a pump here.
const LANES: usize = 4;

/// What can happen to a pump.
#[derive(Clone, Debug)]
enum Op {
    /// A producer offers a record.
    Push {
        lane: usize,
        len: usize,
    },
    Drive(Step),
    /// The batch is looked at, and nothing is written.
    Fill,
    /// The sink's stream is replaced by a new one.
    Replace,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let len = prop_oneof![2..12_usize, 12..60_usize];
    let step = prop_oneof![
        6 => (1..80_usize).prop_map(Step::Take),
        2 => Just(Step::Take(usize::MAX)),
        1 => Just(Step::Blocked),
        1 => Just(Step::Interrupted),
        1 => Just(Step::Zero),
        1 => Just(Step::Fail),
    ];
    let op = prop_oneof![
        8 => (0..LANES, len).prop_map(|(lane, len)| Op::Push { lane, len }),
        4 => step.prop_map(Op::Drive),
        1 => Just(Op::Fill),
        1 => Just(Op::Replace),
    ];
    prop::collection::vec(op, 1..if cfg!(miri) { 30 } else { 120 })
}

/// How a pump is made.
#[derive(Clone, Debug)]
struct Limits {
    lanes: usize,
    buffer_len: usize,
    borrow_from: usize,
    frames_max: usize,
    len_max: usize,
}

fn limits() -> impl Strategy<Value = Limits> {
    let some_or_none = |some: std::ops::Range<usize>| prop_oneof![some, Just(usize::MAX)];
    (1..=LANES, 0..300_usize, 0..70_usize, some_or_none(0..6), some_or_none(0..100)).prop_map(
        |(lanes, buffer_len, borrow_from, frames_max, len_max)| Limits {
            lanes,
            buffer_len,
            borrow_from,
            frames_max,
            len_max,
        },
    )
}

/// A record that a ring has accepted.
struct Record {
    frame: Vec<u8>,
    /// Whether an empty batch takes its frame.
    fits: bool,
}

/// What must become of the accepted records.
struct Oracle<F> {
    format: F,
    slices: usize,
    limits: Limits,
    /// Of each lane, the records of which no frame has left whole.
    lanes: [VecDeque<Record>; LANES],
    offered: u64,
    accepted: u64,
    /// Records that never fit, accepted so far and surely passed by.
    unfit: u64,
    unfit_passed: u64,
    delivered: u64,
    /// What has arrived of the frame under way.
    torn: Vec<u8>,
}

impl<F: Encode> Oracle<F> {
    fn accept(&mut self, lane: usize, record: &[u8]) {
        let frame_len_max = self.format.frame_len_max(record.len());
        let mut frame = vec![0; frame_len_max];
        let encoded = self.format.encode(record, &mut frame);
        let envelope = self.format.envelope(record, &mut [0; 16]).ok().flatten();
        let lent = record.len() >= self.limits.borrow_from && self.slices >= 3;
        let in_buffer = match envelope {
            Some(envelope) if lent => envelope.head_len + envelope.tail_len,
            _ => frame_len_max,
        };
        let fits = encoded.is_ok() && in_buffer + 4 <= self.limits.buffer_len;
        frame.truncate(encoded.unwrap_or(0));
        self.accepted += 1;
        self.unfit += u64::from(!fits);
        self.lanes[lane].push_back(Record { frame, fits });
    }

    /// Takes what arrives; returns how many frames it ends. Frames begin with
    /// bytes that tell them apart, so one lane at most has each.
    fn arrive(&mut self, bytes: &[u8]) -> usize {
        self.torn.extend_from_slice(bytes);
        let mut frames = 0;
        'frames: while !self.torn.is_empty() {
            for lane in &mut self.lanes {
                let unfit = lane.iter().take_while(|record| !record.fits).count();
                let Some(Record { frame, .. }) = lane.get(unfit) else { continue };
                if self.torn.starts_with(frame) {
                    self.torn.drain(..frame.len());
                    lane.drain(..=unfit);
                    self.unfit_passed += unfit as u64;
                    frames += 1;
                    continue 'frames;
                }
            }
            let known = self.lanes.iter().any(|lane| {
                let next = lane.iter().find(|record| record.fits);
                next.is_some_and(|next| next.frame.starts_with(&self.torn))
            });
            assert!(known, "{:?} is no lane's next frame", self.torn);
            break;
        }
        self.delivered += frames as u64;
        frames
    }

    /// Checks the whole ledger; `undeliverable` is what the pump has come
    /// across.
    fn check(&self, ledger: Ledger) {
        assert_eq!((ledger.offered, ledger.accepted), (self.offered, self.accepted));
        assert_eq!(ledger.delivered, self.delivered);
        assert!((self.unfit_passed..=self.unfit).contains(&ledger.undeliverable), "{ledger}");
        assert!(ledger.balances(self.accepted - self.delivered - ledger.undeliverable));
    }
}

fn run<F: Encode + Copy, const SLICES: usize>(format: F, limits: &Limits, ops: &[Op]) {
    let mut rings: [Ring<256>; LANES] = Default::default();
    let mut pump: Pump<_, _, LANES, SLICES> = Pump::new(format, vec![0; limits.buffer_len])
        .borrow_from(limits.borrow_from)
        .frames_max(limits.frames_max)
        .len_max(limits.len_max);
    let mut producers: Vec<Producer<'_>> = Vec::new();
    for ring in rings.iter_mut().take(limits.lanes) {
        let (producer, consumer) = ring.split();
        pump.add(consumer).unwrap();
        producers.push(producer);
    }
    let mut oracle = Oracle {
        format,
        slices: SLICES,
        limits: limits.clone(),
        lanes: Default::default(),
        offered: 0,
        accepted: 0,
        unfit: 0,
        unfit_passed: 0,
        delivered: 0,
        torn: Vec::new(),
    };
    let all = [Op::Drive(Step::Take(usize::MAX))];
    let rest = all.iter().cycle().take(ops.len() + 1);
    // What was lent and has not been written.
    let mut pending: Vec<u8> = Vec::new();
    for op in ops.iter().chain(rest) {
        match *op {
            Op::Push { lane, len } => {
                let lane = lane % limits.lanes;
                let number = u8::try_from(oracle.offered % 251).unwrap();
                let mut record = vec![0; len];
                record[..2].copy_from_slice(&[u8::try_from(lane).unwrap(), number]);
                oracle.offered += 1;
                if producers[lane].push(&record).is_ok() {
                    oracle.accept(lane, &record);
                }
            }
            Op::Fill => {
                let lent = pump.fill();
                assert!(lent.len() <= SLICES && lent.iter().all(|slice| !slice.is_empty()));
                let lent = lent.concat();
                assert!(lent.starts_with(&pending), "what was lent is lent again");
                pending = lent;
            }
            Op::Drive(step) => {
                let lent = pump.fill().concat();
                assert!(lent.starts_with(&pending), "what was lent is lent again");
                let mut sink = FaultySink::new([step]);
                let answer = pump.drive(&mut sink);
                let frames_left = oracle.arrive(&sink.taken);
                let expected = match step {
                    _ if lent.is_empty() => Ok(Drive::Idle),
                    Step::Blocked => Ok(Drive::Blocked),
                    Step::Fail => Err(DriveError::Sink(faulty::Failed)),
                    Step::Zero => {
                        Err(DriveError::Stuck(forebay::pump::Stuck { pending: lent.len() }))
                    }
                    Step::Take(len) => {
                        Ok(Drive::Moved { bytes: lent.len().min(len), frames: frames_left })
                    }
                    Step::Interrupted => {
                        Ok(Drive::Moved { bytes: lent.len(), frames: frames_left })
                    }
                };
                assert_eq!(answer, expected, "{step:?}");
                assert!(lent.starts_with(&sink.taken));
                pending = lent[sink.taken.len()..].to_vec();
                assert_eq!(pump.pending(), pending.len());
            }
            Op::Replace => {
                assert_eq!(pump.rewind(), oracle.torn.len());
                pending.splice(..0, oracle.torn.drain(..));
            }
        }
        oracle.check(producers.iter().map(Producer::ledger).sum::<Ledger>() + pump.ledger());
    }

    assert!(!pump.has_work() && pending.is_empty());
    let ledger = producers.iter().map(Producer::ledger).sum::<Ledger>() + pump.ledger();
    assert!(ledger.balances(0) && ledger.undeliverable == oracle.unfit, "{ledger}");
    for producer in &mut producers {
        let len_max = producer.record_len_max();
        producer.push(&vec![0; len_max]).expect("every ring is empty");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 200 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_operations(limits in limits(), ops in ops()) {
        // The format's maximum is below some records' lengths.
        run::<_, 1>(Plain, &limits, &ops);
        run::<_, 3>(Plain, &limits, &ops);
        run::<_, 5>(Prefixed::new(Width::U8, 50).checksum(CRC16), &limits, &ops);
        run::<_, 33>(Prefixed::flatstream(100).checksum(CRC32), &limits, &ops);
        run::<_, 33>(Cobs::new(55, NoChecksum), &limits, &ops);
    }
}
