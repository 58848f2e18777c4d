//! `forebay encode`.

use std::{error::Error, fmt, process::ExitCode};

use forebay::frame::{Encode, EncodeError, dlt::WriteError};

use crate::{
    dlt,
    format::{Coding, CodingArgs},
    hex::{self, HexError},
    http2::{self, LINE_HEAD_LEN_MAX},
    messages::{Cut, Item, Messages},
    stdio::{FdReader, Output, StdioError},
};

/// Turns payloads into frames: hexadecimal lines in, raw bytes out
///
/// Each line of standard input is the payload of one frame, an empty line an
/// empty payload. As DLT each is a message of one argument: a text, or raw bytes
/// where they are no text. As HTTP/2 each line is what `decode` prints of a
/// frame: `DATA flags 0x01 stream 1 length 4 626f6479`. The exit status is 0 when
/// all was well, 2 after an error, before which the frames are whole.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    format: CodingArgs,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let mut output = Output::stdout()?;
    let result = encode(args, &mut output);
    // The frames before an error are whole.
    output.flush()?;
    result?;
    Ok(ExitCode::SUCCESS)
}

fn encode(args: &Args, output: &mut Output) -> Result<(), Box<dyn Error>> {
    let payload_len_max = args.format.payload_len_max();
    match args.format.format {
        Coding::Frames(name) => {
            let codec = name.codec(payload_len_max);
            encode_payloads(payload_len_max, output, |payload, out| append(&codec, payload, out))
        }
        Coding::Dlt(form) => {
            let mut messages = dlt::Messages::new(form);
            encode_payloads(payload_len_max, output, |payload, out| {
                messages.append(payload, out).map_err(Reason::Dlt)
            })
        }
        Coding::Http2 => {
            let format = args.format.http2();
            let mut frames = http2::Frames::new(format);
            // Of 24 bits.
            let payload_len_max = format.payload_len_max() as usize;
            encode_lines(LINE_HEAD_LEN_MAX, payload_len_max, output, |line, out| {
                frames.append(line, out).map_err(Reason::Http2)
            })
        }
    }
}

/// Appends what `append` makes of each line's payload.
fn encode_payloads(
    payload_len_max: usize,
    output: &mut Output,
    mut append: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), Reason>,
) -> Result<(), Box<dyn Error>> {
    let mut payload = Vec::new();
    encode_lines(0, payload_len_max, output, |line, out| {
        payload.clear();
        hex::decode(line, &mut payload).map_err(Reason::Hex)?;
        append(&payload, out)
    })
}

/// Appends what `append` makes of each line, which has the digits of a payload
/// and at most `head_len_max` bytes before them.
fn encode_lines(
    head_len_max: usize,
    payload_len_max: usize,
    output: &mut Output,
    mut append: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), Reason>,
) -> Result<(), Box<dyn Error>> {
    // Two digits a byte, and the line's end.
    let line_len_max = head_len_max + 2 * payload_len_max + 2;
    let mut lines = Messages::new(FdReader::stdin()?, Cut::Lines, line_len_max);
    while lines.fill().map_err(StdioError::Input)? {
        while let Some(item) = lines.next() {
            let encoded = match item {
                Item::Message(line) => append(without_end(line), output.gathered()),
                Item::TooLong { len } | Item::Truncated { received: len, .. } => {
                    Err(Reason::LineTooLong { len, payload_len_max })
                }
            };
            encoded.map_err(|reason| LineError { line: lines.number(), reason })?;
            output.flush_if_full()?;
        }
        output.flush()?;
    }
    Ok(())
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Appends the frame of a payload.
fn append(codec: &impl Encode, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    let begin = out.len();
    out.resize(begin + codec.frame_len_max(payload.len()), 0);
    let encoded = codec.encode(payload, &mut out[begin..]);
    out.truncate(begin + *encoded.as_ref().unwrap_or(&0));
    encoded.map(|_| ()).map_err(Reason::Encode)
}

/// A line that is no payload.
#[derive(Debug)]
struct LineError {
    line: u64,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    Hex(HexError),
    LineTooLong { len: u64, payload_len_max: usize },
    Encode(EncodeError),
    Dlt(WriteError),
    Http2(http2::LineError),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line;
        match &self.reason {
            Reason::Hex(error) => write!(f, "line {line}, {error}"),
            Reason::LineTooLong { len, payload_len_max } => {
                let digits = 2 * payload_len_max;
                write!(f, "line {line}: {len} bytes, a payload of {payload_len_max} takes {digits}")
            }
            Reason::Encode(error) => write!(f, "line {line}: {error}"),
            Reason::Dlt(error) => write!(f, "line {line}: {error}"),
            Reason::Http2(error) => write!(f, "line {line}: {error}"),
        }
    }
}

impl Error for LineError {}
