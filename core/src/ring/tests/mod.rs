//! Tests of the ring by one thread and by two. `loom-tests/` has the models.
//!
//! Positions begin two of the smallest records before the machine word wraps,
//! so every test that commits three of them goes through the wrap.

extern crate std;

mod edges;
mod groups;
mod handles;
mod many;
mod operations;
mod oracle;
mod overwrite;
mod stalls;
mod stress;

use super::*;
use crate::Ledger;

/// The records that can be read, copied.
fn read(consumer: &mut Consumer<'_>) -> std::vec::Vec<std::vec::Vec<u8>> {
    consumer.records().map(<[u8]>::to_vec).collect()
}
