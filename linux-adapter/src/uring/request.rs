//! What is to be done, and what became of it.

use std::{ffi::CString, os::fd::OwnedFd};

use rustix::{fs::Statx, io::Errno};

use super::{
    arena::Lease,
    file::{File, OpenOptions},
};

/// What is to be done, with all that it needs.
#[derive(Debug)]
pub(crate) enum Request {
    /// Into the lease from `start` to `end`; `offset` is that of the lease's
    /// beginning, as what is before `start` has been read.
    Read { file: File, lease: Lease, start: usize, end: usize, offset: u64 },
    /// From the lease, as a read into it.
    Write { file: File, lease: Lease, start: usize, end: usize, offset: u64 },
    /// From the lease, to a socket.
    Send { file: File, lease: Lease, start: usize, end: usize, zero_copy: bool },
    /// To know when a socket takes bytes; the lease is not used.
    Writable { file: File, lease: Lease },
    /// The data, or the metadata too.
    Sync { file: File, data_only: bool },
    /// A path.
    Open { path: CString, options: OpenOptions },
    /// The metadata, unless it is known already.
    Status { file: File, known: Option<Box<Statx>> },
}

impl Request {
    pub(crate) fn into_lease(self) -> Option<Lease> {
        match self {
            Self::Read { lease, .. }
            | Self::Write { lease, .. }
            | Self::Send { lease, .. }
            | Self::Writable { lease, .. } => Some(lease),
            Self::Sync { .. } | Self::Open { .. } | Self::Status { .. } => None,
        }
    }

    /// Whether it is for a ring of Linux 5.6.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    pub(crate) const fn opens_or_asks(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Status { .. })
    }
}

/// An operation that is over.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) request: Request,
    pub(crate) result: Result<u32, Errno>,
    /// The descriptor of a successful open.
    pub(crate) opened: Option<OwnedFd>,
    /// The answer of a successful status.
    pub(crate) status: Option<Statx>,
}

/// What an operation held that nobody waited for. To drop it may close a file
/// and wake who waits for a buffer, so that is not for under a lock.
#[derive(Debug)]
#[allow(dead_code, reason = "it is dropped, not used")]
pub(crate) struct Buried {
    pub(super) request: Request,
    pub(super) opened: Option<OwnedFd>,
}
