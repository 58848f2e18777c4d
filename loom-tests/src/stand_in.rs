//! What the drainer's source has instead of `std` in its copies: loom's locks,
//! atomics and threads, and the rest as it is.

pub use std::{any, env, error, ffi, fmt, io, marker, mem, ops, panic, time};

/// As `std::sync`.
pub mod sync {
    pub use std::sync::{Arc, PoisonError};

    pub use loom::sync::{Mutex, MutexGuard, atomic};
}

/// As `std::thread`.
pub mod thread {
    pub use crate::parking::{Thread, current, park, park_timeout};

    /// Nothing: who yields goes on in other executions.
    pub fn yield_now() {}
}

/// As the source's own, of which no model is interrupted.
///
/// # Errors
///
/// As `io`.
pub fn uninterrupted<T>(io: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    io()
}
