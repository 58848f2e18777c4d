//! `forebay decode`.

mod http2;

use std::{error::Error, process::ExitCode};

use forebay::frame::{Decode, dlt::Malformed};
use forebay_std::FrameReader;

use crate::{
    dlt::{self, Form},
    format::{Coding, CodingArgs},
    hex,
    stdio::{FdReader, Output, StdioError, report},
};

/// Turns frames into payloads: raw bytes in, hexadecimal lines out
///
/// An HTTP/2 frame becomes a line of text: type, flags, stream, length, and the
/// payload in hexadecimal; a client's preface becomes PREFACE. `encode` makes
/// the same bytes of these lines.
///
/// A DLT message becomes a line of text: when it was stored, its timestamp,
/// counter, ECU, application, context, session and kind, then its arguments,
/// or the id and the bytes of one that is not verbose. What it does not have is
/// a dash.
///
/// Damage in standard input is reported on standard error as `offset N:
/// reason`, and costs only the damaged frames where the format can find the
/// next one. The exit status is 0 when all was well, 1 when there was damage, 2
/// after an error.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    format: CodingArgs,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let len_max = args.format.payload_len_max();
    let damaged = match args.format.format {
        Coding::Http2 => {
            let format = args.format.http2();
            http2::run(FdReader::stdin()?, format, &mut Output::stdout()?)
        }
        Coding::Frames(name) => decode(name.codec(len_max), |payload, out| {
            hex::encode(payload, out);
            out.push(b'\n');
            true
        }),
        Coding::Dlt(form) => {
            let mut line = String::new();
            decode(form.format(len_max), move |frame, out| describe(form, frame, &mut line, out))
        }
    }?;
    Ok(ExitCode::from(u8::from(damaged)))
}

/// Decodes all of standard input; whether there was damage, or a payload that
/// `write` did not find good.
fn decode(
    format: impl Decode,
    mut write: impl FnMut(&[u8], &mut Vec<u8>) -> bool,
) -> Result<bool, Box<dyn Error>> {
    let mut output = Output::stdout()?;
    let mut frames = FrameReader::new(FdReader::stdin()?, format);
    let mut damaged = false;
    while frames.fill().map_err(StdioError::Input)? {
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => {
                    damaged |= !write(frame.payload, output.gathered());
                    output.flush_if_full()?;
                }
                Ok(None) => break,
                Err(damage) => report!("{damage}"),
            }
        }
        output.flush()?;
    }
    Ok(damaged || frames.counts().damages > 0)
}

/// Appends the line of a DLT message; whether its payload is what its header
/// says. What is only not supported is not damaged.
fn describe(form: Form, frame: &[u8], line: &mut String, out: &mut Vec<u8>) -> bool {
    line.clear();
    let described = dlt::describe(form, frame, line);
    out.extend_from_slice(line.as_bytes());
    matches!(described, Ok(()) | Err(Malformed::Unsupported { .. }))
}
