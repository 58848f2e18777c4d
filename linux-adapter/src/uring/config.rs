//! What a context is to be, and why it is not that.

use std::{error::Error, fmt, io, path::PathBuf, time::Duration};

use rustix::io::Errno;

/// How a context waits for completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Looks for them without a pause: a processor for the least latency.
    Poll,
    /// Sleeps in the kernel.
    Block,
    /// Looks for them so long, then sleeps.
    Hybrid(Duration),
}

/// How buffered files are read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a plain call at once: a read takes what is in the page cache and
    /// leaves the rest to the ring; a write of a context may wait, as `write(2)`
    /// may. That of a task does not: what the page cache does not take at once,
    /// which on ext4 is all, is left to a thread that has nothing else to do, or
    /// to the ring, unless it is [allowed to wait](Config::waiting_writes).
    Inline,
    /// By the ring always.
    Ring,
}

/// What a [`Context`](super::Context) is to be.
///
/// ```
/// use forebay_linux::uring::{Config, Context, SetupError};
///
/// let error = Context::new(&Config::new().queue_depth(5000)).unwrap_err();
/// assert_eq!(error.to_string(), "a queue depth of 5000 is not within 1 to 4096");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub(crate) queue_depth: u32,
    pub(crate) buffers: Option<u32>,
    pub(crate) buffer_len: usize,
    pub(crate) registered_buffers: Option<bool>,
    pub(crate) registered_files: u32,
    pub(crate) single_issuer: bool,
    pub(crate) sqpoll: Option<SqPoll>,
    pub(crate) iopoll: Option<PathBuf>,
    pub(crate) wait: Wait,
    pub(crate) reads: Way,
    pub(crate) writes: Way,
    pub(crate) waiting_writes: Option<Duration>,
    pub(crate) close_within: Duration,
}

const REGISTERED_MAX: u32 = 32768;

/// A thread of the kernel that submits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SqPoll {
    pub(crate) cpu: Option<u32>,
    pub(crate) idle: Duration,
}

impl Config {
    /// The most operations under way that can be asked for.
    pub const QUEUE_DEPTH_MAX: u32 = 4096;

    /// What suits most: 128 operations under way, as many buffers of 64 KiB,
    /// cached reads and buffered writes by plain calls, memory and files
    /// registered where that is allowed.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            queue_depth: 128,
            buffers: None,
            buffer_len: 64 * 1024,
            registered_buffers: None,
            registered_files: 64,
            single_issuer: true,
            sqpoll: None,
            iopoll: None,
            wait: Wait::Block,
            reads: Way::Inline,
            writes: Way::Inline,
            waiting_writes: None,
            close_within: Duration::from_secs(1),
        }
    }

    /// The most operations under way, 1 to 4096.
    #[must_use]
    pub const fn queue_depth(mut self, operations: u32) -> Self {
        self.queue_depth = operations;
        self
    }

    /// How many buffers there are; one an operation unless it is set.
    #[must_use]
    pub const fn buffers(mut self, count: u32) -> Self {
        self.buffers = Some(count);
        self
    }

    /// The length of a buffer in bytes, rounded up to whole pages.
    #[must_use]
    pub const fn buffer_len(mut self, bytes: usize) -> Self {
        self.buffer_len = bytes;
        self
    }

    /// Whether the buffers are registered with the kernel, which then need not
    /// look up their pages for each operation. They count against the limit of
    /// locked memory; where that forbids it the context goes on without.
    ///
    /// Unless it is set, the buffers of files are, and those of a
    /// [`SinkSet`](super::SinkSet) are not, whose sends are the slower for it.
    #[must_use]
    pub const fn registered_buffers(mut self, yes: bool) -> Self {
        self.registered_buffers = Some(yes);
        self
    }

    /// How many files may be registered with the kernel; zero for none, and at
    /// most 32768.
    #[must_use]
    pub const fn registered_files(mut self, count: u32) -> Self {
        self.registered_files = if count < REGISTERED_MAX { count } else { REGISTERED_MAX };
        self
    }

    /// Lets a thread of the kernel submit, which sleeps when there has been
    /// nothing for `idle`. It costs a processor; at a low depth it is slower.
    #[must_use]
    pub const fn sqpoll(mut self, cpu: Option<u32>, idle: Duration) -> Self {
        self.sqpoll = Some(SqPoll { cpu, idle });
        self
    }

    /// Polls the device for completions instead of waiting for its interrupts:
    /// for files opened with `O_DIRECT` on devices whose driver can do that.
    /// `probe` is a file on the device, which is read from to see whether it
    /// can; where it cannot, the context goes on without. Everything but reads
    /// and writes is then done by plain calls.
    #[must_use]
    pub fn iopoll(mut self, probe: impl Into<PathBuf>) -> Self {
        self.iopoll = Some(probe.into());
        self
    }

    /// How to wait.
    #[must_use]
    pub const fn wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// How files without `O_DIRECT` are read.
    #[must_use]
    pub const fn reads(mut self, way: Way) -> Self {
        self.reads = way;
        self
    }

    /// How files without `O_DIRECT` are written.
    #[must_use]
    pub const fn writes(mut self, way: Way) -> Self {
        self.writes = way;
        self
    }

    /// Lets the thread of a task wait for its writes, where the page cache takes
    /// none without waiting (ext4, tmpfs). Most then take no longer than
    /// `pwrite(2)`; but one that has to wait for the disk, since too much is
    /// unwritten or the journal is full, holds up all tasks of its thread. After
    /// one that took longer than `limit`, writes are left to others again for a
    /// hundred times as long as it took, so that such waits are about a
    /// hundredth of the time. A context's writes wait anyway.
    #[must_use]
    pub const fn waiting_writes(mut self, limit: Duration) -> Self {
        self.waiting_writes = Some(limit);
        self
    }

    /// How long a context that is dropped waits for operations under way
    /// before it leaks their memory.
    #[must_use]
    pub const fn close_within(mut self, time: Duration) -> Self {
        self.close_within = time;
        self
    }

    /// The depth as the slots have it.
    pub(crate) fn depth(&self) -> Result<u16, SetupError> {
        let asked = self.queue_depth;
        match u16::try_from(asked) {
            Ok(depth) if (1..=Self::QUEUE_DEPTH_MAX).contains(&asked) => Ok(depth),
            _ => Err(SetupError::QueueDepth { asked, most: Self::QUEUE_DEPTH_MAX }),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

/// Why there is no context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupError {
    /// The queue depth is out of its range, which begins at 1.
    QueueDepth {
        /// What was asked for.
        asked: u32,
        /// The most.
        most: u32,
    },
    /// There is no memory for the buffers.
    Buffers(Errno),
    /// The kernel gives no ring (`io_uring_setup(2)`).
    Ring(Errno),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QueueDepth { asked, most } => {
                write!(f, "a queue depth of {asked} is not within 1 to {most}")
            }
            Self::Buffers(errno) => write!(f, "no memory for the buffers: {errno}"),
            Self::Ring(errno) => {
                let why = match *errno {
                    Errno::NOSYS => "the kernel has no io_uring, or a seccomp filter hides it",
                    Errno::PERM | Errno::ACCESS => {
                        "io_uring is forbidden, by a seccomp filter or kernel.io_uring_disabled"
                    }
                    Errno::NOMEM => "the limit of locked memory is reached",
                    Errno::MFILE | Errno::NFILE => "no descriptor is left",
                    _ => "io_uring_setup failed",
                };
                write!(f, "{why}: {errno}")
            }
        }
    }
}

impl Error for SetupError {}

impl From<SetupError> for io::Error {
    fn from(error: SetupError) -> Self {
        let kind = match error {
            SetupError::QueueDepth { .. } => io::ErrorKind::InvalidInput,
            SetupError::Buffers(errno) | SetupError::Ring(errno) => Self::from(errno).kind(),
        };
        Self::new(kind, error)
    }
}

/// Something that a context can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feature {
    /// The kernel does its share of the work when the one thread that uses the
    /// ring asks for it.
    SingleIssuer,
    /// The kernel does its share at the next system call, without an
    /// interruption.
    CooperativeTaskRun,
    /// The kernel goes on submitting behind an entry that is wrong.
    SubmitAll,
    /// The polling thread.
    SqPoll,
    /// A processor for the polling thread.
    SqPollCpu,
    /// Devices that are polled.
    IoPoll,
    /// Registered buffers.
    RegisteredBuffers,
    /// Sends from registered buffers.
    RegisteredSends,
    /// Registered files.
    RegisteredFiles,
    /// Reads from the page cache by plain calls.
    CachedReads,
    /// Operations other than reads, writes and syncs.
    OpenAndStatus,
}

/// A feature that a context goes without, and why.
///
/// ```
/// use forebay_linux::uring::{Degraded, Feature};
///
/// let errno = rustix::io::Errno::NOMEM;
/// let degraded = Degraded { feature: Feature::RegisteredBuffers, errno };
/// assert!(degraded.to_string().starts_with(
///     "no registered buffers: raise the limit of locked memory (ulimit -l)"
/// ));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// What is missing.
    pub feature: Feature,
    /// What the kernel said.
    pub errno: Errno,
}

impl fmt::Display for Degraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, advice) = match self.feature {
            Feature::SingleIssuer => ("single-issuer ring", "needs Linux 6.1"),
            Feature::CooperativeTaskRun => ("cooperative task runs", "needs Linux 5.19"),
            Feature::SubmitAll => ("submission past a wrong entry", "needs Linux 5.18"),
            Feature::SqPoll => ("polling thread", "needs Linux 5.11, or CAP_SYS_NICE before"),
            Feature::SqPollCpu => ("processor for the polling thread", "is it in this cpuset?"),
            Feature::IoPoll => ("polled device", "needs a driver with poll queues"),
            Feature::RegisteredBuffers if self.errno == Errno::NOMEM => {
                ("registered buffers", "raise the limit of locked memory (ulimit -l)")
            }
            Feature::RegisteredBuffers => ("registered buffers", "they are refused"),
            Feature::RegisteredSends => ("sends from registered buffers", "needs Linux 6.18"),
            Feature::RegisteredFiles => ("registered files", "raise the limit of open files"),
            Feature::CachedReads => ("cached reads by plain calls", "broken in Linux 5.9 and 5.10"),
            Feature::OpenAndStatus => ("open and statx by the ring", "needs Linux 5.6"),
        };
        write!(f, "no {what}: {advice}: {}", self.errno)
    }
}
