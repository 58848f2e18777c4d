//! Many datagrams with one `sendmmsg(2)`.

use std::{
    array,
    error::Error,
    fmt,
    io::{self, ErrorKind, IoSlice},
    os::fd::AsFd,
    time::Instant,
};

use forebay::{Progress, Sink};
use forebay_std::Wait;
use heapless::Vec;
use rustix::{
    io::Errno,
    net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg, sockopt::socket_send_buffer_size},
};

use super::{DATAGRAMS_MAX, each::HEAD_LEN};
use crate::writable;

/// The most parts that the datagrams of one call lie in.
const PARTS_MAX: usize = 256;

/// Sends the frames of [`Each`](super::Each) as datagrams, up to 64 with a
/// system call; they go whole or not at all.
///
/// The socket is connected, or one of a pair. Calls neither block nor raise
/// SIGPIPE, whatever the descriptor's flags are. What an earlier datagram has
/// come to may be told by a later call: UDP's `ECONNREFUSED` for one, after
/// which the same datagrams can be written again. A datagram that is longer than
/// the socket can ever take is an error that stays, with its length and that of
/// the send buffer: it is for [`Each`](super::Each) to keep them shorter.
#[derive(Debug)]
pub struct DatagramSink<Fd> {
    fd: Fd,
    counts: DatagramCounts,
}

/// What a sink's system calls did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatagramCounts {
    /// Calls of `sendmmsg`, whatever became of them.
    pub calls: u64,
    /// Datagrams that the socket has taken.
    pub datagrams: u64,
    /// Calls that a signal interrupted; each was made again.
    pub interrupted: u64,
    /// Calls that would have blocked.
    pub blocked: u64,
    /// Calls of `poll` to wait until the socket was writable.
    pub polls: u64,
}

impl<Fd: AsFd> DatagramSink<Fd> {
    /// A sink for a datagram socket, or any other that keeps messages apart.
    pub const fn new(fd: Fd) -> Self {
        let counts =
            DatagramCounts { calls: 0, datagrams: 0, interrupted: 0, blocked: 0, polls: 0 };
        Self { fd, counts }
    }

    /// What the system calls did.
    pub const fn counts(&self) -> DatagramCounts {
        self.counts
    }

    /// Borrows the socket.
    pub const fn fd(&self) -> &Fd {
        &self.fd
    }

    /// Gives the socket back.
    pub fn into_inner(self) -> Fd {
        self.fd
    }

    /// Makes the call; `None` when it would block. The first of the datagrams
    /// has `first` bytes.
    fn send(&mut self, messages: &mut [MMsgHdr<'_>], first: usize) -> io::Result<Option<usize>> {
        loop {
            self.counts.calls += 1;
            match sendmmsg(&self.fd, messages, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(sent) => return Ok(Some(sent)),
                Err(Errno::INTR) => self.counts.interrupted += 1,
                Err(Errno::AGAIN) => {
                    self.counts.blocked += 1;
                    return Ok(None);
                }
                Err(Errno::MSGSIZE) => {
                    let send_buffer = socket_send_buffer_size(&self.fd)?;
                    return Err(NotDatagrams::TooLong { len: first, send_buffer }.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<Fd: AsFd> Sink for DatagramSink<Fd> {
    type Error = io::Error;

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        let Cut { parts, datagrams } = cut(slices)?;
        let mut controls: [_; DATAGRAMS_MAX] = array::from_fn(|_| SendAncillaryBuffer::default());
        let mut begin = 0;
        let mut messages: Vec<MMsgHdr<'_>, DATAGRAMS_MAX> = datagrams
            .iter()
            .zip(&mut controls)
            .map(|(datagram, control)| {
                let message = MMsgHdr::new(&parts[begin..datagram.parts_end], control);
                begin = datagram.parts_end;
                message
            })
            .collect();
        let first = datagrams.first().map_or(0, |first| first.bytes_end - HEAD_LEN);
        let Some(sent) = self.send(&mut messages, first)? else { return Ok(Progress::Blocked) };
        self.counts.datagrams += sent as u64;
        let last = sent.checked_sub(1).and_then(|last| datagrams.get(last));
        Ok(Progress::Wrote(last.map_or(0, |last| last.bytes_end)))
    }
}

/// Waits with `poll(2)`.
impl<Fd: AsFd> Wait for DatagramSink<Fd> {
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.counts.polls += 1;
        writable::wait(&self.fd, deadline)
    }
}

/// Slices cut into datagrams.
struct Cut<'s> {
    parts: Vec<IoSlice<'s>, PARTS_MAX>,
    datagrams: Vec<Datagram, DATAGRAMS_MAX>,
}

/// Where a datagram ends.
struct Datagram {
    /// Behind its last part.
    parts_end: usize,
    /// Behind its last byte, counted from the first slice, the lengths before
    /// the datagrams among them.
    bytes_end: usize,
}

/// Finds the datagrams at the front of `slices`, at least one.
fn cut<'s>(slices: &[&'s [u8]]) -> io::Result<Cut<'s>> {
    let mut cut = Cut { parts: Vec::new(), datagrams: Vec::new() };
    let mut rest = Rest { slices, at: 0 };
    let mut bytes_end = 0;
    while !cut.datagrams.is_full() && !rest.is_empty() {
        let first = cut.datagrams.is_empty();
        let mut head = [0; HEAD_LEN];
        let got = rest.copy(&mut head);
        if got < HEAD_LEN {
            return Err(NotDatagrams::Ends { needed: HEAD_LEN, given: got }.into());
        }
        let len = u32::from_ne_bytes(head) as usize;
        match rest.take(len, &mut cut.parts) {
            Ok(0) => {}
            Ok(missing) => {
                return Err(NotDatagrams::Ends { needed: len, given: len - missing }.into());
            }
            Err(Scattered) if first => {
                return Err(NotDatagrams::Scattered { len }.into());
            }
            // For the next call; parts behind the last datagram are of none.
            Err(Scattered) => break,
        }
        bytes_end += HEAD_LEN + len;
        let datagram = Datagram { parts_end: cut.parts.len(), bytes_end };
        // There is room, as was asked above.
        let _ = cut.datagrams.push(datagram);
    }
    Ok(cut)
}

/// What has not been looked at of some slices.
struct Rest<'l, 's> {
    slices: &'l [&'s [u8]],
    /// Bytes of the first slice that have been.
    at: usize,
}

/// A datagram lies in more parts than one call takes.
struct Scattered;

impl<'s> Rest<'_, 's> {
    /// Whether nothing is left; moves past slices that are looked at.
    fn is_empty(&mut self) -> bool {
        while let Some((first, more)) = self.slices.split_first() {
            if self.at < first.len() {
                return false;
            }
            (self.slices, self.at) = (more, 0);
        }
        true
    }

    /// The next bytes that lie together, `len` of them at most.
    fn next(&mut self, len: usize) -> Option<&'s [u8]> {
        if self.is_empty() {
            return None;
        }
        let left = self.slices.first()?.get(self.at..)?;
        let part = left.get(..len).unwrap_or(left);
        self.at += part.len();
        Some(part)
    }

    /// Copies bytes out; how many there were.
    fn copy(&mut self, out: &mut [u8]) -> usize {
        let mut done = 0;
        while let Some(out) = out.get_mut(done..).filter(|out| !out.is_empty()) {
            let Some(part) = self.next(out.len()) else { break };
            out[..part.len()].copy_from_slice(part);
            done += part.len();
        }
        done
    }

    /// Takes `len` bytes as parts; how many of them are missing.
    fn take(
        &mut self,
        len: usize,
        parts: &mut Vec<IoSlice<'s>, PARTS_MAX>,
    ) -> Result<usize, Scattered> {
        let mut left = len;
        while left > 0 {
            let Some(part) = self.next(left) else { break };
            left -= part.len();
            parts.push(IoSlice::new(part)).map_err(|_| Scattered)?;
        }
        Ok(left)
    }
}

/// What no datagrams can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NotDatagrams {
    Ends { needed: usize, given: usize },
    Scattered { len: usize },
    TooLong { len: usize, send_buffer: usize },
}

impl From<NotDatagrams> for io::Error {
    fn from(error: NotDatagrams) -> Self {
        Self::new(ErrorKind::InvalidInput, error)
    }
}

impl fmt::Display for NotDatagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Ends { needed, given } => write!(
                f,
                "{given} of a datagram's {needed} bytes were given: its format is not `Each`"
            ),
            Self::Scattered { len } => {
                write!(f, "a datagram of {len} bytes lies in more than {PARTS_MAX} slices")
            }
            Self::TooLong { len, send_buffer } => write!(
                f,
                "the socket takes no datagram of {len} bytes (EMSGSIZE); its send buffer has \
                 {send_buffer}"
            ),
        }
    }
}

impl Error for NotDatagrams {}
