//! The atomics of the crate, in the one file that names them.
//!
//! Under `--cfg forebay_loom` they are loom's, so that the models in
//! `loom-tests/` run the very code that ships. A private cfg is used because
//! plain `cfg(loom)` would reach every dependency.

#[cfg(not(forebay_loom))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// The atomics that are exchanged: the target's own, which may only load and
/// store, or `portable-atomic`'s, which always exchange.
#[cfg(all(
    not(forebay_loom),
    any(target_has_atomic = "ptr", not(feature = "portable-atomic"))
))]
pub(crate) use core::sync::atomic::AtomicBool as SwapBool;
#[cfg(all(not(forebay_loom), target_has_atomic = "ptr"))]
pub(crate) use core::sync::atomic::AtomicUsize as SwapUsize;
#[cfg(all(not(target_has_atomic = "ptr"), feature = "portable-atomic"))]
pub(crate) use portable_atomic::{AtomicBool as SwapBool, AtomicUsize as SwapUsize};

#[cfg(forebay_loom)]
pub(crate) use loom::sync::atomic::AtomicUsize as SwapUsize;
#[cfg(forebay_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// What loom watches for accesses that are not atomic.
#[cfg(forebay_loom)]
pub(crate) type Witness = loom::cell::UnsafeCell<()>;
