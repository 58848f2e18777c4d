//! AUTOSAR DLT, version 1 of the protocol: log and trace messages of ECUs.
//!
//! ```text
//!  .dlt file   | storage header 16 | message ... |
//!  TCP client                      | message ... |
//!  user record | head 8            | message ... |     application to daemon
//!
//!  message     | standard header 4..16 | extended header 0 or 10 | payload |
//! ```
//!
//! A message is read borrowed with [`Message::parse`] and written in place
//! with [`MessageWriter`]. A verbose payload is [`Argument`]s that say of
//! which type they are; another is a number and data that something outside
//! describes. [`Dlt`] finds messages in streams and files; [`UserRecord`] is
//! what an application and the daemon say to each other beside messages. The
//! transport to the daemon is in `forebay-linux`.
//!
//! ```
//! use forebay::frame::Order;
//! use forebay::frame::dlt::{Extended, Header, Id, Level, MessageWriter, UserRecord};
//!
//! let header = Header {
//!     order: Order::Little,
//!     counter: 0,
//!     ecu: Some(Id::new("ECU1")),
//!     session: Some(0x3e66),
//!     timestamp: Some(0x00ff_f8cb),
//!     extended: Some(Extended::log(Level::Info, Id::new("RUST"), Id::new("RING"))),
//! };
//! let mut record = [0; 64];
//! let head_len = UserRecord::put_log_head(&mut record)?;
//! let mut message = MessageWriter::new(&header, &mut record[head_len..])?;
//! message.argument(&"x".into())?;
//! let len = head_len + message.finish();
//! assert_eq!(
//!     record[8..len],
//!     *b"\x3d\0\0\x22ECU1\0\0\x3e\x66\0\xff\xf8\xcb\x41\x01RUSTRING\0\x82\0\0\x02\0x\0"
//! );
//! # Ok::<(), forebay::frame::dlt::WriteError>(())
//! ```

mod argument;
mod bytes;
mod error;
mod header;
mod id;
mod message;
mod storage;
mod stream;
mod user;

pub use argument::{Argument, Arguments, Value};
pub use error::{Malformed, WriteError};
pub use header::{Extended, Header, Kind, Level};
pub use id::{Id, IdTooLong};
pub use message::{MESSAGE_LEN_MAX, Message, MessageWriter};
pub use storage::{STORAGE_LEN, StorageHeader};
pub use stream::Dlt;
pub use user::UserRecord;
