//! Sinks for stream sockets through a ring: one for each connection, one system
//! call for all of them.

use std::{
    cell::RefCell,
    io,
    os::fd::OwnedFd,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use forebay::{Progress, Sink};
use forebay_std::Wait;
use rustix::{
    fs::{FileType, fstat},
    io::Errno,
    net::{SocketType, sockopt::socket_type},
};

use super::{
    arena::{Arena, Lease},
    config::{Config, Degraded, SetupError},
    driver::{Driver, Request},
    file::File,
    kernel::Real,
    setup,
    slots::Ticket,
};
use crate::FdSink;

/// The ring of some sinks.
#[derive(Debug)]
struct Ring {
    driver: Driver<Real>,
    lacks: Vec<Degraded>,
}

impl Ring {
    /// Submits what is queued, waits for `want` completions at most `timeout`,
    /// and takes those that are there.
    fn turn(&mut self, want: u32, timeout: Option<Duration>) -> Result<(), Errno> {
        self.driver.reap(|_, _| {});
        let entered = self.driver.enter(want, timeout);
        self.driver.reap(|_, _| {});
        match entered {
            Err(Errno::INTR | Errno::AGAIN | Errno::BUSY) => Ok(()),
            entered => entered,
        }
    }
}

/// Sinks whose writes leave together.
///
/// A write of a member is queued and says [`Progress::Blocked`];
/// [`submit`](SinkSet::submit) hands all that is queued to the kernel by one
/// system call; the next write of the member, of the same bytes, says how many
/// the kernel took. So a pump for each connection is driven, then the set is
/// submitted, then they are driven again:
///
/// ```
/// use std::{io::Read, os::unix::net::UnixStream, time::Duration};
///
/// use forebay_linux::uring::{Config, SinkSet};
/// use forebay_std::forebay::{Pump, frame::Plain, ring::heap};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let set = match SinkSet::new(&Config::new()) {
/// #     Ok(set) => set,
/// #     Err(why) => { println!("SKIPPED: {why}"); return Ok(()) }
/// # };
/// let (mut far, mut lines) = (vec![], vec![]);
/// for _ in 0..10 {
///     let (near, other) = UnixStream::pair()?;
///     let (mut producer, consumer) = heap::ring(4096)?;
///     let mut pump: Pump<'_, _, _, 1> = Pump::new(Plain, vec![0; 4096]);
///     pump.add(consumer).map_err(|_| "a lane is free")?;
///     producer.push(b"to each")?;
///     lines.push((pump, set.add(near)?));
///     far.push(other);
/// }
/// for (pump, sink) in &mut lines {
///     pump.drive(sink)?;
/// }
/// set.submit(10, Some(Duration::from_secs(10)))?;
/// for (pump, sink) in &mut lines {
///     pump.drive(sink)?;
///     assert_eq!(pump.ledger().delivered, 1);
/// }
/// assert_eq!(set.enters(), 1);
/// let mut bytes = [0; 7];
/// far[9].read_exact(&mut bytes)?;
/// # assert_eq!(&bytes, b"to each");
/// # Ok(())
/// # }
/// ```
///
/// A set belongs to one thread, as its ring does. It pays with many connections;
/// for one, [`FdSink`] is cheaper.
#[derive(Clone, Debug)]
pub struct SinkSet {
    ring: Rc<RefCell<Ring>>,
}

impl SinkSet {
    /// A set of up to [`Config::queue_depth`] sinks, with a buffer of
    /// [`Config::buffer_len`] each: so many bytes leave by one write.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when there is no ring to be had; use [`FdSink`] then, or
    /// [`StreamSink`], which does so itself.
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        // One more, for a sink that is replaced while its send is under way.
        let buffers = u32::from(config.depth()?) + 1;
        let arena = Arena::new(buffers, config.buffer_len, None).map_err(SetupError::Buffers)?;
        let mut config = config.clone();
        // Sends do not take registered buffers.
        config.registered_buffers = false;
        config.registered_files = 0;
        config.iopoll = None;
        let (driver, lacks) = setup::driver(&config, Arc::new(arena))?;
        Ok(Self { ring: Rc::new(RefCell::new(Ring { driver, lacks })) })
    }

    /// A sink for `socket`, a stream.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for what is no stream socket, `OutOfMemory` when all
    /// buffers are in use, and what `fstat(2)` reports.
    pub fn add(&self, socket: impl Into<OwnedFd>) -> io::Result<RingSink> {
        self.member(socket.into(), false)
    }

    fn member(&self, socket: OwnedFd, eager: bool) -> io::Result<RingSink> {
        let kind = FileType::from_raw_mode(fstat(&socket)?.st_mode);
        if kind != FileType::Socket || socket_type(&socket)? != SocketType::STREAM {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a stream socket"));
        }
        let lease = self.ring.borrow().driver.arena().lease();
        let lease = lease.ok_or(io::ErrorKind::OutOfMemory)?;
        let state = State::Idle(lease);
        Ok(RingSink { set: self.clone(), socket: socket.into(), state, sent: 0, eager })
    }

    /// Hands all that is queued to the kernel and waits until `count` writes of
    /// the set are over, or all that are under way, at most `timeout`.
    ///
    /// # Errors
    ///
    /// Those of the call; errors of writes are told by the sinks.
    pub fn submit(&self, count: usize, timeout: Option<Duration>) -> io::Result<()> {
        let mut ring = self.ring.borrow_mut();
        let under_way = ring.driver.under_way();
        let want = count.min(under_way);
        Ok(ring.turn(u32::try_from(want).unwrap_or(u32::MAX), timeout)?)
    }

    /// System calls so far.
    #[must_use]
    pub fn enters(&self) -> u64 {
        self.ring.borrow().driver.counts().1.enters
    }

    /// What the ring goes without, with the reasons.
    #[must_use]
    pub fn lacks(&self) -> Vec<Degraded> {
        self.ring.borrow().lacks.clone()
    }
}

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
    /// A sink with a ring of its own, whose writes are submitted at once.
    ///
    /// # Errors
    ///
    /// As [`SinkSet::new`] and [`SinkSet::add`].
    pub fn new(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        // The second slot is for the cancellation.
        SinkSet::new(&Config::new().queue_depth(2))?.member(socket.into(), true)
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
        let want = u32::from(ring.driver.under_way() > 0);
        Ok(ring.turn(want, left)?)
    }
}

impl Drop for RingSink {
    fn drop(&mut self) {
        if let State::UnderWay(ticket) = self.state {
            let mut ring = self.set.ring.borrow_mut();
            ring.driver.cancel(ticket);
            ring.driver.orphan(ticket);
            // An error shows at the next call.
            let _ = ring.turn(0, None);
        }
    }
}

/// A sink for a stream socket: through a ring where there is io_uring, by
/// [`FdSink`] where there is none.
///
/// ```
/// use forebay_linux::uring::StreamSink;
///
/// let (near, _far) = std::os::unix::net::UnixStream::pair()?;
/// let sink = StreamSink::new(near)?;
/// if let Some(why) = sink.fallback() {
///     println!("plain calls: {why}");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub enum StreamSink {
    /// By a ring.
    Ring(RingSink),
    /// By plain calls, for this reason.
    Plain(FdSink<OwnedFd>, SetupError),
}

impl StreamSink {
    /// A sink for `socket`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for what is no stream socket, and what `fstat(2)` reports.
    pub fn new(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        match SinkSet::new(&Config::new().queue_depth(2)) {
            Ok(set) => Ok(Self::Ring(set.member(socket.into(), true)?)),
            Err(why) => Ok(Self::Plain(FdSink::new(socket.into())?, why)),
        }
    }

    /// Why there is no ring, if there is none.
    #[must_use]
    pub const fn fallback(&self) -> Option<SetupError> {
        match self {
            Self::Ring(_) => None,
            Self::Plain(_, why) => Some(*why),
        }
    }
}

impl Sink for StreamSink {
    type Error = io::Error;

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        match self {
            Self::Ring(sink) => sink.write(slices),
            Self::Plain(sink, _) => sink.write(slices),
        }
    }
}

impl Wait for StreamSink {
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        match self {
            Self::Ring(sink) => sink.wait(deadline),
            Self::Plain(sink, _) => sink.wait(deadline),
        }
    }
}
