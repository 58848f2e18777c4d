//! A ring that tasks on several threads share.
//!
//! # Implementation
//!
//! The ring is set up for several threads and lies behind a mutex. A task puts
//! its operation into the queue and wakes the *reaper*, one task of the
//! runtime, which submits what has been queued meanwhile by one system call,
//! sleeps until the ring's descriptor is readable in the runtime's own poller,
//! and wakes those whose operations are over.
//!
//! An operation whose thread ends is cancelled by the kernel, and nobody asked
//! for that; it is begun again.

use std::{
    future::{Future, poll_fn},
    io,
    os::fd::{AsFd, OwnedFd},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
};

use rustix::io::Errno;
use tokio::{
    io::{Interest, unix::AsyncFd},
    runtime::Handle,
    sync::Notify,
    task::yield_now,
};

use crate::uring::{
    Ticket,
    driver::{Done, Driver, Ended, Request},
    kernel::{Kernel, Real, Register},
};

/// How often an operation is begun again that the kernel has cancelled.
const AGAIN_MAX: u32 = 16;
/// The most threads of the kernel's own: for files that cannot be done without
/// waiting, and for others.
const WORKERS: [u32; 2] = [4, 4];

#[derive(Debug)]
pub(super) struct Hub {
    driver: Mutex<Driver<Real>>,
    /// For the reaper: something has been queued, or the hub is gone.
    queued: Arc<Notify>,
    /// For those who wait for a slot.
    freed: Notify,
}

impl Hub {
    /// Starts the reaper in the current runtime.
    pub(super) fn new(mut driver: Driver<Real>) -> io::Result<Arc<Self>> {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        // The ring's own threads count in the process. Before Linux 5.15 their
        // number cannot be limited.
        let _ = driver.kernel().register(Register::Workers(WORKERS));
        let fd = driver.kernel().as_fd().try_clone_to_owned()?;
        #[allow(deprecated, reason = "from tokio 1.54 on; an `OwnedFd` is always the same")]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
        let queued = Arc::new(Notify::new());
        let hub = Arc::new(Self {
            driver: Mutex::new(driver),
            queued: Arc::clone(&queued),
            freed: Notify::new(),
        });
        runtime.spawn(reap(Arc::downgrade(&hub), queued, fd));
        Ok(hub)
    }

    pub(super) fn driver(&self) -> MutexGuard<'_, Driver<Real>> {
        self.driver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `request`. Dropping the future leaves the operation to the kernel,
    /// and what it holds to the driver, until it is over.
    pub(super) async fn run(self: &Arc<Self>, mut request: Request) -> Done {
        let mut again = 0;
        loop {
            let ticket = self.start(request).await;
            let done = Operation { hub: self, ticket, over: false }.await;
            if done.result != Err(Errno::CANCELED) || again == AGAIN_MAX {
                return done;
            }
            again += 1;
            request = done.request;
        }
    }

    /// Waits for a slot.
    async fn start(&self, mut request: Request) -> Ticket {
        loop {
            let mut freed = pin!(self.freed.notified());
            // From here on, what becomes free is not missed.
            freed.as_mut().enable();
            let started = self.driver().start([request]);
            match started {
                Ok([ticket]) => {
                    self.queued.notify_one();
                    return ticket;
                }
                Err([back]) => request = back,
            }
            // Those that fill the queue want to be submitted.
            self.queued.notify_one();
            freed.await;
        }
    }

    /// Submits what is queued and wakes those whose operations are over;
    /// whether something is left that the kernel did not take.
    fn turn(&self) -> bool {
        let mut over: Vec<Ended> = Vec::new();
        let left = {
            let mut driver = self.driver();
            if driver.wants_call() {
                match driver.submit() {
                    Ok(()) | Err(Errno::INTR | Errno::AGAIN | Errno::BUSY) => {}
                    // Never again, it seems: better an error than no answer.
                    Err(errno) => driver.fail_queued(errno, |ended| over.push(ended)),
                }
            }
            driver.reap(|ended| over.push(ended));
            driver.slots().queued() > 0
        };
        // Unlocked: who is woken, and what is dropped, may run any code.
        for ended in over {
            if let Ended::Done(_, Some(waker)) = ended {
                waker.wake();
            }
        }
        // Orphans have given up their slots.
        self.freed.notify_waiters();
        left
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.queued.notify_one();
    }
}

/// The reaper. It holds the hub only while it works, so that the last `Files`
/// ends both.
async fn reap(hub: Weak<Hub>, queued: Arc<Notify>, fd: AsyncFd<OwnedFd>) {
    loop {
        let mut notified = pin!(queued.notified());
        let failed = poll_fn(|cx| {
            let notified = notified.as_mut().poll(cx).is_ready();
            match fd.poll_read_ready(cx) {
                Poll::Ready(Ok(mut guard)) => {
                    // Before the completions are taken: one that comes then
                    // makes it ready again.
                    guard.clear_ready();
                    Poll::Ready(false)
                }
                // The runtime is shutting down.
                Poll::Ready(Err(_)) => Poll::Ready(true),
                Poll::Pending if notified => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        let Some(hub) = hub.upgrade() else { return };
        if failed {
            return;
        }
        if hub.turn() {
            drop(hub);
            queued.notify_one();
            yield_now().await;
        }
    }
}

/// An operation under way.
struct Operation<'h> {
    hub: &'h Arc<Hub>,
    ticket: Ticket,
    over: bool,
}

impl Future for Operation<'_> {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        let done = {
            let mut driver = self.hub.driver();
            let done = driver.take(self.ticket);
            let before =
                if done.is_none() { driver.slots().wake(self.ticket, cx.waker()) } else { None };
            drop(driver);
            drop(before);
            done
        };
        let Some(done) = done else { return Poll::Pending };
        self.over = true;
        self.hub.freed.notify_waiters();
        Poll::Ready(done)
    }
}

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut driver = self.hub.driver();
        driver.cancel(self.ticket);
        let rest = driver.orphan(self.ticket);
        drop(driver);
        self.hub.queued.notify_one();
        drop(rest);
    }
}
