//! `forebay decode`.

use std::{error::Error, process::ExitCode};

use forebay_std::FrameReader;

use crate::{
    format::FormatArgs,
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
    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let mut output = Output::stdout()?;
    let mut frames = FrameReader::new(FdReader::stdin()?, args.format.codec());
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
