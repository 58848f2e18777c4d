//! Several lanes: each in order, none starved, whatever the sink does.

#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/src/faulty.rs"]
mod faulty;

use faulty::{FaultySink, Step};
use forebay::{
    Pump,
    frame::Plain,
    pump::Drive,
    ring::{Consumer, Producer, Ring},
};

const LANES: usize = 3;

/// Lanes whose producers are always ahead, and a pump that drains them.
struct Busy<'r> {
    producers: Vec<Producer<'r>>,
    record_lens: [usize; LANES],
    /// The number of each lane's next record.
    next: [u8; LANES],
}

impl<'r> Busy<'r> {
    fn new(
        rings: &'r mut [Ring<256>; LANES],
        record_lens: [usize; LANES],
        mut add: impl FnMut(Consumer<'r>),
    ) -> Self {
        let producers = rings.iter_mut().map(|ring| {
            let (producer, consumer) = ring.split();
            add(consumer);
            producer
        });
        Self { producers: producers.collect(), record_lens, next: [0; LANES] }
    }

    /// Fills every ring with records of the lane, a number and filler.
    fn refill(&mut self) {
        for (lane, producer) in self.producers.iter_mut().enumerate() {
            while let Ok(mut grant) = producer.reserve(self.record_lens[lane]) {
                grant[..2].copy_from_slice(&[u8::try_from(lane).unwrap(), self.next[lane]]);
                grant[2..].fill(0xEE);
                grant.commit();
                self.next[lane] = self.next[lane].wrapping_add(1);
            }
        }
    }

    /// The lanes of the whole records on the wire, whose numbers are checked.
    fn lanes(&self, mut wire: &[u8]) -> Vec<usize> {
        let mut next = [0_u8; LANES];
        let mut lanes = Vec::new();
        while let [lane, number, ..] = *wire {
            let lane = usize::from(lane);
            let Some(rest) = wire.get(self.record_lens[lane]..) else { break };
            assert_eq!(number, next[lane], "lane {lane} is out of order");
            next[lane] = next[lane].wrapping_add(1);
            lanes.push(lane);
            wire = rest;
        }
        lanes
    }
}

/// The most records of others on the wire before the first record of `lane`,
/// after its last, or between two.
fn longest_wait(lanes: &[usize], lane: usize) -> usize {
    lanes.split(|of| *of == lane).map(<[usize]>::len).max().unwrap_or(0)
}

/// Every pattern of up to three steps, for ever.
fn patterns() -> Vec<Vec<Step>> {
    let steps = [Step::Blocked, Step::Fail, Step::Take(1), Step::Take(9), Step::Take(usize::MAX)];
    let mut patterns: Vec<Vec<Step>> = vec![vec![]];
    let mut begin = 0;
    for _ in 0..3 {
        let end = patterns.len();
        for at in begin..end {
            patterns.extend(steps.map(|step| [&patterns[at][..], &[step]].concat()));
        }
        begin = end;
    }
    patterns.retain(|pattern| pattern.iter().any(|step| matches!(step, Step::Take(_))));
    patterns
}

/// How a pump of some test is limited.
struct Limits {
    buffer_len: usize,
    frames_max: usize,
    len_max: usize,
    borrow_from: usize,
}

/// Drives busy lanes through every pattern; no lane may ever wait for as many
/// records of others as `LANES` batches of `batch_max` records hold.
fn no_lane_starves(limits: &Limits, record_lens: [usize; LANES], batch_max: usize) {
    let patterns = patterns();
    for pattern in patterns.iter().step_by(if cfg!(miri) { 40 } else { 1 }) {
        let mut rings: [Ring<256>; LANES] = Default::default();
        let mut pump: Pump<_, _, LANES, 5> = Pump::new(Plain, vec![0; limits.buffer_len])
            .frames_max(limits.frames_max)
            .len_max(limits.len_max)
            .borrow_from(limits.borrow_from);
        let mut busy = Busy::new(&mut rings, record_lens, |consumer| pump.add(consumer).unwrap());
        let mut sink = FaultySink::new(pattern.iter().copied().cycle());

        let mut delivered = 0;
        for round in 0.. {
            busy.refill();
            if let Ok(Drive::Moved { frames, .. }) = pump.drive(&mut sink) {
                delivered += frames;
            }
            if delivered >= 8 * LANES * batch_max {
                break;
            }
            assert!(round < 100_000, "{delivered} delivered by {pattern:?}");
        }

        let lanes = busy.lanes(&sink.taken);
        assert_eq!(lanes.len(), delivered);
        for lane in 0..LANES {
            let wait = longest_wait(&lanes, lane);
            assert!(
                wait < LANES * batch_max,
                "lane {lane} waited for {wait} records of others, {pattern:?}: {lanes:?}"
            );
        }
        let ledger = busy.producers.iter().map(Producer::ledger).sum::<forebay::Ledger>();
        assert!((ledger + pump.ledger()).balances(ledger.accepted - delivered as u64));
    }
}

const MAX: usize = usize::MAX;

#[test]
fn one_frame_a_batch() {
    let limits = Limits { buffer_len: 200, frames_max: 1, len_max: MAX, borrow_from: MAX };
    no_lane_starves(&limits, [4, 8, 12], 1);
}

#[test]
fn one_frame_a_batch_by_length() {
    let limits = Limits { buffer_len: 200, frames_max: MAX, len_max: 0, borrow_from: MAX };
    no_lane_starves(&limits, [4, 8, 12], 1);
}

/// The last lane's records fit into an empty batch alone.
#[test]
fn a_record_as_long_as_the_batch() {
    let limits = Limits { buffer_len: 100, frames_max: MAX, len_max: MAX, borrow_from: MAX };
    no_lane_starves(&limits, [6, 6, 96], 10);
}

#[test]
fn a_record_longer_than_the_limit() {
    let limits = Limits { buffer_len: 200, frames_max: MAX, len_max: 30, borrow_from: MAX };
    no_lane_starves(&limits, [5, 5, 90], 6);
}

/// Two payloads can be lent at a time; the others are copied.
#[test]
fn records_that_are_lent() {
    let limits = Limits { buffer_len: 100, frames_max: 4, len_max: MAX, borrow_from: 20 };
    no_lane_starves(&limits, [20, 30, 10], 4);
}

/// One frame a batch, taken whole or not at all: the lanes take strict turns.
#[test]
fn strict_turns() {
    for pattern in [&[Step::Take(MAX)][..], &[Step::Blocked, Step::Take(MAX)]] {
        let mut rings: [Ring<256>; LANES] = Default::default();
        let mut pump: Pump<_, _, LANES> = Pump::new(Plain, [0; 200]).frames_max(1);
        let mut busy = Busy::new(&mut rings, [4; 3], |consumer| pump.add(consumer).unwrap());
        let mut sink = FaultySink::new(pattern.iter().copied().cycle());
        for _ in 0..12 {
            busy.refill();
            pump.drive(&mut sink).unwrap();
        }
        let lanes = busy.lanes(&sink.taken);
        assert!(lanes.len() >= 6);
        assert!(lanes.iter().copied().eq((0..LANES).cycle().take(lanes.len())), "{lanes:?}");
    }
}

/// Each lane has its share of a batch, and the lanes that need less leave the
/// rest to the others.
#[test]
fn shares_of_a_batch() {
    // Room for twelve records of four bytes and their lengths.
    let mut rings: [Ring<256>; LANES] = Default::default();
    let mut pump: Pump<_, _, LANES> = Pump::new(Plain, [0; 96]);
    let mut busy = Busy::new(&mut rings, [4; 3], |consumer| pump.add(consumer).unwrap());
    busy.refill();
    let batch = pump.fill().concat();
    let lanes = busy.lanes(&batch);
    assert_eq!(lanes, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);

    // One record in the first lane, plenty in the second, none in the third.
    let mut rings: [Ring<256>; LANES] = Default::default();
    let mut pump: Pump<_, _, LANES> = Pump::new(Plain, [0; 96]);
    let mut busy = Busy::new(&mut rings, [4; 3], |consumer| pump.add(consumer).unwrap());
    busy.producers[0].push(&[0, 0, 0, 0]).unwrap();
    (0..20).for_each(|number| busy.producers[1].push(&[1, number, 0, 0]).unwrap());
    let batch = pump.fill().concat();
    let lanes = busy.lanes(&batch);
    assert_eq!(lanes.len(), 12);
    assert_eq!(lanes.iter().filter(|lane| **lane == 1).count(), 11);
}

/// A lane added to a busy pump has its turn too; one too many comes back.
#[test]
fn lanes_are_added_and_refused() {
    let mut rings: [Ring<64>; LANES] = Default::default();
    let [first, second, third] = &mut rings;
    let mut pump: Pump<_, _, 2> = Pump::new(Plain, [0; 100]).frames_max(1);
    let (mut a, consumer) = first.split();
    pump.add(consumer).unwrap();
    a.push(b"a1").unwrap();
    a.push(b"a2").unwrap();
    assert_eq!(pump.fill()[..], [b"a1"]);

    let (mut b, consumer) = second.split();
    pump.add(consumer).unwrap();
    b.push(b"b1").unwrap();
    let (mut c, consumer) = third.split();
    let refused = pump.add(consumer).unwrap_err();

    let mut wire = Vec::new();
    while pump.has_work() {
        wire.extend_from_slice(&pump.fill().concat());
        pump.wrote(2).unwrap();
    }
    assert_eq!(wire, b"a1a2b1");

    // A lane is free when its producer is gone and all of its records have
    // left.
    b.push(b"b2").unwrap();
    drop(b);
    let refused = pump.add(refused).unwrap_err();
    assert_eq!(pump.fill()[..], [b"b2"]);
    let refused = pump.add(refused).unwrap_err();
    assert!(!pump.lane_is_finished(1));
    assert_eq!(pump.wrote(2), Ok(1));
    assert!(pump.lane_is_finished(1));
    assert_eq!(pump.lane_ledger(1).delivered, 2);
    pump.add(refused).unwrap();
    assert_eq!(pump.lane_ledger(1).delivered, 0);
    c.push(b"c1").unwrap();
    assert_eq!(pump.fill()[..], [b"c1"]);
    assert!(!pump.is_finished());
}

/// Whoever keeps something beside each lane says which one a ring is given.
#[test]
fn a_lane_is_set_by_its_number() {
    let mut rings: [Ring<64>; 4] = std::array::from_fn(|_| Ring::new());
    let [mut first, mut second, third, fourth] = rings.each_mut().map(Ring::split);
    let mut pump: Pump<_, _, 2> = Pump::new(Plain, [0; 64]);
    // Not before there is one before it.
    let consumer = pump.set_lane(1, first.1, 0).unwrap_err();
    pump.set_lane(0, consumer, 0).unwrap();
    pump.set_lane(1, second.1, 7).unwrap();
    second.0.push(b"second").unwrap();
    first.0.push(b"first").unwrap();
    assert_eq!(pump.fill()[..], [b"secondfirst"], "with its priority");

    // Not while something of it has not left, nor beyond the last.
    drop((first.0, second.0));
    let consumer = pump.set_lane(1, third.1, 0).unwrap_err();
    assert_eq!(pump.wrote(11), Ok(2));
    pump.set_lane(1, consumer, 0).unwrap();
    let consumer = pump.set_lane(2, fourth.1, 0).unwrap_err();
    pump.set_lane(0, consumer, 0).unwrap();
    let (mut third, mut fourth) = (third.0, fourth.0);
    third.push(b"third").unwrap();
    fourth.push(b"fourth").unwrap();
    assert_eq!(pump.fill()[..], [b"fourththird"]);
    assert_eq!((pump.lane_ledger(0).delivered, pump.lane_ledger(1).delivered), (0, 0));
}

/// As those of several lanes, but that its ledger is the whole pump's.
#[test]
fn the_one_lane_of_a_pump() {
    let mut rings: [Ring<64>; 2] = Default::default();
    let [first, second] = &mut rings;
    let mut pump: Pump<_, _, 1> = Pump::new(Plain, [0; 100]);
    assert!(pump.lane_is_finished(0) && pump.lane_is_finished(1));
    let (mut a, consumer) = first.split();
    assert_eq!(pump.add_lane(consumer, 0).unwrap(), 0);
    a.push(b"a1").unwrap();
    drop(a);
    let (mut b, consumer) = second.split();
    assert_eq!(pump.fill()[..], [b"a1"]);
    let refused = pump.add_lane(consumer, 9).unwrap_err();
    assert!(!pump.lane_is_finished(0));
    assert!(pump.lane_is_finished(1), "there is none");
    assert_eq!(pump.wrote(2), Ok(1));
    assert_eq!((pump.lane_ledger(0).delivered, pump.lane_ledger(1).delivered), (1, 0));

    assert_eq!(pump.add_lane(refused, 9).unwrap(), 0);
    b.push(b"b1").unwrap();
    assert_eq!(pump.fill()[..], [b"b1"]);
    assert_eq!(pump.wrote(2), Ok(1));
    assert_eq!(pump.lane_ledger(0).delivered, 2);
}
