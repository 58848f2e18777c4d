//! A socket's send buffer: asked for, and as the kernel gives it.

use std::{
    ffi::OsString,
    io,
    os::{fd::AsFd, unix::net::UnixDatagram},
};

use forebay_std::config;
use rustix::net::sockopt::{set_socket_send_buffer_size, socket_send_buffer_size};

/// The most that `setsockopt(2)` can be asked for.
const REQUEST_MAX: usize = i32::MAX as usize;

/// Says how large a send buffer is to be.
const VARIABLE: &str = "FOREBAY_SNDBUF";

/// What a request for a larger send buffer came to.
///
/// The kernel doubles what is asked for, to have room for its own
/// bookkeeping, and clamps it to `net.core.wmem_max` (`socket(7)`); what it
/// gives is [`effective`](SendBuffer::effective).
///
/// A TCP socket's buffer grows by itself, up to the third number of
/// `net.ipv4.tcp_wmem`, until its size is set: from then on it keeps that size
/// (`tcp(7)`). So ask for a TCP socket's only what is more than that number,
/// or leave it alone. A UNIX socket's buffer never grows by itself.
///
/// ```
/// use forebay_linux::SendBuffer;
///
/// let (near, _far) = std::os::unix::net::UnixStream::pair()?;
/// let buffer = SendBuffer::grow(&near, 1)?;
/// assert_eq!(buffer.effective, buffer.before); // never shrunk
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendBuffer {
    /// Bytes asked for.
    pub requested: usize,
    /// `SO_SNDBUF` before, in bytes as the kernel counts them.
    pub before: usize,
    /// `SO_SNDBUF` now, in bytes as the kernel counts them.
    pub effective: usize,
}

impl SendBuffer {
    /// Asks for a send buffer of `requested` bytes. A buffer that is as large
    /// already, or larger than the kernel gives now, stays as it is: a TCP
    /// socket's that has grown by itself may be.
    ///
    /// # Errors
    ///
    /// What `getsockopt(2)`, `setsockopt(2)` and `socket(2)` report, `ENOTSOCK`
    /// for one; the buffer is as before then.
    pub fn grow(socket: impl AsFd, requested: usize) -> io::Result<Self> {
        let before = socket_send_buffer_size(&socket)?;
        let request = requested.min(REQUEST_MAX);
        if before >= request.saturating_mul(2) || before >= given(request)? {
            return Ok(Self { requested, before, effective: before });
        }
        set_socket_send_buffer_size(&socket, request)?;
        let effective = socket_send_buffer_size(&socket)?;
        Ok(Self { requested, before, effective })
    }

    /// As [`grow`](SendBuffer::grow), by as much as the environment variable
    /// `FOREBAY_SNDBUF` says, a number of bytes, `256K` or `1M`; `None` when it
    /// is not set.
    ///
    /// # Errors
    ///
    /// As `grow`; `InvalidInput` with a [`ConfigError`](forebay_std::ConfigError)
    /// that names the variable, its value and the range, when that is no number
    /// or out of range.
    pub fn grow_from_env(socket: impl AsFd) -> io::Result<Option<Self>> {
        Self::grow_from_vars(socket, |name| std::env::var_os(name))
    }

    /// As [`grow_from_env`](SendBuffer::grow_from_env), from what `vars` says
    /// of the variable.
    ///
    /// ```
    /// use forebay_linux::SendBuffer;
    ///
    /// let (near, _far) = std::os::unix::net::UnixStream::pair()?;
    /// let buffer = SendBuffer::grow_from_vars(&near, |_| Some("1K".into()))?;
    /// assert_eq!(buffer.map(|buffer| buffer.requested), Some(1024));
    /// let error = SendBuffer::grow_from_vars(&near, |_| Some("much".into())).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "FOREBAY_SNDBUF is 'much': a whole number from 1 to 2147483647"
    /// );
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As `grow_from_env`.
    pub fn grow_from_vars(
        socket: impl AsFd,
        vars: impl Fn(&str) -> Option<OsString>,
    ) -> io::Result<Option<Self>> {
        let Some(value) = vars(VARIABLE) else { return Ok(None) };
        let requested = config::number(VARIABLE, &value, 1..=REQUEST_MAX)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Self::grow(socket, requested).map(Some)
    }

    /// Whether the kernel gave less than was asked for.
    #[must_use]
    pub const fn is_clamped(&self) -> bool {
        self.effective < self.requested.saturating_mul(2)
    }
}

/// What the kernel gives for a request, tried on a socket that nobody uses: a
/// size that has been set too small cannot be taken back.
fn given(request: usize) -> io::Result<usize> {
    let scratch = UnixDatagram::unbound()?;
    set_socket_send_buffer_size(&scratch, request)?;
    Ok(socket_send_buffer_size(&scratch)?)
}

/// Lets a send buffer grow while writes block often.
///
/// Out of every 64 writes at most 16 may block; when more do, twice the
/// effective size is asked for, until a maximum or until the kernel gives no
/// more. What [`SendBuffer`] says of TCP goes for this too: it is meant for
/// UNIX sockets.
///
/// A step that fails ends the growth and nothing else: the sink's writes go on
/// as they did.
///
/// ```
/// use forebay_linux::{AutoTune, FdSink};
///
/// let (near, _far) = std::os::unix::net::UnixStream::pair()?;
/// let sink = FdSink::new(near)?.auto_tune(AutoTune::new(1 << 20));
/// assert_eq!(sink.tune().and_then(AutoTune::last), None); // no change yet
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AutoTune {
    len_max: usize,
    writes: u32,
    blocked: u32,
    done: bool,
    last: Option<SendBuffer>,
}

impl AutoTune {
    const WINDOW: u32 = 64;
    const BLOCKED_MAX: u32 = 16;

    /// Grows to at most `len_max` bytes as asked for.
    #[must_use]
    pub const fn new(len_max: usize) -> Self {
        Self { len_max, writes: 0, blocked: 0, done: false, last: None }
    }

    /// The last change that was made.
    #[must_use]
    pub const fn last(&self) -> Option<SendBuffer> {
        self.last
    }

    /// Whether the buffer grows no more: it has its maximum, or all that the
    /// kernel gives.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.done
    }

    /// Takes one write into account. Bytes of that write may have left, so an
    /// error here must not pass for one of the write.
    pub(crate) fn observe(&mut self, socket: impl AsFd, blocked: bool) {
        if self.done {
            return;
        }
        self.writes += 1;
        self.blocked += u32::from(blocked);
        if self.writes < Self::WINDOW {
            return;
        }
        let often = self.blocked > Self::BLOCKED_MAX;
        (self.writes, self.blocked) = (0, 0);
        if often {
            self.done = !self.step(socket).unwrap_or(false);
        }
    }

    /// Asks for twice the size; whether there may be more to get.
    fn step(&mut self, socket: impl AsFd) -> io::Result<bool> {
        // The effective size is twice what was asked for.
        let request = socket_send_buffer_size(&socket)?.min(self.len_max);
        let buffer = SendBuffer::grow(&socket, request)?;
        if buffer.effective == buffer.before {
            return Ok(false);
        }
        self.last = Some(buffer);
        Ok(request < self.len_max && !buffer.is_clamped())
    }
}
