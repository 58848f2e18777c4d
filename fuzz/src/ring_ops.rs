//! Any sequence of operations on a ring, against a queue and the ring's
//! arithmetic.
//!
//! Input: the capacity, then operations: a kind, a length, what follows.

use std::collections::VecDeque;

use forebay::ring::{Consumer, Producer, ReserveError, heap};

use crate::input::Input;

/// Bytes of a record's header and the alignment of records.
const HEADER_LEN: usize = 4;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let capacity = 16 << (input.byte() % 6);
    let (producer, consumer) = heap::ring(capacity).unwrap();
    let oracle = Oracle::new(capacity);
    let mut run = Run { producer, consumer, oracle, fill: 0 };
    while !input.is_empty() {
        run.step(&mut input);
    }
    run.end();
}

struct Run {
    producer: Producer<'static>,
    consumer: Consumer<'static>,
    oracle: Oracle,
    /// The last byte written: payloads differ, and none is all zeros.
    fill: u8,
}

impl Run {
    fn step(&mut self, input: &mut Input<'_>) {
        let (kind, len) = (input.byte(), input.len());
        match kind % 8 {
            0 | 1 => self.reserve(len, End::Commit),
            2 => self.reserve(len, End::CommitFirst(input.len())),
            3 => self.reserve(len, End::Drop),
            4 => self.reserve(len, End::Forget),
            5 => self.push(len),
            6 => {
                let released = self.consumer.release(len);
                assert_eq!(released, self.oracle.release(len));
            }
            _ => {
                self.oracle.release_padding();
                let records: Vec<&[u8]> = self.consumer.records().take(len).collect();
                let expected = self.oracle.records.iter().take(len);
                assert!(expected.map(|record| &record.payload[..]).eq(records));
            }
        }
        assert!(self.producer.ledger().balances(self.oracle.accepted));
        assert_eq!(self.producer.ledger().accepted, self.oracle.accepted);
        assert_eq!(self.producer.ledger().refused, self.oracle.refused);
    }

    fn reserve(&mut self, len: usize, end: End) {
        let fits = self.oracle.reserve(len);
        match (self.producer.reserve(len), fits) {
            (Ok(mut grant), Ok(padding)) => {
                assert_eq!(grant.len(), len);
                assert!(grant.iter().all(|&byte| byte == 0), "{grant:?}");
                for byte in grant.iter_mut() {
                    self.fill = self.fill % 255 + 1;
                    *byte = self.fill;
                }
                let mut payload = grant.to_vec();
                match end {
                    End::Commit => grant.commit(),
                    End::CommitFirst(first) => {
                        payload.truncate(first);
                        grant.commit_first(payload.len());
                    }
                    End::Drop => return drop(grant),
                    End::Forget => return core::mem::forget(grant),
                }
                self.oracle.commit(payload, padding);
            }
            (result, fits) => {
                assert_eq!(result.err(), fits.err());
                self.oracle.refused += 1;
            }
        }
    }

    fn push(&mut self, len: usize) {
        let payload = vec![0; len];
        let fits = self.oracle.reserve(len);
        assert_eq!(self.producer.push(&payload), fits.map(|_| ()));
        match fits {
            Ok(padding) => self.oracle.commit(payload, padding),
            Err(_) => self.oracle.refused += 1,
        }
    }

    /// What is in the ring outlives its producer.
    fn end(self) {
        let Self { producer, mut consumer, oracle, .. } = self;
        assert!(!consumer.is_finished());
        drop(producer);
        let left = oracle.records.len();
        assert!(consumer.records().eq(oracle.records.iter().map(|record| &record.payload[..])));
        assert_eq!(consumer.is_finished(), left == 0);
        assert_eq!(consumer.release(usize::MAX), left);
        assert!(consumer.is_finished());
    }
}

/// What becomes of a grant.
enum End {
    Commit,
    CommitFirst(usize),
    Drop,
    Forget,
}

/// The ring as a queue, and as positions that nothing wraps.
struct Oracle {
    capacity: usize,
    records: VecDeque<Record>,
    head: usize,
    tail: usize,
    accepted: u64,
    refused: u64,
}

struct Record {
    payload: Vec<u8>,
    /// Behind the padding before it.
    begin: usize,
    end: usize,
}

impl Oracle {
    fn new(capacity: usize) -> Self {
        Self { capacity, records: VecDeque::new(), head: 0, tail: 0, accepted: 0, refused: 0 }
    }

    fn span(len: usize) -> usize {
        HEADER_LEN + len.div_ceil(HEADER_LEN) * HEADER_LEN
    }

    /// The padding before a record that fits.
    fn reserve(&self, len: usize) -> Result<usize, ReserveError> {
        let len_max = self.capacity / 2 - HEADER_LEN;
        if len > len_max {
            return Err(ReserveError::TooLong { len, len_max });
        }
        let to_end = self.capacity - self.tail % self.capacity;
        let padding = if Self::span(len) > to_end { to_end } else { 0 };
        let needed = padding + Self::span(len);
        let free = self.capacity - (self.tail - self.head);
        if needed > free {
            return Err(ReserveError::Full { needed, free });
        }
        Ok(padding)
    }

    fn commit(&mut self, payload: Vec<u8>, padding: usize) {
        let begin = self.tail + padding;
        self.tail = begin + Self::span(payload.len());
        self.records.push_back(Record { payload, begin, end: self.tail });
        self.accepted += 1;
    }

    /// A look at the records releases the padding before the oldest.
    fn release_padding(&mut self) {
        if let Some(oldest) = self.records.front() {
            self.head = oldest.begin;
        }
    }

    fn release(&mut self, records: usize) -> usize {
        let released = records.min(self.records.len());
        for record in self.records.drain(..released) {
            self.head = record.end;
        }
        released
    }
}
