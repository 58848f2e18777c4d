//! forebay on Linux: sinks for any descriptor, socket send buffers, files.
//!
//! ```
//! use std::os::unix::net::UnixStream;
//!
//! use forebay_linux::{FdSink, SendBuffer};
//! use forebay_std::forebay::{checksum::CRC32, frame::Prefixed};
//! use forebay_std::{Drainer, FrameReader};
//!
//! let format = Prefixed::native(1024, CRC32);
//! let (near, far) = UnixStream::pair()?;
//! let buffer = SendBuffer::grow(&near, 256 * 1024)?;
//! assert!(buffer.effective >= buffer.before);
//!
//! let mut drainer = Drainer::new(format, FdSink::new(near)?);
//! let mut sender = drainer.sender(1 << 16)?;
//! for _ in 0..100 {
//!     sender.send(b"one of many")?;
//! }
//! drop(sender);
//! drainer.run()?;
//! assert_eq!(drainer.sink().counts().calls, 1); // one sendmsg for all
//! drop(drainer);
//!
//! let mut frames = FrameReader::new(far, format);
//! let mut count = 0;
//! while frames.fill()? {
//!     while frames.next_frame()?.is_some() {
//!         count += 1;
//!     }
//! }
//! assert_eq!(count, 100);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg(target_os = "linux")]
#![deny(unsafe_code)]

pub mod datagram;
pub mod dlt;
mod fd_sink;
pub mod file;
mod forward;
pub mod probe;
mod send_buffer;
#[cfg(feature = "tokio")]
pub mod tokio;
mod unsent;
pub mod uring;
mod writable;

pub use fd_sink::{FdSink, FdSinkCounts, Kind, PIPE_BUF};
pub use forward::{FileEnded, forward, send_file};
pub use send_buffer::{AutoTune, SendBuffer};
pub use unsent::unsent;
