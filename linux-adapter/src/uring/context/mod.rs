//! Files by a ring that belongs to one thread.
//!
//! # Implementation
//!
//! `files` opens, adopts and asks, `transfers` moves bytes and chooses the way
//! for each, `wait` brings back what is over.

mod files;
mod transfers;
mod wait;

use std::{marker::PhantomData, sync::Arc, time::Duration};

use rustix::io_uring::IoringSetupFlags;

use super::{
    arena::{Arena, Lease},
    config::{Config, Degraded, SetupError, Wait, Way},
    driver::{Driver, Request},
    kernel::Real,
    offer,
    outcome::{Counts, Why},
    ready::Ready,
    setup,
    slots::Ticket,
};

/// Reads and writes files through a ring, many operations at a time.
///
/// An operation takes its buffer, a [`Lease`], by value and gives it back with
/// its completion. So no memory can be freed or reused while the kernel works
/// on it, whatever is dropped, cancelled or forgotten.
///
/// ```
/// use forebay_linux::uring::{Config, Context, OpenOptions, Outcome};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = std::env::temp_dir().join(format!("forebay-context-{}", std::process::id()));
/// # std::fs::write(&path, b"some bytes")?;
/// # let mut context = match Context::new(&Config::new()) {
/// #     Ok(context) => context,
/// #     Err(why) => { println!("SKIPPED: {why}"); return Ok(()) }
/// # };
/// let ticket = context.open(&path, OpenOptions::read_only())?;
/// let Outcome::Opened(file) = context.complete(ticket)? else { unreachable!() };
/// let file = file?;
///
/// let lease = context.lease().ok_or("all buffers are out")?;
/// let ticket = context.read(&file, lease, 4096, 5)?;
/// let Outcome::Moved(lease, len) = context.complete(ticket)? else { unreachable!() };
/// assert_eq!(&lease[..len?], b"bytes");
/// # std::fs::remove_file(&path)?;
/// # Ok(())
/// # }
/// ```
///
/// A context stays on its thread, as its ring belongs to that:
///
/// ```compile_fail,E0277
/// # use forebay_linux::uring::{Config, Context};
/// let context = Context::new(&Config::new()).unwrap();
/// std::thread::spawn(move || drop(context));
/// ```
///
/// What is submitted need not be complete to be dropped: dropping the context
/// cancels what is under way and waits for the kernel to let go of it, at most
/// [`Config::close_within`]. What then still is not over is leaked and counted,
/// see [`leaked`](super::leaked).
#[derive(Debug)]
pub struct Context {
    driver: Driver<Real>,
    /// Operations that are over and not taken, oldest first.
    ready: Ready,
    lacks: Vec<Degraded>,
    depth: u32,
    wait: Wait,
    reads: Way,
    writes: Way,
    cached_reads: u64,
    cache_misses: u64,
    plain_writes: u64,
    /// The ring is for one thread.
    not_send: PhantomData<*mut ()>,
}

impl Context {
    /// A context as near to `config` as this machine allows;
    /// [`lacks`](Context::lacks) says what it goes without.
    ///
    /// # Errors
    ///
    /// [`SetupError`] when there is no ring to be had.
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        let depth = u32::from(config.depth()?);
        let buffers = config.buffers.unwrap_or(depth);
        let arena = Arena::new(buffers, config.buffer_len, None).map_err(SetupError::Buffers)?;
        let (driver, mut lacks) = setup::driver(config, Arc::new(arena))?;
        let mut reads = config.reads;
        if let (Way::Inline, Err(why)) = (reads, offer::cached_reads()) {
            lacks.push(why);
            reads = Way::Ring;
        }
        if driver.has(IoringSetupFlags::IOPOLL) {
            // Plain reads, which wait.
            reads = Way::Ring;
        }
        Ok(Self {
            driver,
            ready: Ready::new(depth as usize),
            lacks,
            depth,
            wait: config.wait,
            reads,
            writes: config.writes,
            cached_reads: 0,
            cache_misses: 0,
            plain_writes: 0,
            not_send: PhantomData,
        })
    }

    /// What was asked for or is usual, and is missing here, with the reasons.
    #[must_use]
    pub fn lacks(&self) -> &[Degraded] {
        &self.lacks
    }

    /// How the operations went.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let (driver, ring) = self.driver.counts();
        Counts {
            cached_reads: self.cached_reads,
            cache_misses: self.cache_misses,
            plain_writes: self.plain_writes,
            ring_operations: driver.operations,
            ring_completions: driver.completions,
            enters: ring.enters,
            interrupted: ring.interrupted,
            overflows: ring.overflows,
            orphans: driver.orphans,
            late_opens: driver.late_opens,
            stray: driver.stray,
        }
    }

    /// Operations that the kernel has not completed.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.driver.under_way()
    }

    /// Lends a buffer; `None` when all are out.
    #[must_use]
    pub fn lease(&self) -> Option<Lease> {
        self.driver.arena().lease()
    }

    /// Asks for the end of an operation. It completes in any case, with
    /// `ECANCELED` or as if nothing had been asked; a transfer that a disk has
    /// begun goes on to its end.
    ///
    /// False when it is over already, or too much is queued to ask.
    pub fn cancel(&mut self, ticket: Ticket) -> bool {
        self.driver.slots().is_under_way(ticket) && self.driver.cancel(ticket)
    }

    /// Lets an operation go on without its completion being told. Its buffer is
    /// free again when it is over, the file of such an open is closed.
    pub fn forget(&mut self, ticket: Ticket) {
        self.ready.remove(ticket);
        self.driver.orphan(ticket);
    }

    /// Ends all operations, at most `within`; how many had to be leaked. Those
    /// that were queued and not submitted are not begun.
    pub fn close(mut self, within: Duration) -> u64 {
        self.driver.close(within)
    }

    // ------------------------------------------------------------- details

    /// Operations that could be started now: those that are over and not taken
    /// count, with a slot or without.
    fn room(&self) -> usize {
        self.driver.free().saturating_sub(self.ready.at_once())
    }

    fn start(&mut self, request: Request) -> Result<Ticket, Why> {
        self.start_one(request).map_err(|_| Why::Full { depth: self.depth })
    }

    #[allow(clippy::result_large_err, reason = "it is what was given")]
    fn start_one(&mut self, request: Request) -> Result<Ticket, Request> {
        if self.room() == 0 {
            return Err(request);
        }
        self.driver.start([request]).map(|[ticket]| ticket).map_err(|[request]| request)
    }

    /// Notes what a plain call did.
    fn done(&mut self, request: Request, result: i32) -> Result<Ticket, Why> {
        let full = Why::Full { depth: self.depth };
        if self.room() == 0 {
            return Err(full);
        }
        let ticket = self.driver.done(request, result).map_err(|_| full)?;
        self.ready.slot(ticket);
        Ok(ticket)
    }
}
