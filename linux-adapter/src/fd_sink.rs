//! A sink for any descriptor, one system call a write.

use std::{
    io::{self, IoSlice},
    os::fd::AsFd,
    time::Instant,
};

use forebay::{Progress, Sink};
use forebay_std::Wait;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, fstat},
    io::Errno,
    net::{SendAncillaryBuffer, SendFlags, sendmsg},
};

use crate::send_buffer::AutoTune;

/// A write to a pipe of at most so many bytes goes whole or not at all, and
/// is not mixed with those of other processes (`pipe(7)`). A pump that shares a
/// FIFO is limited with [`Pump::len_max`](forebay::Pump::len_max).
pub const PIPE_BUF: usize = 4096;

/// The most slices of one system call (`IOV_MAX`, `readv(2)`).
const IOV_MAX: usize = 1024;
/// So many slices are put on the stack before the full number is.
const IOV_FEW: usize = 64;

/// What kind of descriptor a sink writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A socket: `sendmsg(2)` that neither blocks nor raises SIGPIPE,
    /// whatever the descriptor's flags are.
    Socket,
    /// A pipe or FIFO: `writev(2)`, which blocks unless the descriptor is
    /// non-blocking, see [`FdSink::nonblocking`].
    Pipe,
    /// A file or a device: `writev(2)`.
    Other,
}

impl Kind {
    fn of(fd: impl AsFd) -> io::Result<Self> {
        Ok(match FileType::from_raw_mode(fstat(fd)?.st_mode) {
            FileType::Socket => Self::Socket,
            FileType::Fifo => Self::Pipe,
            _ => Self::Other,
        })
    }
}

/// What a sink's system calls did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FdSinkCounts {
    /// Calls of `sendmsg` and `writev`, interrupted and blocked ones among
    /// them.
    pub calls: u64,
    /// Calls that a signal interrupted; each was made again.
    pub interrupted: u64,
    /// Calls that would have blocked.
    pub blocked: u64,
    /// Calls of `poll` to wait until the descriptor was writable.
    pub polls: u64,
}

/// Writes slices to a descriptor with one vectored system call.
///
/// Short writes and `EAGAIN` are progress, `EINTR` is tried again. A peer that
/// is gone is an error (`EPIPE`, `ECONNRESET`). On a pipe the kernel also
/// raises SIGPIPE, which Rust programs ignore from their start; a library in
/// another program's process must ask that program to do so.
///
/// ```
/// use forebay_linux::FdSink;
/// use forebay_std::forebay::{Progress, Sink};
///
/// let (near, far) = std::os::unix::net::UnixStream::pair()?;
/// let mut sink = FdSink::new(near)?;
/// assert_eq!(sink.write(&[b"one ", b"", b"call"])?, Progress::Wrote(8));
/// assert_eq!(sink.counts().calls, 1);
///
/// drop(far);
/// let error = sink.write(&[b"to nobody"]).unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct FdSink<Fd> {
    fd: Fd,
    kind: Kind,
    counts: FdSinkCounts,
    tune: Option<AutoTune>,
}

impl<Fd: AsFd> FdSink<Fd> {
    /// A sink for `fd`, whose flags stay as they are.
    ///
    /// # Errors
    ///
    /// What `fstat(2)` reports.
    pub fn new(fd: Fd) -> io::Result<Self> {
        let kind = Kind::of(&fd)?;
        Ok(Self { fd, kind, counts: FdSinkCounts::default(), tune: None })
    }

    /// A sink for `fd`, which is made non-blocking: for all who share its open
    /// file description, so not for an inherited standard output.
    ///
    /// # Errors
    ///
    /// What `fstat(2)` and `ioctl(2)` report.
    pub fn nonblocking(fd: Fd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Self::new(fd)
    }

    /// Lets the socket's send buffer grow when writes would block often; see
    /// [`AutoTune`].
    #[must_use]
    pub fn auto_tune(mut self, tune: AutoTune) -> Self {
        self.tune = Some(tune);
        self
    }

    /// The kind of the descriptor.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What the system calls did.
    pub const fn counts(&self) -> FdSinkCounts {
        self.counts
    }

    /// Borrows the descriptor.
    pub const fn fd(&self) -> &Fd {
        &self.fd
    }

    /// Puts `fd` in the place of the descriptor, whose peer is gone, and gives
    /// that one back; the counts go on. What had left of a frame went to the
    /// old one: see [`Drainer::rewind`](forebay_std::Drainer::rewind).
    ///
    /// ```
    /// use forebay_linux::FdSink;
    /// use forebay_std::Drainer;
    /// use forebay_std::forebay::frame::Plain;
    ///
    /// let (near, far) = std::os::unix::net::UnixStream::pair()?;
    /// let mut drainer = Drainer::new(Plain, FdSink::new(near)?);
    /// let mut sender = drainer.sender(1 << 12)?;
    /// sender.send(b"to whoever is there")?;
    /// drop(far);
    /// assert!(drainer.flush().is_err());
    ///
    /// let (near, _far) = std::os::unix::net::UnixStream::pair()?;
    /// drainer.sink_mut().replace(near)?;
    /// drainer.rewind();
    /// drainer.flush()?;
    /// assert_eq!(drainer.ledger().delivered, 1);
    /// assert_eq!(drainer.sink().counts().calls, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `fstat(2)` reports; the sink is as before.
    pub fn replace(&mut self, fd: Fd) -> io::Result<Fd> {
        self.kind = Kind::of(&fd)?;
        Ok(std::mem::replace(&mut self.fd, fd))
    }

    /// Gives the descriptor back.
    pub fn into_inner(self) -> Fd {
        self.fd
    }

    fn write_some<const N: usize>(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        let mut vector = [IoSlice::new(&[]); N];
        let mut len = 0;
        for (place, slice) in vector.iter_mut().zip(slices.iter().filter(|s| !s.is_empty())) {
            *place = IoSlice::new(slice);
            len += 1;
        }
        let vector = &vector[..len];
        loop {
            self.counts.calls += 1;
            let result = match self.kind {
                Kind::Socket => {
                    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                    sendmsg(&self.fd, vector, &mut SendAncillaryBuffer::default(), flags)
                }
                Kind::Pipe | Kind::Other => rustix::io::writev(&self.fd, vector),
            };
            match result {
                Ok(len) => return Ok(Progress::Wrote(len)),
                Err(Errno::INTR) => self.counts.interrupted += 1,
                Err(Errno::AGAIN) => {
                    self.counts.blocked += 1;
                    return Ok(Progress::Blocked);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<Fd: AsFd> Sink for FdSink<Fd> {
    type Error = io::Error;

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        let progress = if slices.len() <= IOV_FEW {
            self.write_some::<IOV_FEW>(slices)?
        } else {
            self.write_some::<IOV_MAX>(slices)?
        };
        if let (Kind::Socket, Some(tune)) = (self.kind, &mut self.tune) {
            tune.observe(&self.fd, progress == Progress::Blocked)?;
        }
        Ok(progress)
    }
}

/// Waits with `poll(2)`.
impl<Fd: AsFd> Wait for FdSink<Fd> {
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        self.counts.polls += 1;
        // An error or a hang-up also ends the wait; the next write tells it.
        match poll(&mut [PollFd::new(&self.fd, PollFlags::OUT)], left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
