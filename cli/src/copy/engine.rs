//! Carries chunks through a file backend, as many at a time as it takes.

use std::{collections::HashMap, error::Error, fmt, io};

use forebay_std::file::{Backend, Block, Completion, Operation, Ticket};

use super::chunk::{Chunk, Outcome, Side};

/// The two files.
#[derive(Debug)]
pub(super) struct Sides<F> {
    pub(super) source: F,
    pub(super) target: F,
}

/// A transfer that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) side: Side,
    pub(super) write: bool,
    pub(super) chunk: u64,
    pub(super) offset: u64,
    pub(super) error: io::Error,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.write { "writing" } else { "reading" };
        write!(f, "{what} chunk {} at offset {}: {}", self.chunk, self.offset, self.error)
    }
}

impl Error for Failed {}

/// Carries `chunks`, and gives each with what has become of it to `each`, in
/// the order in which they end.
///
/// What is under way when it fails is left to the backend, which cancels it
/// when it is dropped.
pub(super) fn carry<B: Backend>(
    backend: &mut B,
    sides: &Sides<B::File>,
    mut chunks: impl Iterator<Item = Chunk>,
    mut each: impl FnMut(&Chunk, Outcome) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut under_way: HashMap<Ticket, Chunk> = HashMap::new();
    loop {
        while backend.in_flight() < backend.depth() {
            let Some(lease) = backend.lease() else { break };
            let Some(chunk) = chunks.next() else { break };
            begin(backend, sides, &mut under_way, chunk, lease)?;
        }
        let Some(completion) = backend.reap(Block::UntilOne)? else {
            // Else what was not carried would pass for carried.
            return match chunks.next() {
                None => Ok(()),
                Some(chunk) => Err(format!("no buffer for chunk {}", chunk.number).into()),
            };
        };
        let Completion { ticket, result, lease } = completion;
        let (Some(mut chunk), Some(mut lease)) = (under_way.remove(&ticket), lease) else {
            return Err("the backend gave back what it was not given".into());
        };
        let moved = result.and_then(|done| {
            done.moved().ok_or_else(|| io::Error::other("the backend gave the transfer up"))
        });
        match moved.map(|len| chunk.moved(len, &mut lease)) {
            Ok(Outcome::More) => begin(backend, sides, &mut under_way, chunk, lease)?,
            Ok(outcome) => each(&chunk, outcome)?,
            Err(error) => return Err(failed(&chunk, error).into()),
        }
    }
}

fn begin<B: Backend>(
    backend: &mut B,
    sides: &Sides<B::File>,
    under_way: &mut HashMap<Ticket, Chunk>,
    chunk: Chunk,
    lease: B::Lease,
) -> Result<(), Failed> {
    let transfer = chunk.transfer();
    let file = match transfer.side {
        Side::Source => sides.source.clone(),
        Side::Target => sides.target.clone(),
    };
    let (range, offset) = (transfer.range, transfer.offset);
    let operation = if transfer.write {
        Operation::Write { file, lease, range, offset }
    } else {
        Operation::Read { file, lease, range, offset }
    };
    match backend.submit(operation) {
        Ok(ticket) => {
            under_way.insert(ticket, chunk);
            Ok(())
        }
        Err(rejected) => Err(failed(&chunk, io::Error::other(rejected.why))),
    }
}

fn failed(chunk: &Chunk, error: io::Error) -> Failed {
    let transfer = chunk.transfer();
    Failed {
        side: transfer.side,
        write: transfer.write,
        chunk: chunk.number,
        offset: transfer.offset,
        error,
    }
}

/// Has what was written on the device.
pub(super) fn sync<B: Backend>(backend: &mut B, file: B::File) -> io::Result<()> {
    let operation = Operation::Sync { file, data_only: false };
    backend.submit(operation).map_err(|rejected| io::Error::other(rejected.why))?;
    match backend.reap(Block::UntilOne)? {
        Some(completion) => completion.result.map(drop),
        None => Err(io::Error::other("the backend lost a sync")),
    }
}
