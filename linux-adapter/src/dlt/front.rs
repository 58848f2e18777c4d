//! Records that go before those of the ring: who is there, what was lost, what
//! is sent again.

use std::{collections::VecDeque, io};

use forebay::{Progress, Sink};

use crate::PIPE_BUF;

/// Records that go before those of the ring.
#[derive(Default)]
pub(super) struct Front {
    pub(super) records: VecDeque<FrontRecord>,
    /// The first of them, being written.
    chunk: Vec<u8>,
    chunk_records: usize,
    sent: usize,
    /// Records written that a daemon before had left unread.
    pub(super) sent_again: u64,
}

pub(super) struct FrontRecord {
    pub(super) bytes: Vec<u8>,
    /// It is for the next daemon, too, if this one is gone.
    pub(super) is_kept: bool,
}

/// What one write did.
pub(super) enum Step {
    Moved { bytes: usize },
    Blocked,
    Idle,
}

impl Front {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn push(&mut self, records: impl IntoIterator<Item = Vec<u8>>) {
        let record = |bytes| FrontRecord { bytes, is_kept: false };
        self.records.extend(records.into_iter().map(record));
    }

    /// Writes as many of the first records as go into one piece.
    pub(super) fn write(&mut self, sink: &mut impl Sink<Error = io::Error>) -> io::Result<Step> {
        if self.chunk.is_empty() {
            for record in &self.records {
                if !self.chunk.is_empty() && self.chunk.len() + record.bytes.len() > PIPE_BUF {
                    break;
                }
                self.chunk.extend_from_slice(&record.bytes);
                self.chunk_records += 1;
            }
        }
        match sink.write(&[self.chunk.get(self.sent..).unwrap_or_default()])? {
            Progress::Blocked => Ok(Step::Blocked),
            Progress::Wrote(0) => Err(io::ErrorKind::WriteZero.into()),
            Progress::Wrote(bytes) => {
                self.sent += bytes;
                if self.sent >= self.chunk.len() {
                    let written = self.records.drain(..self.chunk_records);
                    self.sent_again += written.filter(|record| record.is_kept).count() as u64;
                    self.begin_chunk();
                }
                Ok(Step::Moved { bytes })
            }
        }
    }

    fn begin_chunk(&mut self) {
        self.chunk.clear();
        self.chunk_records = 0;
        self.sent = 0;
    }

    /// The daemon is gone: keeps what is for the next one.
    pub(super) fn lose(&mut self) {
        self.begin_chunk();
        self.records.retain(|record| record.is_kept);
    }
}
