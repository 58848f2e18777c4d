//! A socket's send buffer: asked for, and as the kernel gives it.

use std::{io, os::fd::AsFd};

use rustix::net::sockopt::{set_socket_send_buffer_size, socket_send_buffer_size};

/// What a request for a larger send buffer came to.
///
/// The kernel doubles what is asked for, to have room for its own
/// bookkeeping, and clamps it to `net.core.wmem_max` (`socket(7)`); what it
/// gives is [`effective`](SendBuffer::effective).
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
    /// Asks for a send buffer of `requested` bytes. A buffer that is larger
    /// already stays as it is.
    ///
    /// # Errors
    ///
    /// What `getsockopt(2)` and `setsockopt(2)` report, `ENOTSOCK` for one.
    pub fn grow(socket: impl AsFd, requested: usize) -> io::Result<Self> {
        let before = socket_send_buffer_size(&socket)?;
        if before >= requested.saturating_mul(2) {
            return Ok(Self { requested, before, effective: before });
        }
        set_socket_send_buffer_size(&socket, requested)?;
        let mut effective = socket_send_buffer_size(&socket)?;
        if effective < before {
            // Clamped below what the socket had: the old size is asked for,
            // which the kernel halves in its bookkeeping.
            set_socket_send_buffer_size(&socket, before.div_ceil(2))?;
            effective = socket_send_buffer_size(&socket)?;
        }
        Ok(Self { requested, before, effective })
    }

    /// Whether the kernel gave less than was asked for.
    #[must_use]
    pub const fn is_clamped(&self) -> bool {
        self.effective < self.requested.saturating_mul(2)
    }
}

/// Lets a send buffer grow while writes block often.
///
/// Out of every 64 writes at most 16 may block; when more do, twice the
/// effective size is asked for, until a maximum or until the kernel gives no
/// more.
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

    /// Takes one write into account.
    pub(crate) fn observe(&mut self, socket: impl AsFd, blocked: bool) -> io::Result<()> {
        if self.done {
            return Ok(());
        }
        self.writes += 1;
        self.blocked += u32::from(blocked);
        if self.writes < Self::WINDOW {
            return Ok(());
        }
        let often = self.blocked > Self::BLOCKED_MAX;
        (self.writes, self.blocked) = (0, 0);
        if often {
            // The effective size is twice what was asked for.
            let now = socket_send_buffer_size(&socket)?;
            let buffer = SendBuffer::grow(&socket, now.min(self.len_max))?;
            self.done = buffer.effective <= buffer.before || now >= self.len_max;
            self.last = Some(buffer);
        }
        Ok(())
    }
}
