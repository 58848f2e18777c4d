//! From submission to completion.

use std::{
    hint::spin_loop,
    time::{Duration, Instant},
};

use rustix::io::Errno;

use super::{
    super::{
        config::Wait,
        driver::{Done, Request},
        file::File,
        outcome::{Completion, Outcome, Status},
        plain::more,
        ready::Over,
        slots::Ticket,
    },
    Context,
};

impl Context {
    /// Gives what is queued to the kernel, without waiting.
    ///
    /// # Errors
    ///
    /// An error of the call alone: what is queued may be under way all the
    /// same, and is tried again at the next call if it is not.
    pub fn submit(&mut self) -> Result<(), Errno> {
        self.driver.free_places();
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
    ///
    /// [`Config::wait`]: crate::uring::Config::wait
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
        self.driver.free_places();
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

    // ------------------------------------------------------------- details

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
