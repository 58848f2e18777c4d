//! The drainer: many senders, one sink, a thread that sleeps when idle.
//!
//! A [`Sender`] puts messages into a ring of its own, or shares one with its
//! clones; such a ring with its [`Policy`] and priority is a [channel](Channel).
//! The [`Drainer`] empties the rings into its sink, on whichever thread runs it
//! or on one of its own ([`Running`]), and takes new channels from any thread
//! ([`Registrar`]). [`Snapshot`] says how it goes, [`Shutdown`] how it ended and
//! what is left.
//!
//! # Implementation
//!
//! Senders and drainer meet in [`Shared`](shared::Shared). The two ways to wait
//! are one protocol, a [`Bell`](crate::Bell): the drainer sleeps by the one that
//! senders ring, a sender that waits for room sleeps by its own, which the
//! drainer rings ([`Room`](room::Room)).
//!
//! Every count has one writer: each sender's handle counts what it was given,
//! the drainer what has left.

mod account;
mod channel;
pub mod config;
mod counters;
mod drainer;
mod losses;
mod policy;
mod registrar;
mod room;
mod running;
mod sender;
mod shared;
mod shutdown;
mod wait;

pub use account::{ChannelCounts, ChannelId};
pub use channel::{Channel, NoLane, SENDERS_MAX, SenderError};
pub use config::{Config, ConfigError};
pub use counters::{Counters, Histogram, Snapshot};
pub use drainer::{Drained, Drainer};
pub use losses::{Losses, REPORT_LEN_MAX};
pub use policy::Policy;
pub use registrar::Registrar;
pub use running::Running;
pub use sender::{SendError, Sender, SharedSender};
pub use shutdown::{End, Shutdown};
pub use wait::Wait;
