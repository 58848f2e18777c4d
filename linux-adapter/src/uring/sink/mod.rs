//! Sinks for stream sockets through a ring: one for each connection, one system
//! call for all of them.

mod member;
mod stream;

use std::{cell::RefCell, io, os::fd::OwnedFd, rc::Rc, sync::Arc, time::Duration};

use rustix::{
    fs::{FileType, fstat},
    io::Errno,
    net::{SocketType, sockopt::socket_type},
};

use super::{
    arena::Arena,
    config::{Config, Degraded, Feature, SetupError},
    driver::Driver,
    kernel::Real,
    offer, setup,
};
pub use member::RingSink;
pub use stream::StreamSink;

/// The ring of some sinks.
#[derive(Debug)]
struct Ring {
    driver: Driver<Real>,
    lacks: Vec<Degraded>,
}

impl Ring {
    /// Submits what is queued, and waits until `count` operations have ended
    /// since the last call, or all that are under way, at most `timeout`. A
    /// signal ends the wait.
    fn turn(&mut self, count: usize, timeout: Option<Duration>) -> Result<(), Errno> {
        // Those that have ended already are among them.
        let over = self.driver.reap(|_, _| {});
        let want = count.saturating_sub(over).min(self.driver.under_way());
        let entered = self.driver.enter(u32::try_from(want).unwrap_or(u32::MAX), timeout);
        self.driver.reap(|_, _| {});
        match entered {
            Err(Errno::INTR | Errno::AGAIN | Errno::BUSY) => Ok(()),
            entered => entered,
        }
    }
}

/// Sinks whose writes leave together.
///
/// A write of a member is queued and says [`Progress::Blocked`](forebay::Progress::Blocked);
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
/// for one, [`FdSink`](crate::FdSink) is cheaper.
#[derive(Clone, Debug)]
pub struct SinkSet {
    ring: Rc<RefCell<Ring>>,
}

impl SinkSet {
    /// A set of up to [`Config::queue_depth`] sinks, with a buffer of
    /// [`Config::buffer_len`] each: so many bytes leave by one write.
    ///
    /// With [`Config::registered_buffers`] that memory is registered with the
    /// kernel, where it can be: [`lacks`](SinkSet::lacks) says why not. That
    /// takes Linux 6.18, and is slower than without.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when there is no ring to be had; use [`FdSink`](crate::FdSink) then, or
    /// [`StreamSink`], which does so itself.
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        // One more, for a sink that is replaced while its send is under way.
        let buffers = u32::from(config.depth()?) + 1;
        let arena = Arena::new(buffers, config.buffer_len, None).map_err(SetupError::Buffers)?;
        let mut config = config.clone();
        config.iopoll = None;
        // They would gain nothing, and a socket stay open in the table when its
        // sink is gone, until the ring is used again.
        config.registered_files = 0;
        let mut registered = config.registered_buffers.unwrap_or(false);
        let mut lacks = Vec::new();
        if registered && let Err(errno) = offer::quiet_writes() {
            lacks.push(Degraded { feature: Feature::RegisteredSends, errno });
            registered = false;
        }
        config.registered_buffers = Some(registered);
        let (mut driver, missing) = setup::driver(&config, Arc::new(arena))?;
        lacks.extend(missing);
        if registered {
            driver.register_sends();
        }
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
        is_stream(&socket)?;
        let lease = self.ring.borrow().driver.arena().lease();
        let lease = lease.ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(RingSink::new_in(self, socket.into(), lease, eager))
    }

    /// Hands all that is queued to the kernel and waits until `count` writes of
    /// the set are over, or all that are under way, at most `timeout`.
    ///
    /// # Errors
    ///
    /// Those of the call; errors of writes are told by the sinks.
    pub fn submit(&self, count: usize, timeout: Option<Duration>) -> io::Result<()> {
        Ok(self.ring.borrow_mut().turn(count, timeout)?)
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

/// That a descriptor is one of a stream socket.
fn is_stream(socket: &OwnedFd) -> io::Result<()> {
    let kind = FileType::from_raw_mode(fstat(socket)?.st_mode);
    if kind == FileType::Socket && socket_type(socket)? == SocketType::STREAM {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "not a stream socket"))
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::{os::unix::net::UnixStream, thread::yield_now, time::Instant};

    use forebay::{Progress, Sink};
    use forebay_std::Wait;

    use super::*;

    /// What is over already is what is waited for, not what comes next.
    #[test]
    fn a_wait_counts_what_is_over_already() {
        // A polling thread, which completes without being called.
        let config = Config::new().queue_depth(4).sqpoll(None, Duration::from_millis(1));
        let set = match SinkSet::new(&config) {
            Ok(set) => set,
            Err(why) => return println!("SKIPPED: {why}"),
        };
        for lack in set.lacks() {
            println!("SKIPPED: {lack}");
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        for by_the_sink in [false, true] {
            let (near, _far) = UnixStream::pair().unwrap();
            let mut sink = set.add(near).unwrap();
            assert_eq!(sink.write(&[b"bytes"]).unwrap(), Progress::Blocked);
            set.ring.borrow_mut().driver.submit().unwrap();
            while !set.ring.borrow_mut().driver.ready() {
                yield_now();
            }
            if by_the_sink {
                sink.wait(Some(deadline)).unwrap();
            } else {
                let left = deadline.saturating_duration_since(Instant::now());
                set.submit(1, Some(left)).unwrap();
            }
            assert!(Instant::now() < deadline, "waited for another one");
            assert_eq!(sink.write(&[b"bytes"]).unwrap(), Progress::Wrote(5));
        }
    }
}
