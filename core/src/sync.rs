//! The atomics of the crate, in the one file that names them.
//!
//! Under `--cfg forebay_loom` they are loom's, so that the models in
//! `loom-tests/` run the very code that ships. A private cfg is used because
//! plain `cfg(loom)` would reach every dependency.

#[cfg(not(forebay_loom))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

#[cfg(forebay_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// What loom watches for accesses that are not atomic.
#[cfg(forebay_loom)]
pub(crate) type Witness = loom::cell::UnsafeCell<()>;
