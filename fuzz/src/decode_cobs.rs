//! Any bytes in any pieces into the decoder of a COBS format.
//!
//! Input: the format, the number of pieces, their lengths, the stream.

use forebay::checksum::{CRC16, CRC32, CRC64, NoChecksum};
use forebay::frame::Cobs;

use crate::{input::Input, stream::check};

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let choice = input.byte();
    let pieces = input.len();
    let pieces = input.bytes(pieces);
    let stream = input.0;
    match choice % 7 {
        0 => check(Cobs::new(64, CRC32), stream, pieces),
        1 => check(Cobs::new(0, NoChecksum), stream, pieces),
        2 => check(Cobs::new(254, NoChecksum), stream, pieces),
        3 => check(Cobs::new(600, NoChecksum), stream, pieces),
        4 => check(Cobs::new(300, CRC16), stream, pieces),
        5 => check(Cobs::new(5, CRC16), stream, pieces),
        _ => check(Cobs::new(30, CRC64), stream, pieces),
    };
}
