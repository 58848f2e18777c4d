//! How much of a socket's data has not left the host.
//!
//! The one file of this crate with unsafe code.
#![allow(unsafe_code)]

use std::{io, os::fd::AsFd};

use rustix::ioctl::{Getter, ioctl};

/// Bytes in the socket's send queue: not acknowledged by a TCP peer, not read
/// by a UNIX one (`SIOCOUTQ`, `tcp(7)`, `unix(7)`).
///
/// ```
/// use std::io::Write;
/// let (mut near, _far) = std::os::unix::net::UnixStream::pair()?;
/// assert_eq!(forebay_linux::unsent(&near)?, 0);
/// near.write_all(b"waiting")?;
/// assert!(forebay_linux::unsent(&near)? > 0);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// What `ioctl(2)` reports, `ENOTTY` for what is no socket.
pub fn unsent(socket: impl AsFd) -> io::Result<usize> {
    /// `SIOCOUTQ` of `linux/sockios.h`, the same number on every architecture
    /// that has not its own `TIOCOUTQ`.
    const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;
    // SAFETY: the kernel writes one `int` for this request.
    let getter = unsafe { Getter::<SIOCOUTQ, i32>::new() };
    // SAFETY: the getter above describes the request.
    let len = unsafe { ioctl(&socket, getter) }?;
    Ok(usize::try_from(len).unwrap_or(0))
}
