//! A ring that tasks on several threads share.
//!
//! # Implementation
//!
//! The ring is set up for several threads and lies behind a mutex. A task waits
//! for a slot, puts its operation into the queue and wakes the *reaper*, a task
//! which submits what has been queued meanwhile by one system call, and wakes
//! those whose operations are over (`reaper`).
//!
//! Nothing of others is called under the mutex: a waker, a file and a buffer
//! are dropped, and a task is woken, when it is free again.
//!
//! An operation whose thread ends is cancelled by the kernel, and nobody asked
//! for that; it is begun again.

use std::{
    future::Future,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use rustix::io::Errno;
use tokio::{
    runtime::Handle,
    sync::{Notify, Semaphore},
    task::yield_now,
};

use super::reaper;
use crate::uring::{
    Ticket,
    driver::{Done, Driver, Request},
    kernel::{Kernel, Real, Register},
};

/// How often an operation is begun again that the kernel has cancelled.
const AGAIN_MAX: u32 = 16;
/// The most threads of the kernel's own: for files that cannot be done without
/// waiting, and for others.
const WORKERS: [u32; 2] = [4, 4];

/// The one who owns the ring for others.
#[derive(Debug)]
pub(super) struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// As many permits as slots are free.
    slots: Semaphore,
    /// For the reaper: something has been queued, or the hub is gone.
    pub(super) queued: Arc<Notify>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) driver: Driver<Real>,
    pub(super) has_reaper: bool,
    /// The hub is gone; what is under way has no owner.
    is_left: bool,
    /// What keeps this for the reaper, until all is over.
    pub(super) kept: Option<Arc<Shared>>,
}

/// What a turn of the reaper left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing that the kernel did not take.
    Done,
    /// Something that it is to be asked for again.
    Again,
    /// Nothing at all, for good.
    Over,
}

impl Hub {
    /// Starts the reaper in the current runtime.
    pub(super) fn new(mut driver: Driver<Real>) -> io::Result<Self> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        // The ring's own threads count in the process. Before Linux 5.15 their
        // number cannot be limited.
        let _ = driver.kernel().register(Register::Workers(WORKERS));
        let slots = Semaphore::new(driver.slots().free());
        let state = State { driver, has_reaper: true, is_left: false, kept: None };
        let shared = Shared { state: Mutex::new(state), slots, queued: Arc::default() };
        let hub = Self { shared: Arc::new(shared) };
        runtime.spawn(reaper::Reaper::new(&hub.shared)?.run());
        Ok(hub)
    }

    /// What the driver says.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Driver<Real>) -> T) -> T {
        question(&self.shared.lock().driver)
    }

    /// Does `request`. Dropping the future asks the kernel for the end of the
    /// operation, and leaves what it holds to the driver until then.
    pub(super) async fn run(&self, mut request: Request) -> Done {
        let mut again = 0;
        loop {
            let ticket = match self.start(request).await {
                Ok(ticket) => ticket,
                Err(done) => return done,
            };
            let operation =
                Operation { shared: &self.shared, ticket, is_new: true, is_over: false };
            let done = operation.await;
            if done.result != Err(Errno::CANCELED) || again == AGAIN_MAX {
                return done;
            }
            again += 1;
            request = done.request;
        }
    }

    /// Waits for a slot, and takes it.
    #[allow(clippy::result_large_err, reason = "it is what was given")]
    async fn start(&self, mut request: Request) -> Result<Ticket, Done> {
        loop {
            // The semaphore is never closed.
            let slot = self.shared.slots.acquire().await.ok();
            match self.shared.start(request) {
                Ok(ticket) => {
                    // It comes back with the slot.
                    slot.into_iter().for_each(|slot| slot.forget());
                    return Ok(ticket);
                }
                Err(back) => request = back,
            }
            drop(slot);
            if let Err(errno) = reaper::ensure(&self.shared) {
                return Err(Done { request, result: Err(errno), opened: None, status: None });
            }
            yield_now().await;
        }
    }
}

/// A thread of a runtime does not wait for a disk: what is under way is left to
/// the reaper there. Elsewhere, the driver's own end waits.
impl Drop for Hub {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_left = true;
        if state.has_reaper && Handle::try_current().is_ok() && state.driver.end() > 0 {
            state.kept = Some(Arc::clone(&self.shared));
        }
        drop(state);
        self.shared.queued.notify_one();
    }
}

impl Shared {
    /// Nothing panics under the lock.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a request, if there is a reaper to submit it, and room: requests
    /// to cancel may fill the queue, which the kernel does not take just then.
    #[allow(clippy::result_large_err, reason = "it is what was given")]
    fn start(&self, request: Request) -> Result<Ticket, Request> {
        let mut state = self.lock();
        if !state.has_reaper {
            return Err(request);
        }
        let started = state.driver.start([request]);
        drop(state);
        self.queued.notify_one();
        started.map(|[ticket]| ticket).map_err(|[request]| request)
    }

    /// Submits what is queued and wakes those whose operations are over.
    pub(super) fn turn(self: &Arc<Self>) -> Turn {
        let (mut over, mut buried): (Vec<Waker>, _) = (Vec::new(), Vec::new());
        let mut state = self.lock();
        let driver = &mut state.driver;
        let free = driver.slots().free();
        if driver.wants_call() {
            match driver.submit() {
                Ok(()) | Err(Errno::INTR | Errno::AGAIN | Errno::BUSY) => {}
                // Never again, it seems: better an error than no answer.
                Err(errno) => {
                    buried = driver.fail_queued(errno, |_, waker| over.extend(waker));
                }
            }
        }
        driver.reap_all(|_, waker| over.extend(waker), |it| buried.push(it));
        // Of those that nobody waits for.
        let freed = driver.slots().free() - free;
        let mut turn = if driver.slots().queued() > 0 { Turn::Again } else { Turn::Done };
        let mut kept = None;
        if state.is_left {
            if state.driver.end() == 0 {
                turn = Turn::Over;
                kept = state.kept.take();
            } else {
                state.kept.get_or_insert_with(|| Arc::clone(self));
            }
        }
        drop(state);
        self.slots.add_permits(freed);
        drop((buried, kept));
        for waker in over {
            // One that panics has said so; the others wait.
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
        turn
    }
}

/// An operation under way.
struct Operation<'h> {
    shared: &'h Shared,
    ticket: Ticket,
    /// Not polled yet.
    is_new: bool,
    is_over: bool,
}

impl Future for Operation<'_> {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        let mut waker = self.is_new.then(|| cx.waker().clone());
        self.is_new = false;
        loop {
            let mut state = self.shared.lock();
            if let Some(done) = state.driver.take(self.ticket) {
                drop(state);
                self.is_over = true;
                self.shared.slots.add_permits(1);
                return Poll::Ready(done);
            }
            if let Some(waker) = waker.take() {
                let before = state.driver.slots().wake(self.ticket, Some(waker));
                drop(state);
                drop(before);
                return Poll::Pending;
            }
            if state.driver.slots().wakes(self.ticket, cx.waker()) {
                return Poll::Pending;
            }
            drop(state);
            waker = Some(cx.waker().clone());
        }
    }
}

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut state = self.shared.lock();
        let waker = state.driver.slots().wake(self.ticket, None);
        if state.driver.slots().is_under_way(self.ticket) {
            state.driver.cancel(self.ticket);
        }
        let buried = state.driver.orphan(self.ticket);
        drop(state);
        if buried.is_some() {
            self.shared.slots.add_permits(1);
        }
        drop((waker, buried));
        self.shared.queued.notify_one();
    }
}
