//! A sink that takes all, and a drainer that writes to it.

use std::{io, time::Instant};

use forebay::{Progress, Sink, frame::Plain};

use super::drain::{Drainer, Wait};

/// Counts what it takes.
#[derive(Debug, Default)]
pub(super) struct Wire(usize);

impl Sink for Wire {
    type Error = io::Error;

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        let len = slices.iter().map(|slice| slice.len()).sum();
        self.0 += len;
        Ok(Progress::Wrote(len))
    }
}

impl Wait for Wire {
    fn wait(&mut self, _: Option<Instant>) -> io::Result<()> {
        unreachable!("this sink is never blocked");
    }
}

pub(super) fn drainer() -> Drainer<Plain, Wire> {
    Drainer::with_batch_len(64, Plain, Wire::default())
}
