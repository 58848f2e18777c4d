//! Carries many small messages to one descriptor in as few calls as possible:
//! without allocating, without blocking, and without losing a byte that is
//! not counted.
//!
//! A forebay is the pool above a turbine's intake: it fills in bits and draws
//! in one steady flow.
//!
//! # The path of a message
//!
//! ```text
//!  producers           forebay                                      far side
//!
//!  reserve  ┌──────┐  fill  ┌───────┐ slices ┌──────┐   bytes   ┌─────────┐
//!  write    │ ring │───────>│ batch │───────>│ sink │ ~~~~~~~~> │ decoder │
//!  commit ─>└──────┘ frame  └───────┘        └──────┘           └─────────┘
//!               ^   \_____________ pump ________/ wrote(n)        borrowed
//!               └── released as they leave <────┘                 frames
//! ```
//!
//! 1. A producer [reserves](ring::Producer::reserve) room in a [`ring`]: a
//!    grant, or an error with the figures. It writes the record in place and
//!    [commits](ring::Grant::commit) it with one store.
//! 2. The [`Pump`] takes the committed records into a batch: small ones are
//!    framed and copied side by side, large ones stay where they are.
//!    [`fill`](Pump::fill) lends it as a few slices.
//! 3. A [`Sink`] makes one call and says how many bytes went.
//!    [`wrote`](Pump::wrote) advances by exactly so many: a short write is a
//!    smaller advance.
//! 4. On the far side a [`Decoder`] borrows verified frames out of its receive
//!    buffer; a damaged frame costs itself.
//! 5. The [`Ledger`] says what became of every message.
//!
//! ```
//! use forebay::checksum::CRC32;
//! use forebay::frame::Prefixed;
//! use forebay::ring::Ring;
//! use forebay::{Decoder, Pump};
//!
//! let format = Prefixed::native(256, CRC32);
//! let mut ring = Ring::<4096>::new();
//! let (mut producer, consumer) = ring.split();
//! let mut pump: Pump<_, _, 1> = Pump::new(format, [0; 1024]);
//! pump.add(consumer).unwrap();
//!
//! producer.push(b"it fills in bits")?;
//! producer.push(b"and draws in one steady flow")?;
//!
//! // The sink is whatever takes slices; here it is the decoder's buffer.
//! let mut decoder = Decoder::new(format, [0; 1024])?;
//! let mut len = 0;
//! for slice in pump.fill().iter() {
//!     decoder.free()[len..len + slice.len()].copy_from_slice(slice);
//!     len += slice.len();
//! }
//! pump.wrote(len)?;
//! decoder.received(len);
//!
//! assert_eq!(decoder.next_frame()?.unwrap().payload, b"it fills in bits");
//! assert_eq!(decoder.next_frame()?.unwrap().payload, b"and draws in one steady flow");
//! assert_eq!(decoder.next_frame()?, None);
//! assert!((producer.ledger() + pump.ledger()).balances(0));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! For firmware see the guide [`microcontroller`].
//!
//! # Features
//!
//! None is on by default; all of them add.
//!
//! | feature | adds |
//! |---|---|
//! | `alloc` | [`ring::heap`](ring): rings whose capacity is chosen at run time |
//! | `crc32fast` | `checksum::Crc32Fast` |
//! | `xxh3` | `checksum::Xxh3` |
//! | `embedded-io` | `sink::EmbeddedIo`, `Decoder::read_from` |
//! | `embedded-io-async` | `Pump::drive_async`, `Decoder::read_from_async` |
//! | `embedded-io-06` | `io_06::Io06`: `embedded-io` 0.6 as 0.7 |
//! | `defmt` | `defmt::Format` for every error and counter |
//! | `portable-atomic` | many producers and `Ring::split_once` on targets without compare-and-swap, by a backend of that crate that the program chooses |
//! | `critical-section` | the same by the crate `critical-section` |
//! | `std` | `alloc`, and run-time detection of processor features for `crc32fast` |

#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod batch;
pub mod checksum;
pub mod decoder;
pub mod frame;
#[cfg(feature = "embedded-io-06")]
pub mod io_06;
mod ledger;
#[cfg(any(doc, doctest))]
#[doc = include_str!("microcontroller.md")]
pub mod microcontroller {}
pub mod pump;
mod receive;
pub mod recover;
pub mod ring;
pub mod sink;
mod stage;
mod sync;

pub use batch::Batch;
pub use decoder::Decoder;
pub use ledger::Ledger;
pub use pump::Pump;
pub use sink::{Progress, Sink};
