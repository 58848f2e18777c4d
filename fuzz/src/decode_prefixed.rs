//! Any bytes in any pieces into the decoder of a length-prefixed format.
//!
//! Input: the format, the number of pieces, their lengths, the stream.

use forebay::checksum::{CRC16, CRC32, CRC64, NoChecksum};
use forebay::frame::{Cover, Order, Place, Prefixed, Width};

use crate::{input::Input, stream::check};

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let choice = input.byte();
    let pieces = input.len();
    let pieces = input.bytes(pieces);
    let stream = input.0;
    match choice % 13 {
        0 => check(Prefixed::native(64, CRC32), stream, pieces),
        1 => check(Prefixed::native(3, NoChecksum), stream, pieces),
        2 => check(Prefixed::native(1 << 16, CRC16), stream, pieces),
        3 => check(Prefixed::flatstream(64), stream, pieces),
        4 => check(Prefixed::flatstream(1 << 10).checksum(CRC16), stream, pieces),
        5 => check(Prefixed::new(Width::U8, 255).head_check(), stream, pieces),
        6 => check(Prefixed::new(Width::U8, 0), stream, pieces),
        7 => {
            let format = Prefixed::new(Width::U16, 300).order(Order::Big).head_check();
            let format = format.place(Place::BeforePayload).cover(Cover::HeadAndPayload);
            check(format.checksum(CRC16), stream, pieces)
        }
        8 => {
            let format = Prefixed::new(Width::U64, 40).order(Order::Big).head_check();
            check(format.checksum(CRC64), stream, pieces)
        }
        9 => check(Prefixed::new(Width::U64, 40), stream, pieces),
        10 => check(Prefixed::varint(300), stream, pieces),
        11 => check(Prefixed::varint(1 << 14).checksum(CRC16), stream, pieces),
        _ => {
            let format = Prefixed::varint(200).head_check();
            let format = format.place(Place::BeforePayload).cover(Cover::HeadAndPayload);
            check(format.checksum(CRC32), stream, pieces)
        }
    };
}
