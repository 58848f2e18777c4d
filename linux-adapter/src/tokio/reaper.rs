//! Who submits for the tasks that share a ring, and takes its completions.
//!
//! # Implementation
//!
//! The reaper is a task of the runtime in which the files were made. It sleeps
//! until something is queued, or until the ring's descriptor is readable in the
//! runtime's own poller, and holds the ring only while it works. So the last
//! `Files` ends both.
//!
//! A runtime may end before files that others use as well, as when each test of
//! a program has a runtime and all share a static. The next operation, or those
//! under way, then get a reaper on a thread of its own, which stays as long as
//! the files do.

use std::{
    future::{Future, poll_fn},
    io,
    os::fd::{AsFd, OwnedFd},
    pin::pin,
    sync::{Arc, Weak},
    task::Poll,
    thread,
    time::Duration,
};

use rustix::io::Errno;
use tokio::{
    io::{Interest, unix::AsyncFd},
    runtime::Builder,
    sync::Notify,
    task::yield_now,
};

use super::hub::{Shared, Turn};

/// When a thread that has got no descriptor tries again.
const RETRY_AFTER: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Reaper {
    shared: Weak<Shared>,
    queued: Arc<Notify>,
    /// The ring's.
    fd: AsyncFd<OwnedFd>,
}

impl Reaper {
    /// A reaper in the current runtime.
    pub(super) fn new(shared: &Arc<Shared>) -> io::Result<Self> {
        let fd = shared.lock().driver.kernel().as_fd().try_clone_to_owned()?;
        #[allow(deprecated, reason = "from tokio 1.54 on; an `OwnedFd` is always the same")]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
        Ok(Self { shared: Arc::downgrade(shared), queued: Arc::clone(&shared.queued), fd })
    }

    pub(super) async fn run(self) {
        while self.wait().await {
            let Some(shared) = self.shared.upgrade() else { return };
            match shared.turn() {
                Turn::Done => {}
                Turn::Again => {
                    drop(shared);
                    self.queued.notify_one();
                    yield_now().await;
                }
                Turn::Over => return,
            }
        }
    }

    /// Waits until there is something to do; false when the runtime ends.
    async fn wait(&self) -> bool {
        let mut queued = pin!(self.queued.notified());
        poll_fn(|cx| {
            let queued = queued.as_mut().poll(cx).is_ready();
            match self.fd.poll_read_ready(cx) {
                Poll::Ready(Ok(mut guard)) => {
                    // Before the completions are taken: one that comes then
                    // makes it ready again.
                    guard.clear_ready();
                    Poll::Ready(true)
                }
                Poll::Ready(Err(_)) => Poll::Ready(false),
                Poll::Pending if queued => Poll::Ready(true),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// Its runtime ends, or there is nothing left to do.
impl Drop for Reaper {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut state = shared.lock();
        state.has_reaper = false;
        let kept = state.kept.take();
        let is_needed = kept.is_none() && state.driver.under_way() > 0;
        drop(state);
        if is_needed {
            // If there is no thread to be had, the next operation tries again.
            let _ = ensure(&shared);
        }
        drop((shared, kept));
    }
}

/// Sees to it that there is a reaper.
pub(super) fn ensure(shared: &Arc<Shared>) -> Result<(), Errno> {
    let mut state = shared.lock();
    if state.has_reaper {
        return Ok(());
    }
    state.has_reaper = true;
    drop(state);
    let thread = thread::Builder::new().name("forebay-reaper".into());
    let weak = Arc::downgrade(shared);
    thread.spawn(move || on_this_thread(&weak)).map(drop).map_err(|error| {
        shared.lock().has_reaper = false;
        Errno::from_io_error(&error).unwrap_or(Errno::AGAIN)
    })
}

fn on_this_thread(shared: &Weak<Shared>) {
    loop {
        let made = Builder::new_current_thread().enable_io().build().and_then(|runtime| {
            let Some(shared) = shared.upgrade() else { return Ok(None) };
            let _in_it = runtime.enter();
            let reaper = Reaper::new(&shared)?;
            Ok(Some((reaper, runtime)))
        });
        match made {
            Ok(Some((reaper, runtime))) => return runtime.block_on(reaper.run()),
            Ok(None) => return,
            // All descriptors are in use just now, and somebody waits.
            Err(_) => thread::sleep(RETRY_AFTER),
        }
    }
}
