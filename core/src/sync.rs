//! The atomics of the crate, in the one file that names them.
//!
//! Under `--cfg forebay_loom` they are loom's, so that the models in
//! `loom-tests/` run the very code that ships. A private cfg is used because
//! plain `cfg(loom)` would reach every dependency.

#[cfg(not(forebay_loom))]
use core::sync::atomic;
#[cfg(all(not(target_has_atomic = "ptr"), feature = "portable-atomic"))]
use portable_atomic as swapped;

#[cfg(any(target_has_atomic = "ptr", not(feature = "portable-atomic")))]
use atomic as swapped;
#[cfg(forebay_loom)]
use loom::sync::atomic;

pub(crate) use atomic::{AtomicBool, Ordering};
/// The atomics that are exchanged: the target's own, which may only load and
/// store, or `portable-atomic`'s, which always exchange.
pub(crate) use swapped::AtomicBool as SwapBool;
#[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
pub(crate) use swapped::AtomicUsize as SwapUsize;

/// The word of a position, alone, atomic, and to be exchanged.
macro_rules! positions {
    ($word:ident, $atomic:ident) => {
        pub(crate) type PositionWord = $word;
        pub(crate) use atomic::$atomic as AtomicPosition;
        #[cfg(any(target_has_atomic = "ptr", feature = "portable-atomic"))]
        pub(crate) use swapped::$atomic as SwapPosition;
    };
}

#[cfg(forebay_index = "u16")]
positions!(u16, AtomicU16);
#[cfg(forebay_index = "u32")]
positions!(u32, AtomicU32);
#[cfg(forebay_index = "u64")]
positions!(u64, AtomicU64);
#[cfg(all(
    not(any(forebay_index = "u16", forebay_index = "u32", forebay_index = "u64")),
    target_has_atomic = "64"
))]
positions!(u64, AtomicU64);
#[cfg(all(
    not(any(forebay_index = "u16", forebay_index = "u32", forebay_index = "u64")),
    not(target_has_atomic = "64")
))]
positions!(usize, AtomicUsize);

/// The word of a record's header, alone and atomic.
macro_rules! headers {
    ($word:ident, $atomic:ident) => {
        pub(crate) type HeaderWord = $word;
        pub(crate) use atomic::$atomic as AtomicHeader;
    };
}

#[cfg(any(forebay_index = "u16", target_pointer_width = "16"))]
headers!(u16, AtomicU16);
#[cfg(not(any(forebay_index = "u16", target_pointer_width = "16")))]
headers!(u32, AtomicU32);

/// What loom watches for accesses that are not atomic.
#[cfg(forebay_loom)]
pub(crate) type Witness = loom::cell::UnsafeCell<()>;
