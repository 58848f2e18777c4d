//! Serial lines: terminal devices without the terminal.

use std::{io, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{Mode, OFlags, open as open_file},
    termios::{OptionalActions, tcgetattr, tcsetattr},
};

/// Opens a terminal device for bytes as they are, at `baud` bits a second.
/// Reads of it do not block.
pub(super) fn open(path: &Path, baud: u32) -> io::Result<OwnedFd> {
    // Neither to become this process's terminal, nor to wait for a carrier.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = open_file(path, flags, Mode::empty())?;
    let mut line = tcgetattr(&fd)?;
    line.make_raw();
    line.set_speed(baud)?;
    tcsetattr(&fd, OptionalActions::Now, &line)?;
    Ok(fd)
}
