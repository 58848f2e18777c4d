//! The pieces of a file in any of the formats.

use std::{
    error::Error,
    io::{self, ErrorKind, Read},
};

use forebay::{
    Decoder,
    checksum::Checksum,
    frame::{Decode, Prefixed, Reason},
    recover::{Damaged, Piece, Recovery, buffer_len_min},
};

use crate::format::Codec;

/// Bytes beyond those that are looked at together, so that what is left of
/// them is moved seldom.
const READ_LEN: usize = 1 << 20;

/// What is done with each piece.
pub(super) trait Take: FnMut(Piece<'_>) -> Result<(), Box<dyn Error>> {}
impl<T: FnMut(Piece<'_>) -> Result<(), Box<dyn Error>>> Take for T {}

/// Reads `input` to its end and takes its pieces.
pub(super) fn scan(
    codec: Codec,
    input: &mut impl Read,
    take: &mut impl Take,
) -> Result<(), Box<dyn Error>> {
    match codec {
        Codec::Prefixed(format) => prefixed(format, input, take),
        Codec::Flatstream(format) => prefixed(format, input, take),
        Codec::FlatstreamCrc16(format) => prefixed(format, input, take),
        Codec::FlatstreamCrc32(format) => prefixed(format, input, take),
        Codec::FlatstreamXxh3(format) => prefixed(format, input, take),
        Codec::CobsCrc16(_) | Codec::CobsCrc32(_) => delimited(codec, input, take),
    }
}

fn prefixed<C: Checksum>(
    format: Prefixed<C>,
    input: &mut impl Read,
    take: &mut impl Take,
) -> Result<(), Box<dyn Error>> {
    let buffer = vec![0; buffer_len_min(&format).saturating_add(READ_LEN)];
    let mut recovery = Recovery::new(format, buffer)?;
    let mut ended = false;
    loop {
        match recovery.next_piece() {
            Some(piece) => take(piece)?,
            None if ended => return Ok(()),
            None => match read(input, recovery.free())? {
                0 => {
                    recovery.end();
                    ended = true;
                }
                len => recovery.received(len),
            },
        }
    }
}

/// Between delimiters the decoder loses nothing that could be found.
fn delimited(
    codec: Codec,
    input: &mut impl Read,
    take: &mut impl Take,
) -> Result<(), Box<dyn Error>> {
    let buffer = vec![0; Decode::buffer_len_min(&codec).saturating_add(READ_LEN)];
    let mut decoder = Decoder::new(codec, buffer)?;
    let mut lost: Option<(u64, Reason)> = None;
    let mut ended = false;
    loop {
        match decoder.next_frame() {
            Ok(Some(frame)) => {
                damaged(&mut lost, frame.offset, take)?;
                take(Piece::Frame(frame))?;
            }
            Err(damage) => {
                damaged(&mut lost, damage.offset, take)?;
                lost = Some((damage.offset, damage.reason));
            }
            Ok(None) if ended => return damaged(&mut lost, decoder.offset(), take),
            Ok(None) => match read(input, decoder.free())? {
                0 => {
                    decoder.end();
                    ended = true;
                }
                len => decoder.received(len),
            },
        }
    }
}

/// Takes the damage whose end is known now.
fn damaged(
    lost: &mut Option<(u64, Reason)>,
    end: u64,
    take: &mut impl Take,
) -> Result<(), Box<dyn Error>> {
    match lost.take() {
        Some((begin, reason)) => take(Piece::Damaged(Damaged { begin, end, reason })),
        None => Ok(()),
    }
}

fn read(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
