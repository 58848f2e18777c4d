//! Files inside a tokio runtime, by the ring and by threads.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod basics;
mod common;
mod drops;
mod ends;
mod fairness;
mod streams;
mod writes;
mod xfs;

#[path = "../common/mod.rs"]
mod shared;
