//! What a daemon that is gone has left unread in its FIFO.
//!
//! A FIFO keeps its bytes while somebody holds it open, and a daemon that
//! starts makes a new one. So what is in the old one then nobody will read:
//! its records can be sent again. `tee(2)` copies them without taking them
//! away from other processes, which may do the same.

use std::{io, os::fd::OwnedFd};

use forebay::{
    Decoder,
    frame::dlt::{Dlt, Id, Message, UserRecord},
};
use rustix::{
    fs::{self, Mode, OFlags},
    io::Errno,
    pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, tee},
};
use std::os::fd::AsRawFd;

use super::endpoint::read_some;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// The whole messages of this process and application, as records, oldest
    /// first.
    pub(super) records: Vec<Vec<u8>>,
    /// Bytes of a record whose beginning had been read.
    pub(super) cut_len: u64,
}

/// Looks through the FIFO behind `fifo`, which is open for writing.
pub(super) fn unread(fifo: &OwnedFd, app: Id, session: u32) -> io::Result<Unread> {
    // The same FIFO again, for reading, whatever its name stands for now.
    let path = format!("/proc/self/fd/{}", fifo.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let reader = fs::open(path, flags, Mode::empty())?;
    let (copy, into) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
    // As many pieces as the FIFO has fit a pipe of its size.
    let len = fcntl_getpipe_size(fifo)?;
    fcntl_setpipe_size(&into, len)?;
    match tee(&reader, &into, len, SpliceFlags::NONBLOCK) {
        Ok(_) | Err(Errno::AGAIN) => {}
        Err(error) => return Err(error.into()),
    }
    drop((reader, into));

    let mut decoder = Decoder::new(Dlt::user(usize::from(u16::MAX)), vec![0; 1 << 17])
        .map_err(io::Error::other)?;
    let mut found = Unread::default();
    loop {
        match read_some(&copy, decoder.free()) {
            Ok(Some(len)) => decoder.received(len),
            Ok(None) => return Ok(found),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(found),
            Err(error) => return Err(error),
        }
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    if is_own(frame.payload, app, session) {
                        found.records.push(frame.payload.to_vec());
                    }
                }
                Ok(None) => break,
                Err(_) => {}
            }
        }
        found.cut_len = decoder.counts().bytes_lost;
    }
}

fn is_own(record: &[u8], app: Id, session: u32) -> bool {
    let Ok(UserRecord::Log(message)) = UserRecord::parse(record) else { return false };
    Message::parse(message).is_ok_and(|message| {
        message.header.session == Some(session)
            && message.header.extended.is_some_and(|extended| extended.app == app)
    })
}
