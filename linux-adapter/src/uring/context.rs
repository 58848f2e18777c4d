//! Files by a ring that belongs to one thread.

use std::{
    ffi::CString,
    hint::spin_loop,
    marker::PhantomData,
    ops::Range,
    os::{
        fd::{IntoRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    fs::{AtFlags, StatxFlags, fdatasync, fsync, statx},
    io::{Errno, pread, pwrite},
    io_uring::IoringSetupFlags,
};

use super::{
    arena::{Arena, Lease},
    config::{Config, Degraded, Feature, SetupError, Wait, Way},
    driver::{Done, Driver, Request},
    file::{File, OpenOptions, Place},
    kernel::Real,
    outcome::{Completion, Counts, Outcome, Refused, Status, Why, check_transfer},
    plain::{Cached, more, negative, read_cached, retry},
    ready::{Over, Ready},
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
    /// Free places of the table of files.
    places: Vec<u32>,
    used_places: u32,
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
        if let (Way::Inline, Err(why)) = (reads, setup::cached_reads()) {
            lacks.push(why);
            reads = Way::Ring;
        }
        if driver.has(IoringSetupFlags::IOPOLL) {
            // Plain reads, which wait.
            reads = Way::Ring;
        }
        let places = if driver.table().is_some() { config.registered_files } else { 0 };
        Ok(Self {
            driver,
            ready: Ready::new(depth as usize),
            places: (0..places).rev().collect(),
            used_places: 0,
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

    /// Takes over an open file, and registers it while there is room for it,
    /// so that the kernel need not look it up for each operation.
    pub fn adopt(&mut self, fd: impl Into<OwnedFd>) -> File {
        let fd = fd.into();
        let flags = rustix::fs::fcntl_getfl(&fd).unwrap_or(rustix::fs::OFlags::empty());
        let place = self.place(&fd);
        File::new(fd, flags.contains(rustix::fs::OFlags::DIRECT), place)
    }

    /// A place in the table, if there is one.
    fn place(&mut self, fd: &OwnedFd) -> Option<Place> {
        self.free_places();
        let index = self.places.pop()?;
        if let Err(errno) = self.driver.set_file(index, Some(fd)) {
            self.places.clear();
            self.lacks.push(Degraded { feature: Feature::RegisteredFiles, errno });
            return None;
        }
        self.used_places += 1;
        self.driver.table().map(|table| Place::new(table, index))
    }

    /// Lets go of the files that nobody uses any more.
    fn free_places(&mut self) {
        if self.used_places == 0 {
            return;
        }
        let left = self.driver.table().map(|table| table.left()).unwrap_or_default();
        for index in left {
            self.used_places -= 1;
            if self.driver.set_file(index, None).is_ok() {
                self.places.push(index);
            }
        }
    }

    /// Queues an open.
    ///
    /// # Errors
    ///
    /// [`Why`] not.
    pub fn open(&mut self, path: impl AsRef<Path>, options: OpenOptions) -> Result<Ticket, Why> {
        let path = path.as_ref().as_os_str().as_bytes();
        let wrong = Why::Path { len: path.len() };
        let path = CString::new(path).map_err(|_| wrong)?;
        if !Driver::<Real>::takes_path(&path) {
            return Err(wrong);
        }
        if self.by_plain_calls() {
            let result = match options.open(&path) {
                Ok(fd) => fd.into_raw_fd(),
                Err(errno) => negative(errno),
            };
            return self.done(Request::Open { path, options }, result);
        }
        self.start(Request::Open { path, options })
    }

    /// Queues a question for the metadata.
    ///
    /// # Errors
    ///
    /// [`Why`] not.
    pub fn status(&mut self, file: &File) -> Result<Ticket, Why> {
        if self.by_plain_calls() {
            let status = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS);
            let result = status.as_ref().map_or_else(|errno| negative(*errno), |_| 0);
            let known = status.ok().map(Box::new);
            return self.done(Request::Status { file: file.clone(), known }, result);
        }
        self.start(Request::Status { file: file.clone(), known: None })
    }

    /// Queues a sync: of the data and what is needed to find it
    /// (`fdatasync(2)`), or of all metadata too.
    ///
    /// # Errors
    ///
    /// [`Why`] not.
    pub fn sync(&mut self, file: &File, data_only: bool) -> Result<Ticket, Why> {
        let request = Request::Sync { file: file.clone(), data_only };
        if self.driver.has(IoringSetupFlags::IOPOLL) {
            let result = if data_only { fdatasync(file) } else { fsync(file) };
            return self.done(request, result.map_or_else(negative, |()| 0));
        }
        self.start(request)
    }

    /// Queues a read of up to `len` bytes from `offset` on into the front of
    /// `lease`. What the page cache has is read at once, see
    /// [`Config::reads`].
    ///
    /// # Errors
    ///
    /// [`Refused`], with the lease.
    // A system call leaves the processor's stack of return addresses to the
    // kernel; the first return behind it that has no call there is a
    // misprediction, which takes a quarter of the time of such a read.
    #[inline(always)]
    pub fn read(
        &mut self,
        file: &File,
        mut lease: Lease,
        len: usize,
        offset: u64,
    ) -> Result<Ticket, Refused> {
        if self.reads != Way::Inline || !file.nowait() || self.room() == 0 || len > lease.len() {
            return self.read_by_ring(file, lease, 0, len, offset);
        }
        match read_cached(file, &mut lease[..len], offset) {
            Cached::All(result) => {
                self.cached_reads += 1;
                Ok(self.ready.moved(lease, result))
            }
            Cached::Only(start) => {
                self.cache_misses += 1;
                self.read_by_ring(file, lease, start, len, offset)
            }
        }
    }

    /// Reads what is behind `start`.
    #[inline(never)]
    fn read_by_ring(
        &mut self,
        file: &File,
        mut lease: Lease,
        start: usize,
        len: usize,
        offset: u64,
    ) -> Result<Ticket, Refused> {
        if let Err(why) = self.check(file, &lease, len, offset) {
            return Err(Refused { why, lease });
        }
        if file.alignment().is_none() && self.driver.has(IoringSetupFlags::IOPOLL) {
            let result = pread(file, &mut lease[..len], offset);
            return Ok(self.ready.moved(lease, result));
        }
        self.transfer(Request::Read { file: file.clone(), lease, start, end: len, offset })
    }

    /// Queues a write of the first `len` bytes of `lease` to `offset`. A file
    /// without `O_DIRECT` is written to at once, see [`Config::writes`].
    ///
    /// # Errors
    ///
    /// [`Refused`], with the lease.
    pub fn write(
        &mut self,
        file: &File,
        lease: Lease,
        len: usize,
        offset: u64,
    ) -> Result<Ticket, Refused> {
        if let Err(why) = self.check(file, &lease, len, offset) {
            return Err(Refused { why, lease });
        }
        let plain = self.writes == Way::Inline || self.driver.has(IoringSetupFlags::IOPOLL);
        if plain && file.alignment().is_none() {
            self.plain_writes += 1;
            let result = retry(|| pwrite(file, &lease[..len], offset));
            return Ok(self.ready.moved(lease, result));
        }
        self.transfer(Request::Write { file: file.clone(), lease, start: 0, end: len, offset })
    }

    /// Reads at once what the page cache has, into any buffer: the shortest
    /// way to it, without a ticket. `None` when a part is not there, or the
    /// context does not read so: then [`read`](Context::read).
    ///
    /// # Errors
    ///
    /// What `preadv2(2)` reports.
    #[inline]
    pub fn read_cached(
        &mut self,
        file: &File,
        bytes: &mut [u8],
        offset: u64,
    ) -> Result<Option<usize>, Errno> {
        if self.reads != Way::Inline || !file.nowait() {
            return Ok(None);
        }
        match read_cached(file, bytes, offset) {
            Cached::All(result) => {
                self.cached_reads += 1;
                result.map(Some)
            }
            Cached::Only(_) => Ok(None),
        }
    }

    /// Queues a write, and a sync of the data that begins when the write is
    /// over. If the write fails or is short, the sync is not made and
    /// completes with `ECANCELED`.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the lease; neither is queued. A context of depth 1 has
    /// no room for the two.
    pub fn write_and_sync(
        &mut self,
        file: &File,
        lease: Lease,
        len: usize,
        offset: u64,
    ) -> Result<(Ticket, Ticket), Refused> {
        if let Err(why) = self.check(file, &lease, len, offset) {
            return Err(Refused { why, lease });
        }
        let requests = [
            Request::Write { file: file.clone(), lease, start: 0, end: len, offset },
            Request::Sync { file: file.clone(), data_only: true },
        ];
        let requests = if self.room() < 2 { Err(requests) } else { self.driver.start(requests) };
        match requests {
            Ok([write, sync]) => Ok((write, sync)),
            Err([write, _]) => Err(self.full(write)),
        }
    }

    /// Queues a send of the bytes `range` of `lease` to a socket
    /// (`send(2)` without SIGPIPE).
    ///
    /// `zero_copy` sends the pages themselves (Linux 6.0, not to UNIX sockets);
    /// the lease is then back when the network has let go of them.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the lease.
    pub fn send(
        &mut self,
        socket: &File,
        lease: Lease,
        range: Range<usize>,
        zero_copy: bool,
    ) -> Result<Ticket, Refused> {
        let Range { start, end } = range;
        if let Err(why) = self.check(socket, &lease, end.max(start), 0) {
            return Err(Refused { why, lease });
        }
        let start = start.min(end);
        self.transfer(Request::Send { file: socket.clone(), lease, start, end, zero_copy })
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

    /// Gives what is queued to the kernel, without waiting.
    ///
    /// # Errors
    ///
    /// An error of the call alone: what is queued may be under way all the
    /// same, and is tried again at the next call if it is not.
    pub fn submit(&mut self) -> Result<(), Errno> {
        self.free_places();
        self.enter(0, None)
    }

    /// Takes a completion if one is there; submits what is queued.
    ///
    /// # Errors
    ///
    /// As [`submit`](Context::submit).
    pub fn poll(&mut self) -> Result<Option<Completion>, Errno> {
        if let Some(completion) = self.next_ready() {
            return Ok(Some(completion));
        }
        self.reap();
        if self.ready.len() == 0 && self.driver.wants_call() {
            self.enter(0, None)?;
            self.reap();
        }
        Ok(self.next_ready())
    }

    /// Waits for a completion, as [`Config::wait`] says, and takes it; submits
    /// what is queued. `None` when nothing is under way, or nothing is over
    /// within `timeout`.
    ///
    /// # Errors
    ///
    /// As [`submit`](Context::submit).
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<Completion>, Errno> {
        if self.ready.len() == 0 {
            self.wait_for_many(1, timeout)?;
        }
        Ok(self.next_ready())
    }

    /// Waits until `count` completions, or all that are under way, can be had
    /// from [`poll`](Context::poll), at most `timeout`: one system call for
    /// many of them.
    ///
    /// # Errors
    ///
    /// As [`submit`](Context::submit).
    pub fn wait_for_many(&mut self, count: usize, timeout: Option<Duration>) -> Result<(), Errno> {
        self.free_places();
        let begin = Instant::now();
        let over = |timeout: Option<Duration>| timeout.is_some_and(|time| begin.elapsed() >= time);
        loop {
            self.reap();
            let missing = count.min(self.ready.len() + self.under_way());
            let missing = missing.saturating_sub(self.ready.len());
            if missing == 0 {
                return if self.driver.slots().queued() > 0 { self.enter(0, None) } else { Ok(()) };
            }
            if over(timeout) {
                return Ok(());
            }
            let looks = match self.wait {
                Wait::Poll => true,
                Wait::Hybrid(time) => begin.elapsed() < time,
                Wait::Block => false,
            };
            if looks {
                if self.driver.wants_call() {
                    self.enter(0, None)?;
                } else if !self.driver.ready() {
                    spin_loop();
                }
                continue;
            }
            let left = timeout.map(|time| time.saturating_sub(begin.elapsed()));
            self.enter(u32::try_from(missing).unwrap_or(u32::MAX), left)?;
        }
    }

    /// Waits for one operation. Completions of others stay to be taken.
    ///
    /// # Errors
    ///
    /// As [`submit`](Context::submit); `EINVAL` for a ticket whose completion
    /// has been taken.
    #[inline]
    pub fn complete(&mut self, ticket: Ticket) -> Result<Outcome, Errno> {
        // What has just been done at once is the newest.
        match self.ready.take_newest(ticket) {
            Some((lease, result)) => Ok(Outcome::Moved(lease, result)),
            None => self.complete_other(ticket),
        }
    }

    fn complete_other(&mut self, ticket: Ticket) -> Result<Outcome, Errno> {
        loop {
            if let Some(done) = self.driver.take(ticket) {
                self.ready.remove(ticket);
                return Ok(self.outcome(done));
            }
            if let Some(Over::Moved(_, lease, result)) = self.ready.remove(ticket) {
                return Ok(Outcome::Moved(lease, result));
            }
            if !self.driver.slots().is_under_way(ticket) {
                return Err(Errno::INVAL);
            }
            // What is ready and not asked for does not count.
            let ready = self.ready.len();
            self.wait_for_many(ready + 1, None)?;
        }
    }

    /// Ends all operations, at most `within`; how many had to be leaked. Those
    /// that were queued and not submitted are not begun.
    pub fn close(mut self, within: Duration) -> u64 {
        self.driver.close(within)
    }

    // ------------------------------------------------------------- details

    /// Whether the ring is not for opens and metadata.
    fn by_plain_calls(&self) -> bool {
        self.driver.has(IoringSetupFlags::IOPOLL)
            || self.lacks.iter().any(|lack| lack.feature == Feature::OpenAndStatus)
    }

    /// Operations that could be started now: those that are over and not taken
    /// count, with a slot or without.
    fn room(&self) -> usize {
        self.driver.free().saturating_sub(self.ready.at_once())
    }

    fn check(&self, file: &File, lease: &Lease, len: usize, offset: u64) -> Result<(), Why> {
        // Before a plain call too, so that what is not taken has an end.
        if self.room() == 0 {
            return Err(Why::Full { depth: self.depth });
        }
        check_transfer(file, lease, len, offset)
    }

    fn full(&self, request: Request) -> Refused {
        let why = Why::Full { depth: self.depth };
        match request.into_lease() {
            Some(lease) => Refused { why, lease },
            None => unreachable!("a transfer has a lease"),
        }
    }

    fn transfer(&mut self, request: Request) -> Result<Ticket, Refused> {
        match self.start_one(request) {
            Ok(ticket) => Ok(ticket),
            Err(request) => Err(self.full(request)),
        }
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

    /// Calls the kernel. What only says "again" is no error: the next call is
    /// that.
    fn enter(&mut self, want: u32, timeout: Option<Duration>) -> Result<(), Errno> {
        match self.driver.enter(want, timeout) {
            Err(Errno::INTR | Errno::AGAIN | Errno::BUSY) => Ok(()),
            entered => entered,
        }
    }

    fn reap(&mut self) {
        let ready = &mut self.ready;
        self.driver.reap(|ticket, _| ready.slot(ticket));
    }

    fn next_ready(&mut self) -> Option<Completion> {
        match self.ready.pop()? {
            Over::Slot(ticket) => {
                let done = self.driver.take(ticket)?;
                Some(Completion { ticket, outcome: self.outcome(done) })
            }
            Over::Moved(ticket, lease, result) => {
                Some(Completion { ticket, outcome: Outcome::Moved(lease, result) })
            }
        }
    }

    fn outcome(&mut self, done: Done) -> Outcome {
        let Done { request, result, opened, status } = done;
        let moved = result.map(|len| len as usize);
        match request {
            Request::Read { lease, start, .. } | Request::Write { lease, start, .. } => {
                Outcome::Moved(lease, more(start, moved))
            }
            Request::Send { lease, .. } | Request::Writable { lease, .. } => {
                Outcome::Moved(lease, moved)
            }
            Request::Sync { .. } => Outcome::Synced(result.map(drop)),
            Request::Open { options, .. } => Outcome::Opened(match (opened, result) {
                (Some(fd), _) => {
                    let place = if options.is_registered() { self.place(&fd) } else { None };
                    Ok(File::new(fd, options.is_direct(), place))
                }
                (None, Err(errno)) => Err(errno),
                (None, Ok(_)) => Err(Errno::BADF),
            }),
            Request::Status { .. } => {
                Outcome::Status(result.map(|_| status.as_ref().map_or(EMPTY, Status::from)))
            }
        }
    }
}

const EMPTY: Status = Status { len: 0, mode: 0, blocks: 0 };
