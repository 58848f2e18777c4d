//! What several tests of this crate need.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod gated;

use std::{
    hint, io, process,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use forebay_std::{
    FrameReader,
    forebay::{
        checksum::{CRC32, Crc32},
        frame::{Decode, Encode, Prefixed},
    },
};

pub(crate) const FORMAT: Prefixed<Crc32> = Prefixed::native(4096, CRC32);

/// Ends the process, with a message, when a test hangs: a lost wake-up would.
/// To be held until the test is through.
#[must_use]
pub(crate) fn watchdog(what: &'static str) -> Sender<()> {
    let (held, dropped) = mpsc::channel::<()>();
    thread::spawn(move || {
        if dropped.recv_timeout(Duration::from_secs(120)) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{what}: nothing has moved for two minutes");
            process::abort();
        }
    });
    held
}

/// The frames of `messages` as one stream.
pub(crate) fn wire_of<M: AsRef<[u8]>>(format: &impl Encode, messages: &[M]) -> Vec<u8> {
    let mut wire = Vec::new();
    for message in messages {
        let begin = wire.len();
        wire.resize(begin + format.frame_len_max(message.as_ref().len()), 0);
        let len = format.encode(message.as_ref(), &mut wire[begin..]).unwrap();
        wire.truncate(begin + len);
    }
    wire
}

/// A message that names its sender and its number.
pub(crate) fn message(sender: u32, number: u32) -> [u8; 8] {
    let mut message = [0; 8];
    message[..4].copy_from_slice(&sender.to_le_bytes());
    message[4..].copy_from_slice(&number.to_le_bytes());
    message
}

/// The sender and the number of a message.
pub(crate) fn names(message: &[u8]) -> (u32, u32) {
    let word = |at: usize| u32::from_le_bytes(message[at..at + 4].try_into().unwrap());
    assert_eq!(message.len(), 8);
    (word(0), word(4))
}

/// Spins for up to 63 turns, so that two threads meet in every way.
pub(crate) fn dawdle(random: &mut u32) {
    *random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    for _ in 0..*random >> 26 {
        hint::spin_loop();
    }
}

/// An instant that no test lives to see.
pub(crate) fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// All payloads of a stream, which is to be without damage.
pub(crate) fn payloads(wire: impl io::Read, format: impl Decode) -> Vec<Vec<u8>> {
    let mut frames = FrameReader::new(wire, format);
    let mut payloads = Vec::new();
    while frames.fill().unwrap() {
        while let Some(frame) = frames.next_frame().unwrap() {
            payloads.push(frame.payload.to_vec());
        }
    }
    payloads
}
