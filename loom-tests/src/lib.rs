//! Models of forebay's rings, of its wake-up and of its drainer, run by loom:
//!
//! ```text
//! RUSTFLAGS="--cfg forebay_loom" \
//!     cargo test -p forebay-loom-tests --release --target-dir target/loom
//! ```
//!
//! A model that passes says little by itself: loom keeps one last access for
//! each atomic, and a program that hides its races from that is "verified" in a
//! single execution. So three things are demanded of each model.
//!
//! - It collects what came out of each execution, and the set of outcomes must
//!   be the expected one ([`explore`]).
//! - The number of executions is counted, printed and bounded from below.
//! - It rejects **twins**: copies of the source with one edit that breaks
//!   it, a Release made Relaxed for example (`twins.rs`, `bells.rs`,
//!   `drain.rs`). A twin that passes fails the tests. The copies are made by
//!   `build.rs`, so that the source itself knows nothing of them, and an edit
//!   that no longer fits the source fails the build.
//!
//! Two places of the drainer are not told apart by any model: a registrar's
//! leave need not be a Release, as the fence of the last call is before it, and
//! a panic in a message cannot be modelled, as loom's threads share one stack
//! of panics.

#![cfg(forebay_loom)]
#![forbid(unsafe_code)]

pub mod parking;
pub mod stand_in;

use std::{
    collections::BTreeSet,
    env,
    fmt::Debug,
    process::Command,
    sync::{Arc, Mutex},
};

/// What came out of the executions of a model.
#[derive(Debug)]
pub struct Explored<O> {
    outcomes: BTreeSet<O>,
    executions: usize,
}

/// Runs `model` in every way that loom can tell apart.
///
/// # Panics
///
/// As the model does in any of its executions.
pub fn explore<O, F>(model: F) -> Explored<O>
where
    O: Ord + Debug + Send + 'static,
    F: Fn() -> O + Send + Sync + 'static,
{
    explore_within(None, model)
}

/// As [`explore`], but only the ways in which threads are interrupted at most
/// so many times where they could have gone on; all with `None`.
///
/// # Panics
///
/// As the model does in any of its executions.
pub fn explore_within<O, F>(preemptions_max: Option<usize>, model: F) -> Explored<O>
where
    O: Ord + Debug + Send + 'static,
    F: Fn() -> O + Send + Sync + 'static,
{
    let seen = Arc::new(Mutex::new(Explored { outcomes: BTreeSet::new(), executions: 0 }));
    let kept = Arc::clone(&seen);
    let mut builder = loom::model::Builder::new();
    // loom reports a search that was cut short as passed.
    builder.max_duration = None;
    builder.max_permutations = None;
    builder.preemption_bound = preemptions_max;
    builder.check(move || {
        let outcome = model();
        let mut seen = seen.lock().unwrap();
        seen.executions += 1;
        seen.outcomes.insert(outcome);
    });
    Arc::into_inner(kept).unwrap().into_inner().unwrap()
}

impl<O: Ord + Debug> Explored<O> {
    /// Demands that exactly `outcomes` were seen, in at least `executions_min`
    /// executions.
    ///
    /// # Panics
    ///
    /// If it was not so.
    pub fn expect(self, executions_min: usize, outcomes: impl IntoIterator<Item = O>) {
        println!("{} executions, {} outcomes", self.executions, self.outcomes.len());
        assert_eq!(self.outcomes, outcomes.into_iter().collect(), "outcomes");
        let executions = self.executions;
        assert!(executions >= executions_min, "{executions} executions of {executions_min}");
    }
}

/// Runs the ignored test `name` of this binary and demands that it fails and
/// says `says`.
///
/// In a process of its own: what unwinds from a model drops handles, which
/// panics again, since loom has nothing for them any more, and that aborts.
///
/// # Panics
///
/// If the test passes or says something else.
pub fn rejects(name: &str, says: &str) {
    let binary = env::current_exe().unwrap();
    let mut test = Command::new(binary);
    test.args(["--exact", name, "--ignored", "--nocapture"]).env("RUST_BACKTRACE", "0");
    let output = test.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{name} passes: {}", String::from_utf8_lossy(&output.stdout));
    assert!(said.contains(says), "{name} does not say {says:?} but\n{said}");
}
