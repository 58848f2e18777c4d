//! Any sequence of operations on a ring does what it does on a queue.

use std::vec::Vec;

use proptest::prelude::*;

use super::{
    operations::{Kind, Operation, Tested},
    *,
};

/// Whether what is free is zero, as far as can be seen from outside: claims of
/// many check it themselves, in debug builds.
trait Zeros: Kind {
    fn free_is_zero(producer: &Producer<'_, Self>) -> bool;
}

impl Zeros for One {
    fn free_is_zero(producer: &Producer<'_>) -> bool {
        producer.free_is_zero()
    }
}

impl Zeros for Many {
    fn free_is_zero(_producer: &Producer<'_, Self>) -> bool {
        true
    }
}

impl Zeros for Overwrite {
    fn free_is_zero(_producer: &Producer<'_, Self>) -> bool {
        true
    }
}

fn run<M: Zeros>(capacity: usize, pair: (Producer<'_, M>, Consumer<'_>), operations: &[[u8; 3]]) {
    let mut tested = Tested::new(capacity, Position::FIRST.offset(capacity - 1), pair);
    for operation in operations {
        tested.apply(&Operation::new(*operation, capacity));
        assert!(tested.dirty || M::free_is_zero(&tested.producers[0]));
    }
    tested.end();
}

fn run_all(log: u32, operations: &[[u8; 3]]) {
    let capacity = 1 << log;
    run(16, Ring::<16>::new().split(), operations);
    run(64, Ring::<64>::new().split_once().unwrap(), operations);
    run(capacity, heap::ring(capacity).unwrap(), operations);
    run(16, Ring::<16>::new().share(), operations);
    run(64, Ring::<64>::new().share_once().unwrap(), operations);
    run(capacity, heap::shared(capacity).unwrap(), operations);
    run(16, Ring::<16>::new().overwrite(), operations);
    run(64, Ring::<64>::new().overwrite_once().unwrap(), operations);
    run(capacity, heap::overwriting(capacity).unwrap(), operations);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Miri takes 8 s for a case, most of them in proptest: see `fixed`.
    #[test]
    #[cfg_attr(miri, ignore)]
    fn any_operations(
        log in 5..=8u32,
        operations in prop::collection::vec(any::<[u8; 3]>(), 1..80),
    ) {
        run_all(log, &operations);
    }
}

/// The same without proptest, for Miri.
#[test]
fn fixed_operations() {
    let mut random = 0x2545_F491_u32;
    let mut byte = || {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        random.to_le_bytes()[1]
    };
    for log in [5, 7] {
        let operations: Vec<_> = (0..50).map(|_| [byte(), byte(), byte()]).collect();
        run_all(log, &operations);
    }
}
