//! `forebay doctor`: what this machine offers, and what to do about each "no".

mod rows;

use std::{error::Error, path::PathBuf, process::ExitCode};

use forebay_linux::{
    file::Refusal,
    probe::{Machine, Place, Ring},
};
use rows::Row;

use crate::stdio::Output;

/// Says what this machine offers, and advises on each "no"
///
/// A line for each thing: `ok`, or `no` with a line below it that says what
/// helps. The exit status is 0 whatever it finds.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file or directory, of whose file system it tells more
    #[arg(long)]
    path: Option<PathBuf>,
}

/// All that was looked at.
#[derive(Debug)]
struct Findings {
    machine: Machine,
    ring: Result<Ring, Refusal>,
    place: Option<Place>,
    /// Whether the path's device could be polled; only of a file.
    polls: Option<bool>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let at = |error| format!("{}: {error}", args.path.as_deref().unwrap_or("".as_ref()).display());
    let place = args.path.as_deref().map(Place::look).transpose().map_err(at)?;
    let ring = Ring::look();
    let file = args.path.as_deref().filter(|path| path.is_file() && ring.is_ok());
    let findings = Findings {
        machine: Machine::look(),
        polls: file.map(|path| Ring::polls(path).is_ok()),
        ring,
        place,
    };
    let mut output = Output::stdout()?;
    for Row { name, value, advice } in rows::rows(&findings) {
        let state = if advice.is_some() { "no" } else { "ok" };
        output.gathered().extend_from_slice(format!("{state} {name}: {value}\n").as_bytes());
        if let Some(advice) = advice {
            output.gathered().extend_from_slice(format!("   -> {advice}\n").as_bytes());
        }
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}
