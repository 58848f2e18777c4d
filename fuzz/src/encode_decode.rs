//! Frames there and back, with damage on the way.
//!
//! Input: the format, the number of pieces, their lengths, the number of
//! harms, four bytes for each, then payloads, each behind its length.

use std::ops::Range;

use forebay::checksum::{CRC16, CRC32, CRC64, NoChecksum};
use forebay::frame::{Cobs, Cover, Decode, Encode, Order, Place, Prefixed, Width};

use crate::input::Input;
use crate::stream::{Event, check};

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    match input.byte() % 9 {
        0 => round_trip(Prefixed::native(255, CRC32), false, input),
        1 => round_trip(Prefixed::flatstream(255).checksum(CRC16), false, input),
        2 => {
            let format = Prefixed::new(Width::U8, 255).order(Order::Big).head_check();
            let format = format.place(Place::BeforePayload).cover(Cover::HeadAndPayload);
            round_trip(format.checksum(CRC64), false, input);
        }
        3 => round_trip(Prefixed::new(Width::U64, 255), false, input),
        4 => round_trip(Cobs::new(255, CRC32), true, input),
        5 => round_trip(Cobs::new(255, CRC16), true, input),
        6 => round_trip(Cobs::new(255, CRC64), true, input),
        7 => round_trip(Cobs::new(255, NoChecksum), true, input),
        _ => round_trip(Prefixed::varint(255).checksum(CRC32), false, input),
    }
}

fn round_trip<F: Encode + Decode + Copy>(format: F, delimited: bool, mut input: Input<'_>) {
    let pieces = input.len();
    let pieces = input.bytes(pieces);
    let harms = input.len() % 4;
    let harms: Vec<&[u8]> = (0..harms).map(|_| input.bytes(4)).collect();

    let mut stream = Vec::new();
    let mut payloads = Vec::new();
    let mut places: Vec<Range<usize>> = Vec::new();
    while !input.is_empty() {
        let len = input.len();
        let payload = input.bytes(len);
        let begin = stream.len();
        stream.resize(begin + Encode::frame_len_max(&format, payload.len()), 0xA5);
        let frame_len = format.encode(payload, &mut stream[begin..]).unwrap();
        stream.truncate(begin + frame_len);
        places.push(begin..stream.len());
        payloads.push(payload.to_vec());
    }

    let sent_len = stream.len();
    // What damage has touched, counted from either end of the stream.
    let (mut intact_before, mut intact_behind) = (sent_len, sent_len);
    for harm in harms {
        let touched = damage(&mut stream, harm);
        intact_before = intact_before.min(touched.start);
        intact_behind = intact_behind.min(stream.len() - touched.end);
    }

    let events = check(format, &stream, pieces);
    let delivered: Vec<&Vec<u8>> = events
        .iter()
        .filter_map(|event| match event {
            Event::Frame { payload, .. } => Some(payload),
            Event::Damage { .. } => None,
        })
        .collect();

    // Frames wholly before the damage arrive, and first.
    let before = places.iter().filter(|place| place.end <= intact_before).count();
    assert!(delivered.len() >= before);
    assert!(delivered.iter().zip(&payloads[..before]).all(|(delivered, sent)| *delivered == sent));
    // With delimiters, so do those behind the first intact one after it.
    let intact_from = sent_len - intact_behind;
    let behind = match delimited {
        true => places.iter().filter(|place| place.start > intact_from).count(),
        false => 0,
    };
    let behind = if before == places.len() { 0 } else { behind };
    assert!(delivered.len() >= behind);
    let last = &delivered[delivered.len() - behind..];
    assert!(last.iter().zip(&payloads[payloads.len() - behind..]).all(|(d, sent)| *d == sent));

    if before == places.len() && stream.len() == sent_len {
        assert_eq!(events.len(), payloads.len());
    }
}

/// Damages `stream`; returns the span that is not as it was, an empty one
/// where bytes are missing.
fn damage(stream: &mut Vec<u8>, harm: &[u8]) -> Range<usize> {
    let mut harm = Input(harm);
    let kind = harm.byte();
    let at = harm.wide() % (stream.len() + 1);
    let value = harm.byte();
    let end = stream.len().min(at + 1 + usize::from(kind >> 2));
    match kind % 4 {
        0 => {
            stream[at..end].iter_mut().for_each(|byte| *byte ^= value);
            at..end
        }
        1 => {
            stream[at..end].fill(value);
            at..end
        }
        2 => {
            stream.drain(at..end);
            at..at
        }
        _ => {
            stream.insert(at, value);
            at..at + 1
        }
    }
}
