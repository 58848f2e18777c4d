//! Any sequence of operations on a ring, against a queue and the ring's
//! arithmetic: the operations of the ring's own tests.
//!
//! Input: the capacity and the kind of producers, then operations of three
//! bytes each: a kind, a length, what follows.

use forebay::{
    Ledger,
    ring::{Consumer, Grant, Many, Mode, One, Overwrite, Producer, ReserveError, heap},
};
use operations::{Kind, Operation, Tested};

use crate::input::Input;

#[path = "../../core/src/ring/tests/operations.rs"]
mod operations;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let first = input.byte();
    let capacity = 16 << (first % 6);
    match first / 6 % 3 {
        0 => run_with(capacity, heap::ring(capacity).unwrap(), input),
        1 => run_with(capacity, heap::shared(capacity).unwrap(), input),
        _ => run_with(capacity, heap::overwriting(capacity).unwrap(), input),
    }
}

fn run_with<M: Kind>(
    capacity: usize,
    handles: (Producer<'_, M>, Consumer<'_>),
    mut input: Input<'_>,
) {
    let mut tested = Tested::new(capacity, 0, handles);
    while !input.is_empty() {
        let operation = [input.byte(), input.byte(), input.byte()];
        tested.apply(&Operation::new(operation, capacity));
    }
    tested.end();
}
