//! Bytes that go from one descriptor to another and never come here.
//!
//! For what is large and is a file, or in a pipe, already. The messages before
//! it are flushed, it is forwarded, then the messages go on; from which size on
//! that is ahead of reading and writing says the bench `sockets`.

use std::{
    error::Error,
    fmt,
    io::{self, ErrorKind},
    ops::Range,
    os::fd::AsFd,
};

use forebay::Progress;
use rustix::{
    fs::sendfile,
    io::{Errno, retry_on_intr},
    pipe::{SpliceFlags, splice},
};

/// The most bytes of one system call (`MAX_RW_COUNT` on pages of 4 KiB).
const LEN_MAX: u64 = 0x7fff_f000;

/// Sends bytes of a file to a descriptor with one `sendfile(2)`, and moves the
/// beginning of `range` past those that went.
///
/// It blocks unless `to` is non-blocking, see
/// [`FdSink::nonblocking`](crate::FdSink::nonblocking). Unlike a sink's write
/// it raises SIGPIPE when the peer is gone and the program does not ignore
/// that signal; Rust programs do from their start.
///
/// ```
/// use std::io::{Read, Write};
///
/// use forebay_linux::{FdSink, send_file};
/// use forebay_std::forebay::{Progress, frame::Plain};
/// use forebay_std::Drainer;
///
/// let path = std::env::temp_dir().join(format!("forebay-send-file-{}", std::process::id()));
/// std::fs::write(&path, b"the payload, which may be large")?;
/// let file = std::fs::File::open(&path)?;
/// std::fs::remove_file(&path)?;
///
/// let (near, mut far) = std::os::unix::net::UnixStream::pair()?;
/// let mut drainer = Drainer::new(Plain, FdSink::new(near)?);
/// let mut sender = drainer.sender(1 << 10)?;
/// sender.send(&31u32.to_le_bytes())?; // a head of one's own
/// drainer.flush()?; // before what is forwarded
/// let mut range = 0..31;
/// while !range.is_empty() {
///     send_file(drainer.sink().fd(), &file, &mut range)?;
/// }
/// drop((sender, drainer));
///
/// let mut wire = Vec::new();
/// far.read_to_end(&mut wire)?;
/// assert_eq!(wire, b"\x1f\0\0\0the payload, which may be large");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// What `sendfile(2)` reports; `UnexpectedEof`, with a [`FileEnded`], when the
/// file ends before `range` does.
pub fn send_file(to: impl AsFd, file: impl AsFd, range: &mut Range<u64>) -> io::Result<Progress> {
    let left = range.end.saturating_sub(range.start);
    if left == 0 {
        return Ok(Progress::Wrote(0));
    }
    // At most that, so it fits.
    let len = usize::try_from(left.min(LEN_MAX)).unwrap_or(usize::MAX);
    let mut at = range.start;
    let sent = retry_on_intr(|| sendfile(&to, &file, Some(&mut at), len));
    match sent {
        Ok(0) => Err(io::Error::new(
            ErrorKind::UnexpectedEof,
            FileEnded { end: range.start, missing: left },
        )),
        Ok(len) => {
            range.start += len as u64;
            Ok(Progress::Wrote(len))
        }
        Err(Errno::AGAIN) => Ok(Progress::Blocked),
        Err(error) => Err(error.into()),
    }
}

/// A file that has fewer bytes than were to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileEnded {
    /// Where it ends, in bytes.
    pub end: u64,
    /// Bytes of the range that are missing.
    pub missing: u64,
}

impl fmt::Display for FileEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the file ends at {}, {} bytes too early", self.end, self.missing)
    }
}

impl Error for FileEnded {}

/// Moves up to `len` bytes that are in a pipe to a descriptor, or bytes of a
/// descriptor into a pipe, with one `splice(2)`; one of both is a pipe.
/// `Wrote(0)` says that `from` has ended.
///
/// `Blocked` says that the pipe is empty, or full, or that the other one would
/// block and is non-blocking; a pipe is never waited for. As for SIGPIPE see
/// [`send_file`].
///
/// ```
/// use std::io::{Read, Write};
/// use forebay_linux::forward;
/// use forebay_std::forebay::Progress;
///
/// let (pipe, mut writer) = std::io::pipe()?;
/// let (near, mut far) = std::os::unix::net::UnixStream::pair()?;
/// assert_eq!(forward(&near, &pipe, 100)?, Progress::Blocked);
/// writer.write_all(b"from a pipe")?;
/// assert_eq!(forward(&near, &pipe, 100)?, Progress::Wrote(11));
/// drop(writer);
/// assert_eq!(forward(&near, &pipe, 100)?, Progress::Wrote(0));
/// let mut bytes = [0; 11];
/// far.read_exact(&mut bytes)?;
/// assert_eq!(&bytes, b"from a pipe");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// What `splice(2)` reports: `EINVAL` when neither is a pipe.
pub fn forward(to: impl AsFd, from: impl AsFd, len: usize) -> io::Result<Progress> {
    let moved = retry_on_intr(|| splice(&from, None, &to, None, len, SpliceFlags::NONBLOCK));
    match moved {
        Ok(len) => Ok(Progress::Wrote(len)),
        Err(Errno::AGAIN) => Ok(Progress::Blocked),
        Err(error) => Err(error.into()),
    }
}
