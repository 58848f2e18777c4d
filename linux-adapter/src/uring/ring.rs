//! One ring: what to tell the kernel, and when.
//!
//! # Implementation
//!
//! `enter` submits all that is pushed. What the kernel took is known from the
//! queue's head and from nothing else: an error of the call may come after
//! entries were taken, and no error says that they were not.

use std::time::Duration;

use rustix::{
    io::Errno,
    io_uring::{IoringEnterFlags, IoringSetupFlags, IoringSqFlags},
};

use super::{
    kernel::Kernel,
    queue::{Completion, Queues},
};

/// What the system calls of a ring did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RingCounts {
    pub(crate) enters: u64,
    pub(crate) interrupted: u64,
    pub(crate) overflows: u64,
}

#[derive(Debug)]
pub(crate) struct Ring<K> {
    kernel: K,
    counts: RingCounts,
}

impl<K: Kernel> Ring<K> {
    pub(crate) fn new(kernel: K) -> Self {
        Self { kernel, counts: RingCounts::default() }
    }

    pub(crate) fn kernel(&mut self) -> &mut K {
        &mut self.kernel
    }

    pub(crate) fn queues(&mut self) -> &mut Queues {
        self.kernel.queues()
    }

    pub(crate) fn counts(&self) -> RingCounts {
        self.counts
    }

    pub(crate) fn has(&self, flag: IoringSetupFlags) -> bool {
        self.kernel.flags().contains(flag)
    }

    /// Whether completions may be had by a call that does not wait.
    pub(crate) fn wants_call(&mut self) -> bool {
        // A device is only polled within a call.
        self.has(IoringSetupFlags::IOPOLL)
            // This kernel does its share within calls and does not say when
            // there is some.
            || (self.has(IoringSetupFlags::DEFER_TASKRUN)
                && !self.has(IoringSetupFlags::TASKRUN_FLAG))
            || self.queues().flags().intersects(IoringSqFlags::CQ_OVERFLOW | IoringSqFlags::TASKRUN)
    }

    /// Submits what has been pushed and waits for `want` completions, at most
    /// `timeout`.
    pub(crate) fn enter(&mut self, want: u32, timeout: Option<Duration>) -> Result<(), Errno> {
        self.queues().publish();
        let mut flags = IoringEnterFlags::empty();
        let mut submit = self.queues().pending();
        if self.has(IoringSetupFlags::SQPOLL) {
            submit = 0;
            if self.queues().flags_after_publish().contains(IoringSqFlags::NEED_WAKEUP) {
                flags |= IoringEnterFlags::SQ_WAKEUP;
            }
        }
        if want > 0 || self.has(IoringSetupFlags::DEFER_TASKRUN) || self.wants_call() {
            flags |= IoringEnterFlags::GETEVENTS;
        }
        if submit == 0 && flags.is_empty() {
            return Ok(());
        }
        self.counts.enters += 1;
        if self.queues().flags().contains(IoringSqFlags::CQ_OVERFLOW) {
            self.counts.overflows += 1;
        }
        match self.kernel.enter(submit, want, flags, timeout) {
            Ok(_) | Err(Errno::TIME) => Ok(()),
            Err(error) => {
                self.counts.interrupted += u64::from(error == Errno::INTR);
                Err(error)
            }
        }
    }

    /// Waits until the polling thread has taken something, if there is one.
    pub(crate) fn wait_for_room(&mut self) -> Result<(), Errno> {
        let mut flags = IoringEnterFlags::SQ_WAIT;
        if self.queues().flags_after_publish().contains(IoringSqFlags::NEED_WAKEUP) {
            flags |= IoringEnterFlags::SQ_WAKEUP;
        }
        self.counts.enters += 1;
        self.kernel.enter(0, 0, flags, None).map(drop)
    }

    pub(crate) fn pop(&mut self) -> Option<Completion> {
        self.queues().pop()
    }
}
