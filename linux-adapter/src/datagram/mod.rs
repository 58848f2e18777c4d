//! Datagrams: each frame one of them, many with one system call.
//!
//! A socket that keeps messages apart needs no frames to tell them apart, and
//! a batch that is one write to a stream would be one datagram. So the frames
//! of a batch go to a [`DatagramSink`] with their lengths before them, which
//! the format [`Each`] adds, and `sendmmsg(2)` sends what lies between.
//!
//! ```
//! use std::os::unix::net::UnixDatagram;
//!
//! use forebay_linux::datagram::{DatagramReader, DatagramSink, Each};
//! use forebay_std::{Drainer, forebay::frame::Plain};
//!
//! let (near, far) = UnixDatagram::pair()?;
//! let mut drainer = Drainer::new(Each::new(Plain, 1000), DatagramSink::new(near));
//! let mut sender = drainer.sender(1 << 12)?;
//! for message in ["three", "", "datagrams"] {
//!     sender.send(message.as_bytes())?;
//! }
//! drainer.flush()?;
//! assert_eq!(drainer.sink().counts().calls, 1); // one sendmmsg for all of them
//!
//! let mut datagrams = DatagramReader::new(far, 1000);
//! assert_eq!(datagrams.fill()?, 3); // one recvmmsg
//! assert_eq!(datagrams.next_datagram(), Some(Ok(&b"three"[..])));
//! assert_eq!(datagrams.next_datagram(), Some(Ok(&b""[..])));
//! assert_eq!(datagrams.next_datagram(), Some(Ok(&b"datagrams"[..])));
//! assert_eq!(datagrams.next_datagram(), None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A UNIX socket holds its sender back while the receiver's queue is full, so
//! nothing is lost. UDP does not: what finds the receiver's buffer full is gone,
//! on the loopback device too, and only the receiver's answers can tell.

mod each;
mod reader;
mod sink;

pub use each::{Each, UDP_LEN_MAX};
pub use reader::{DatagramReader, Truncated};
pub use sink::{DatagramCounts, DatagramSink};

/// The most datagrams of one system call.
const DATAGRAMS_MAX: usize = 64;
