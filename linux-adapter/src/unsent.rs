//! How much of a socket's data has not left the host.
#![allow(unsafe_code)]

use std::{io, os::fd::AsFd};

use rustix::ioctl::{Getter, Opcode, ioctl};

/// Bytes in the socket's send queue: not acknowledged by a TCP peer, not read
/// by a UNIX one (`SIOCOUTQ`, `tcp(7)`, `unix(7)`). A UNIX socket counts the
/// kernel's own bookkeeping too, as it does for `SO_SNDBUF`.
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
/// What `ioctl(2)` reports: `ENOTTY` for a file or a pipe, `EINVAL` for a
/// socket that listens.
pub fn unsent(socket: impl AsFd) -> io::Result<usize> {
    /// `SIOCOUTQ` of `linux/sockios.h`, which is `TIOCOUTQ` of
    /// `asm/ioctls.h`, where some architectures differ.
    const SIOCOUTQ: Opcode = if cfg!(any(
        target_arch = "mips",
        target_arch = "mips32r6",
        target_arch = "mips64",
        target_arch = "mips64r6"
    )) {
        0x7472
    } else if cfg!(any(
        target_arch = "powerpc",
        target_arch = "powerpc64",
        target_arch = "sparc",
        target_arch = "sparc64"
    )) {
        0x4004_7473
    } else {
        0x5411
    };
    // SAFETY: the kernel writes one `int` for this request.
    let getter = unsafe { Getter::<SIOCOUTQ, i32>::new() };
    // SAFETY: the getter above describes the request.
    let len = unsafe { ioctl(&socket, getter) }?;
    Ok(usize::try_from(len).unwrap_or(0))
}
