//! `forebay recover`.

mod ranges;
mod scan;

use std::{
    error::Error,
    fmt,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use forebay::{frame::Encode, recover::Piece};

use self::ranges::Ranges;
use crate::{
    format::{Codec, FormatArgs},
    stdio::{Output, report},
};

/// Finds the good frames of a damaged file
///
/// Prints what the file holds from its beginning to its end, a line for each
/// range: `good BEGIN..END: frames N, bytes N` and `damaged BEGIN..END: reason`.
/// The bytes of a good range are those of its payloads. A frame whose bytes are
/// whole is found wherever it lies, if its format has a checksum; frames that
/// lie in the payload of another are not taken for frames of the file. Without
/// a checksum (flatstream), lengths are all there is to go by, and a damaged
/// payload passes for a good one. `--max-len` as it was for the writer makes
/// the search sharper; about twice that is held in memory. The exit status is 0
/// when all was well, 1 when there was damage, 2 after an error.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file
    file: PathBuf,

    /// Write the good frames to this file, which must not exist yet
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let mut input = File::open(&args.file).map_err(|error| at(&args.file, error))?;
    let codec = args.format.codec();
    let mut copy = match &args.out {
        Some(path) => Some(Copy::new(path, codec)?),
        None => None,
    };
    let mut output = Output::stdout()?;
    let mut ranges = Ranges::default();
    let scanned = scan::scan(codec, &mut input, &mut |piece: Piece<'_>| {
        if let (Some(copy), Piece::Frame(frame)) = (&mut copy, &piece) {
            copy.push(frame.payload)?;
        }
        ranges.push(&piece, output.gathered());
        Ok(output.flush_if_full()?)
    });
    scanned.map_err(|error| match error.downcast() {
        Ok(error) => Box::new(at(&args.file, *error)),
        Err(error) => error,
    })?;
    ranges.end(output.gathered());
    output.flush()?;
    if let Some(copy) = copy {
        copy.end()?;
    }
    report!("{ranges}");
    Ok(ExitCode::from(u8::from(ranges.damages() > 0)))
}

/// The file of good frames.
struct Copy<'p> {
    path: &'p Path,
    codec: Codec,
    file: BufWriter<File>,
    frame: Vec<u8>,
}

impl<'p> Copy<'p> {
    fn new(path: &'p Path, codec: Codec) -> Result<Self, FileError> {
        let file = File::create_new(path).map_err(|error| at(path, error))?;
        let file = BufWriter::with_capacity(64 * 1024, file);
        Ok(Self { path, codec, file, frame: Vec::new() })
    }

    fn push(&mut self, payload: &[u8]) -> Result<(), Box<dyn Error>> {
        self.frame.resize(Encode::frame_len_max(&self.codec, payload.len()), 0);
        let len = self.codec.encode(payload, &mut self.frame)?;
        self.file.write_all(&self.frame[..len]).map_err(|error| at(self.path, error))?;
        Ok(())
    }

    fn end(mut self) -> Result<(), FileError> {
        self.file.flush().map_err(|error| at(self.path, error))
    }
}

/// What went wrong with which file.
#[derive(Debug)]
struct FileError {
    path: PathBuf,
    error: io::Error,
}

fn at(path: &Path, error: io::Error) -> FileError {
    FileError { path: path.to_owned(), error }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.error)
    }
}

impl Error for FileError {}
