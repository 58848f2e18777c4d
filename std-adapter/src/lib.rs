//! forebay on any system with std: [`std::io`] writers as sinks, readers as
//! sources of frames, and a drainer that sleeps while nothing is to be done.
//!
//! ```
//! use forebay_std::forebay::{checksum::CRC32, frame::Prefixed};
//! use forebay_std::{Drainer, FrameReader, WriteSink};
//!
//! let format = Prefixed::native(1024, CRC32);
//! let (reader, writer) = std::io::pipe()?;
//!
//! let mut drainer = Drainer::new(format, WriteSink::new(writer));
//! let mut senders = [drainer.sender(1 << 12)?, drainer.sender(1 << 12)?];
//! std::thread::scope(|threads| {
//!     for sender in &mut senders {
//!         threads.spawn(|| (0..10).for_each(|_| sender.send(b"drop").unwrap()));
//!     }
//! });
//! drop(senders); // no more messages: the drainer finishes
//! drainer.run()?;
//! assert_eq!(drainer.ledger().delivered, 20);
//! drop(drainer); // closes the pipe
//!
//! let mut frames = FrameReader::new(reader, format);
//! let mut count = 0;
//! while frames.fill()? {
//!     while let Some(frame) = frames.next_frame()? {
//!         assert_eq!(frame.payload, b"drop");
//!         count += 1;
//!     }
//! }
//! assert_eq!(count, 20);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What becomes of messages for which there is no room is each channel's
//! [`Policy`], which of them go first its priority; [`Registrar`] makes channels
//! from any thread, [`Running`] is a drainer on a thread of its own, and every
//! loss is a number in its [`Snapshot`].
//!
//! [`mod@file`] is about files: reads and writes at any offset, many at a time, by
//! threads here and by io_uring in `forebay-linux`.
//!
//! There is no unsafe code here, and nothing of a particular system; the sinks
//! of `forebay-linux` plug into the same [`Drainer`].

#![forbid(unsafe_code)]

mod bell;
mod drain;
pub mod file;
pub mod http2;
mod read;
mod write;

pub use bell::Bell;
/// Numbers from the environment.
pub use drain::config;
pub use drain::{
    Channel, ChannelCounts, ChannelId, Config, ConfigError, Counters, Drained, Drainer, End,
    Histogram, Losses, NoLane, Policy, REPORT_LEN_MAX, Registrar, Running, SENDERS_MAX, SendError,
    Sender, SenderError, SharedSender, Shutdown, Snapshot, Wait,
};
/// The core, whose types this crate's signatures name.
pub use forebay;
pub use read::FrameReader;
pub use write::WriteSink;
