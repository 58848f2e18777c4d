//! A read, which most often is over when it is polled first.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll},
};

use tokio::task::coop::poll_proceed;

use super::{
    file::{File, moved},
    invalid,
};
use crate::uring::{
    Lease, Way,
    driver::Request,
    outcome::check_transfer,
    plain::{Cached, read_cached},
};

type Output = (Lease, io::Result<usize>);

/// The future of [`File::read_at`] and [`File::read_len_at`]: the lease, and how
/// many bytes were read.
///
/// # Implementation
///
/// A future of its own, not an `async fn`, as the way through the page cache is
/// to be inline in the task, see [`Context::read`](crate::uring::Context::read).
#[must_use = "a read does nothing unless it is awaited"]
pub struct ReadAt<'f> {
    file: &'f File,
    state: State<'f>,
}

enum State<'f> {
    New { lease: Lease, len: usize, offset: u64 },
    UnderWay(Pin<Box<dyn Future<Output = Output> + Send + 'f>>),
    Over,
}

impl<'f> ReadAt<'f> {
    #[inline]
    pub(super) const fn new(file: &'f File, lease: Lease, len: usize, offset: u64) -> Self {
        Self { file, state: State::New { lease, len, offset } }
    }

    /// Takes the state of one that has not begun.
    #[inline(always)]
    fn take(&mut self) -> Option<(Lease, usize, u64)> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::New { lease, len, offset } => Some((lease, len, offset)),
            _ => None,
        }
    }

    /// Reads what is in the page cache; the number of bytes, if it is all.
    #[inline(always)]
    fn read_now(&mut self) -> Result<io::Result<usize>, usize> {
        let State::New { lease, len, offset } = &mut self.state else { return Err(0) };
        if let Err(why) = check_transfer(&self.file.file, lease, *len, *offset) {
            return Ok(Err(invalid(why)));
        }
        let inner = &*self.file.files.inner;
        if !self.file.file.nowait() || inner.reads != Way::Inline {
            return Err(0);
        }
        match read_cached(&self.file.file, &mut lease[..*len], *offset) {
            Cached::All(result) => {
                inner.cached_reads.fetch_add(1, Ordering::Relaxed);
                Ok(result.map_err(io::Error::from))
            }
            Cached::Only(len) => {
                inner.cache_misses.fetch_add(1, Ordering::Relaxed);
                Err(len)
            }
        }
    }

    /// Begins what is behind `start`, and looks for its end.
    #[inline(never)]
    fn begin(&mut self, start: usize, cx: &mut Context<'_>) -> Poll<Output> {
        if let Some((lease, len, offset)) = self.take() {
            let File { files, file } = self.file;
            let request = Request::Read { file: file.clone(), lease, start, end: len, offset };
            let read = async move { moved(files.run(request).await, start) };
            self.state = State::UnderWay(Box::pin(read));
        }
        self.poll_under_way(cx)
    }

    fn poll_under_way(&mut self, cx: &mut Context<'_>) -> Poll<Output> {
        match &mut self.state {
            State::UnderWay(read) => {
                let over = read.as_mut().poll(cx);
                if over.is_ready() {
                    self.state = State::Over;
                }
                over
            }
            _ => panic!("a read that is over has been polled"),
        }
    }
}

impl Future for ReadAt<'_> {
    type Output = Output;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        if !matches!(self.state, State::New { .. }) {
            return self.poll_under_way(cx);
        }
        // A loop over a cached file gives way to others now and then.
        let Poll::Ready(budget) = poll_proceed(cx) else { return Poll::Pending };
        match self.read_now() {
            Ok(result) => {
                budget.made_progress();
                match self.take() {
                    Some((lease, ..)) => Poll::Ready((lease, result)),
                    None => unreachable!("it has not begun"),
                }
            }
            Err(start) => self.begin(start, cx),
        }
    }
}

impl fmt::Debug for ReadAt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadAt").field("file", self.file).finish_non_exhaustive()
    }
}
