//! Which frame leaves when: priorities, groups and inserted frames under
//! random operations, against plain queues.

#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/src/faulty.rs"]
mod faulty;

use std::collections::VecDeque;

use faulty::{FaultySink, Step};
use forebay::{
    Ledger, Pump,
    frame::Plain,
    pump::{InsertError, Undelivered},
    ring::{Producer, Ring},
};
use proptest::prelude::*;

const LANES: usize = 4;
/// What the first byte of an inserted frame says.
const INSERTED: u8 = 0xFF;

#[derive(Clone, Debug)]
enum Op {
    /// A producer offers a group of records of these lengths.
    Push {
        lane: usize,
        lens: Vec<usize>,
    },
    Insert,
    Fill,
    Drive(Step),
    /// The sink's stream is replaced by a new one.
    Replace,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let lens = prop_oneof![
        3 => prop::collection::vec(4..20_usize, 1..=1),
        2 => prop::collection::vec(4..20_usize, 2..5),
        1 => prop::collection::vec(4..40_usize, 2..8),
    ];
    let step = prop_oneof![
        4 => (1..80_usize).prop_map(Step::Take),
        4 => Just(Step::Take(usize::MAX)),
        1 => Just(Step::Blocked),
        1 => Just(Step::Fail),
    ];
    let op = prop_oneof![
        8 => (0..LANES, lens).prop_map(|(lane, lens)| Op::Push { lane, lens }),
        1 => Just(Op::Insert),
        2 => Just(Op::Fill),
        4 => step.prop_map(Op::Drive),
        1 => Just(Op::Replace),
    ];
    prop::collection::vec(op, 1..if cfg!(miri) { 30 } else { 150 })
}

/// How a pump is made. A batch has room for any one record.
#[derive(Clone, Debug)]
struct Limits {
    priorities: [u8; LANES],
    buffer_len: usize,
    borrow_from: usize,
    frames_max: usize,
    len_max: usize,
}

fn limits() -> impl Strategy<Value = Limits> {
    let some_or_none = |some: std::ops::Range<usize>| prop_oneof![some, Just(usize::MAX)];
    let priorities = prop::array::uniform4(0..3_u8);
    let lens = (44..300_usize, some_or_none(4..50));
    (priorities, lens, some_or_none(1..6), some_or_none(1..100)).prop_map(
        |(priorities, (buffer_len, borrow_from), frames_max, len_max)| Limits {
            priorities,
            buffer_len,
            borrow_from,
            frames_max,
            len_max,
        },
    )
}

/// A record in a ring.
#[derive(Clone, Debug)]
struct Record {
    frame: Vec<u8>,
    /// Whether more of its group follows.
    more: bool,
    /// How many records its group has, of which it is the first.
    group: usize,
    /// Whether an empty batch surely has room for the group.
    fits: bool,
}

/// What is known of everything that has not left.
struct Oracle {
    limits: Limits,
    rings: [VecDeque<Record>; LANES],
    /// The frames of the batch, and their lanes.
    batch: VecDeque<(u8, Vec<u8>)>,
    /// What has left of the first of them.
    front_sent: usize,
    /// The lane of a group of which a part has been taken.
    group: Option<usize>,
    delivered: [u64; LANES],
    inserted: u64,
}

impl Oracle {
    /// Takes what one fill has put in behind what was there.
    fn filled(&mut self, mut bytes: &[u8], was_empty: bool) {
        // Records that must be in this fill.
        let mut demanded = 0;
        while let [lane, _, _, len, ..] = *bytes {
            let (frame, rest) = bytes.split_at(usize::from(len));
            bytes = rest;
            let index = usize::from(lane);
            if let Some(group) = self.group {
                assert_eq!(index, group, "within a group stands another lane's frame");
            } else {
                let priorities = &self.limits.priorities;
                for other in (0..LANES).filter(|other| priorities[*other] > priorities[index]) {
                    assert!(self.rings[other].is_empty(), "lane {index} is before lane {other}");
                }
            }
            let record = self.rings[index].pop_front().expect("a record of the lane");
            assert_eq!(record.frame, frame, "lane {index} is out of order");
            if record.group > 0 {
                // A group is parted only when it begins a batch and is too long.
                let begins = was_empty && self.batch.is_empty();
                demanded = if begins && !record.fits { 1 } else { record.group };
            }
            demanded = demanded.saturating_sub(1);
            self.group = record.more.then_some(index);
            self.batch.push_back((lane, frame.to_vec()));
        }
        assert!(bytes.is_empty());
        assert_eq!(demanded, 0, "a group is parted");
    }

    /// Takes `len` bytes that have left; returns how many frames that ended.
    fn left(&mut self, len: usize) -> usize {
        self.front_sent += len;
        let mut frames = 0;
        while let Some((lane, frame)) = self.batch.front() {
            if self.front_sent < frame.len() {
                break;
            }
            self.front_sent -= frame.len();
            match *lane {
                INSERTED => self.inserted += 1,
                lane => self.delivered[usize::from(lane)] += 1,
            }
            frames += 1;
            self.batch.pop_front();
        }
        frames
    }

    fn batch_bytes(&self) -> Vec<u8> {
        let frames = self.batch.iter().flat_map(|(_, frame)| frame);
        frames.copied().skip(self.front_sent).collect()
    }

    /// What has not left whole, of each lane.
    fn undelivered(&self) -> [Vec<Vec<u8>>; LANES] {
        std::array::from_fn(|lane| {
            let batch = self.batch.iter().filter(|(of, _)| usize::from(*of) == lane);
            let ring = self.rings[lane].iter().map(|record| record.frame.clone());
            batch.map(|(_, frame)| frame.clone()).chain(ring).collect()
        })
    }
}

fn run<const SLICES: usize>(limits: &Limits, ops: &[Op]) {
    let mut rings: [Ring<512>; LANES] = Default::default();
    let mut pump: Pump<_, _, LANES, SLICES> = Pump::new(Plain, vec![0; limits.buffer_len])
        .borrow_from(limits.borrow_from)
        .frames_max(limits.frames_max)
        .len_max(limits.len_max);
    let mut producers: Vec<Producer<'_>> = Vec::new();
    for (ring, (lane, priority)) in rings.iter_mut().zip((0..).zip(limits.priorities)) {
        let (producer, consumer) = ring.split();
        assert_eq!(pump.add_lane(consumer, priority).unwrap(), lane);
        producers.push(producer);
    }
    let mut oracle = Oracle {
        limits: limits.clone(),
        rings: Default::default(),
        batch: VecDeque::new(),
        front_sent: 0,
        group: None,
        delivered: [0; LANES],
        inserted: 0,
    };
    let mut number = 0_u16;
    let mut frame = |lane: u8, len: usize| {
        number += 1;
        let [low, high] = number.to_le_bytes();
        let mut frame = vec![0xEE; len];
        frame[..4].copy_from_slice(&[lane, low, high, u8::try_from(len).unwrap()]);
        frame
    };
    let all = [Op::Drive(Step::Take(usize::MAX))];
    for op in ops.iter().chain(all.iter().cycle().take(4 * ops.len() + 1)) {
        match op {
            Op::Push { lane, lens } => {
                let index = u8::try_from(*lane).unwrap();
                let frames: Vec<_> = lens.iter().map(|len| frame(index, *len)).collect();
                let group: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
                if producers[*lane].push_group(&group).is_ok() {
                    let bytes: usize = lens.iter().sum();
                    let fits = bytes + 4 * lens.len() <= limits.buffer_len
                        && bytes <= limits.len_max
                        && lens.len() <= limits.frames_max;
                    let last = frames.len() - 1;
                    oracle.rings[*lane].extend(frames.into_iter().enumerate().map(
                        |(at, frame)| Record {
                            frame,
                            more: at < last,
                            group: if at == 0 { last + 1 } else { 0 },
                            fits,
                        },
                    ));
                }
            }
            Op::Insert => {
                let frame = frame(INSERTED, 8);
                let has_room = oracle.batch.is_empty() && oracle.group.is_none();
                match pump.insert(&frame) {
                    Ok(()) => {
                        assert_eq!(oracle.group, None, "inserted into a group");
                        oracle.batch.push_back((INSERTED, frame));
                    }
                    Err(error) => assert!(error == InsertError::NotNow && !has_room),
                }
            }
            Op::Fill => fill(&mut pump, &mut oracle),
            Op::Drive(step) => {
                fill(&mut pump, &mut oracle);
                let mut sink = FaultySink::new([*step]);
                let frames = match pump.drive(&mut sink) {
                    Ok(forebay::pump::Drive::Moved { frames, .. }) => frames,
                    _ => 0,
                };
                assert!(oracle.batch_bytes().starts_with(&sink.taken));
                assert_eq!(oracle.left(sink.taken.len()), frames);
            }
            Op::Replace => {
                assert_eq!(pump.rewind(), oracle.front_sent);
                oracle.front_sent = 0;
            }
        }
        let mut undelivered: [Vec<Vec<u8>>; LANES] = Default::default();
        pump.for_each_undelivered(|lane, message| match message {
            Undelivered::Message(bytes) | Undelivered::Frame(bytes) => {
                undelivered[lane].push(bytes.to_vec());
            }
        });
        assert_eq!(undelivered, oracle.undelivered());
        let ledgers: Vec<Ledger> = (0..LANES).map(|lane| pump.lane_ledger(lane)).collect();
        assert!(ledgers.iter().map(|ledger| ledger.delivered).eq(oracle.delivered));
        assert_eq!(ledgers.into_iter().sum::<Ledger>(), pump.ledger());
        assert_eq!(pump.inserted(), oracle.inserted);
    }
    assert!(!pump.has_work() && oracle.batch.is_empty());
    let ledger = producers.iter().map(Producer::ledger).sum::<Ledger>() + pump.ledger();
    assert!(ledger.balances(0), "{ledger}");
}

fn fill<const SLICES: usize>(
    pump: &mut Pump<'_, Plain, Vec<u8>, LANES, SLICES>,
    oracle: &mut Oracle,
) {
    let before = oracle.batch_bytes();
    let lent = pump.fill().concat();
    assert!(lent.starts_with(&before), "what was lent is lent again");
    oracle.filled(&lent[before.len()..], before.is_empty());
    let rings_empty = oracle.rings.iter().all(VecDeque::is_empty);
    assert!(!lent.is_empty() || rings_empty, "nothing is taken and there is something");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 300 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_operations(limits in limits(), ops in ops()) {
        run::<1>(&limits, &ops);
        run::<3>(&limits, &ops);
        run::<33>(&limits, &ops);
    }
}
