//! Waiting for room.

use std::{io, os::fd::AsFd, time::Instant};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

/// Returns when `fd` is writable, at `deadline`, or when a signal comes. An
/// error or a hang-up also ends the wait; the next write tells it.
pub(crate) fn wait(fd: impl AsFd, deadline: Option<Instant>) -> io::Result<()> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(&mut [PollFd::new(&fd, PollFlags::OUT)], left.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
