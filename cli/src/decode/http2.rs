//! HTTP/2 frames, one line each.

use std::{
    error::Error,
    io::{self, Read},
};

use forebay::{
    decoder::Damage,
    frame::{
        Reason,
        http2::{BlockOrder, Head, Http2, PREFACE},
    },
};
use forebay_std::FrameReader;

use crate::{
    http2::{CONTINUATIONS_MAX, describe, describe_preface},
    stdio::{Output, StdioError, report},
};

/// Decodes all of `input`; whether there was damage.
pub(super) fn run(
    mut input: impl Read,
    format: Http2,
    output: &mut Output,
) -> Result<bool, Box<dyn Error>> {
    let first = first(&mut input).map_err(StdioError::Input)?;
    let (preface_len, first) = match first.as_slice() == PREFACE {
        true => {
            describe_preface(output.gathered());
            (PREFACE.len() as u64, Vec::new())
        }
        false => (0, first),
    };
    let mut frames = FrameReader::new(first.as_slice().chain(input), format);
    let mut order = BlockOrder::new(CONTINUATIONS_MAX);
    let mut damages = 0_u64;
    while frames.fill().map_err(StdioError::Input)? {
        loop {
            let damage = match frames.next_frame() {
                Ok(None) => break,
                Err(damage) => damage,
                Ok(Some(frame)) => {
                    let Some((head, payload)) = Head::split(frame.payload) else { continue };
                    describe(head, payload, output.gathered());
                    let offset = frame.offset;
                    output.flush_if_full()?;
                    match order.check(head) {
                        Ok(()) => continue,
                        Err(violation) => Damage { offset, reason: Reason::Http2(violation) },
                    }
                }
            };
            damages += 1;
            report!("{}", Damage { offset: damage.offset + preface_len, ..damage });
        }
        output.flush()?;
    }
    // A preface may be all there was.
    output.flush()?;
    Ok(damages > 0)
}

/// As many bytes as a client's preface has, or all that there are.
fn first(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut first = Vec::new();
    input.take(PREFACE.len() as u64).read_to_end(&mut first)?;
    Ok(first)
}
