//! Files and sockets by io_uring, in memory that no safe call can free or
//! reuse while the kernel works on it.
//!
//! [`Context`] is a ring that belongs to one thread; start there. Inside a
//! tokio runtime use `forebay_linux::tokio` (feature `tokio`).
//!
//! # Implementation
//!
//! From below: `kernel` makes the system calls; `queue` is this side of
//! the two queues shared with the kernel, `op` the entries, `ring` says
//! what to submit and when. `slots` knows which operations are under way and
//! holds what each needs, a `request`; `arena` lends the buffers, `scratch`
//! those for paths, `table` the places of registered descriptors. `driver` puts
//! them together and ends them all; `ready` keeps what is over and not taken;
//! `context` gives it the form of a file interface, `sink` that of a pump's
//! sink. `fake` is a kernel for the tests, which is late, short and out of
//! order.
//!
//! Invariant HELD, see `slots.rs`: what an operation needs belongs to its slot
//! until the kernel has completed it. Cancelling, forgetting and dropping ask
//! the kernel for an end; they free nothing before it has come.

pub(crate) mod arena;
pub(crate) mod config;
mod context;
pub(crate) mod driver;
mod file;
pub(crate) mod kernel;
pub(crate) mod offer;
mod op;
pub(crate) mod outcome;
pub(crate) mod plain;
mod queue;
mod ready;
mod region;
mod request;
mod ring;
pub(crate) mod scratch;
pub(crate) mod setup;
mod sink;
mod slots;
mod table;

#[cfg(test)]
mod fake;
#[cfg(all(test, not(miri)))]
mod hazards;

pub use arena::Lease;
pub use config::{Config, Degraded, Feature, SetupError, Wait, Way};
pub use context::Context;
pub use driver::leaked;
pub use file::{Alignment, File, Misaligned, OpenOptions, Part};
pub use outcome::{Completion, Counts, Outcome, Refused, Status, Why};
pub use sink::{RingSink, SinkSet, StreamSink};
pub use slots::Ticket;
