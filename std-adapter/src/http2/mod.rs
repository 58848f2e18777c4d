//! A writer for one HTTP/2 connection (RFC 9113) that many threads share.
//!
//! ```
//! use forebay_std::forebay::frame::http2::StreamId;
//! use forebay_std::WriteSink;
//! use forebay_std::http2::{Group, Limits, Payload, Urgency, writer};
//!
//! let (writer, mut driver) = writer(Limits::default(), WriteSink::new(Vec::new()));
//! let stream = StreamId::new(1).unwrap();
//! writer.open(stream, Urgency::DEFAULT)?;
//! // `:status: 200` of the static table (RFC 7541), and the body.
//! writer.offer(Group::new(stream).headers(b"\x88").data(Payload::new("body")).end())?;
//! drop(writer);
//! driver.run()?;
//! assert_eq!(
//!     driver.sink().writer(),
//!     b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x04\0\x01\0\0\0\x01body"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What belongs together is offered together, as a [`Group`]: header section,
//! data, trailers of one stream. The [`Queue`] keeps each stream's groups in
//! order and chooses between streams by urgency (RFC 9218), in turn where it
//! is equal. It cuts at what the peer allows when a frame leaves, not before:
//! the frame size, the two windows of [`FlowControl`]. What is chosen is
//! committed to a [`Flight`], whose frames leave in that order whatever comes
//! later. Data from [`Limits::borrow_from`] up is lent, never copied.
//!
//! [`Writer`] and [`Driver`] share a queue between threads; a server with one
//! thread a connection uses the same two in one.
//!
//! # Implementation
//!
//! ```text
//!   groups     Queue                              Flight          sink
//!  ────────>  lane 1: [headers][data     ][trailers]  ┌────────┐
//!  ────────>  lane 3: [headers][data  ]      ─ fill ─>│ frames │─ slices ─>
//!  ────────>  lane 5: [data]   parked: no window      └────────┘<─ wrote ──
//! ```
//!
//! Order in a stream: a lane is a queue, and only its front is looked at, so
//! that trailers wait for the data before them. A field block is indivisible:
//! its HEADERS and CONTINUATIONs are committed by one step, side by side in
//! the flight's buffer, so that nothing can come between them.

mod flight;
mod flow;
mod group;
mod payload;
mod queue;
mod shared;

pub use flight::{Flight, FlightCounts, Left, Slices};
pub use flow::{FlowControl, FlowError, Window};
pub use group::Group;
pub use payload::Payload;
pub use queue::{Limits, OfferError, Queue, Urgency};
pub use shared::{Driver, Writer, writer};
