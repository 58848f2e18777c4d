//! What the benches share: rounds of interleaved contenders, and their table.
//!
//! See `README.md` for how to run the benches and how to read what they print.

#![forbid(unsafe_code)]

pub mod carry;
pub mod far_end;
pub mod peers;
pub mod probe;
pub mod rounds;
mod table;
