//! A batch against a plain queue of bytes: every short count of small
//! batches, every one and two cuts of larger ones, and random operations.
//!
//! After each step the slices must hold exactly the bytes of the queue, lent
//! payloads at the very addresses where they lie.

use forebay::{
    Batch,
    batch::{PastEnd, PushError},
    checksum::{CRC16, Crc16, NoChecksum},
    frame::{Cobs, Encode, EncodeError, Envelope, Place, Plain, Prefixed, Width},
};
use proptest::prelude::*;

/// Bytes that the length of a frame takes in the batch's buffer.
const SLOT_LEN: usize = 4;

/// A batch and what it must be like.
struct Checked<'a, F, const SLICES: usize> {
    format: F,
    /// Whether the format leaves payloads as they are.
    lends: bool,
    batch: Batch<'a, Vec<u8>, SLICES>,
    capacity: usize,
    borrow_from: usize,
    /// Every byte of every frame so far.
    bytes: Vec<u8>,
    /// How many of them have left.
    sent: usize,
    frames: Vec<Frame<'a>>,
    /// How many of them have left whole.
    left: usize,
    /// Bytes of the buffer taken since all had left.
    used: usize,
}

/// A frame's place among all bytes.
struct Frame<'a> {
    begin: usize,
    end: usize,
    /// A lent payload and its place.
    lent: Option<(usize, &'a [u8])>,
}

impl<'a, F: Encode, const SLICES: usize> Checked<'a, F, SLICES> {
    fn new(format: F, capacity: usize, borrow_from: usize) -> Self {
        let lends = format.envelope(&[], &mut [0; 32]).unwrap().is_some();
        let batch = Batch::new(vec![0xEE; capacity]).borrow_from(borrow_from);
        let (bytes, frames) = (Vec::new(), Vec::new());
        Self {
            format,
            lends,
            batch,
            capacity,
            borrow_from,
            bytes,
            sent: 0,
            frames,
            left: 0,
            used: 0,
        }
    }

    /// Payloads lent in frames that have not left whole.
    fn lent(&self) -> usize {
        self.frames[self.left..].iter().filter(|frame| frame.lent.is_some()).count()
    }

    fn push(&mut self, payload: &'a [u8]) -> Result<(), PushError> {
        let lend = self.lends && payload.len() >= self.borrow_from && 2 * self.lent() + 3 <= SLICES;
        let pushed = self.batch.push(&self.format, payload);
        self.pushed(payload, lend, pushed)
    }

    fn copy(&mut self, payload: &'a [u8]) -> Result<(), PushError> {
        let pushed = self.batch.copy(&self.format, payload);
        self.pushed(payload, false, pushed)
    }

    fn pushed(
        &mut self,
        payload: &'a [u8],
        lend: bool,
        pushed: Result<(), PushError>,
    ) -> Result<(), PushError> {
        let (free, capacity) = (self.capacity - self.used, self.capacity);
        let mut frame = vec![0; self.format.frame_len_max(payload.len())];
        let expected = match self.format.encode(payload, &mut frame) {
            Err(error) => Err(PushError::Encode(error)),
            Ok(len) => {
                let lent_len = if lend { payload.len() } else { 0 };
                let needed = frame.len() - lent_len + SLOT_LEN;
                frame.truncate(len);
                if needed > capacity && self.lent() == 0 {
                    Err(PushError::NeverFits { needed, capacity })
                } else if needed > free {
                    Err(PushError::Full { needed, free })
                } else {
                    self.used += len - lent_len + SLOT_LEN;
                    Ok(())
                }
            }
        };
        assert_eq!(pushed, expected);
        if pushed.is_ok() {
            let begin = self.bytes.len();
            let envelope = self.format.envelope(payload, &mut [0; 32]).unwrap();
            let lent_at = begin + envelope.map_or(0, |envelope| envelope.head_len);
            let lent = lend.then_some((lent_at, payload));
            self.bytes.append(&mut frame);
            self.frames.push(Frame { begin, end: self.bytes.len(), lent });
        }
        self.check();
        pushed
    }

    fn advance(&mut self, len: usize) {
        let pending = self.bytes.len() - self.sent;
        if len > pending {
            assert_eq!(self.batch.advance(len), Err(PastEnd { len, pending }));
        } else {
            self.sent += len;
            let before = self.left;
            while self.frames.get(self.left).is_some_and(|frame| frame.end <= self.sent) {
                self.left += 1;
            }
            assert_eq!(self.batch.advance(len), Ok(self.left - before), "frames after {len} bytes");
            if self.sent == self.bytes.len() {
                self.used = 0;
            }
        }
        self.check();
    }

    fn rewind(&mut self) {
        let begin = self.frames.get(self.left).map_or(self.sent, |frame| frame.begin);
        let taken_back = self.sent - begin.min(self.sent);
        assert_eq!(self.batch.rewind(), taken_back);
        self.sent -= taken_back;
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.batch.frames(), self.frames.len() - self.left);
        assert_eq!(self.batch.len_bytes(), self.bytes.len() - self.sent);
        assert_eq!(self.batch.is_empty(), self.left == self.frames.len());
        let slices = self.batch.slices();
        assert!(slices.len() <= SLICES);
        assert_eq!(slices.concat(), self.bytes[self.sent..]);
        let mut at = self.sent;
        for slice in slices.iter() {
            assert!(!slice.is_empty());
            self.check_place(at, slice);
            at += slice.len();
        }
    }

    /// A slice is the rest of one lent payload, where it lies, or no byte of
    /// any.
    fn check_place(&self, begin: usize, slice: &[u8]) {
        let end = begin + slice.len();
        for frame in &self.frames[self.left..] {
            let Some((lent_at, payload)) = frame.lent else { continue };
            if !payload.is_empty() && begin < lent_at + payload.len() && lent_at < end {
                assert!(begin >= lent_at, "bytes before a lent payload in its slice");
                let rest = &payload[begin - lent_at..];
                assert_eq!((slice.as_ptr(), slice.len()), (rest.as_ptr(), rest.len()));
            }
        }
    }
}

/// Sends `payloads`, all put in at first or each as late as it can be, cut at
/// the given places in ascending order, and at the end.
fn send<F: Encode, const SLICES: usize>(
    format: F,
    (borrow_from, payloads): (usize, &[&[u8]]),
    late: bool,
    cuts: impl Iterator<Item = usize>,
) {
    let mut checked = Checked::<F, SLICES>::new(format, 300, borrow_from);
    let mut payloads = payloads.iter();
    if !late {
        payloads.by_ref().for_each(|payload| checked.push(payload).unwrap());
    }
    for cut in cuts {
        while checked.bytes.len() < cut {
            checked.push(payloads.next().unwrap()).unwrap();
        }
        checked.advance(cut - checked.sent);
        // Interrupted and blocked writes end here: nothing has left.
        checked.advance(0);
    }
    payloads.for_each(|payload| checked.push(payload).unwrap());
    checked.advance(checked.bytes.len() - checked.sent);
    assert_eq!(checked.left, checked.frames.len());
}

/// Every way to send few bytes: each set of places to cut them at.
fn every_composition<F: Encode + Copy, const SLICES: usize>(format: F) {
    let mixes: [(usize, &[&[u8]]); 4] = [
        (3, &[b"a", b"bcd"]),
        (2, &[b"ab", b"cd"]),
        (1, &[b"a", b"b", b""]),
        (9, &[b"", b"a", b"bc"]),
    ];
    for (borrow_from, payloads) in mixes {
        let len: usize = payloads.iter().map(|payload| frame_len(&format, payload)).sum();
        assert!(len <= 14);
        // Each bit says whether there is a cut behind that byte.
        for bits in (0..1_u32 << len).step_by(if cfg!(miri) { 997 } else { 1 }) {
            for late in [false, true] {
                let cuts = (1..=len).filter(|cut| bits & (1 << (cut - 1)) != 0);
                send::<F, SLICES>(format, (borrow_from, payloads), late, cuts);
            }
        }
    }
}

/// Every one and two cuts of a larger batch.
fn every_two_cuts<F: Encode + Copy, const SLICES: usize>(format: F) {
    let bytes: Vec<u8> = (0..200).collect();
    let sizes = [0, 3, 16, 15, 17, 0, 20, 1, 40];
    let payloads: Vec<&[u8]> = sizes.iter().map(|&len| &bytes[len..2 * len]).collect();
    let len: usize = payloads.iter().map(|payload| frame_len(&format, payload)).sum();
    let step = if cfg!(miri) { 41 } else { 1 };
    for first in (0..=len).step_by(step) {
        for second in (first..=len).step_by(step) {
            for late in [false, true] {
                send::<F, SLICES>(format, (16, &payloads), late, [first, second].into_iter());
            }
        }
    }
}

fn frame_len(format: &impl Encode, payload: &[u8]) -> usize {
    format.encode(payload, &mut [0; 300]).unwrap()
}

const AFTER: Prefixed<Crc16> = Prefixed::new(Width::U8, 64).checksum(CRC16);
const BEFORE: Prefixed<Crc16> = AFTER.place(Place::BeforePayload);
const STUFFED: Cobs<NoChecksum> = Cobs::new(64, NoChecksum);

/// One test for each number of slices.
macro_rules! with_slices {
    ($($name:ident: $slices:literal),*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn every_count_of_few_bytes() {
                every_composition::<_, $slices>(Plain);
                every_composition::<_, $slices>(Prefixed::new(Width::U8, 64));
                every_composition::<_, $slices>(STUFFED);
            }

            #[test]
            fn one_and_two_cuts() {
                every_two_cuts::<_, $slices>(Plain);
                every_two_cuts::<_, $slices>(AFTER);
                every_two_cuts::<_, $slices>(BEFORE);
                every_two_cuts::<_, $slices>(STUFFED);
            }
        }
    )*};
}

with_slices!(one_slice: 1, three_slices: 3, five_slices: 5, thirty_three_slices: 33);

/// Every way to send two frames of head, lent payload and tail.
#[test]
fn every_count_around_a_lent_payload() {
    for place in [AFTER, BEFORE] {
        let payloads: [&[u8]; 2] = [b"abcd", b"efgh"];
        for bits in (0..1_u32 << 14).step_by(if cfg!(miri) { 1997 } else { 1 }) {
            let cuts = (1..=14).filter(|cut| bits & (1 << (cut - 1)) != 0);
            send::<_, 5>(place, (4, &payloads), true, cuts);
        }
    }
}

/// What can be done to a batch.
#[derive(Clone, Debug)]
enum Op {
    Push(usize),
    Copy(usize),
    Advance(usize),
    AdvanceAll,
    Rewind,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (0..80_usize).prop_map(Op::Push),
        1 => (0..80_usize).prop_map(Op::Copy),
        4 => (0..60_usize).prop_map(Op::Advance),
        1 => Just(Op::AdvanceAll),
        1 => Just(Op::Rewind),
    ];
    prop::collection::vec(op, 1..if cfg!(miri) { 20 } else { 80 })
}

fn run<F: Encode, const SLICES: usize>(format: F, capacity: usize, borrow_from: usize, ops: &[Op]) {
    let bytes: Vec<u8> = (0..=255).collect();
    let mut checked = Checked::<F, SLICES>::new(format, capacity, borrow_from);
    for (index, op) in ops.iter().enumerate() {
        match *op {
            // Refusals are checked, and leave the batch as it was.
            Op::Push(len) => drop(checked.push(&bytes[index..index + len])),
            Op::Copy(len) => drop(checked.copy(&bytes[index..index + len])),
            Op::Advance(len) => checked.advance(len),
            Op::AdvanceAll => checked.advance(checked.bytes.len() - checked.sent),
            Op::Rewind => checked.rewind(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 5 } else { 200 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_operations(capacity in 0..300_usize, borrow_from in 0..70_usize, ops in ops()) {
        run::<_, 1>(AFTER, capacity, borrow_from, &ops);
        run::<_, 3>(BEFORE, capacity, borrow_from, &ops);
        run::<_, 4>(Plain, capacity, borrow_from, &ops);
        run::<_, 5>(AFTER, capacity, borrow_from, &ops);
        run::<_, 5>(STUFFED, capacity, borrow_from, &ops);
        run::<_, 33>(Plain, capacity, borrow_from, &ops);
    }
}

/// A format whose envelope is as long as it likes.
#[derive(Clone, Copy)]
struct Tail(usize);

impl Encode for Tail {
    fn frame_len_max(&self, payload_len: usize) -> usize {
        payload_len.saturating_add(self.0)
    }

    fn encode(&self, payload: &[u8], _out: &mut [u8]) -> Result<usize, EncodeError> {
        Ok(self.frame_len_max(payload.len()))
    }

    fn envelope(&self, _payload: &[u8], _out: &mut [u8]) -> Result<Option<Envelope>, EncodeError> {
        Ok(Some(Envelope { head_len: 0, tail_len: self.0 }))
    }
}

/// What does not fit is refused, even if the format says that it wrote it.
#[test]
fn a_format_that_claims_more_than_its_room() {
    let mut batch = Batch::<_, 33>::new([0; 64]).borrow_from(3);
    batch.push(&Plain, b"in").unwrap();
    for (payload, staged) in [(&b"co"[..], 102), (b"lent", 100)] {
        let error = PushError::NeverFits { needed: staged + SLOT_LEN, capacity: 64 };
        assert_eq!(batch.push(&Tail(100), payload), Err(error));
    }
    assert_eq!((batch.slices()[..].to_vec(), batch.frames()), (vec![&b"in"[..]], 1));
}

#[test]
fn a_frame_is_at_most_2_gib_less_a_byte() {
    let mut batch = Batch::<_, 33>::new([0; 64]).borrow_from(0);
    let tail_len = (1 << 31) - 1 - 3;
    let error = PushError::NeverFits { needed: tail_len + SLOT_LEN, capacity: 64 };
    assert_eq!(batch.push(&Tail(tail_len), b"abc"), Err(error));
    let error = EncodeError::TooLong { payload_len: 4, payload_len_max: 3 };
    assert_eq!(batch.push(&Tail(tail_len), b"abcd"), Err(PushError::Encode(error)));
    assert_eq!(batch.frames(), 0);
}
