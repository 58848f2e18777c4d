//! Any bytes in any pieces into the search for good frames.
//!
//! Input: the format, the number of pieces, their lengths, the stream.

use forebay::{
    checksum::{CRC16, CRC32, Checksum, NoChecksum},
    frame::{Encode, Prefixed},
    recover::{Piece, Recovery, buffer_len_min},
};

use crate::input::Input;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let choice = input.byte();
    let pieces = input.len();
    let pieces = input.bytes(pieces);
    let stream = input.0;
    match choice % 5 {
        0 => check(Prefixed::native(64, CRC32), stream, pieces),
        1 => check(Prefixed::flatstream(64), stream, pieces),
        2 => check(Prefixed::flatstream(40).checksum(CRC16), stream, pieces),
        3 => check(Prefixed::flatstream(300).checksum(CRC32), stream, pieces),
        _ => check(Prefixed::native(3, NoChecksum), stream, pieces),
    }
}

/// What was found: from where to where, and the payload of what is a frame.
type Found = (u64, u64, Option<Vec<u8>>);

fn check<C: Checksum + Copy>(format: Prefixed<C>, stream: &[u8], pieces: &[u8]) {
    let least = buffer_len_min(&format);
    let found = recover(format, stream, pieces, least);
    let whole = recover(format, stream, &[], least.max(stream.len()));
    assert_eq!(found, whole, "in pieces {pieces:?} and whole");
    // No byte is left out, none is named twice, and a frame is one.
    let mut at = 0;
    for (begin, end, payload) in &found {
        assert_eq!(*begin, at);
        assert!(end > begin);
        at = *end;
        if let Some(payload) = payload {
            let mut frame = vec![0xEE; Encode::frame_len_max(&format, payload.len())];
            let len = format.encode(payload, &mut frame).unwrap();
            let range = usize::try_from(*begin).unwrap()..usize::try_from(*end).unwrap();
            assert_eq!(&frame[..len], &stream[range]);
        }
    }
    assert_eq!(at, stream.len() as u64);
}

/// All pieces of a stream that comes in chunks of the lengths `chunks`, then of
/// whatever fits.
fn recover<C: Checksum + Copy>(
    format: Prefixed<C>,
    mut stream: &[u8],
    chunks: &[u8],
    buffer_len: usize,
) -> Vec<Found> {
    let mut recovery = Recovery::new(format, vec![0; buffer_len]).unwrap();
    let mut chunks = chunks.iter().map(|&len| usize::from(len));
    let mut ended = false;
    let mut found = Vec::new();
    loop {
        while let Some(piece) = recovery.next_piece() {
            found.push(match piece {
                Piece::Frame(frame) => {
                    let end = frame.offset + frame.frame_len as u64;
                    (frame.offset, end, Some(frame.payload.to_vec()))
                }
                Piece::Damaged(damaged) => (damaged.begin, damaged.end, None),
            });
        }
        if ended {
            return found;
        }
        let free = recovery.free();
        assert!(!free.is_empty(), "room after `None`");
        let len = chunks.next().unwrap_or(usize::MAX).min(free.len()).min(stream.len());
        free[..len].copy_from_slice(&stream[..len]);
        recovery.received(len);
        stream = &stream[len..];
        if stream.is_empty() {
            recovery.end();
            ended = true;
        }
    }
}
