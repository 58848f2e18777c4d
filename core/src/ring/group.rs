//! Several records with one claim.
//!
//! # Implementation
//!
//! The records lie one behind the other in what would be the record of one
//! claim, and so never on both sides of the end of the memory. Their headers
//! are stored from the last to the first: the first publishes all of them.

use core::mem;

use super::{HEADER_LEN, MORE, Producer, ReserveError, mode::Mode, span};
use crate::sync::HeaderWord;

impl<M: Mode> Producer<'_, M> {
    /// Copies `records` into the ring as one group: side by side, seen by the
    /// consumer all at once, and never parted on the way. A
    /// [`Pump`](crate::Pump) keeps a group in one batch, and a full policy
    /// takes all of it or nothing.
    ///
    /// ```
    /// let mut ring = forebay::ring::Ring::<64>::new();
    /// let (mut producer, mut consumer) = ring.split();
    /// producer.push_group(&[b"head", b"and", b"tail"])?;
    /// assert_eq!(consumer.records().collect::<Vec<_>>().concat(), b"headandtail");
    /// # Ok::<(), forebay::ring::ReserveError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`reserve`](Producer::reserve) for one record as long as the group:
    /// its records, and between them their headers of four bytes and what
    /// fills them up to four. Each record is counted as refused.
    pub fn push_group(&mut self, records: &[&[u8]]) -> Result<(), ReserveError> {
        self.push_several(records, MORE)
    }

    /// Copies `records` into the ring with one claim, all of them or none: the
    /// price of one compare-and-swap for several records. Unlike those of a
    /// [group](Producer::push_group) they may be parted later.
    ///
    /// # Errors
    ///
    /// As [`push_group`](Producer::push_group).
    pub fn push_batch(&mut self, records: &[&[u8]]) -> Result<(), ReserveError> {
        self.push_several(records, 0)
    }

    /// `more` marks every header but the last.
    fn push_several(&mut self, records: &[&[u8]], more: HeaderWord) -> Result<(), ReserveError> {
        let Some((first, others)) = records.split_first() else { return Ok(()) };
        let spans = |total: usize, record: &&[u8]| total.saturating_add(span(record.len()));
        let len = records.iter().fold(0, spans) - HEADER_LEN;
        let mut grant = self.grant(len, records.len() as u64)?;
        let mut at = 0;
        for record in records {
            grant[at..at + record.len()].copy_from_slice(record);
            at += span(record.len());
        }
        let mut mark = 0;
        for record in others.iter().rev() {
            at -= span(record.len());
            grant.put_inner_header(at, record.len(), mem::replace(&mut mark, more));
        }
        grant.publish_all(first.len(), mark, records.len() as u64);
        Ok(())
    }
}
