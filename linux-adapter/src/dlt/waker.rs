//! Wakes the transport's thread, which sleeps in `poll(2)`.

use std::{
    io,
    os::fd::OwnedFd,
    sync::atomic::{AtomicBool, AtomicU64, Ordering, fence},
};

use rustix::event::{EventfdFlags, eventfd};

/// As [`Bell`](forebay_std::Bell), but its sleeper can wait for descriptors,
/// too.
#[derive(Debug)]
pub(super) struct Waker {
    asleep: AtomicBool,
    event: OwnedFd,
    /// System calls made to wake.
    wakes: AtomicU64,
}

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self { asleep: AtomicBool::new(false), event, wakes: AtomicU64::new(0) })
    }

    /// Wakes the sleeper, if it sleeps for want of messages.
    #[inline]
    pub(super) fn ring(&self) {
        // Pairs with the fence in `fall_asleep`: either this sees it asleep, or
        // it sees the message.
        fence(Ordering::SeqCst);
        // Relaxed: the fences order it. One of several ringers is enough.
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.wake();
        }
    }

    /// Wakes the sleeper, whatever it waits for.
    #[cold]
    pub(super) fn wake(&self) {
        // Relaxed: a count.
        self.wakes.fetch_add(1, Ordering::Relaxed);
        // It fails when the count is full, and then it is readable already.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    /// Says that messages are waited for from now on. The caller looks for
    /// some once more before it sleeps.
    pub(super) fn fall_asleep(&self) {
        // Relaxed: the fence orders it.
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub(super) fn awake(&self) {
        // Relaxed: a ringer that still sees `true` writes once too often.
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// What is readable when somebody has rung.
    pub(super) fn event(&self) -> &OwnedFd {
        &self.event
    }

    /// Takes the rings that have been seen.
    pub(super) fn clear(&self) {
        let _ = rustix::io::read(&self.event, &mut [0; 8]);
    }

    pub(super) fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::Relaxed)
    }
}
