//! `forebay decode`.

mod http2;

use std::{error::Error, process::ExitCode};

use clap::{
    ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use forebay_std::FrameReader;

use crate::{
    format::{MaxLen, Name},
    hex,
    stdio::{FdReader, Output, StdioError, report},
};

/// Turns frames into payloads: raw bytes in, hexadecimal lines out
///
/// Damage in standard input is reported on standard error as `offset N:
/// reason`, and costs only the damaged frames where the format can find the
/// next one. The exit status is 0 when all was well, 1 when there was damage, 2
/// after an error.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The frame format
    #[arg(long, value_name = "FORMAT", default_value = "prefixed", value_parser = formats())]
    format: Format,

    #[command(flatten)]
    max_len: MaxLen,
}

/// What is decoded.
#[derive(Clone, Copy, Debug)]
enum Format {
    /// Frames of one payload each, which is printed.
    Payloads(Name),
    /// Frames whose heads are printed.
    Http2,
}

fn formats() -> impl TypedValueParser<Value = Format> {
    let http2 = PossibleValue::new("http2")
        .help("HTTP/2, with or without the client's preface: prints type, flags, stream, length");
    let names = Name::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    PossibleValuesParser::new(names.chain([http2])).map(|name| {
        // One of those just named.
        Name::from_str(&name, false).map_or(Format::Http2, Format::Payloads)
    })
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let mut output = Output::stdout()?;
    let input = FdReader::stdin()?;
    let payload_len_max = args.max_len.payload_len_max();
    let codec = match args.format {
        Format::Payloads(name) => name.codec(payload_len_max),
        Format::Http2 => return http2::run(input, payload_len_max, &mut output),
    };
    let mut frames = FrameReader::new(input, codec);
    while frames.fill().map_err(StdioError::Input)? {
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => {
                    hex::encode(frame.payload, output.gathered());
                    output.gathered().push(b'\n');
                    output.flush_if_full()?;
                }
                Ok(None) => break,
                Err(damage) => report!("{damage}"),
            }
        }
        output.flush()?;
    }
    Ok(ExitCode::from(u8::from(frames.counts().damages > 0)))
}
