//! Operations from their request to their completion, and an end that leaves
//! the kernel nothing to write to.
//!
//! # Implementation
//!
//! A [`Request`] owns all that its operation needs: the lease, the file. It
//! moves into a slot before its entry is pushed and comes out after the
//! completion (HELD of `slots.rs`). Paths and the answers of `statx` lie in a
//! [`Scratch`], a place for each slot.
//!
//! Closing: what the kernel has not taken is withdrawn, the rest is cancelled
//! and waited for. What is not over at the deadline is leaked and counted, for
//! there is no other way to be sure that nobody writes to freed memory.

#![allow(unsafe_code)]

use std::{
    collections::VecDeque,
    mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use rustix::{
    fs::StatxFlags,
    io::Errno,
    io_uring::{IoringCqeFlags, IoringSetupFlags, io_uring_sqe},
};

pub(crate) use super::request::{Buried, Done, Request};
use super::{
    arena::{Arena, Lease},
    kernel::{Kernel, Register},
    op::{self, Bytes},
    queue::Completion,
    ring::{Ring, RingCounts},
    scratch::Scratch,
    slots::{Event, Kind, Slots, Ticket},
    table::{Place, Table},
};

/// How long a ring that closes waits before it asks again.
const CANCEL_EVERY: Duration = Duration::from_millis(20);

/// What a kernel may still use when its ring is closed: never freed. Kept where
/// a search for leaks finds it.
static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// Operations whose memory had to be leaked, in this process.
static LEAKED: AtomicU64 = AtomicU64::new(0);

/// Memory that is leaked.
#[allow(dead_code, reason = "it is kept, not used")]
enum Kept {
    /// With its lease, which keeps the arena.
    Request(Request),
    Scratch(Scratch),
}

/// Operations that were not over when their ring had to be closed, and whose
/// memory was leaked therefore, in this process.
#[must_use]
pub fn leaked() -> u64 {
    LEAKED.load(Ordering::Relaxed)
}

/// What became of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DriverCounts {
    pub(crate) operations: u64,
    pub(crate) completions: u64,
    pub(crate) orphans: u64,
    pub(crate) late_opens: u64,
    pub(crate) stray: u64,
}

#[derive(Debug)]
pub(crate) struct Driver<K: Kernel> {
    ring: Ring<K>,
    slots: Slots<Request>,
    /// Until the end.
    scratch: Option<Scratch>,
    arena: Arc<Arena>,
    registered: bool,
    /// Whether sends take registered memory.
    registered_sends: bool,
    table: Option<Table>,
    counts: DriverCounts,
    cancels: u32,
    /// Completions that the kernel will not give, see `end_cut_chain`.
    cut: VecDeque<Completion>,
    closed: bool,
    close_within: Duration,
    /// The process that made it.
    process: u32,
}

impl<K: Kernel> Driver<K> {
    pub(crate) fn new(
        kernel: K,
        depth: u16,
        arena: Arc<Arena>,
        close_within: Duration,
    ) -> Result<Self, Errno> {
        Ok(Self {
            ring: Ring::new(kernel),
            slots: Slots::new(depth),
            scratch: Some(Scratch::new(depth)?),
            arena,
            registered: false,
            registered_sends: false,
            table: None,
            counts: DriverCounts::default(),
            cancels: 0,
            cut: VecDeque::new(),
            closed: false,
            close_within,
            process: std::process::id(),
        })
    }

    /// Pins the arena's memory, so that each operation need not.
    pub(crate) fn register_buffers(&mut self) -> Result<(), Errno> {
        let (base, len) = self.arena.memory();
        self.ring.kernel().register(Register::Buffer(base, len))?;
        self.registered = true;
        Ok(())
    }

    /// Lets sends take registered memory, which the kernel is able to.
    pub(crate) fn register_sends(&mut self) {
        self.registered_sends = true;
    }

    /// Makes a table for `count` files.
    pub(crate) fn register_files(&mut self, count: u32) -> Result<(), Errno> {
        self.ring.kernel().register(Register::Files(&vec![-1; count as usize]))?;
        self.table = Some(Table::new(count));
        Ok(())
    }

    /// Puts a descriptor into the table, if there is one with a place free.
    /// After an error there is none any more.
    pub(crate) fn place(&mut self, fd: &OwnedFd) -> Result<Option<Place>, Errno> {
        self.free_places();
        let Some(table) = &mut self.table else { return Ok(None) };
        let Some(index) = table.take() else { return Ok(None) };
        let fds = [fd.as_raw_fd()];
        if let Err(errno) = self.ring.kernel().register(Register::FilesFrom(index, &fds)) {
            table.give_up();
            return Err(errno);
        }
        Ok(Some(table.placed(index)))
    }

    /// Lets go of the descriptors in the table that nobody uses any more.
    pub(crate) fn free_places(&mut self) {
        let Some(table) = &mut self.table else { return };
        for index in table.left() {
            if self.ring.kernel().register(Register::FilesFrom(index, &[-1])).is_ok() {
                table.put_back(index);
            }
        }
    }

    pub(crate) fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }

    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    pub(crate) fn kernel(&mut self) -> &mut K {
        self.ring.kernel()
    }

    pub(crate) fn slots(&mut self) -> &mut Slots<Request> {
        &mut self.slots
    }

    /// Operations that could be started now.
    pub(crate) fn free(&self) -> usize {
        if self.closed { 0 } else { self.slots.free() }
    }

    pub(crate) fn under_way(&self) -> usize {
        self.slots.under_way()
    }

    pub(crate) fn counts(&self) -> (DriverCounts, RingCounts) {
        (self.counts, self.ring.counts())
    }

    pub(crate) fn has(&self, flag: IoringSetupFlags) -> bool {
        self.ring.has(flag)
    }

    /// Queues requests, each but the last linked to the next: all, or none
    /// where there are not enough free slots.
    pub(crate) fn start<const N: usize>(
        &mut self,
        requests: [Request; N],
    ) -> Result<[Ticket; N], [Request; N]> {
        // A chain must lie in one submission; and the kernel's queue is as long
        // as there are slots, so it has room at the latest when it has taken
        // what is there.
        if self.closed || self.slots.free() < N || !self.make_room(N) {
            return Err(requests);
        }
        let mut left = N;
        Ok(requests.map(|request| {
            left -= 1;
            self.push(request, left + 1 < N, left > 0)
        }))
    }

    /// Takes a slot for what has been done without the ring.
    pub(crate) fn done(&mut self, request: Request, result: i32) -> Result<Ticket, Request> {
        if self.closed { Err(request) } else { self.slots.insert_done(request, result) }
    }

    /// Puts one request into a slot and its entry into the queue; both have
    /// room.
    fn push(&mut self, request: Request, behind: bool, link: bool) -> Ticket {
        let ticket = self.slots.next().expect("a free slot");
        let mut entry = self.entry(&request, ticket);
        if link {
            entry = op::linked(entry);
        }
        let inserted = self.slots.insert(request, behind);
        debug_assert_eq!(inserted.ok(), Some(ticket));
        // SAFETY: HELD: the slot owns the lease and the file until the
        // completion of this ticket; the scratch is the slot's, too. Neither is
        // freed before the driver, and that leaks what is under way.
        unsafe { self.ring.queues().push(entry) };
        self.counts.operations += 1;
        ticket
    }

    /// Whether there is room for `count` entries, after a submission if need
    /// be.
    fn make_room(&mut self, count: usize) -> bool {
        let has_room = |this: &mut Self| this.ring.queues().room() as usize >= count;
        if has_room(self) {
            return true;
        }
        // An error here is not this request's: it comes again with the next
        // submission, unless it has passed.
        let _ = self.submit();
        if !has_room(self) && self.ring.has(IoringSetupFlags::SQPOLL) {
            let _ = self.ring.wait_for_room();
            self.note_submitted();
        }
        has_room(self)
    }

    fn entry(&mut self, request: &Request, ticket: Ticket) -> io_uring_sqe {
        let data = ticket.user_data(Kind::Operation);
        let table = self.table.as_ref();
        let bytes = |lease: &Lease, start: usize, end: usize| Bytes {
            // Within the lease, which the callers have checked.
            at: lease.pointer().map_addr(|at| at.saturating_add(start)),
            len: u32::try_from(end - start).unwrap_or(u32::MAX),
            registered: self.registered && lease.is_of(&self.arena),
        };
        match request {
            Request::Read { file, lease, start, end, offset } => {
                let at = offset.saturating_add(*start as u64);
                op::read(file.target(table), bytes(lease, *start, *end), at, data)
            }
            Request::Write { file, lease, start, end, offset } => {
                let at = offset.saturating_add(*start as u64);
                op::write(file.target(table), bytes(lease, *start, *end), at, data)
            }
            Request::Send { file, lease, start, end, zero_copy } => {
                let (file, mut bytes) = (file.target(table), bytes(lease, *start, *end));
                if *zero_copy {
                    return op::send_zero_copy(file, bytes, data);
                }
                bytes.registered &= self.registered_sends;
                op::send(file, bytes, data)
            }
            Request::Writable { file, .. } => op::writable(file.target(table), data),
            Request::Sync { file, data_only } => op::sync(file.target(table), *data_only, data),
            Request::Open { path, options } => {
                let place = self.scratch().fill(ticket, path.as_bytes_with_nul());
                op::open(place, options.flags(), options.mode(), data)
            }
            Request::Status { file, .. } => {
                use std::os::fd::AsFd;
                let empty = self.scratch().fill(ticket, &[0]);
                let status = self.scratch().answer(ticket);
                let fd = file.as_fd().as_raw_fd();
                op::status(fd, empty, status, StatxFlags::BASIC_STATS, data)
            }
        }
    }

    fn scratch(&mut self) -> &mut Scratch {
        self.scratch.as_mut().expect("scratch until the end")
    }

    fn note_submitted(&mut self) {
        let pending = self.ring.queues().pending() as usize;
        self.slots.submitted(self.slots.queued().saturating_sub(pending));
        if !self.ring.has(IoringSetupFlags::SQPOLL) {
            self.end_cut_chain();
        }
    }

    /// A call that takes the front of a chain alone, for want of memory, ends
    /// the chain (`io_submit_sqes` of the kernel): the rest would not wait for
    /// the front any more. So it is taken back, and over as if the front had
    /// failed.
    fn end_cut_chain(&mut self) {
        while let Some(ticket) = self.slots.cut() {
            self.ring.queues().withdraw_oldest();
            let user_data = ticket.user_data(Kind::Operation);
            let result = -Errno::CANCELED.raw_os_error();
            self.cut.push_back(Completion { user_data, result, flags: 0 });
        }
    }

    /// Gives the kernel all that is queued.
    pub(crate) fn submit(&mut self) -> Result<(), Errno> {
        self.enter(0, None)
    }

    /// Submits, and waits until a completion is there, at most `timeout`.
    ///
    /// An error is one of the call: what was queued may be submitted all the
    /// same, and completes in any case.
    pub(crate) fn enter(&mut self, want: u32, timeout: Option<Duration>) -> Result<(), Errno> {
        let entered = self.ring.enter(want, timeout);
        self.note_submitted();
        entered
    }

    /// Completions that are there already.
    pub(crate) fn ready(&mut self) -> bool {
        self.ring.queues().ready() > 0 || !self.cut.is_empty()
    }

    /// Whether a call that does not wait may find completions.
    pub(crate) fn wants_call(&mut self) -> bool {
        self.slots.queued() > 0 || self.ring.wants_call()
    }

    /// Takes the completions that are there: calls `over` with the ticket and
    /// the waker of each operation that somebody waits for. How many operations
    /// have ended.
    pub(crate) fn reap(&mut self, over: impl FnMut(Ticket, Option<Waker>)) -> usize {
        self.reap_all(over, drop)
    }

    /// The same, with `buried` for what those held that nobody waited for.
    pub(crate) fn reap_all(
        &mut self,
        mut over: impl FnMut(Ticket, Option<Waker>),
        mut buried: impl FnMut(Buried),
    ) -> usize {
        let mut count = 0;
        // Also those that a full queue has held back.
        while let Some(completion) = self.cut.pop_front().or_else(|| self.ring.pop()) {
            let flags = IoringCqeFlags::from_bits_retain(completion.flags);
            let more = flags.contains(IoringCqeFlags::MORE);
            match self.slots.complete(completion.user_data, completion.result, more) {
                Event::Done(ticket, waker) => {
                    self.counts.completions += 1;
                    count += 1;
                    over(ticket, waker);
                }
                Event::Orphan(request, result) => {
                    count += 1;
                    buried(self.bury(request, result));
                }
                Event::Cancel => self.cancels = self.cancels.saturating_sub(1),
                Event::More => {}
                Event::Stray => self.counts.stray += 1,
            }
        }
        count
    }

    /// Counts an operation that nobody waits for.
    fn bury(&mut self, request: Request, result: i32) -> Buried {
        self.counts.orphans += 1;
        let opened = opened(&request, result);
        self.counts.late_opens += u64::from(opened.is_some());
        Buried { request, opened }
    }

    /// What became of an operation that is over; `None` while it is under way.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<Done> {
        let (request, result) = self.slots.take(ticket)?;
        let opened = opened(&request, result);
        let status = match &request {
            Request::Status { known: Some(known), .. } => Some(**known),
            Request::Status { .. } if result >= 0 => Some(self.scratch().status(ticket)),
            _ => None,
        };
        let result = u32::try_from(result)
            .map_err(|_| Errno::from_raw_os_error(result.checked_neg().unwrap_or(i32::MAX)));
        Some(Done { request, result, opened, status })
    }

    /// Nobody waits for `ticket` any more; what it holds is buried when it is
    /// over, which may be now.
    pub(crate) fn orphan(&mut self, ticket: Ticket) -> Option<Buried> {
        let (request, result) = self.slots.orphan(ticket)?;
        Some(self.bury(request, result))
    }

    /// Asks the kernel to cancel an operation. It completes in any case, with
    /// `ECANCELED` or as if nothing had been asked.
    pub(crate) fn cancel(&mut self, ticket: Ticket) -> bool {
        // So many completions have room, see `Real::new`.
        if self.is_copy() || self.cancels >= self.slots.len() || !self.make_room(1) {
            return false;
        }
        let entry = op::cancel(ticket.user_data(Kind::Operation), ticket.user_data(Kind::Cancel));
        self.slots.queue_without_slot();
        self.cancels += 1;
        // SAFETY: the entry names no memory and no descriptor.
        unsafe { self.ring.queues().push(entry) };
        true
    }

    /// Whether this is the copy that a fork has made, in the child. The ring is
    /// the parent's, and so are the operations; what they move goes to the
    /// parent's memory.
    fn is_copy(&self) -> bool {
        self.process != std::process::id()
    }

    /// Asks the kernel for the end of all operations, without waiting for it;
    /// how many are under way still. What is over and not taken is dropped.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    pub(crate) fn end(&mut self) -> usize {
        if self.is_copy() {
            return 0;
        }
        self.withdraw();
        self.cancel_all();
        // An error shows at the next call.
        let _ = self.submit();
        self.reap(|_, _| {});
        self.bury_done();
        self.under_way()
    }

    /// Ends all operations; how many had to be leaked.
    pub(crate) fn close(&mut self, within: Duration) -> u64 {
        if mem::replace(&mut self.closed, true) || self.is_copy() {
            return 0;
        }
        let begin = Instant::now();
        self.withdraw();
        loop {
            self.reap(|_, _| {});
            let left = within.saturating_sub(begin.elapsed());
            if self.under_way() == 0 || left.is_zero() {
                break;
            }
            // Again and again: a polling thread may have taken more since, and
            // a queue may have been too full for all requests to cancel.
            self.cancel_all();
            // For all at once: one by one would cancel again at each.
            let want = u32::try_from(self.under_way()).unwrap_or(u32::MAX);
            match self.enter(want, Some(left.min(CANCEL_EVERY))) {
                Ok(()) | Err(Errno::INTR | Errno::AGAIN | Errno::BUSY) => {}
                Err(_) => break,
            }
        }
        self.bury_done();
        if self.under_way() > 0 {
            return self.leak();
        }
        if mem::take(&mut self.registered) {
            // At once: what a ring that is closed has pinned is given back
            // later, and counts against the limit until then.
            let _ = self.ring.kernel().register(Register::NoBuffers);
        }
        0
    }

    /// Takes back what the kernel has not seen. A polling thread may be
    /// looking at it, so that is left to finish.
    fn withdraw(&mut self) {
        if self.ring.has(IoringSetupFlags::SQPOLL) {
            let _ = self.submit();
            return;
        }
        drop(self.fail_queued(Errno::CANCELED, |_, _| {}));
    }

    /// Takes back what the kernel has not seen: it is over, with this error.
    /// Does nothing where a thread of the kernel polls the queue.
    pub(crate) fn fail_queued(
        &mut self,
        errno: Errno,
        mut over: impl FnMut(Ticket, Option<Waker>),
    ) -> Vec<Buried> {
        if self.ring.has(IoringSetupFlags::SQPOLL) {
            return Vec::new();
        }
        self.note_submitted();
        let count = self.ring.queues().withdraw() as usize;
        let (mut orphans, mut cancels) = (Vec::new(), 0);
        self.slots.withdrawn(count, -errno.raw_os_error(), |event| match event {
            Event::Orphan(request, result) => orphans.push((request, result)),
            Event::Cancel => cancels += 1,
            Event::Done(ticket, waker) => over(ticket, waker),
            Event::More | Event::Stray => {}
        });
        self.cancels = self.cancels.saturating_sub(cancels);
        orphans.into_iter().map(|(request, result)| self.bury(request, result)).collect()
    }

    /// Asks the kernel to cancel all that is under way.
    fn cancel_all(&mut self) {
        match self.ring.kernel().register(Register::CancelAny(Duration::ZERO)) {
            // All cancelled, none found, or some that take their time.
            Ok(_) | Err(Errno::NOENT | Errno::TIME | Errno::ALREADY) => return,
            // Not before Linux 6.0.
            Err(_) => {}
        }
        let tickets: Vec<Ticket> = self.slots.tickets_under_way().collect();
        for ticket in tickets {
            self.cancel(ticket);
        }
    }

    /// Drops what is over and nobody has taken.
    fn bury_done(&mut self) {
        let done = self.slots.take_all_done();
        done.into_iter().for_each(|(request, result)| drop(self.bury(request, result)));
    }

    /// Keeps what the kernel may still use, for ever.
    fn leak(&mut self) -> u64 {
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.len();
        kept.extend(self.slots.abandon().map(Kept::Request));
        let leaked = (kept.len() - before) as u64;
        kept.extend(self.scratch.take().map(Kept::Scratch));
        LEAKED.fetch_add(leaked, Ordering::Relaxed);
        leaked
    }
}

/// Frees nothing that the kernel may still use, also when it unwinds: a waker
/// that is dropped may panic.
impl<K: Kernel> Drop for Driver<K> {
    fn drop(&mut self) {
        struct Leak<'d, K: Kernel>(&'d mut Driver<K>);

        impl<K: Kernel> Drop for Leak<'_, K> {
            fn drop(&mut self) {
                if self.0.under_way() > 0 && !self.0.is_copy() {
                    self.0.leak();
                }
            }
        }

        let driver = Leak(self);
        driver.0.close(driver.0.close_within);
    }
}

/// The descriptor of an open that succeeded.
fn opened(request: &Request, result: i32) -> Option<OwnedFd> {
    if !matches!(request, Request::Open { .. }) || result < 0 {
        return None;
    }
    // SAFETY: a completed open hands over a new descriptor, and a slot gives
    // its result once.
    Some(unsafe { OwnedFd::from_raw_fd(result) })
}
