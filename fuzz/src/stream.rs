//! Decoding a stream in pieces, and what must hold for any stream.

use forebay::Decoder;
use forebay::frame::{Decode, Encode, Reason};

/// What happened at one place of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Frame { offset: u64, frame_len: usize, payload: Vec<u8> },
    Damage { offset: u64, reason: Reason },
}

/// Decodes `stream` in the pieces given, whole, and looked at when all of it is
/// there; checks that the answers are the same and the invariants hold.
pub(crate) fn check<F: Encode + Decode + Copy>(
    format: F,
    stream: &[u8],
    piece_lens: &[u8],
) -> Vec<Event> {
    let shortest = Decode::buffer_len_min(&format);
    let events = decode(format, stream, piece_lens, shortest, false);
    for (buffer_len, late) in [(shortest, false), (stream.len().max(shortest), true)] {
        let other = decode(format, stream, &[], buffer_len, late);
        assert_eq!(events, other, "in pieces {piece_lens:?} and whole ({late})");
    }
    accounts(format, stream, &events);
    events
}

/// Each answer stands behind the one before, and a delivered frame is what its
/// payload encodes to.
fn accounts<F: Encode>(format: F, stream: &[u8], events: &[Event]) {
    let mut end = 0;
    for event in events {
        match event {
            &Event::Damage { offset, .. } => {
                assert!(offset >= end);
                end = offset + 1;
            }
            Event::Frame { offset, frame_len, payload } => {
                assert!(*offset >= end);
                end = offset + *frame_len as u64;
                let begin = usize::try_from(*offset).unwrap();
                let frame = &stream[begin..begin + frame_len];
                let mut encoded = vec![0; format.frame_len_max(payload.len())];
                let len = format.encode(payload, &mut encoded).unwrap();
                // Some senders of COBS follow a full last block with an empty
                // one, which means the same.
                let with_empty_block = [&encoded[..len - 1], &[1, 0]].concat();
                assert!(frame == &encoded[..len] || frame == with_empty_block, "{frame:02x?}");
            }
        }
    }
    assert!(end <= stream.len() as u64);
}

/// Decodes `stream` in the pieces given, or looks at it when all of it is there;
/// checks the decoder's counts.
pub(crate) fn decode<F: Decode>(
    format: F,
    stream: &[u8],
    piece_lens: &[u8],
    buffer_len: usize,
    late: bool,
) -> Vec<Event> {
    let mut decoder = Decoder::new(format, vec![0; buffer_len]).unwrap();
    let mut events = Vec::new();
    let mut rest = stream;
    for piece_len in piece_lens.iter().map(|&len| usize::from(len)).chain([usize::MAX]) {
        let (mut piece, behind) = rest.split_at(piece_len.min(rest.len()));
        rest = behind;
        while !piece.is_empty() {
            let free = decoder.free();
            assert!(!free.is_empty());
            let len = free.len().min(piece.len());
            free[..len].copy_from_slice(&piece[..len]);
            decoder.received(len);
            piece = &piece[len..];
            if !late {
                take(&mut decoder, &mut events);
            }
        }
    }
    decoder.end();
    take(&mut decoder, &mut events);

    assert_eq!(decoder.next_frame(), Ok(None), "at the end of a stream");
    assert_eq!(decoder.offset(), stream.len() as u64);
    let counts = decoder.counts();
    let frame_len = |event: &Event| match event {
        Event::Frame { frame_len, .. } => Some(*frame_len as u64),
        Event::Damage { .. } => None,
    };
    let frame_lens: Vec<u64> = events.iter().filter_map(frame_len).collect();
    assert_eq!(counts.frames, frame_lens.len() as u64);
    assert_eq!(counts.frames + counts.damages, events.len() as u64);
    let idle = stream.len() as u64 - counts.bytes_lost - frame_lens.iter().sum::<u64>();
    let zeros = stream.iter().filter(|&&byte| byte == 0).count();
    assert!(idle <= zeros as u64, "{idle} bytes neither counted nor idle");
    events
}

fn take<F: Decode>(decoder: &mut Decoder<F, Vec<u8>>, events: &mut Vec<Event>) {
    loop {
        match decoder.next_frame() {
            Ok(Some(frame)) => events.push(Event::Frame {
                offset: frame.offset,
                frame_len: frame.frame_len,
                payload: frame.payload.to_vec(),
            }),
            Ok(None) => return,
            Err(damage) => {
                events.push(Event::Damage { offset: damage.offset, reason: damage.reason });
            }
        }
    }
}
