//! AUTOSAR DLT to the real daemon, without libdlt.
//!
//! ```
//! use std::time::Duration;
//!
//! use forebay_linux::dlt::{Client, Endpoint, Id, Level};
//!
//! # let directory = std::env::temp_dir().join(format!("forebay-doc-{}", std::process::id()));
//! // No daemon here: what is sent waits in the ring.
//! let endpoint = Endpoint::Fifo(directory);
//! let client = Client::builder(Id::new("PUMP")).endpoint(endpoint).start()?;
//! let mut context = client.context(Id::new("FILL"), "what comes in");
//!
//! context.log(Level::Info, "filling")?;
//! context.log_fmt(Level::Warn, format_args!("{} cm above normal", 12))?;
//! context.log_arguments(Level::Info, &["level".into(), 0.75_f32.into()])?;
//! context.log(Level::Debug, "is not sent")?; // until the daemon says so
//!
//! let counts = client.close(Duration::ZERO);
//! assert_eq!((counts.ledger.accepted, counts.ledger.in_flight()), (3, 3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A thread that sends never waits: [`Context`] writes the record in place in
//! a ring that all contexts share, and one thread of the [`Client`] writes
//! what has gathered there in few system calls. It also registers, listens
//! for levels and injections, and does all that again when the daemon has been
//! away. What was refused is counted, and the daemon's clients are told.
//!
//! The codec is [`forebay::frame::dlt`].

mod client;
mod context;
mod endpoint;
mod front;
mod shared;
mod transport;
mod unread;
mod waker;

pub use client::{Builder, Client, Counts, StartError};
pub use context::{Context, SendError};
pub use endpoint::Endpoint;
pub use forebay::frame::dlt::{Argument, Id, Level, Value};
pub use transport::Injection;
