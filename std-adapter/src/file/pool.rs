//! Buffers that are lent and come back.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::ALIGN;

/// A bounded number of buffers of one length, made when they are first needed.
pub(super) struct Pool {
    len: usize,
    /// Those that are not lent, and how many more may be made.
    rest: Mutex<Rest>,
}

struct Rest {
    free: Vec<Box<[u8]>>,
    unmade: usize,
}

impl Pool {
    pub(super) fn new(count: usize, len: usize) -> Arc<Self> {
        Arc::new(Self { len, rest: Mutex::new(Rest { free: Vec::new(), unmade: count }) })
    }

    pub(super) fn lease(self: &Arc<Self>) -> Option<Lease> {
        let mut rest = self.rest();
        let bytes = match rest.free.pop() {
            Some(bytes) => bytes,
            None => {
                rest.unmade = rest.unmade.checked_sub(1)?;
                vec![0; self.len + ALIGN].into()
            }
        };
        drop(rest);
        Some(Lease {
            start: bytes.as_ptr().addr().wrapping_neg() % ALIGN,
            bytes,
            pool: self.clone(),
        })
    }

    /// Nothing panics under the lock.
    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer that is lent; dropping it gives it back.
///
/// Its content is whatever it was, its address a multiple of [`ALIGN`].
pub struct Lease {
    /// Longer than what is lent by [`ALIGN`], which begins at `start`.
    bytes: Box<[u8]>,
    start: usize,
    pool: Arc<Pool>,
}

impl Deref for Lease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..][..self.pool.len]
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.pool.len]
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.rest().free.push(std::mem::take(&mut self.bytes));
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("len", &self.pool.len).finish_non_exhaustive()
    }
}
