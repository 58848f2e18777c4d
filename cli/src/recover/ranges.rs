//! What a file holds, range by range.

use std::{fmt, io::Write};

use forebay::recover::Piece;

/// Joins good frames that follow each other to a range, and counts.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    good: Option<Good>,
    frames: u64,
    payload_bytes: u64,
    damages: u64,
    bytes_lost: u64,
}

/// Frames with no damage between them.
#[derive(Debug)]
struct Good {
    begin: u64,
    end: u64,
    frames: u64,
    payload_bytes: u64,
}

impl Ranges {
    /// Takes the next piece; appends the lines of the ranges that end there.
    pub(super) fn push(&mut self, piece: &Piece<'_>, out: &mut Vec<u8>) {
        match piece {
            Piece::Frame(frame) => {
                let (begin, end) = (frame.offset, frame.offset);
                let good =
                    self.good.get_or_insert(Good { begin, end, frames: 0, payload_bytes: 0 });
                good.end = frame.offset + frame.frame_len as u64;
                good.frames += 1;
                good.payload_bytes += frame.payload.len() as u64;
            }
            Piece::Damaged(damaged) => {
                self.end(out);
                self.damages += 1;
                self.bytes_lost += damaged.end - damaged.begin;
                line(out, format_args!("damaged {damaged}"));
            }
        }
    }

    /// Appends the line of a good range that reaches to the end.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        if let Some(Good { begin, end, frames, payload_bytes }) = self.good.take() {
            self.frames += frames;
            self.payload_bytes += payload_bytes;
            line(out, format_args!("good {begin}..{end}: frames {frames}, bytes {payload_bytes}"));
        }
    }

    pub(super) fn damages(&self) -> u64 {
        self.damages
    }
}

fn line(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = writeln!(out, "{text}");
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frames, payload_bytes, damages, bytes_lost, .. } = self;
        write!(
            f,
            "recovered: frames {frames}, bytes {payload_bytes}, damages {damages}, \
             bytes lost {bytes_lost}"
        )
    }
}
