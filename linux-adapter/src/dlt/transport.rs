//! The thread that writes to the daemon and listens to it.
//!
//! Invariant: what is written begins and ends with whole records, but for a
//! socket's short write, which is taken up where it stopped. What a new daemon
//! gets first is who is there; then what the last one left unread, then what
//! waits in the ring.

use std::{
    hint::spin_loop,
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use forebay::{
    Decoder, Progress, Pump, Sink,
    frame::{
        Plain,
        dlt::{Dlt, UserRecord},
    },
    ring::Consumer,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{
    endpoint::{Endpoint, Line, OwnFifo, read_some},
    front::{Front, FrontRecord, Step},
    shared::{STATE_UNKNOWN, Shared, record},
    unread::unread,
};
use crate::PIPE_BUF;

/// What one write to a socket takes at most.
const BATCH_LEN: usize = 128 * 1024;
/// The batch's buffer for a FIFO: `PIPE_BUF` and four bytes for each of its
/// records, of which the shortest has 12 bytes.
const FIFO_BATCH_LEN: usize = PIPE_BUF + PIPE_BUF / 3 + 8;
/// A batch of less than this is waited for, if the last one has just left and
/// this one grows.
const GATHER_LEN: usize = PIPE_BUF / 4 * 3;
/// So many looks without growth end that, and so many turns are between two:
/// one or two microseconds in all.
const GATHER_LOOKS: u32 = 8;
const GATHER_TURNS: u32 = 8;
/// After so many writes in a row the daemon is listened to.
const WRITES_MAX: u32 = 64;
/// Between two reports of loss there are so many writes, or a pause.
const REPORT_WRITES: u32 = 256;

/// How long an absent daemon is left alone.
const RETRY_MIN: Duration = Duration::from_millis(5);
const RETRY_MAX: Duration = Duration::from_millis(250);
/// How long a client that ends waits until the daemon has answered all of its
/// registrations. One that finds the FIFO for its answer gone leaves what
/// follows the registration in its buffer until somebody else writes.
const ANSWERS_PATIENCE: Duration = Duration::from_millis(500);
/// How long a full FIFO is left alone, so that many writes fit then.
const NAP_MIN: Duration = Duration::from_micros(20);
const NAP_MAX: Duration = Duration::from_millis(64);

/// What somebody sends to a context through the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection<'d> {
    /// The context.
    pub context: forebay::frame::dlt::Id,
    /// What it is for; users' services begin with 4096.
    pub service: u32,
    /// What there is to it.
    pub data: &'d [u8],
}

/// A FIFO whose daemon is gone.
struct Old {
    fd: OwnedFd,
    inode: (u64, u64),
}

/// Who takes injections, on the transport's thread.
pub(super) type OnInjection = Box<dyn FnMut(Injection<'_>) + Send>;

pub(super) struct Transport {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    on_injection: OnInjection,
    pump: Pump<'static, Plain, Box<[u8]>, 1>,
    control: Decoder<Dlt, Box<[u8]>>,
    line: Option<Line>,
    own: Option<OwnFifo>,
    /// The FIFO of a daemon that is gone, held open for what is unread in it.
    old: Option<Old>,
    /// Messages written before this FIFO was.
    written_before: u64,
    front: Front,
    /// No frame of the batch has left in part.
    at_boundary: bool,
    /// Contexts that this daemon knows.
    announced: usize,
    /// Levels that this daemon has said: one for each context, at least.
    answers: usize,
    /// Refused messages that a daemon has been told of, and those that the
    /// front is to tell of.
    reported: u64,
    reporting: u64,
    writes_since_report: u32,
    writes_in_a_row: u32,
    /// Bytes written since the line was blocked.
    burst_len: usize,
    nap: Duration,
    retry: Duration,
}

impl Transport {
    pub(super) fn new(
        shared: Arc<Shared>,
        endpoint: Endpoint,
        consumer: Consumer<'static>,
        on_injection: OnInjection,
    ) -> Self {
        let (batch_len, len_max) = match endpoint {
            Endpoint::Fifo(_) => (FIFO_BATCH_LEN, PIPE_BUF),
            Endpoint::Socket(_) => (BATCH_LEN, usize::MAX),
        };
        let mut pump = Pump::new(Plain, vec![0; batch_len].into_boxed_slice()).len_max(len_max);
        if len_max == PIPE_BUF {
            // One slice a write: a record is at most a batch.
            pump = pump.borrow_from(usize::MAX);
        }
        let added = pump.add(consumer);
        debug_assert!(added.is_ok(), "the pump has one lane");
        Self {
            shared,
            endpoint,
            on_injection,
            pump,
            control: control(),
            line: None,
            own: None,
            old: None,
            written_before: 0,
            front: Front::default(),
            at_boundary: true,
            announced: 0,
            answers: 0,
            reported: 0,
            reporting: 0,
            writes_since_report: 0,
            writes_in_a_row: 0,
            burst_len: 0,
            nap: Duration::ZERO,
            retry: RETRY_MIN,
        }
    }

    /// Runs until the client is closed, and then while writing does not block.
    pub(super) fn run(&mut self) {
        loop {
            // Acquire: pairs with the close; what was accepted before is seen.
            let is_closed = self.shared.closed.load(Ordering::Acquire);
            if self.line.is_none() && !self.connect() {
                if is_closed {
                    return;
                }
                let retry = self.retry;
                self.retry = (retry * 2).min(RETRY_MAX);
                self.wait(PollFlags::empty(), Some(retry));
                continue;
            }
            self.announce();
            self.report();
            match self.step() {
                Ok(Step::Moved { bytes }) => self.moved(bytes),
                Ok(Step::Blocked | Step::Idle) if is_closed => return self.unregister(),
                Ok(Step::Blocked) => self.wait_for_room(),
                Ok(Step::Idle) => self.wait_for_messages(),
                Err(_) => self.lose_line(),
            }
        }
    }

    fn connect(&mut self) -> bool {
        add(&self.shared.progress.attempts, 1);
        let Ok(line) = self.endpoint.open() else { return false };
        if let Endpoint::Fifo(directory) = &self.endpoint {
            self.own = None;
            match OwnFifo::make(directory) {
                Ok(own) => self.own = Some(own),
                Err(_) => return false,
            }
        }
        self.control = control();
        self.answers = 0;
        // What is kept for this daemon comes behind who sends it.
        let kept = std::mem::take(&mut self.front.records);
        let (records, announced) = self.shared.announcements(None);
        self.front.push(records);
        self.announced = announced;
        self.front.records.extend(kept);
        self.send_again(&line);
        self.pump.rewind();
        self.at_boundary = true;
        self.retry = RETRY_MIN;
        self.burst_len = 0;
        let progress = &self.shared.progress;
        progress.fifo_len.store(line.fifo_len.unwrap_or(0) as u64, Ordering::Relaxed);
        self.line = Some(line);
        add(&progress.connects, 1);
        progress.is_connected.store(true, Ordering::Relaxed);
        true
    }

    /// Takes what the last daemon has left unread, unless this one reads the
    /// same FIFO. What is not unread that daemon has taken.
    fn send_again(&mut self, line: &Line) {
        let Some(Old { fd: old, inode }) = self.old.take() else { return };
        if line.inode == Some(inode) {
            return;
        }
        let written = self.written();
        let written_before = std::mem::replace(&mut self.written_before, written);
        let written = written - written_before;
        let progress = &self.shared.progress;
        match unread(&old, self.shared.app, self.shared.pid) {
            Ok(found) => {
                let resent = found.records.len() as u64;
                add(&progress.resent, resent);
                add(&progress.taken, written.saturating_sub(resent));
                add(&progress.cut, found.cut_len);
                let kept = |bytes| FrontRecord { bytes, is_kept: true };
                self.front.records.extend(found.records.into_iter().map(kept));
            }
            Err(_) => {
                let len = rustix::io::ioctl_fionread(&old).unwrap_or(0);
                add(&progress.unread_unknown, len);
            }
        }
    }

    /// Messages that have been written, each as often as it was.
    fn written(&self) -> u64 {
        self.pump.ledger().delivered + self.front.sent_again
    }

    fn lose_line(&mut self) {
        let Some(line) = self.line.take() else { return };
        let progress = &self.shared.progress;
        progress.is_connected.store(false, Ordering::Relaxed);
        self.shared.log_state.store(STATE_UNKNOWN, Ordering::Relaxed);
        self.front.lose();
        self.reporting = 0;
        self.old = line.inode.map(|inode| Old { fd: line.sink.into_inner(), inode });
    }

    /// Tells the daemon of contexts that it does not know.
    fn announce(&mut self) {
        // Acquire: pairs with the store of the count.
        if self.announced as u64 != self.shared.context_count.load(Ordering::Acquire) {
            let (records, announced) = self.shared.announcements(Some(self.announced));
            self.front.push(records);
            self.announced = announced;
        }
    }

    /// Tells the daemon of messages that were refused.
    fn report(&mut self) {
        let refused = self.shared.refused.load(Ordering::Relaxed);
        let lost = refused - self.reported;
        let is_time = self.writes_since_report >= REPORT_WRITES || !self.pump.has_work();
        if lost == 0 || self.reporting > 0 || !is_time {
            return;
        }
        self.reporting = lost.min(u64::from(u32::MAX));
        self.writes_since_report = 0;
        // Just cut to 32 bits.
        #[allow(clippy::cast_possible_truncation)]
        let overflow = UserRecord::Overflow { lost: self.reporting as u32, app: self.shared.app };
        self.front.push([record(&overflow)]);
    }

    /// Writes once.
    fn step(&mut self) -> io::Result<Step> {
        self.at_boundary |= self.pump.pending() == 0;
        if !self.front.is_empty() && self.at_boundary {
            return self.write_front();
        }
        if self.writes_in_a_row > 0 {
            self.gather();
        }
        let slices = self.pump.fill();
        if slices.is_empty() {
            return Ok(Step::Idle);
        }
        // Acquire: pairs with the store of the count. A context was counted
        // before its first message was committed, so it is seen here.
        let count = self.shared.context_count.load(Ordering::Acquire);
        if self.at_boundary && (self.announced as u64 != count || !self.front.is_empty()) {
            self.announce();
            return self.write_front();
        }
        let Some(line) = &mut self.line else { return Ok(Step::Idle) };
        let progress = &self.shared.progress;
        add(&progress.writes, 1);
        match line.sink.write(&slices)? {
            Progress::Blocked => Ok(Step::Blocked),
            Progress::Wrote(0) => Err(io::ErrorKind::WriteZero.into()),
            Progress::Wrote(bytes) => {
                self.pump.wrote(bytes).map_err(io::Error::other)?;
                self.at_boundary = self.pump.pending() == 0;
                let ledger = self.pump.ledger();
                progress.delivered.store(ledger.delivered, Ordering::Relaxed);
                progress.undeliverable.store(ledger.undeliverable, Ordering::Relaxed);
                Ok(Step::Moved { bytes })
            }
        }
    }

    /// Lets a batch grow while senders are busy, which saves the system calls
    /// of short ones. Alone after a pause a message leaves at once.
    fn gather(&mut self) {
        let mut len = self.pump.fill().len_bytes();
        let mut looks = 0;
        while len < GATHER_LEN && looks < GATHER_LOOKS {
            (0..GATHER_TURNS).for_each(|_| spin_loop());
            let grown = self.pump.fill().len_bytes();
            looks = if grown == len { looks + 1 } else { 0 };
            len = grown;
        }
    }

    fn write_front(&mut self) -> io::Result<Step> {
        let Some(line) = &mut self.line else { return Ok(Step::Idle) };
        let progress = &self.shared.progress;
        add(&progress.writes, 1);
        let step = self.front.write(&mut line.sink)?;
        if self.front.is_empty() {
            self.reported += std::mem::take(&mut self.reporting);
            progress.reported.store(self.reported, Ordering::Relaxed);
        }
        Ok(step)
    }

    fn moved(&mut self, bytes: usize) {
        self.burst_len += bytes;
        self.writes_since_report = self.writes_since_report.saturating_add(1);
        self.writes_in_a_row += 1;
        if self.writes_in_a_row >= WRITES_MAX {
            self.listen();
        }
    }

    /// Waits after the line was blocked. A FIFO is writable as soon as one page
    /// of it is free, so at first it is left alone until more of them are.
    fn wait_for_room(&mut self) {
        add(&self.shared.progress.blocked, 1);
        let written = std::mem::take(&mut self.burst_len);
        let Some(fifo_len) = self.line.as_ref().and_then(|line| line.fifo_len) else {
            return self.wait(PollFlags::OUT, None);
        };
        if written > fifo_len / 8 * 7 {
            // It has perhaps waited itself.
            self.nap = if self.nap > NAP_MIN { self.nap / 2 } else { Duration::ZERO };
        } else if 0 < written && written < fifo_len / 2 {
            self.nap = (self.nap * 2).clamp(NAP_MIN, NAP_MAX);
        }
        if written == 0 || self.nap.is_zero() {
            self.wait(PollFlags::OUT, None);
        }
        if !self.nap.is_zero() {
            self.wait(PollFlags::empty(), Some(self.nap));
        }
    }

    /// Sleeps until there is something to do.
    fn wait_for_messages(&mut self) {
        let asked = self.shared.flushes_asked();
        self.shared.waker.fall_asleep();
        let shared = &self.shared;
        let has_work = self.pump.has_work()
            || shared.context_count.load(Ordering::Acquire) != self.announced as u64
            || shared.refused.load(Ordering::Relaxed) != self.reported
            || shared.closed.load(Ordering::Acquire);
        if !has_work {
            self.writes_in_a_row = 0;
            self.shared.flushed(asked);
            self.wait(PollFlags::empty(), None);
        }
        self.shared.waker.awake();
    }

    /// Waits until the line is as `line_flags` say, the daemon speaks, the
    /// client rings, or `timeout` has passed; listens, if the daemon spoke.
    fn wait(&mut self, line_flags: PollFlags, timeout: Option<Duration>) {
        let shared = Arc::clone(&self.shared);
        add(&shared.progress.waits, 1);
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let line_flags = match self.own {
            Some(_) => line_flags,
            None => line_flags | PollFlags::IN,
        };
        let mut fds: heapless::Vec<PollFd<'_>, 3> = heapless::Vec::new();
        let _ = fds.push(PollFd::new(shared.waker.event(), PollFlags::IN));
        if let Some(line) = &self.line {
            let _ = fds.push(PollFd::new(line.sink.fd(), line_flags));
            if let Some(own) = &self.own {
                let _ = fds.push(PollFd::new(&own.fd, PollFlags::IN));
            }
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            // Out of memory for a moment: as if something had happened.
            Err(_) => return,
        }
        let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        let is = |at: usize, flags| fds.get(at).is_some_and(|fd| fd.revents().intersects(flags));
        let (has_rung, is_gone) = (is(0, PollFlags::IN), is(1, gone));
        let speaks = is(1, PollFlags::IN) || is(2, PollFlags::IN);
        drop(fds);
        if has_rung {
            add(&shared.progress.reads, 1);
            shared.waker.clear();
        }
        if speaks {
            self.listen();
        }
        if is_gone {
            self.lose_line();
        }
    }

    /// Reads what the daemon has said.
    fn listen(&mut self) {
        self.writes_in_a_row = self.writes_in_a_row.min(1);
        loop {
            let Some(line) = &self.line else { return };
            let fd = self.own.as_ref().map_or(line.sink.fd(), |own| &own.fd);
            add(&self.shared.progress.reads, 1);
            let free = self.control.free();
            let free_len = free.len();
            match read_some(fd, free) {
                Ok(Some(len)) => {
                    self.control.received(len);
                    self.heard();
                    if len < free_len {
                        return;
                    }
                }
                Ok(None) => return,
                Err(_) => return self.lose_line(),
            }
        }
    }

    fn heard(&mut self) {
        loop {
            let frame = match self.control.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(_) => {
                    add(&self.shared.progress.damages, 1);
                    continue;
                }
            };
            let context = |position: i32| {
                let position = usize::try_from(position).ok()?;
                self.shared.contexts().get(position).cloned()
            };
            match UserRecord::parse(frame.payload) {
                Ok(UserRecord::LogLevel { level, position, .. }) => {
                    self.answers += 1;
                    if let Some(context) = context(position) {
                        // What is no level is the daemon's word for a default.
                        let level = if level > 6 { self.shared.level } else { level };
                        context.level.store(level, Ordering::Relaxed);
                    }
                }
                Ok(UserRecord::LogState { state }) => {
                    self.shared.log_state.store(u8::from(state == 1), Ordering::Relaxed);
                }
                Ok(UserRecord::Injection { position, service, data }) => {
                    if let Some(context) = context(position) {
                        add(&self.shared.progress.injections, 1);
                        (self.on_injection)(Injection { context: context.id, service, data });
                    }
                }
                _ => add(&self.shared.progress.damages, 1),
            }
        }
    }

    fn await_answers(&mut self) {
        let deadline = Instant::now() + ANSWERS_PATIENCE;
        while self.own.is_some() && self.line.is_some() && self.answers < self.announced {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.wait(PollFlags::empty(), Some(left));
        }
    }

    /// Tells the daemon that the application ends, if it takes it at once.
    fn unregister(&mut self) {
        let (app, pid) = (self.shared.app, self.shared.pid_in_records());
        if !self.at_boundary || !self.front.is_empty() {
            return;
        }
        let contexts: Vec<_> = self.shared.contexts().iter().map(|context| context.id).collect();
        let ends =
            contexts.iter().map(|&context| UserRecord::UnregisterContext { app, context, pid });
        let ends = ends.chain([UserRecord::UnregisterApp { app, pid }]);
        self.front.push(ends.map(|end| record(&end)));
        self.await_answers();
        while !self.front.is_empty() && matches!(self.step(), Ok(Step::Moved { .. })) {}
    }
}

/// Whatever ended the thread: nothing leaves any more, and nobody waits for it.
impl Drop for Transport {
    fn drop(&mut self) {
        self.shared.progress.is_connected.store(false, Ordering::Relaxed);
        self.shared.closed.store(true, Ordering::Release);
        self.shared.ended();
    }
}

fn control() -> Decoder<Dlt, Box<[u8]>> {
    const LEN_MAX: usize = u16::MAX as usize;
    match Decoder::new(Dlt::user(LEN_MAX), vec![0; LEN_MAX + 8].into_boxed_slice()) {
        Ok(decoder) => decoder,
        // The buffer is as long as the longest record.
        Err(error) => unreachable!("{error}"),
    }
}

/// Only this thread stores it.
fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}
