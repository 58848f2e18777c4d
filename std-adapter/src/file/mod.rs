//! Files at any offset, by completion: submit operations with bytes that they
//! own, reap what came of them.
//!
//! ```
//! use forebay_std::file::{Backend, Block, Config, Operation, Threads};
//!
//! let path = std::env::temp_dir().join(format!("forebay-file-{}", std::process::id()));
//! std::fs::write(&path, b"some bytes of a file")?;
//!
//! let mut files = Threads::new(&Config::default())?;
//! let file = files.attach(std::fs::File::open(&path)?)?;
//! let lease = files.lease().expect("none is out");
//! let ticket = files.submit(Operation::Read { file, lease, range: 0..9, offset: 11 })?;
//!
//! let completion = files.reap(Block::UntilOne)?.expect("one is under way");
//! assert_eq!(completion.ticket, ticket);
//! assert_eq!(completion.result?.moved(), Some(9));
//! assert_eq!(&completion.lease.unwrap()[..9], b"of a file");
//! # std::fs::remove_file(path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Whoever can work with any [`Backend`] gets io_uring where there is one
//! (`forebay_linux::file`) and [`Threads`] everywhere else, with the same
//! results.

mod config;
mod operation;
mod pool;
mod positioned;
mod tally;
mod threads;

use std::{fmt::Debug, fs, io, ops::DerefMut, time::Instant};

pub use config::{ALIGN, BadConfig, Config};
pub use operation::{Completion, Done, Operation, Options, Rejected, Ticket, Why};
pub use pool::Lease;
pub use tally::Tally;
pub use threads::{File, THREADS_MAX, Threads};

/// How long [`Backend::reap`] waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Not at all.
    Never,
    /// Until something completes, at most until then.
    Until(Instant),
    /// Until something completes.
    UntilOne,
}

/// What a backend has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations that were accepted.
    pub submitted: u64,
    /// Operations that were rejected.
    pub rejected: u64,
    /// Completions that were reaped, of any kind.
    pub reaped: u64,
    /// Reaped ones with an error.
    pub failed: u64,
    /// Reaped ones that were cancelled.
    pub cancelled: u64,
    /// Reaped reads and writes that moved fewer bytes than asked for.
    pub short: u64,
    /// Bytes of the reaped reads and writes.
    pub bytes: u64,
}

impl Counts {
    /// Counts an operation that was reaped, which asked for `asked` bytes.
    fn reap<F>(&mut self, result: &io::Result<Done<F>>, asked: usize) {
        self.reaped += 1;
        match result {
            Err(_) => self.failed += 1,
            Ok(Done::Cancelled) => self.cancelled += 1,
            Ok(Done::Moved(len)) => {
                self.short += u64::from(*len < asked);
                self.bytes += *len as u64;
            }
            Ok(_) => {}
        }
    }
}

/// Does operations on files and reports them as they complete, in any order.
///
/// At most [`depth`](Backend::depth) operations are submitted and not reaped,
/// and at most so many leases are out as were configured: memory and time are
/// bounded by who uses it, by reaping.
///
/// Operations on the same bytes are not ordered: who wants one after the other
/// reaps the first before submitting the second.
///
/// When a backend is dropped, what has not begun is cancelled and what has is
/// waited for. A lease or a file that is left outlives it.
pub trait Backend {
    /// A handle to a file; clones share it, and the last one closes it.
    type File: Clone + Debug;
    /// Bytes that are lent by the backend. Dropping it gives them back.
    type Lease: DerefMut<Target = [u8]> + Debug;

    /// What it is, in a word.
    fn name(&self) -> &'static str;

    /// What it keeps of its operations.
    fn tally(&self) -> &Tally;

    /// The most operations that may be submitted and not reaped.
    fn depth(&self) -> usize {
        self.tally().depth()
    }

    /// How many are submitted and not reaped.
    fn in_flight(&self) -> usize {
        self.tally().in_flight()
    }

    /// What it has done so far.
    fn counts(&self) -> Counts {
        self.tally().counts()
    }

    /// Takes a file that is open already.
    ///
    /// # Errors
    ///
    /// What the system reports.
    fn attach(&mut self, file: fs::File) -> io::Result<Self::File>;

    /// Lends a buffer of [`buffer_len`](Config::buffer_len) bytes, whose
    /// content is whatever it was; `None` while all are out. Its address is a
    /// multiple of [`ALIGN`].
    fn lease(&mut self) -> Option<Self::Lease>;

    /// Begins an operation, at the latest when [`reap`](Backend::reap) is
    /// called next.
    ///
    /// # Errors
    ///
    /// The operation is given back with the reason, and was not begun.
    fn submit(
        &mut self,
        operation: Operation<Self::File, Self::Lease>,
    ) -> Result<Ticket, Rejected<Self::File, Self::Lease>>;

    /// Asks for an operation to be given up. It completes all the same, with
    /// [`Done::Cancelled`] or with what it has come to. Returns false where it
    /// is too late for that, or the ticket is of no operation under way.
    fn cancel(&mut self, ticket: Ticket) -> bool;

    /// Takes the next completion, whichever that is; `None` when nothing is
    /// under way, and when nothing has completed for as long as `block` says.
    ///
    /// # Errors
    ///
    /// Those of the backend as a whole; those of an operation are in its
    /// completion.
    fn reap(&mut self, block: Block) -> io::Result<Option<Completion<Self::File, Self::Lease>>>;
}
