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
/// see [`leaked`](super::leaked). The copy that a forked child has of it ends
/// nothing: the ring and its operations stay the parent's.
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
        let buffers = config.buffers.unwrap_or(config.depth()?.into());
        let arena = Arena::new(buffers, config.buffer_len, None).map_err(SetupError::Buffers)?;
        let (driver, lacks) = setup::driver(config, Arc::new(arena))?;
        Ok(Self::over(config, driver, lacks))
    }

    fn over(config: &Config, driver: Driver<Real>, mut lacks: Vec<Degraded>) -> Self {
        let mut reads = config.reads;
        if let (Way::Inline, Err(why)) = (reads, offer::cached_reads()) {
            lacks.push(why);
            reads = Way::Ring;
        }
        if driver.has(IoringSetupFlags::IOPOLL) {
            // Plain reads, which wait.
            reads = Way::Ring;
        }
        Self {
            driver,
            ready: Ready::new(config.queue_depth as usize),
            lacks,
            depth: config.queue_depth,
            wait: config.wait,
            reads,
            writes: config.writes,
            cached_reads: 0,
            cache_misses: 0,
            plain_writes: 0,
            not_send: PhantomData,
        }
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
        drop(self.driver.orphan(ticket));
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

    /// What a plain call would do without being accepted would have happened.
    fn has_room(&self) -> Result<(), Why> {
        if self.room() == 0 { Err(Why::Full { depth: self.depth }) } else { Ok(()) }
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

    /// Notes what a plain call did, for which there was room.
    fn done(&mut self, request: Request, result: i32) -> Result<Ticket, Why> {
        let full = Why::Full { depth: self.depth };
        let ticket = self.driver.done(request, result).map_err(|_| full)?;
        self.ready.slot(ticket);
        Ok(ticket)
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::{fs, io::Read, os::fd::OwnedFd};

    use rustix::io::Errno;

    use super::{
        super::{
            file::{File, OpenOptions},
            kernel::Setup,
            outcome::Outcome,
        },
        *,
    };

    /// A context whose ring is one for devices that are polled, whether there
    /// is one or not; a file that goes with the test.
    fn polled(depth: u16, name: &str) -> Option<(Context, std::path::PathBuf)> {
        let config = Config::new().queue_depth(depth.into()).buffer_len(4096);
        let flags = IoringSetupFlags::IOPOLL;
        let kernel = match Real::new(&Setup { entries: depth.into(), flags, ..Setup::default() }) {
            Ok(kernel) => kernel,
            Err(errno) => {
                println!("SKIPPED: no ring: {errno}");
                return None;
            }
        };
        let arena = Arc::new(Arena::new(depth.into(), 4096, None).unwrap());
        let driver = Driver::new(kernel, depth, arena, config.close_within).unwrap();
        let path = std::env::temp_dir().join(format!("forebay-{name}-{}", std::process::id()));
        Some((Context::over(&config, driver, vec![]), path))
    }

    /// What is not accepted has not happened.
    #[test]
    fn a_full_context_opens_nothing() {
        let Some((mut context, path)) = polled(1, "full") else { return };
        let null = File::from(fs::File::open("/dev/null").unwrap());
        let status = context.status(&null).unwrap();
        let new = OpenOptions::write_only().create_new(0o600);
        assert_eq!(context.open(&path, new).unwrap_err(), Why::Full { depth: 1 });
        assert!(!path.exists(), "an open that was refused has made its file");
        assert!(matches!(context.complete(status).unwrap(), Outcome::Status(Ok(_))));
    }

    /// A ring for polled devices knows neither syncs nor sockets.
    #[test]
    fn what_a_polled_ring_does_not_know_is_done_by_plain_calls() {
        let Some((mut context, path)) = polled(4, "polled") else { return };
        let open = context.open(&path, OpenOptions::write_only().create(0o600)).unwrap();
        let Outcome::Opened(Ok(file)) = context.complete(open).unwrap() else { panic!() };
        let full = File::from(fs::File::options().write(true).open("/dev/full").unwrap());
        for (file, wrote, synced) in
            [(&file, Ok(5), Ok(())), (&full, Err(Errno::NOSPC), Err(Errno::CANCELED))]
        {
            let mut lease = context.lease().unwrap();
            lease[..5].copy_from_slice(b"bytes");
            let (write, sync) = context.write_and_sync(file, lease, 5, 0).unwrap();
            let Outcome::Synced(result) = context.complete(sync).unwrap() else { panic!() };
            assert_eq!(result, synced);
            let Outcome::Moved(_, result) = context.complete(write).unwrap() else { panic!() };
            assert_eq!(result, wrote);
        }
        assert_eq!(fs::read(&path).unwrap(), b"bytes");
        fs::remove_file(&path).unwrap();

        let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
        let near = context.adopt(OwnedFd::from(near));
        let mut lease = context.lease().unwrap();
        lease[..5].copy_from_slice(b"bytes");
        let send = context.send(&near, lease, 1..5, false).unwrap();
        let Outcome::Moved(_, result) = context.complete(send).unwrap() else { panic!() };
        assert_eq!(result, Ok(4));
        let mut received = [0; 4];
        far.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"ytes");
    }
}
