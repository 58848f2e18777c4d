//! `std::thread::park` as loom's own tokens: loom's `park` lets a thread that
//! waits for a mutex be unparked, which std's does not.

use std::{sync::Arc, time::Duration};

use loom::sync::Notify;

loom::thread_local! {
    static TOKEN: Arc<Notify> = Arc::new(Notify::new());
}

/// A thread that may be unparked.
#[derive(Clone, Debug)]
pub struct Thread(Arc<Notify>);

impl Thread {
    /// Ends the thread's park, or its next one.
    pub fn unpark(&self) {
        self.0.notify();
    }
}

/// The running thread.
#[must_use]
pub fn current() -> Thread {
    Thread(TOKEN.with(Arc::clone))
}

/// Waits until unparked, or spuriously, once.
pub fn park() {
    current().0.wait();
}

/// Never: the models have no clock.
pub fn park_timeout(_timeout: Duration) {
    unreachable!("no model has a deadline");
}
