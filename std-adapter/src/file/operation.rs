//! What a backend is asked, and what it answers.

use std::{
    error::Error,
    fmt,
    fs::OpenOptions,
    io,
    ops::{DerefMut, Range},
    path::PathBuf,
};

/// How a file is opened, as [`std::fs::OpenOptions`] but readable by a backend
/// that does not open through `std`.
///
/// ```
/// use forebay_std::file::Options;
///
/// let options = Options { write: true, create: true, ..Options::default() };
/// let path = std::env::temp_dir().join(format!("forebay-options-{}", std::process::id()));
/// assert!(options.open(&path)?.metadata()?.is_file());
/// std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// For reading.
    pub read: bool,
    /// For writing, at any offset.
    pub write: bool,
    /// A file that is there is emptied.
    pub truncate: bool,
    /// A file that is not there is made.
    pub create: bool,
    /// The file is made, and it is an error if it is there.
    pub create_new: bool,
    /// Further flags of `open(2)` such as `O_DIRECT`, or of `CreateFile`.
    pub flags: u32,
}

impl Options {
    /// For reading alone.
    pub const READ: Self = Self {
        read: true,
        write: false,
        truncate: false,
        create: false,
        create_new: false,
        flags: 0,
    };

    /// For writing a file that is made, or emptied if it is there.
    pub const CREATE: Self = Self {
        read: false,
        write: true,
        truncate: true,
        create: true,
        create_new: false,
        flags: 0,
    };

    /// Opens through `std`.
    ///
    /// # Errors
    ///
    /// What the system reports.
    pub fn open(&self, path: impl AsRef<std::path::Path>) -> io::Result<std::fs::File> {
        let mut options = OpenOptions::new();
        options.read(self.read).write(self.write).truncate(self.truncate);
        options.create(self.create).create_new(self.create_new);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, self.flags.cast_signed());
        #[cfg(windows)]
        std::os::windows::fs::OpenOptionsExt::custom_flags(&mut options, self.flags);
        options.open(path)
    }
}

/// What a backend is asked to do. Bytes are owned: they go with the operation
/// and come back with its [`Completion`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Operation<F, L> {
    /// Open a file; [`Done::Opened`].
    Open {
        /// Where it is.
        path: PathBuf,
        /// How it is opened.
        options: Options,
    },
    /// Read into `lease[range]` from `offset` on; [`Done::Moved`], with fewer
    /// bytes than asked for where the file ends, and wherever else the system
    /// stops.
    Read {
        /// Of what is read.
        file: F,
        /// Where the bytes go.
        lease: L,
        /// Which of its bytes.
        range: Range<usize>,
        /// The first byte's place in the file.
        offset: u64,
    },
    /// Write `lease[range]` at `offset`; [`Done::Moved`], maybe fewer bytes
    /// than asked for.
    Write {
        /// What is written to.
        file: F,
        /// Where the bytes are.
        lease: L,
        /// Which of its bytes.
        range: Range<usize>,
        /// The first byte's place in the file.
        offset: u64,
    },
    /// Have everything written so far, of which completions were reaped, on
    /// the device; [`Done::Synced`].
    Sync {
        /// Of what file.
        file: F,
        /// Without what is not needed to read the data back, such as times
        /// (`fdatasync(2)`).
        data_only: bool,
    },
    /// Say how long the file is; [`Done::Len`].
    Len {
        /// Which file.
        file: F,
    },
    /// Give a handle up where that blocks nobody; [`Done::Closed`]. The file is
    /// closed with its last handle. What could not be written back is told by
    /// [`Sync`](Operation::Sync), not here.
    Close {
        /// Which handle.
        file: F,
    },
}

/// What an operation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Done<F> {
    /// A file was opened.
    Opened(F),
    /// So many bytes were read or written; none were read at the file's end.
    Moved(usize),
    /// The file is on the device.
    Synced,
    /// The file's length in bytes.
    Len(u64),
    /// The handle is gone.
    Closed,
    /// It was given up, as [`cancel`](super::Backend::cancel) asked. A write
    /// may have happened all the same.
    Cancelled,
}

impl<F> Done<F> {
    /// The same of a file of another type.
    pub fn map<G>(self, to_file: impl FnOnce(F) -> G) -> Done<G> {
        match self {
            Self::Opened(file) => Done::Opened(to_file(file)),
            Self::Moved(len) => Done::Moved(len),
            Self::Synced => Done::Synced,
            Self::Len(len) => Done::Len(len),
            Self::Closed => Done::Closed,
            Self::Cancelled => Done::Cancelled,
        }
    }

    /// How many bytes were moved, if that is what was done.
    pub fn moved(&self) -> Option<usize> {
        if let Self::Moved(len) = self { Some(*len) } else { None }
    }
}

/// Names an operation from its submission to its completion, and no other one
/// of the same backend, ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// A ticket of a backend, which gives each number once.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// The end of an operation.
#[derive(Debug)]
#[must_use = "it holds the outcome and the lease"]
pub struct Completion<F, L> {
    /// Which operation.
    pub ticket: Ticket,
    /// What came of it. An error of the system keeps its number
    /// ([`io::Error::raw_os_error`]).
    pub result: io::Result<Done<F>>,
    /// The bytes that went with it, whatever came of it.
    pub lease: Option<L>,
}

/// An operation that was not begun, given back.
#[derive(Debug)]
#[must_use = "it holds the operation"]
pub struct Rejected<F, L> {
    /// What was asked.
    pub operation: Operation<F, L>,
    /// Why it was not begun.
    pub why: Why,
}

/// Why an operation was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// As many operations as may be have been submitted and not been reaped.
    Full {
        /// How many.
        depth: usize,
    },
    /// The range is not within the lease.
    Range {
        /// The first byte of the range.
        start: usize,
        /// The byte after its last one.
        end: usize,
        /// How long the lease is.
        len: usize,
    },
    /// Unbuffered I/O demands a multiple that something here is not. A backend
    /// that does not know of which leaves that to the system (`EINVAL`).
    Misaligned {
        /// The address, offset or length that is wrong.
        value: u64,
        /// What it must be a multiple of.
        align: u64,
    },
    /// The file or the lease is of another backend.
    Foreign,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { depth } => write!(f, "{depth} operations under way, which is all"),
            Self::Range { start, end, len } => {
                write!(f, "bytes {start}..{end} of a lease of {len}")
            }
            Self::Misaligned { value, align } => {
                write!(f, "{value} is not a multiple of {align}, as unbuffered I/O demands")
            }
            Self::Foreign => f.write_str("a file or a lease of another backend"),
        }
    }
}

impl Error for Why {}

impl<F, L> fmt::Display for Rejected<F, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rejected: {}", self.why)
    }
}

impl<F: fmt::Debug, L: fmt::Debug> Error for Rejected<F, L> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.why)
    }
}

impl<F, L: DerefMut<Target = [u8]>> Operation<F, L> {
    /// Checks that the range lies within the lease, for who implements a
    /// backend.
    ///
    /// # Errors
    ///
    /// [`Why::Range`].
    pub fn check_range(&self) -> Result<(), Why> {
        match self {
            Self::Read { lease, range, .. } | Self::Write { lease, range, .. }
                if lease.get(range.clone()).is_none() =>
            {
                Err(Why::Range { start: range.start, end: range.end, len: lease.len() })
            }
            _ => Ok(()),
        }
    }

    /// How many bytes are to be read or written.
    #[must_use]
    pub fn asked(&self) -> usize {
        match self {
            Self::Read { range, .. } | Self::Write { range, .. } => range.len(),
            Self::Open { .. } | Self::Sync { .. } | Self::Len { .. } | Self::Close { .. } => 0,
        }
    }

    /// The file that it is of, if that is open already.
    #[must_use]
    pub fn file(&self) -> Option<&F> {
        match self {
            Self::Read { file, .. }
            | Self::Write { file, .. }
            | Self::Sync { file, .. }
            | Self::Len { file }
            | Self::Close { file } => Some(file),
            Self::Open { .. } => None,
        }
    }

    /// The bytes that go with it.
    #[must_use]
    pub fn lease(&self) -> Option<&L> {
        match self {
            Self::Read { lease, .. } | Self::Write { lease, .. } => Some(lease),
            Self::Open { .. } | Self::Sync { .. } | Self::Len { .. } | Self::Close { .. } => None,
        }
    }

    /// The same with a file and a lease of other types, for a backend that
    /// stands before another one.
    pub fn map<G, M>(
        self,
        to_file: impl FnOnce(F) -> G,
        to_lease: impl FnOnce(L) -> M,
    ) -> Operation<G, M> {
        match self {
            Self::Open { path, options } => Operation::Open { path, options },
            Self::Read { file, lease, range, offset } => {
                Operation::Read { file: to_file(file), lease: to_lease(lease), range, offset }
            }
            Self::Write { file, lease, range, offset } => {
                Operation::Write { file: to_file(file), lease: to_lease(lease), range, offset }
            }
            Self::Sync { file, data_only } => Operation::Sync { file: to_file(file), data_only },
            Self::Len { file } => Operation::Len { file: to_file(file) },
            Self::Close { file } => Operation::Close { file: to_file(file) },
        }
    }

    /// The lease of an operation that is not to be done.
    #[must_use]
    pub fn into_lease(self) -> Option<L> {
        match self {
            Self::Read { lease, .. } | Self::Write { lease, .. } => Some(lease),
            Self::Open { .. } | Self::Sync { .. } | Self::Len { .. } | Self::Close { .. } => None,
        }
    }
}
