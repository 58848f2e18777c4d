//! A sink for any descriptor, one system call a write.

use std::{
    io::{self, IoSlice},
    os::fd::AsFd,
    time::Instant,
};

use forebay::{Progress, Sink};
use forebay_std::Wait;
use heapless::Vec;
use rustix::{
    fs::{FileType, fstat},
    io::{Errno, ReadWriteFlags, pwritev2, writev},
    net::{SendAncillaryBuffer, SendFlags, ipproto, sendmsg, sockopt},
};

use crate::{send_buffer::AutoTune, writable};

/// A write to a pipe of at most so many bytes goes whole or not at all, and
/// is not mixed with those of other processes (`pipe(7)`). A pump that shares a
/// FIFO is limited with [`Pump::len_max`](forebay::Pump::len_max).
///
/// ```
/// use forebay_linux::{FdSink, PIPE_BUF};
/// use forebay_std::forebay::{checksum::CRC32, frame::Prefixed};
/// use forebay_std::Drainer;
///
/// let (_reader, fifo) = std::io::pipe()?;
/// let sink = FdSink::nonblocking(fifo)?;
/// // A frame of a longer payload would go in parts.
/// let format = Prefixed::native(PIPE_BUF - 10, CRC32);
/// let mut drainer = Drainer::with_pump(|pump| pump.len_max(PIPE_BUF), format, sink);
/// let mut sender = drainer.sender(1 << 14)?;
/// sender.send(&[7; PIPE_BUF - 10])?;
/// drop(sender);
/// drainer.run()?;
/// assert_eq!((drainer.counts().bytes, drainer.counts().short), (4096, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub const PIPE_BUF: usize = 4096;

/// The most slices of one system call (`IOV_MAX`, `readv(2)`).
const IOV_MAX: usize = 1024;
/// Up to so many slices the full number is not put on the stack.
const IOV_FEW: usize = 64;

/// `RWF_NOSIGNAL` of `linux/fs.h`, since Linux 6.18: no SIGPIPE for this call.
pub(crate) const NOSIGNAL: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x100);
/// `pwritev2(2)` at the descriptor's own position, as `writev(2)`.
pub(crate) const OWN_POSITION: u64 = u64::MAX;

/// What kind of descriptor a sink writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A stream socket: `sendmsg(2)` that neither blocks nor raises SIGPIPE,
    /// whatever the descriptor's flags are. A datagram socket would make one
    /// datagram of each batch: [`datagram`](crate::datagram) is for those.
    Socket,
    /// A pipe or FIFO: `pwritev2(2)` or `writev(2)`, which block unless the
    /// descriptor is non-blocking, see [`FdSink::nonblocking`].
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
    /// Calls of `sendmsg`, `writev` and `pwritev2`, whatever became of them.
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
/// is gone is an error (`EPIPE`, `ECONNRESET`). A signal handler that
/// interrupts a write which blocks makes it a short one (`signal(7)`).
///
/// SIGPIPE is never raised by a socket, nor, since Linux 6.18, by a pipe
/// (`RWF_NOSIGNAL`). Before that a pipe without a reader raises it; Rust
/// programs ignore it from their start, and a library in another program's
/// process must ask that program to do so. Whether it can happen is
/// [`raises_sigpipe`](FdSink::raises_sigpipe).
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
    cork: Cork,
    /// Whether the kernel may know `RWF_NOSIGNAL`; false from its first no.
    nosignal: bool,
}

/// Whether a TCP socket holds back what fills no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cork {
    /// It is not to.
    Unasked,
    /// It is no TCP socket.
    InVain,
    /// It is to; nothing has been written since the last flush.
    Out,
    /// The end of what has been written may be held back.
    In,
}

impl Cork {
    fn of(fd: impl AsFd, kind: Kind) -> io::Result<Self> {
        let is_tcp = kind == Kind::Socket && sockopt::socket_protocol(fd)? == Some(ipproto::TCP);
        Ok(if is_tcp { Self::Out } else { Self::InVain })
    }
}

impl<Fd: AsFd> FdSink<Fd> {
    /// A sink for `fd`, whose flags stay as they are.
    ///
    /// # Errors
    ///
    /// What `fstat(2)` reports.
    pub fn new(fd: Fd) -> io::Result<Self> {
        let kind = Kind::of(&fd)?;
        let nosignal = kind == Kind::Pipe;
        Ok(Self {
            fd,
            kind,
            counts: FdSinkCounts::default(),
            tune: None,
            cork: Cork::Unasked,
            nosignal,
        })
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
    /// [`AutoTune`]. Does nothing for other descriptors.
    #[must_use]
    pub fn auto_tune(mut self, tune: AutoTune) -> Self {
        self.tune = Some(tune);
        self
    }

    /// Sends whole segments alone over TCP while there is more to write
    /// (`MSG_MORE`): the end of a batch waits for the next one, until the
    /// drainer finds nothing more and [flushes](Wait::flush), at most 200 ms
    /// (`tcp(7)`). Costs a system call a flush; is worth that where `TCP_NODELAY`
    /// is set and a burst takes several writes. Does nothing for other
    /// descriptors.
    ///
    /// # Errors
    ///
    /// What `getsockopt(2)` reports.
    pub fn cork(mut self) -> io::Result<Self> {
        self.cork = Cork::of(&self.fd, self.kind)?;
        Ok(self)
    }

    /// What the automatic growth of the send buffer has come to, if there is
    /// one.
    pub const fn tune(&self) -> Option<&AutoTune> {
        self.tune.as_ref()
    }

    /// Whether a write to a peer that is gone raises SIGPIPE: a pipe's does
    /// before Linux 6.18, which the first write finds out.
    pub const fn raises_sigpipe(&self) -> bool {
        matches!(self.kind, Kind::Pipe) && !self.nosignal
    }

    /// The kind of the descriptor.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What the system calls did.
    pub const fn counts(&self) -> FdSinkCounts {
        self.counts
    }

    /// Bytes of the socket that have not left the host: see
    /// [`unsent`](crate::unsent()).
    ///
    /// # Errors
    ///
    /// As `unsent`.
    pub fn unsent(&self) -> io::Result<usize> {
        crate::unsent(&self.fd)
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
    /// What `fstat(2)` and `getsockopt(2)` report; the sink is as before.
    pub fn replace(&mut self, fd: Fd) -> io::Result<Fd> {
        let kind = Kind::of(&fd)?;
        let cork = if self.cork == Cork::Unasked { self.cork } else { Cork::of(&fd, kind)? };
        (self.kind, self.cork, self.nosignal) = (kind, cork, kind == Kind::Pipe);
        Ok(std::mem::replace(&mut self.fd, fd))
    }

    /// Gives the descriptor back.
    pub fn into_inner(self) -> Fd {
        self.fd
    }

    /// Writes the first `N` slices that are not empty. Not inlined, so that
    /// only who gives many slices pays for the stack of many.
    #[inline(never)]
    fn write_some<const N: usize>(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        let filled = slices.iter().filter(|slice| !slice.is_empty());
        let vector: Vec<IoSlice<'_>, N> = filled.map(|slice| IoSlice::new(slice)).take(N).collect();
        loop {
            match self.call(&vector) {
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

    /// Makes the one call, and once in a sink's life a second.
    fn call(&mut self, vector: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
        self.counts.calls += 1;
        if self.kind == Kind::Socket {
            let mut flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            if matches!(self.cork, Cork::Out | Cork::In) {
                self.cork = Cork::In;
                flags |= SendFlags::MORE;
            }
            return sendmsg(&self.fd, vector, &mut SendAncillaryBuffer::default(), flags);
        }
        if self.nosignal {
            match pwritev2(&self.fd, vector, OWN_POSITION, NOSIGNAL) {
                // An older kernel, one without `pwritev2`, and a seccomp filter;
                // a pipe gives none of these itself.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => {
                    self.nosignal = false;
                    self.counts.calls += 1;
                }
                result => return result,
            }
        }
        writev(&self.fd, vector)
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
            tune.observe(&self.fd, progress == Progress::Blocked);
        }
        Ok(progress)
    }
}

/// Waits with `poll(2)`.
impl<Fd: AsFd> Wait for FdSink<Fd> {
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.counts.polls += 1;
        writable::wait(&self.fd, deadline)
    }

    /// Lets go of what [`cork`](FdSink::cork) has held back.
    fn flush(&mut self) -> io::Result<()> {
        if self.cork == Cork::In {
            // Pushes what `MSG_MORE` has held back, too.
            sockopt::set_tcp_cork(&self.fd, false)?;
            self.cork = Cork::Out;
        }
        Ok(())
    }
}
