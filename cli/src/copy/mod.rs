//! `forebay copy`.
//!
//! [`plan`] cuts a file into chunks, [`chunk`] says what is next for the bytes
//! of one, [`manifest`] is the text that an interrupted copy leaves; none of
//! them does I/O. [`engine`] carries chunks through a file backend, [`files`]
//! has the names and the end of a copy.

mod chunk;
mod engine;
mod files;
mod manifest;
mod plan;
mod progress;

use std::{
    error::Error,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use forebay_linux::file::Auto;
use forebay_std::file::{Backend, Config};

use crate::stdio::report;
use chunk::{Chunk, Outcome, Side};
use engine::{Failed, Sides, carry};
use files::{Unfinished, at};
use manifest::Earlier;
use plan::{ChunkLen, Plan};
use progress::Progress;

/// Copies a file in chunks, each verified by its BLAKE3 hash
///
/// Every chunk is read back from the new file and compared before it counts, from
/// the disk with --direct, else maybe from memory. Holes become zeros.
/// Until all are there the new file is named TARGET.forebay-partial, and
/// TARGET.forebay-chunks has the hashes of its chunks. The same command goes on
/// with them after an interruption: chunks that are still whole are kept, the
/// others are copied. The file has its name when it is on the disk. The exit
/// status is 0 when the copy is whole, 1 when a chunk is damaged, 2 after an
/// error.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file to read
    source: PathBuf,

    /// The file to write, or the directory to write it to
    target: PathBuf,

    /// Copy nothing: compare the target with the source, and name every chunk
    /// that differs
    #[arg(long)]
    verify: bool,

    /// Go past the page cache (O_DIRECT)
    #[arg(long)]
    direct: bool,

    /// What reads and writes: io_uring, threads, or io_uring where it can be
    /// had
    #[arg(long, value_enum, default_value_t = Way::Auto)]
    backend: Way,

    /// Chunks under way at a time, each with a buffer; 1 to 4096
    #[arg(long, default_value_t = 16, value_name = "N")]
    queue_depth: usize,

    /// Bytes of a chunk: a multiple of 4096 from 4096 to 16777216
    #[arg(long, default_value = "1048576", value_parser = chunk_len, value_name = "BYTES")]
    chunk: ChunkLen,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Way {
    Auto,
    Uring,
    Threads,
}

fn chunk_len(text: &str) -> Result<ChunkLen, Box<dyn Error + Send + Sync>> {
    Ok(ChunkLen::new(text.parse()?)?)
}

impl Args {
    fn backend(&self) -> Result<Auto, Box<dyn Error>> {
        let config = Config {
            enabled: !matches!(self.backend, Way::Threads),
            fallback: !matches!(self.backend, Way::Uring),
            queue_depth: self.queue_depth,
            buffer_len: self.chunk.get(),
            ..Config::default()
        };
        let backend = Auto::new(&config)?;
        if let (Way::Auto, Some(reason)) = (self.backend, backend.reason()) {
            report!("no io_uring, so threads: {reason}");
        }
        Ok(backend)
    }

    /// The target, within a directory the file of the source's name; of a link
    /// the file that it leads to.
    fn target(&self) -> PathBuf {
        let path = match self.source.file_name() {
            Some(name) if self.target.is_dir() => self.target.join(name),
            _ => self.target.clone(),
        };
        if path.is_symlink() { fs::canonicalize(&path).unwrap_or(path) } else { path }
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let target = args.target();
    let source = files::open(&args.source, args.direct)?;
    let identity = files::identity(&args.source, source.metadata())?;
    let plan = Plan::new(identity.len, args.chunk);
    if args.verify {
        return verify(args, &target, source, &plan);
    }
    if target.exists() {
        let there = files::identity(&target, fs::metadata(&target))?;
        if (there.device, there.inode) == (identity.device, identity.inode) {
            return Err(format!("{}: is the source", target.display()).into());
        }
    }

    let mut backend = args.backend()?;
    let mut unfinished = Unfinished::open(&target, args.direct)?;
    let recorded = unfinished.recorded()?;
    let there = at(&unfinished.partial_path, unfinished.partial.metadata())?.len() > 0;
    let earlier = match manifest::read(&recorded, &identity, &plan) {
        Earlier::Same(hashes) if there => Some(hashes),
        earlier => {
            let why = match earlier {
                Earlier::OtherSource => "the source is not what it was",
                Earlier::OtherChunks => "its chunks had another length",
                _ => "its list of chunks cannot be read",
            };
            if there {
                report!("an interrupted copy is not gone on with: {why}");
            }
            None
        }
    };
    match &earlier {
        Some(_) => unfinished.go_on(&recorded)?,
        None => unfinished.begin_anew(&manifest::head(&identity, &plan))?,
    }
    unfinished.reserve(plan.len())?;

    let sides = Sides {
        source: backend.attach(source)?,
        target: backend.attach(at(&unfinished.partial_path, unfinished.partial.try_clone())?)?,
    };
    let hash = |number| {
        let hashes = earlier.as_ref()?;
        *hashes.get(usize::try_from(number).ok()?)?
    };
    let chunks =
        (0..plan.count()).map(|number| Chunk::copied(&plan, number, hash(number), args.direct));
    let progress = Progress::new(plan.len());
    let (mut kept, mut damaged) = (0, 0);
    let carried = carry(&mut backend, &sides, chunks, |chunk, outcome| {
        match outcome {
            Outcome::Kept(_) => kept += 1,
            Outcome::Whole(hash) => unfinished.record(&manifest::line(chunk.number, &hash))?,
            outcome => {
                damaged += 1;
                report!("{}", wrong(chunk, &plan, outcome, args, &unfinished.partial_path));
            }
        }
        progress.add(plan.len_of(chunk.number));
        Ok(())
    });
    drop(progress);
    named(carried, &args.source, &unfinished.partial_path)?;
    if damaged > 0 {
        return Ok(ExitCode::FAILURE);
    }

    let source = files::open(&args.source, false)?;
    let mode = at(&args.source, source.metadata())?.mode();
    unfinished.complete(plan.len(), mode)?;
    at(&unfinished.partial_path, engine::sync(&mut backend, sides.target.clone()))?;
    if files::identity(&args.source, source.metadata())? != identity {
        let path = args.source.display();
        return Err(format!("{path}: has changed while it was copied; copy it again").into());
    }
    files::ends_at(&args.source, &source, plan.len())?;
    unfinished.finish()?;
    report!(
        "copied: {} chunks, {} of them kept from before; {} bytes by {}",
        plan.count(),
        kept,
        plan.len(),
        backend.name()
    );
    Ok(ExitCode::SUCCESS)
}

/// Compares, and names what differs.
fn verify(
    args: &Args,
    target: &Path,
    source: fs::File,
    plan: &Plan,
) -> Result<ExitCode, Box<dyn Error>> {
    let file = files::open(target, args.direct)?;
    let len = files::identity(target, file.metadata())?.len;
    let mut damaged = 0;
    if len != plan.len() {
        damaged += 1;
        report!("{}: {len} bytes, and the source has {}", target.display(), plan.len());
    }
    let mut backend = args.backend()?;
    let sides = Sides { source: backend.attach(source)?, target: backend.attach(file)? };
    let chunks = (0..plan.count()).map(|number| Chunk::compared(plan, number, args.direct));
    let progress = Progress::new(plan.len());
    let carried = carry(&mut backend, &sides, chunks, |chunk, outcome| {
        if !matches!(outcome, Outcome::Whole(_)) {
            damaged += 1;
            report!("{}", wrong(chunk, plan, outcome, args, target));
        }
        progress.add(plan.len_of(chunk.number));
        Ok(())
    });
    drop(progress);
    named(carried, &args.source, target)?;
    if damaged > 0 {
        return Ok(ExitCode::FAILURE);
    }
    report!("verified: {} chunks, {len} bytes by {}", plan.count(), backend.name());
    Ok(ExitCode::SUCCESS)
}

/// Says what is wrong with a chunk.
fn wrong(chunk: &Chunk, plan: &Plan, outcome: Outcome, args: &Args, target: &Path) -> String {
    let (number, begin) = (chunk.number, plan.offset(chunk.number));
    let place = format!("chunk {number}, {} bytes from offset {begin}", plan.len_of(number));
    let target = target.display();
    match outcome {
        Outcome::Damaged { source: expected, target: found } => {
            format!("{target}: {place}: BLAKE3 {found}, and the source has {expected}")
        }
        _ => {
            let path =
                if chunk.transfer().side == Side::Source { args.source.display() } else { target };
            format!("{path}: {place}: the file ends here")
        }
    }
}

/// Puts the file's name before what failed.
fn named(
    carried: Result<(), Box<dyn Error>>,
    source: &Path,
    target: &Path,
) -> Result<(), Box<dyn Error>> {
    carried.map_err(|error| match error.downcast::<Failed>() {
        Ok(failed) => {
            let path = if failed.side == Side::Source { source } else { target };
            format!("{}: {failed}", path.display()).into()
        }
        Err(error) => error,
    })
}
