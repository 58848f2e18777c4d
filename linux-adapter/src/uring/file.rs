//! Open files, and what `O_DIRECT` demands of them.

use std::{
    error::Error,
    fmt,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::{
    fs::{CWD, Mode, OFlags},
    io::Errno,
};

use super::{
    op::Target,
    region::page_len,
    table::{Place, Table},
};
use crate::probe::Direct;

/// How a file is to be opened.
///
/// ```
/// use forebay_linux::uring::OpenOptions;
///
/// let log = OpenOptions::write_only().create(0o644).append();
/// let image = OpenOptions::read_only().direct();
/// # let _ = (log, image);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    flags: OFlags,
    mode: Mode,
    registered: bool,
}

impl OpenOptions {
    const fn with(flags: OFlags) -> Self {
        Self { flags: flags.union(OFlags::CLOEXEC), mode: Mode::empty(), registered: false }
    }

    /// For reads.
    #[must_use]
    pub const fn read_only() -> Self {
        Self::with(OFlags::RDONLY)
    }

    /// For writes.
    #[must_use]
    pub const fn write_only() -> Self {
        Self::with(OFlags::WRONLY)
    }

    /// For both.
    #[must_use]
    pub const fn read_write() -> Self {
        Self::with(OFlags::RDWR)
    }

    /// Makes the file, with these permissions, if it is not there.
    #[must_use]
    pub const fn create(mut self, mode: u32) -> Self {
        self.flags = self.flags.union(OFlags::CREATE);
        self.mode = Mode::from_bits_truncate(mode);
        self
    }

    /// Makes the file, and fails if it is there.
    #[must_use]
    pub const fn create_new(mut self, mode: u32) -> Self {
        self.flags = self.flags.union(OFlags::EXCL);
        self.create(mode)
    }

    /// Empties the file.
    #[must_use]
    pub const fn truncate(mut self) -> Self {
        self.flags = self.flags.union(OFlags::TRUNC);
        self
    }

    /// Writes at the end, wherever they are asked to go (`open(2)`, Bugs).
    #[must_use]
    pub const fn append(mut self) -> Self {
        self.flags = self.flags.union(OFlags::APPEND);
        self
    }

    /// Past the page cache (`O_DIRECT`). Offsets, lengths and addresses then
    /// have to be aligned as [`File::alignment`] says; leases are.
    #[must_use]
    pub const fn direct(mut self) -> Self {
        self.flags = self.flags.union(OFlags::DIRECT);
        self
    }

    /// Registers the file with the ring while there is room: worth its two
    /// system calls for a file of many operations.
    #[must_use]
    pub const fn registered(mut self) -> Self {
        self.registered = true;
        self
    }

    pub(crate) const fn is_registered(&self) -> bool {
        self.registered
    }

    pub(crate) fn is_direct(&self) -> bool {
        self.flags.contains(OFlags::DIRECT)
    }

    pub(crate) const fn flags(&self) -> OFlags {
        self.flags
    }

    pub(crate) const fn mode(&self) -> Mode {
        self.mode
    }

    /// Opens at once, by `openat(2)`.
    pub(crate) fn open(&self, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(CWD, path, self.flags, self.mode)
    }
}

/// What transfers of a file opened with `O_DIRECT` must be multiples of, in
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alignment {
    /// Of the address in memory.
    pub memory: u32,
    /// Of the offset in the file, and of the length.
    pub offset: u32,
}

impl Alignment {
    /// What the file system says (`STATX_DIOALIGN`, Linux 6.1), or a page
    /// where it says nothing.
    fn of(fd: BorrowedFd<'_>) -> Self {
        let page = u32::try_from(page_len()).unwrap_or(4096);
        match Direct::of(fd) {
            Ok(Direct::Possible { memory: Some(memory), offset: Some(offset) }) => {
                Self { memory, offset }
            }
            _ => Self { memory: page, offset: page },
        }
    }

    /// Whether a transfer is aligned.
    pub(crate) fn check(self, at: usize, len: usize, offset: u64) -> Result<(), Misaligned> {
        let wrong = |part, have: u64, multiple_of: u32| {
            if have.is_multiple_of(u64::from(multiple_of)) {
                Ok(())
            } else {
                Err(Misaligned { part, have, multiple_of })
            }
        };
        wrong(Part::Offset, offset, self.offset)?;
        wrong(Part::Length, len as u64, self.offset)?;
        wrong(Part::Address, at as u64, self.memory)
    }
}

/// A part of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The offset in the file.
    Offset,
    /// The length in bytes.
    Length,
    /// The address in memory.
    Address,
}

/// A transfer of an `O_DIRECT` file that the kernel would refuse.
///
/// ```
/// use forebay_linux::uring::{Misaligned, Part};
///
/// let error = Misaligned { part: Part::Length, have: 100, multiple_of: 512 };
/// assert_eq!(error.to_string(), "O_DIRECT: the length 100 is no multiple of 512");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misaligned {
    /// What is not aligned.
    pub part: Part,
    /// What it is.
    pub have: u64,
    /// What it is to be a multiple of.
    pub multiple_of: u32,
}

impl fmt::Display for Misaligned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::Offset => "offset",
            Part::Length => "length",
            Part::Address => "address",
        };
        write!(f, "O_DIRECT: the {part} {} is no multiple of {}", self.have, self.multiple_of)
    }
}

impl Error for Misaligned {}

#[derive(Debug)]
struct Inner {
    // Dropped first: the table lets go of the file after its own descriptor.
    place: Option<Place>,
    fd: OwnedFd,
    alignment: Option<Alignment>,
    /// Whether `RWF_NOWAIT` may work here; false from its first no.
    nowait: AtomicBool,
    /// The same for writes, which fewer file systems take so.
    nowait_writes: AtomicBool,
}

/// An open file.
///
/// It is closed when the last clone is dropped and the last operation on it is
/// over: an operation keeps its file, so that the number of its descriptor
/// cannot come to mean another one.
#[derive(Clone, Debug)]
pub struct File {
    inner: Arc<Inner>,
}

impl File {
    pub(crate) fn new(fd: OwnedFd, direct: bool, place: Option<Place>) -> Self {
        let alignment = direct.then(|| Alignment::of(fd.as_fd()));
        let inner = Inner {
            place,
            fd,
            alignment,
            nowait: AtomicBool::new(!direct),
            nowait_writes: AtomicBool::new(!direct),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What transfers are to be aligned to; `None` without `O_DIRECT`.
    #[must_use]
    pub fn alignment(&self) -> Option<Alignment> {
        self.inner.alignment
    }

    /// What an entry of a ring with this table names.
    pub(crate) fn target(&self, table: Option<&Table>) -> Target {
        let place = self.inner.place.as_ref().zip(table);
        match place.and_then(|(place, table)| table.index(place)) {
            Some(index) => Target::Registered(index),
            None => Target::Descriptor(self.inner.fd.as_raw_fd()),
        }
    }

    pub(crate) fn nowait(&self) -> bool {
        // Relaxed: a hint.
        self.inner.nowait.load(Ordering::Relaxed)
    }

    pub(crate) fn no_nowait(&self) {
        self.inner.nowait.store(false, Ordering::Relaxed);
    }

    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    pub(crate) fn nowait_writes(&self) -> bool {
        // Relaxed: a hint.
        self.inner.nowait_writes.load(Ordering::Relaxed)
    }

    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    pub(crate) fn no_nowait_writes(&self) {
        self.inner.nowait_writes.store(false, Ordering::Relaxed);
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.fd.as_fd()
    }
}

/// A descriptor of any kind; whether it is open with `O_DIRECT` is asked.
impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> Self {
        let flags = rustix::fs::fcntl_getfl(&fd).unwrap_or(OFlags::empty());
        Self::new(fd, flags.contains(OFlags::DIRECT), None)
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> Self {
        OwnedFd::from(file).into()
    }
}
