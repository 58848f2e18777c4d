//! Operations on a ring, and the queue that they are compared with.
//!
//! Shared with `fuzz/`, so by the public interface alone.

use std::{collections::VecDeque, vec, vec::Vec};

use super::*;

/// What is done to a ring.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Push { len: usize },
    Commit { len: usize },
    CommitFirst { reserved: usize, kept: usize },
    Drop { len: usize },
    Forget { len: usize },
    Group { lens: Vec<usize> },
    Batch { lens: Vec<usize> },
    Read { records: usize },
    Release { records: usize },
}

impl Operation {
    /// Any three bytes are an operation on a ring of `capacity` bytes.
    pub(super) fn new([kind, a, b]: [u8; 3], capacity: usize) -> Self {
        // Up to a little more than fits.
        let len_end = capacity / 2 - HEADER_LEN + 3;
        let len = usize::from(a) % len_end;
        let few = usize::from(b % 4);
        let lens = || (0..few).map(|turn| usize::from(a) * turn % 7 % len_end).collect();
        match kind % 16 {
            0..3 => Self::Push { len },
            3..5 => Self::Commit { len },
            5 => Self::CommitFirst { reserved: len, kept: usize::from(b) % (len + 1) },
            6 => Self::Drop { len },
            7 => Self::Forget { len },
            8 => Self::Group { lens: lens() },
            9 => Self::Batch { lens: lens() },
            10..12 => Self::Read { records: usize::from(b) },
            _ => Self::Release { records: few },
        }
    }
}

/// What the queue must know of a mode.
pub(super) trait Kind: Mode {
    /// How many handles to push through, in turn.
    const PRODUCERS: usize;

    /// Whether a claim is taken for good: what is not needed becomes padding,
    /// and so does what a dropped grant had.
    const KEEPS: bool;

    /// Whether the oldest gives way.
    const GIVES_WAY: bool = false;

    fn more<'r>(first: &Producer<'r, Self>) -> Option<Producer<'r, Self>>;
}

impl Kind for One {
    const PRODUCERS: usize = 1;
    const KEEPS: bool = false;

    fn more<'r>(_first: &Producer<'r>) -> Option<Producer<'r>> {
        None
    }
}

impl Kind for Many {
    const PRODUCERS: usize = 3;
    const KEEPS: bool = true;

    fn more<'r>(first: &Producer<'r, Self>) -> Option<Producer<'r, Self>> {
        Some(first.clone())
    }
}

impl Kind for Overwrite {
    const PRODUCERS: usize = 3;
    const KEEPS: bool = true;
    const GIVES_WAY: bool = true;

    fn more<'r>(first: &Producer<'r, Self>) -> Option<Producer<'r, Self>> {
        Some(first.clone())
    }
}

/// Bytes of a record's header, and the alignment of records.
const HEADER_LEN: usize = 4;

fn span(len: usize) -> usize {
    (HEADER_LEN + len).next_multiple_of(HEADER_LEN)
}

/// What takes room in the ring.
struct Entry {
    /// Nothing is padding.
    record: Option<Vec<u8>>,
    /// Bytes that it takes.
    span: usize,
    /// Whether more of its group follows.
    more: bool,
}

/// A ring, and what it is to be.
pub(super) struct Tested<'r, M: Kind> {
    pub(super) producers: Vec<Producer<'r, M>>,
    consumer: Consumer<'r>,
    capacity: usize,
    queue: VecDeque<Entry>,
    /// The place in memory behind the last entry.
    tail: usize,
    /// The consumer has looked at records that nobody may overwrite.
    holds: bool,
    accepted: u64,
    refused: u64,
    busy: u64,
    overwritten: u64,
    /// A forgotten grant's bytes are not wiped yet.
    pub(super) dirty: bool,
    next_byte: u8,
}

impl<'r, M: Kind> Tested<'r, M> {
    /// `begin` is where in its memory the new ring begins.
    pub(super) fn new(
        capacity: usize,
        begin: usize,
        (producer, consumer): (Producer<'r, M>, Consumer<'r>),
    ) -> Self {
        let mut producers = vec![producer];
        while let (true, Some(more)) = (producers.len() < M::PRODUCERS, M::more(&producers[0])) {
            producers.push(more);
        }
        Self {
            producers,
            consumer,
            capacity,
            queue: VecDeque::new(),
            tail: begin,
            holds: false,
            accepted: 0,
            refused: 0,
            busy: 0,
            overwritten: 0,
            dirty: false,
            next_byte: 1,
        }
    }

    /// Bytes that tell records apart and are not zero.
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let byte = self.next_byte;
        self.next_byte = if byte == u8::MAX { 1 } else { byte + 1 };
        vec![byte; len]
    }

    fn free(&self) -> usize {
        self.capacity - self.queue.iter().map(|entry| entry.span).sum::<usize>()
    }

    /// Makes room for a record of `len` bytes, or as long. The padding before
    /// it, or why it is refused; counts `records` then.
    fn expect(&mut self, len: usize, records: u64) -> Result<usize, ReserveError> {
        let expected = self.room(len);
        if let Err(error) = expected {
            self.refused += records;
            if matches!(error, ReserveError::Busy { .. }) {
                self.busy += records;
            }
        }
        expected
    }

    fn room(&mut self, len: usize) -> Result<usize, ReserveError> {
        let len_max = self.capacity / 2 - HEADER_LEN;
        if len > len_max {
            return Err(ReserveError::TooLong { len, len_max });
        }
        let to_end = self.capacity - self.tail;
        let padding = if span(len) > to_end { to_end } else { 0 };
        let needed = padding + span(len);
        let free = self.free();
        if needed > free && !M::GIVES_WAY {
            return Err(ReserveError::Full { needed, free });
        }
        if needed > free && self.holds {
            return Err(ReserveError::Busy { needed, free });
        }
        while needed > self.free() {
            self.release_padding();
            if needed > self.free() {
                self.overwrite();
            }
        }
        Ok(padding)
    }

    /// Drops the oldest record, or group.
    fn overwrite(&mut self) {
        loop {
            let entry = self.queue.pop_front().unwrap();
            assert!(entry.record.is_some(), "padding in a group");
            self.overwritten += 1;
            if !entry.more {
                break;
            }
        }
    }

    /// Reserves `len` bytes, fills them and ends the grant by `end`, which
    /// says how many of them are committed.
    fn reserve(&mut self, len: usize, end: impl FnOnce(Grant<'_, M>) -> Option<usize>) {
        let (expected, mut bytes) = (self.expect(len, 1), self.bytes(len));
        let kept = match self.producers[0].reserve(len) {
            Ok(mut grant) => {
                assert_eq!(&*grant, vec![0; len]);
                grant.copy_from_slice(&bytes);
                end(grant)
            }
            Err(error) => return assert_eq!(expected, Err(error)),
        };
        let padding = expected.unwrap();
        self.dirty = false;
        if let Some(kept) = kept {
            bytes.truncate(kept);
            self.pad(padding);
            self.enqueue(bytes, false);
            if M::KEEPS {
                self.pad(span(len) - span(kept));
            }
        } else if M::KEEPS {
            self.pad(padding);
            self.pad(span(len));
        }
    }

    /// Pushes records by one claim, as a group or not.
    fn push_several(&mut self, lens: &[usize], group: bool) {
        let records: Vec<_> = lens.iter().map(|len| self.bytes(*len)).collect();
        let slices: Vec<_> = records.iter().map(|record| &record[..]).collect();
        let total: usize = lens.iter().map(|len| span(*len)).sum();
        let expected = match total.checked_sub(HEADER_LEN) {
            Some(len) => self.expect(len, lens.len() as u64),
            None => Ok(0),
        };
        let producer = &mut self.producers[0];
        let pushed =
            if group { producer.push_group(&slices) } else { producer.push_batch(&slices) };
        assert_eq!(pushed, expected.map(|_| ()));
        if let (Ok(padding), false) = (expected, lens.is_empty()) {
            self.dirty = false;
            self.pad(padding);
            let last = records.len() - 1;
            for (at, record) in records.into_iter().enumerate() {
                self.enqueue(record, group && at < last);
            }
        }
    }

    fn enqueue(&mut self, record: Vec<u8>, more: bool) {
        let span = span(record.len());
        self.take(Entry { record: Some(record), span, more });
        self.accepted += 1;
    }

    fn pad(&mut self, span: usize) {
        if span > 0 {
            self.take(Entry { record: None, span, more: false });
        }
    }

    fn take(&mut self, entry: Entry) {
        self.tail = (self.tail + entry.span) % self.capacity;
        self.queue.push_back(entry);
    }

    /// Releases padding up to the oldest record.
    fn release_padding(&mut self) {
        while self.queue.front().is_some_and(|entry| entry.record.is_none()) {
            self.queue.pop_front();
        }
    }

    fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.queue.iter().filter_map(|entry| entry.record.as_deref())
    }

    /// Does `operation` to both and compares them.
    pub(super) fn apply(&mut self, operation: &Operation) {
        // The next handle is to push.
        self.producers.rotate_left(1);
        match *operation {
            Operation::Push { len } => {
                let (expected, bytes) = (self.expect(len, 1), self.bytes(len));
                assert_eq!(self.producers[0].push(&bytes), expected.map(|_| ()));
                if let Ok(padding) = expected {
                    self.dirty = false;
                    self.pad(padding);
                    self.enqueue(bytes, false);
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
            Operation::Forget { len } if !M::KEEPS => self.reserve_and_forget(len),
            // One of many that is forgotten stalls the ring: another test's.
            Operation::Drop { len } | Operation::Forget { len } => self.reserve(len, |grant| {
                drop(grant);
                None
            }),
            Operation::Group { ref lens } => self.push_several(lens, true),
            Operation::Batch { ref lens } => self.push_several(lens, false),
            Operation::Read { records } => {
                if records > 0 {
                    // A look at the first: none, and padding is released.
                    self.holds = self.queue.iter().any(|entry| entry.record.is_some());
                    if !self.holds {
                        self.release_padding();
                    }
                }
                let expected: Vec<_> = self.records().take(records).map(<[u8]>::to_vec).collect();
                assert_eq!(self.consumer.records().take(records).collect::<Vec<_>>(), expected);
            }
            Operation::Release { records } => {
                let all = self.records().count();
                let expected = records.min(all);
                assert_eq!(self.consumer.release(records), expected);
                for _ in 0..expected {
                    self.release_padding();
                    self.queue.pop_front();
                }
                if records > all {
                    self.release_padding();
                }
                self.holds = false;
            }
        }
        self.check();
    }

    fn reserve_and_forget(&mut self, len: usize) {
        let mut lent = false;
        self.reserve(len, |grant| {
            core::mem::forget(grant);
            lent = true;
            None
        });
        self.dirty |= lent;
    }

    fn check(&self) {
        let ledger: Ledger = self.producers.iter().map(Producer::ledger).sum();
        assert_eq!((ledger.accepted, ledger.refused), (self.accepted, self.refused));
        assert_eq!((ledger.overwritten, ledger.busy), (self.overwritten, self.busy));
        assert!(ledger.balances(self.accepted - self.overwritten));
    }

    /// What is in the ring outlives its producers.
    pub(super) fn end(mut self) {
        assert!(!self.consumer.is_finished());
        self.producers.clear();
        let left: Vec<_> = self.records().map(<[u8]>::to_vec).collect();
        assert_eq!(self.consumer.is_finished(), left.is_empty());
        assert_eq!(self.consumer.records().collect::<Vec<_>>(), left);
        assert_eq!(self.consumer.release(usize::MAX), left.len());
        assert!(self.consumer.is_finished());
    }
}
