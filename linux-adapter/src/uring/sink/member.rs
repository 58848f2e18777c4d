//! A sink for one socket.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Instant,
};

use forebay::{Progress, Sink};
use forebay_std::Wait;
use rustix::io::Errno;

use super::{
    super::{arena::Lease, config::Config, driver::Request, file::File, slots::Ticket},
    SinkSet,
};

/// Where a sink's buffer is.
#[derive(Debug)]
enum State {
    Idle(Lease),
    /// With the kernel, which sends or waits until it can.
    UnderWay(Ticket),
    /// For a moment.
    Moving,
}

/// A sink for a stream socket through a ring.
///
/// A write copies what fits into the sink's buffer, which is the kernel's until
/// the completion; only then, and only so many bytes as the kernel took, does
/// a write say that they were taken. Until then it says [`Progress::Blocked`]
/// and is to be given the same bytes again, as a pump does.
///
/// ```
/// use std::os::unix::net::UnixStream;
///
/// use forebay_linux::uring::RingSink;
/// use forebay_std::forebay::{Progress, Sink};
///
/// # fn main() -> std::io::Result<()> {
/// let (near, far) = UnixStream::pair()?;
/// let mut sink = match RingSink::new(near) {
///     Ok(sink) => sink,
///     Err(why) => { println!("SKIPPED: {why}"); return Ok(()) }
/// };
/// assert_eq!(sink.write(&[b"one ", b"", b"call"])?, Progress::Wrote(8));
///
/// drop(far);
/// let error = sink.write(&[b"to nobody"]).unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
/// # Ok(())
/// # }
/// ```
///
/// What was under way when the sink is dropped is cancelled; the kernel may
/// have sent a part of it.
#[derive(Debug)]
pub struct RingSink {
    set: SinkSet,
    socket: File,
    state: State,
    /// Bytes that the kernel took and no write has told yet.
    sent: usize,
    /// Whether each write is submitted at once.
    eager: bool,
}

impl RingSink {
    pub(super) fn new_in(set: &SinkSet, socket: File, lease: Lease, eager: bool) -> Self {
        Self { set: set.clone(), socket, state: State::Idle(lease), sent: 0, eager }
    }

    /// A sink with a ring of its own, whose writes are submitted at once.
    ///
    /// # Errors
    ///
    /// As [`SinkSet::new`] and [`SinkSet::add`].
    pub fn new(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        // The second slot is for the cancellation.
        SinkSet::new(&Config::new().queue_depth(2))?.member(socket.into(), true)
    }

    /// System calls so far, of the whole set.
    #[must_use]
    pub fn enters(&self) -> u64 {
        self.set.enters()
    }

    /// Puts `socket` in the place of the one whose peer is gone. What was under
    /// way is cancelled; what had left of a frame went to the old peer: see
    /// [`Drainer::rewind`](forebay_std::Drainer::rewind).
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    ///
    /// use forebay_linux::uring::RingSink;
    /// use forebay_std::Drainer;
    /// use forebay_std::forebay::frame::Plain;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (near, far) = UnixStream::pair()?;
    /// let sink = match RingSink::new(near) {
    ///     Ok(sink) => sink,
    ///     Err(why) => { println!("SKIPPED: {why}"); return Ok(()) }
    /// };
    /// let mut drainer = Drainer::new(Plain, sink);
    /// let mut sender = drainer.sender(1 << 12)?;
    /// sender.send(b"to whoever is there")?;
    /// drop(far);
    /// assert!(drainer.flush().is_err());
    ///
    /// let (near, _far) = UnixStream::pair()?;
    /// drainer.sink_mut().replace(near)?;
    /// drainer.rewind();
    /// drainer.flush()?;
    /// assert_eq!(drainer.ledger().delivered, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`SinkSet::add`]; the sink is as before.
    pub fn replace(&mut self, socket: impl Into<OwnedFd>) -> io::Result<()> {
        *self = self.set.member(socket.into(), self.eager)?;
        Ok(())
    }

    /// Queues a send of what is in the buffer; whether there was room.
    fn start(&mut self, request: Request) -> bool {
        let mut ring = self.set.ring.borrow_mut();
        match ring.driver.start([request]) {
            Ok([ticket]) => self.state = State::UnderWay(ticket),
            Err([request]) => {
                // Every request of a sink has its lease.
                if let Some(lease) = request.into_lease() {
                    self.state = State::Idle(lease);
                }
            }
        }
        matches!(self.state, State::UnderWay(_))
    }

    /// Looks for the completion; whether the buffer is this side's.
    fn settle(&mut self) -> io::Result<bool> {
        let State::UnderWay(ticket) = self.state else { return Ok(true) };
        let mut done = self.set.ring.borrow_mut().driver.take(ticket);
        if done.is_none() && self.eager {
            self.set.ring.borrow_mut().turn(0, None)?;
            done = self.set.ring.borrow_mut().driver.take(ticket);
        }
        let Some(done) = done else { return Ok(false) };
        let waited = matches!(done.request, Request::Writable { .. });
        if let Request::Send { lease, start, end, .. } = done.request {
            if done.result == Err(Errno::AGAIN) {
                // A socket that is non-blocking: the kernel does not wait by
                // itself. Nothing has left.
                debug_assert!(start < end);
                self.state = State::Moving;
                self.start(Request::Writable { file: self.socket.clone(), lease });
                return Ok(false);
            }
            self.state = State::Idle(lease);
        } else if let Some(lease) = done.request.into_lease() {
            self.state = State::Idle(lease);
        }
        match done.result {
            Ok(len) if !waited => self.sent = len as usize,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(true)
    }
}

/// Copies the front of the slices into the buffer; how many bytes.
fn copy(slices: &[&[u8]], buffer: &mut [u8]) -> usize {
    let mut len = 0;
    for slice in slices {
        let part = slice.len().min(buffer.len() - len);
        buffer[len..len + part].copy_from_slice(&slice[..part]);
        len += part;
        if len == buffer.len() {
            break;
        }
    }
    len
}

impl AsFd for RingSink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Sink for RingSink {
    type Error = io::Error;

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        // Twice: what is over, and what that makes room for.
        loop {
            if !self.settle()? {
                return Ok(Progress::Blocked);
            }
            if self.sent > 0 {
                let given: usize = slices.iter().map(|slice| slice.len()).sum();
                let len = self.sent.min(given);
                self.sent -= len;
                return Ok(Progress::Wrote(len));
            }
            let State::Idle(mut lease) = std::mem::replace(&mut self.state, State::Moving) else {
                return Ok(Progress::Blocked);
            };
            let end = copy(slices, &mut lease);
            let file = self.socket.clone();
            let started =
                self.start(Request::Send { file, lease, start: 0, end, zero_copy: false });
            if !started {
                // Another sink of the set has the last slot.
                return Ok(Progress::Blocked);
            }
            if !self.eager {
                return Ok(Progress::Blocked);
            }
        }
    }
}

/// Waits for a completion of the set.
impl Wait for RingSink {
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let mut ring = self.set.ring.borrow_mut();
        if let State::UnderWay(ticket) = self.state
            && !ring.driver.slots().is_under_way(ticket)
        {
            return Ok(());
        }
        Ok(ring.turn(1, left)?)
    }
}

impl Drop for RingSink {
    fn drop(&mut self) {
        if let State::UnderWay(ticket) = self.state {
            let mut ring = self.set.ring.borrow_mut();
            let asked = ring.driver.cancel(ticket);
            drop(ring.driver.orphan(ticket));
            if asked {
                // An error shows at the next call.
                let _ = ring.turn(0, None);
            }
        }
    }
}
