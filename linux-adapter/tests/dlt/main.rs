//! The DLT transport: against a FIFO and a socket whose far end the test
//! holds, and against the real daemon with its tools.

#[path = "../common/mod.rs"]
mod common;
mod daemon;
mod examples;
mod fake;
mod faults;
mod real;
mod restart;
mod socket;
mod tools;
mod tracing_layer;

use std::time::{Duration, Instant};

/// A test that waits longer than this for something has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds, without a guess of how long that takes.
fn await_that(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} until {what}");
        std::thread::yield_now();
    }
}
