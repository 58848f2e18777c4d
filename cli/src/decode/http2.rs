//! HTTP/2 frames, one line each.

use std::{
    error::Error,
    io::{self, Read, Write},
    process::ExitCode,
};

use forebay::{
    decoder::Damage,
    frame::{
        Reason,
        http2::{BlockOrder, Head, Http2, PREFACE},
    },
};
use forebay_std::FrameReader;

use crate::stdio::{Output, StdioError, report};

/// CONTINUATIONs of one field block, over which it is reported.
const CONTINUATIONS_MAX: u32 = 8;

pub(super) fn run(
    mut input: impl Read,
    payload_len_max: usize,
    output: &mut Output,
) -> Result<ExitCode, Box<dyn Error>> {
    let first = first(&mut input).map_err(StdioError::Input)?;
    let (preface_len, first) = match first.as_slice() == PREFACE {
        true => (PREFACE.len() as u64, Vec::new()),
        false => (0, first),
    };
    let format = Http2::new(u32::try_from(payload_len_max).unwrap_or(u32::MAX));
    let mut frames = FrameReader::new(first.as_slice().chain(input), format);
    let mut order = BlockOrder::new(CONTINUATIONS_MAX);
    let mut damages = 0_u64;
    while frames.fill().map_err(StdioError::Input)? {
        loop {
            let damage = match frames.next_frame() {
                Ok(None) => break,
                Err(damage) => damage,
                Ok(Some(frame)) => {
                    let Some((head, _)) = Head::split(frame.payload) else { continue };
                    let Head { payload_len, kind, flags, stream } = head;
                    writeln!(
                        output.gathered(),
                        "{kind} flags {flags:#04x} stream {stream} length {payload_len}"
                    )?;
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
    Ok(ExitCode::from(u8::from(damages > 0)))
}

/// As many bytes as a client's preface has, or all that there are.
fn first(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut first = Vec::new();
    input.take(PREFACE.len() as u64).read_to_end(&mut first)?;
    Ok(first)
}
