//! What becomes of operations, and why some are not accepted.

use std::{error::Error, fmt};

use rustix::{fs::Statx, io::Errno};

use super::{
    arena::Lease,
    file::{File, Misaligned},
    slots::Ticket,
};

/// An operation that is over.
#[derive(Debug)]
pub struct Completion {
    /// What its submission returned.
    pub ticket: Ticket,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of an operation.
///
/// Every error of the kernel is here, `ECANCELED` of a cancelled operation and
/// of one behind a link that broke among them; a count below what was asked for
/// is a short transfer, which is no error.
#[derive(Debug)]
pub enum Outcome {
    /// Of a read or a write: the buffer back, and how many bytes moved.
    Moved(Lease, Result<usize, Errno>),
    /// Of a sync.
    Synced(Result<(), Errno>),
    /// Of an open.
    Opened(Result<File, Errno>),
    /// Of a question for the metadata.
    Status(Result<Status, Errno>),
}

/// Metadata of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its length in bytes.
    pub len: u64,
    /// Its type and permissions, as `st_mode` of `inode(7)`.
    pub mode: u16,
    /// 512-byte blocks that it takes.
    pub blocks: u64,
}

impl From<&Statx> for Status {
    fn from(status: &Statx) -> Self {
        Self { len: status.stx_size, mode: status.stx_mode, blocks: status.stx_blocks }
    }
}

/// Why an operation has not been accepted; nothing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// So many operations are under way or their completions not taken.
    Full {
        /// The queue depth.
        depth: u32,
    },
    /// The buffer is shorter than the transfer.
    TooLong {
        /// Bytes to transfer.
        len: usize,
        /// Bytes of the buffer.
        buffer_len: usize,
    },
    /// The file is open with `O_DIRECT`, and the transfer does not fit it.
    Misaligned(Misaligned),
    /// The path holds a zero byte or takes, with one at its end, more than
    /// 4096.
    Path {
        /// Its length in bytes.
        len: usize,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { depth } => {
                write!(f, "all {depth} operations of the context are under way")
            }
            Self::TooLong { len, buffer_len } => {
                write!(f, "a transfer of {len} bytes with a buffer of {buffer_len}")
            }
            Self::Misaligned(misaligned) => misaligned.fmt(f),
            Self::Path { len } => write!(f, "a path of {len} bytes with a zero, or over 4095"),
        }
    }
}

impl Error for Why {}

/// A transfer that has not been accepted, with its buffer.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub why: Why,
    /// The buffer back.
    pub lease: Lease,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl Error for Refused {}

/// How a context's operations went, and which way they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reads answered from the page cache by a plain call.
    pub cached_reads: u64,
    /// Reads of which the page cache had not all, so that the ring read.
    pub cache_misses: u64,
    /// Writes by a plain call.
    pub plain_writes: u64,
    /// Operations given to the ring.
    pub ring_operations: u64,
    /// Their completions that were waited for.
    pub ring_completions: u64,
    /// Calls of `io_uring_enter`.
    pub enters: u64,
    /// Those that a signal interrupted.
    pub interrupted: u64,
    /// Those that fetched completions for which the queue had no room.
    pub overflows: u64,
    /// Operations that ended when nobody waited for them any more.
    pub orphans: u64,
    /// Files that such an open opened; each was closed.
    pub late_opens: u64,
    /// Completions that nobody knew.
    pub stray: u64,
}

/// Whether a transfer fits its buffer and its file.
pub(crate) fn check_transfer(
    file: &File,
    lease: &Lease,
    len: usize,
    offset: u64,
) -> Result<(), Why> {
    if len > lease.len() || u32::try_from(len).is_err() {
        return Err(Why::TooLong { len, buffer_len: lease.len() });
    }
    match file.alignment() {
        Some(alignment) => {
            let at = lease.pointer().addr().get();
            alignment.check(at, len, offset).map_err(Why::Misaligned)
        }
        None => Ok(()),
    }
}
