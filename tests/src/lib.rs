//! What the tests across the crates share.

#![forbid(unsafe_code)]

pub mod conformance;
pub mod faulty;
pub mod files;
#[cfg(target_os = "linux")]
pub mod restrict;

/// The examples of the README files, which compile and run as these tests.
#[cfg(doctest)]
mod readme {
    #[doc = include_str!("../../README.md")]
    struct Workspace;
    #[doc = include_str!("../../core/README.md")]
    struct Core;
}
