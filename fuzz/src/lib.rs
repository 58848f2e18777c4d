//! Fuzz targets of forebay, one module each.
//!
//! A target is a function of bytes that panics when an invariant is broken.
//! Each begins with a few bytes that choose what is tested, so that inputs can
//! be written by hand; some are in `seeds/`, and `cargo test` runs them
//! without a fuzzer.
//!
//! ```text
//! cargo +nightly-2026-04-01 fuzz run ring_ops fuzz/corpus/ring_ops fuzz/seeds/ring_ops -- -max_total_time=30
//! ```

#![forbid(unsafe_code)]

pub mod batch_ops;
pub mod decode_cobs;
pub mod decode_dlt;
pub mod decode_http2;
pub mod decode_prefixed;
pub mod encode_decode;
mod input;
pub mod recover;
pub mod ring_ops;
mod stream;
pub mod tftp_packet;
