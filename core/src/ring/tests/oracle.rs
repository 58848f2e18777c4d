//! Any sequence of operations on a ring does what it does on a queue.

use std::{collections::VecDeque, vec, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::Ledger;

#[derive(Clone, Debug)]
enum Operation {
    Push { len: usize },
    Commit { len: usize },
    CommitFirst { reserved: usize, kept: usize },
    Drop { len: usize },
    Forget { len: usize },
    Read,
    Release { records: usize },
}

impl Operation {
    /// Any three bytes are an operation on a ring of `capacity` bytes.
    fn new([kind, a, b]: [u8; 3], capacity: usize) -> Self {
        // Up to a little more than fits.
        let len = usize::from(a) % (record_len_max(capacity) + 3);
        match kind % 16 {
            0..3 => Self::Push { len },
            3..6 => Self::Commit { len },
            6..8 => Self::CommitFirst { reserved: len, kept: usize::from(b) % (len + 1) },
            8 => Self::Drop { len },
            9 => Self::Forget { len },
            10..12 => Self::Read,
            _ => Self::Release { records: usize::from(b) % 4 },
        }
    }
}

/// What the tests must know of a mode.
trait Tests: Mode {
    /// How many handles to push through, in turn.
    const PRODUCERS: usize;

    /// Whether a claim is taken for good: what is not needed becomes padding,
    /// and a forgotten grant stalls the ring.
    const KEEPS: bool;

    fn more<'r>(first: &Producer<'r, Self>) -> Option<Producer<'r, Self>>;

    fn free_is_zero(producer: &Producer<'_, Self>) -> bool;
}

impl Tests for One {
    const PRODUCERS: usize = 1;
    const KEEPS: bool = false;

    fn more<'r>(_first: &Producer<'r>) -> Option<Producer<'r>> {
        None
    }

    fn free_is_zero(producer: &Producer<'_>) -> bool {
        producer.free_is_zero()
    }
}

impl Tests for Many {
    const PRODUCERS: usize = 3;
    const KEEPS: bool = true;

    fn more<'r>(first: &Producer<'r, Self>) -> Option<Producer<'r, Self>> {
        Some(first.clone())
    }

    /// Checked at each claim, in debug builds.
    fn free_is_zero(_producer: &Producer<'_, Self>) -> bool {
        true
    }
}

/// A ring, and what it is to be.
struct Tested<'r, M: Tests> {
    producers: Vec<Producer<'r, M>>,
    consumer: Consumer<'r>,
    capacity: usize,
    /// The records, and padding (`None`), with the bytes that each takes.
    queue: VecDeque<(Option<Vec<u8>>, usize)>,
    /// The place in memory behind the last record.
    tail: usize,
    accepted: u64,
    refused: u64,
    /// A forgotten grant's bytes are not wiped yet.
    dirty: bool,
    next_byte: u8,
}

impl<'r, M: Tests> Tested<'r, M> {
    fn new(capacity: usize, (producer, consumer): (Producer<'r, M>, Consumer<'r>)) -> Self {
        let mut producers = vec![producer];
        while let (true, Some(more)) = (producers.len() < M::PRODUCERS, M::more(&producers[0])) {
            producers.push(more);
        }
        Self {
            producers,
            consumer,
            capacity,
            queue: VecDeque::new(),
            tail: Position::FIRST.offset(capacity - 1),
            accepted: 0,
            refused: 0,
            dirty: false,
            next_byte: 1,
        }
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let byte = self.next_byte;
        self.next_byte = if byte == u8::MAX { 1 } else { byte + 1 };
        vec![byte; len]
    }

    /// The padding before a record of `len` bytes, or why it is refused.
    fn expect(&self, len: usize) -> Result<usize, ReserveError> {
        let len_max = self.capacity / 2 - 4;
        if len > len_max {
            return Err(ReserveError::TooLong { len, len_max });
        }
        let to_end = self.capacity - self.tail;
        let padding = if span(len) > to_end { to_end } else { 0 };
        let needed = padding + span(len);
        let free = self.capacity - self.queue.iter().map(|(_, taken)| taken).sum::<usize>();
        if needed > free { Err(ReserveError::Full { needed, free }) } else { Ok(padding) }
    }

    /// Reserves `len` bytes, fills them and ends the grant by `end`, which
    /// says how many of them are committed.
    fn reserve(&mut self, len: usize, end: impl FnOnce(Grant<'_, M>) -> Option<usize>) {
        let (expected, mut bytes) = (self.expect(len), self.bytes(len));
        let kept = match self.producers[0].reserve(len) {
            Ok(mut grant) => {
                assert_eq!(&*grant, vec![0; len]);
                grant.copy_from_slice(&bytes);
                end(grant)
            }
            Err(error) => {
                assert_eq!(expected, Err(error));
                self.refused += 1;
                return;
            }
        };
        let padding = expected.unwrap();
        self.dirty = false;
        if let Some(kept) = kept {
            bytes.truncate(kept);
            self.enqueue(bytes, padding);
            if M::KEEPS {
                self.take(None, span(len) - span(kept));
            }
        } else if M::KEEPS {
            self.take(None, padding);
            self.take(None, span(len));
        }
    }

    fn enqueue(&mut self, record: Vec<u8>, padding: usize) {
        self.take(None, padding);
        let span = span(record.len());
        self.take(Some(record), span);
        self.accepted += 1;
    }

    fn take(&mut self, record: Option<Vec<u8>>, bytes: usize) {
        self.tail = (self.tail + bytes) % self.capacity;
        if bytes > 0 {
            self.queue.push_back((record, bytes));
        }
    }

    /// Releases padding up to the oldest record.
    fn release_padding(&mut self) {
        while let Some((None, _)) = self.queue.front() {
            self.queue.pop_front();
        }
    }

    fn apply(&mut self, operation: &Operation) {
        // The next handle is to push.
        self.producers.rotate_left(1);
        match *operation {
            Operation::Push { len } => {
                let (expected, bytes) = (self.expect(len), self.bytes(len));
                assert_eq!(self.producers[0].push(&bytes), expected.map(|_| ()));
                match expected {
                    Ok(padding) => {
                        self.dirty = false;
                        self.enqueue(bytes, padding);
                    }
                    Err(_) => self.refused += 1,
                }
            }
            Operation::Commit { len } => self.reserve(len, |grant| {
                grant.commit();
                Some(len)
            }),
            Operation::CommitFirst { reserved, kept } => self.reserve(reserved, |grant| {
                grant.commit_first(kept);
                Some(kept)
            }),
            Operation::Forget { len } if !M::KEEPS => {
                let lends = self.expect(len).is_ok();
                self.reserve(len, |grant| {
                    core::mem::forget(grant);
                    None
                });
                self.dirty |= lends;
            }
            Operation::Drop { len } | Operation::Forget { len } => self.reserve(len, |grant| {
                drop(grant);
                None
            }),
            Operation::Read => {
                self.release_padding();
                let expected: Vec<_> =
                    self.queue.iter().filter_map(|(record, _)| record.as_deref()).collect();
                assert_eq!(self.consumer.records().collect::<Vec<_>>(), expected);
            }
            Operation::Release { records } => {
                let all = self.queue.iter().filter(|(record, _)| record.is_some()).count();
                let expected = records.min(all);
                assert_eq!(self.consumer.release(records), expected);
                for _ in 0..expected {
                    self.release_padding();
                    self.queue.pop_front();
                }
                if records > all {
                    self.release_padding();
                }
            }
        }
    }

    fn check(&self) {
        let ledger: Ledger = self.producers.iter().map(Producer::ledger).sum();
        assert_eq!((ledger.accepted, ledger.refused), (self.accepted, self.refused));
        assert!(ledger.balances(self.accepted));
        assert!(self.dirty || M::free_is_zero(&self.producers[0]));
    }
}

fn run<M: Tests>(capacity: usize, pair: (Producer<'_, M>, Consumer<'_>), operations: &[[u8; 3]]) {
    let mut tested = Tested::new(capacity, pair);
    for operation in operations {
        tested.apply(&Operation::new(*operation, capacity));
        tested.check();
    }
    tested.apply(&Operation::Read);
}

fn run_all(log: u32, operations: &[[u8; 3]]) {
    run(16, Ring::<16>::new().split(), operations);
    run(64, Ring::<64>::new().split_once().unwrap(), operations);
    let capacity = 1 << log;
    run(capacity, heap::ring(capacity).unwrap(), operations);
    run(16, Ring::<16>::new().share(), operations);
    run(64, Ring::<64>::new().share_once().unwrap(), operations);
    run(capacity, heap::shared(capacity).unwrap(), operations);
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
