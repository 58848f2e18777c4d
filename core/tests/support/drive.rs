//! Runs the crate's decoder over a stream that comes in pieces.

use forebay::Decoder;
use forebay::frame::Decode;

use super::spec::{Event, Outcome};

/// Decodes `stream`, cut into pieces of the lengths `pieces` and a last one.
///
/// Checks what holds for every format: there is always room to receive into,
/// the decoder comes to an end, its counts are those of its answers, and
/// frames, lost and idle bytes make up the stream.
pub(crate) fn decode<F: Decode>(
    format: F,
    stream: &[u8],
    pieces: impl IntoIterator<Item = usize>,
    buffer: &mut [u8],
) -> Outcome {
    let mut run = Run::new(format, stream.len(), buffer);
    let mut rest = stream;
    for len in pieces {
        let (piece, behind) = rest.split_at(len);
        run.receive(piece);
        rest = behind;
    }
    run.receive(rest);
    run.decoder.end();
    run.finish()
}

/// Decodes a `stream` that fits the buffer, looking at none of it before its
/// end is known.
pub(crate) fn decode_at_end<F: Decode>(format: F, stream: &[u8], buffer: &mut [u8]) -> Outcome {
    let mut run = Run::new(format, stream.len(), buffer);
    run.decoder.free()[..stream.len()].copy_from_slice(stream);
    run.decoder.received(stream.len());
    run.decoder.end();
    run.finish()
}

struct Run<'b, F> {
    decoder: Decoder<F, &'b mut [u8]>,
    stream_len: usize,
    outcome: Outcome,
    calls_left: usize,
}

impl<'b, F: Decode> Run<'b, F> {
    fn new(format: F, stream_len: usize, buffer: &'b mut [u8]) -> Self {
        // Each answer but `None` moves past a byte, and each receipt too.
        let calls_left = 2 * stream_len + 4;
        let decoder = Decoder::new(format, buffer).unwrap();
        Self { decoder, stream_len, outcome: Outcome::default(), calls_left }
    }

    fn receive(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            let free = self.decoder.free();
            assert!(!free.is_empty(), "no room, {} bytes to come", piece.len());
            let len = free.len().min(piece.len());
            free[..len].copy_from_slice(&piece[..len]);
            self.decoder.received(len);
            piece = &piece[len..];
            self.take();
        }
    }

    fn take(&mut self) {
        loop {
            assert!(self.calls_left > 0, "the decoder does not come to an end");
            self.calls_left -= 1;
            match self.decoder.next_frame() {
                Ok(Some(frame)) => self.outcome.events.push(Event::Frame {
                    offset: frame.offset,
                    frame_len: frame.frame_len,
                    payload: frame.payload.to_vec(),
                }),
                Ok(None) => return,
                Err(damage) => {
                    let (offset, reason) = (damage.offset, damage.reason);
                    self.outcome.events.push(Event::Damage { offset, reason });
                }
            }
        }
    }

    fn finish(mut self) -> Outcome {
        self.take();
        let counts = self.decoder.counts();
        assert_eq!(self.decoder.next_frame(), Ok(None), "at the end of a stream");
        assert_eq!(self.decoder.counts(), counts);
        assert_eq!(self.decoder.offset(), self.stream_len as u64);

        let (mut frames, mut damages, mut bytes) = (0, 0, 0);
        for event in &self.outcome.events {
            match event {
                Event::Frame { frame_len, .. } => {
                    frames += 1;
                    bytes += *frame_len as u64;
                }
                Event::Damage { .. } => damages += 1,
            }
        }
        assert_eq!((counts.frames, counts.damages), (frames, damages));
        let idle = (self.stream_len as u64).checked_sub(bytes + counts.bytes_lost);
        self.outcome.bytes_idle = idle.expect("more bytes counted than there were");
        self.outcome.bytes_lost = counts.bytes_lost;
        self.outcome
    }
}
