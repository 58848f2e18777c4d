//! Any sequence of operations on a batch, against the bytes that are to leave.
//!
//! Input: slices and format, the buffer's length, the length from which
//! payloads are borrowed, then operations: a kind, a length, what follows.

use std::collections::VecDeque;

use forebay::Batch;
use forebay::batch::{PastEnd, PushError};
use forebay::checksum::{CRC16, CRC32};
use forebay::frame::{Cobs, Encode, Plain, Prefixed};

use crate::input::Input;

/// The longest payload that the formats take.
const PAYLOAD_LEN_MAX: usize = 200;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let choice = input.byte();
    match choice % 4 {
        0 => with_slices::<1>(choice / 4, input),
        1 => with_slices::<3>(choice / 4, input),
        2 => with_slices::<6>(choice / 4, input),
        _ => with_slices::<33>(choice / 4, input),
    }
}

fn with_slices<const SLICES: usize>(choice: u8, input: Input<'_>) {
    match choice % 4 {
        0 => with_format::<_, SLICES>(Plain, input),
        1 => with_format::<_, SLICES>(Prefixed::flatstream(PAYLOAD_LEN_MAX), input),
        2 => with_format::<_, SLICES>(Prefixed::native(PAYLOAD_LEN_MAX, CRC32), input),
        _ => with_format::<_, SLICES>(Cobs::new(PAYLOAD_LEN_MAX, CRC16), input),
    }
}

fn with_format<F: Encode, const SLICES: usize>(format: F, mut input: Input<'_>) {
    let capacity = input.len();
    let borrow_from = input.len();
    let batch = Batch::<_, SLICES>::new(vec![0; capacity]).borrow_from(borrow_from);
    let mut run = Run { format, batch, capacity, bytes: Vec::new(), frames: VecDeque::new() };
    while !input.is_empty() {
        run.step(&mut input);
        run.check();
    }
    // Written to its end, a batch has all its room again.
    run.advance(run.bytes.len());
    run.check();
    let Run { format, mut batch, .. } = run;
    assert!(batch.is_empty());
    let fits = Encode::frame_len_max(&format, 1) + 4 <= capacity;
    assert_eq!(batch.copy(&format, b"x").is_ok(), fits);
}

struct Run<'d, F, const SLICES: usize> {
    format: F,
    batch: Batch<'d, Vec<u8>, SLICES>,
    capacity: usize,
    /// What is to leave.
    bytes: Vec<u8>,
    /// For each frame that is to leave, how many of its bytes are.
    frames: VecDeque<usize>,
}

impl<'d, F: Encode, const SLICES: usize> Run<'d, F, SLICES> {
    fn step(&mut self, input: &mut Input<'d>) {
        let (kind, len) = (input.byte(), input.len());
        match kind % 8 {
            0..=2 => {
                let payload = input.bytes(len);
                let result = self.batch.push(&self.format, payload);
                self.pushed(payload, result);
            }
            3 | 4 => {
                let payload = input.bytes(len);
                let result = self.batch.copy(&self.format, payload);
                self.pushed(payload, result);
            }
            5 => self.advance(len.min(self.bytes.len())),
            6 => self.advance(self.bytes.len().saturating_sub(len)),
            _ => {
                let pending = self.bytes.len();
                let len = pending + 1 + len;
                assert_eq!(self.batch.advance(len), Err(PastEnd { len, pending }));
            }
        }
    }

    fn pushed(&mut self, payload: &[u8], result: Result<(), PushError>) {
        match result {
            Ok(()) => {
                let mut frame = vec![0; self.format.frame_len_max(payload.len())];
                let len = self.format.encode(payload, &mut frame).unwrap();
                self.bytes.extend_from_slice(&frame[..len]);
                self.frames.push_back(len);
            }
            Err(PushError::Full { needed, free }) => {
                assert!(needed > free, "{needed} bytes needed, {free} free");
                assert!(free <= self.capacity);
                assert!(!self.batch.is_empty(), "full, and nothing to write");
            }
            Err(PushError::NeverFits { needed, capacity }) => {
                assert_eq!(capacity, self.capacity);
                assert!(needed > capacity, "{needed} bytes needed, {capacity} in all");
            }
            Err(PushError::Encode(_)) => assert!(payload.len() > PAYLOAD_LEN_MAX),
            Err(error) => panic!("{error}"),
        }
    }

    fn advance(&mut self, len: usize) {
        let mut left = len;
        let mut whole = 0;
        while let Some(frame) = self.frames.front_mut() {
            if *frame > left {
                *frame -= left;
                break;
            }
            left -= *frame;
            self.frames.pop_front();
            whole += 1;
        }
        self.bytes.drain(..len);
        assert_eq!(self.batch.advance(len), Ok(whole));
    }

    fn check(&self) {
        let slices = self.batch.slices();
        assert!(slices.len() <= SLICES);
        assert!(slices.iter().all(|slice| !slice.is_empty()));
        assert_eq!(slices.concat(), self.bytes);
        assert_eq!(slices.len_bytes(), self.bytes.len());
        assert_eq!(self.batch.len_bytes(), self.bytes.len());
        assert_eq!(self.batch.frames(), self.frames.len());
        assert_eq!(self.batch.is_empty(), self.frames.is_empty());
    }
}
