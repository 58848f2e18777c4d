//! Producers and a consumer at once: the consumer copies what is there into at
//! most 16 KiB and makes one write of it to `/dev/null`, as a drainer does.

use std::{
    fs::File,
    hint::spin_loop,
    io::Write,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use crate::{probe, rounds::Round};

/// Bytes of a ring.
pub const RING_LEN: usize = 64 * 1024;
/// The most bytes of one write.
pub const WRITE_LEN: usize = 16 * 1024;
/// Bytes of records that are carried in one round.
const ROUND_LEN: usize = 8 * 1024 * 1024;
const RECORDS_MAX: usize = 100_000;

/// Records of `len` bytes that are carried in one round.
#[must_use]
pub const fn records(len: usize) -> usize {
    let records = ROUND_LEN / len;
    if records < RECORDS_MAX { records } else { RECORDS_MAX }
}

/// Waits: at first without giving way, then in case the other side is not
/// running.
#[derive(Debug)]
pub struct Patience {
    waits: u32,
    /// Gives way once in so many waits.
    gives_way: u32,
}

impl Patience {
    /// For two threads on two processors.
    #[must_use]
    pub const fn long() -> Self {
        Self { waits: 0, gives_way: 4096 }
    }

    /// For more threads than processors, of which one that waits takes the
    /// place of one that works.
    #[must_use]
    pub const fn short() -> Self {
        Self { waits: 0, gives_way: 64 }
    }

    /// For `threads` of them.
    const fn of(threads: usize) -> Self {
        if threads > 2 { Self::short() } else { Self::long() }
    }

    /// Waits a little.
    pub fn wait(&mut self) {
        self.waits += 1;
        if self.waits.is_multiple_of(self.gives_way) { thread::yield_now() } else { spin_loop() }
    }

    /// Calls `push` until it succeeds.
    pub fn insist(&mut self, mut push: impl FnMut() -> bool) {
        while !push() {
            self.wait();
        }
    }
}

/// What the consumer copies into.
#[derive(Debug)]
pub struct Out {
    file: File,
    bytes: Box<[u8; WRITE_LEN]>,
    len: usize,
    /// Writes so far.
    pub calls: u32,
}

impl Out {
    /// Empty.
    ///
    /// # Panics
    ///
    /// Without `/dev/null`.
    #[must_use]
    pub fn new() -> Self {
        let file = File::create("/dev/null").unwrap();
        Self { file, bytes: Box::new([0; WRITE_LEN]), len: 0, calls: 0 }
    }

    /// Bytes that still go in.
    #[must_use]
    pub fn free(&self) -> usize {
        WRITE_LEN - self.len
    }

    /// Takes bytes for the next write.
    ///
    /// # Panics
    ///
    /// If there is no room for them.
    pub fn copy(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Writes what was copied.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn write(&mut self) {
        self.file.write_all(&self.bytes[..self.len]).unwrap();
        self.calls += 1;
        self.len = 0;
    }
}

impl Default for Out {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs all sides at once. Each of `pushes` puts one record in, on a thread of
/// its own; `drain` takes as many as there are, at most 16 KiB, and says how
/// many.
///
/// # Panics
///
/// If one of them does.
pub fn carry<const N: usize, P>(
    pushes: Vec<P>,
    mut drain: impl FnMut(&mut Out) -> usize + Send,
) -> Round
where
    P: FnMut(&[u8; N]) -> bool + Send,
{
    let each = records(N) / pushes.len();
    let records = each * pushes.len();
    let sides = pushes.len() + 1;
    let ready = AtomicUsize::new(0);
    let meet = || {
        ready.fetch_add(1, Ordering::AcqRel);
        Patience::of(sides).insist(|| ready.load(Ordering::Acquire) == sides);
    };
    thread::scope(|threads| {
        for mut push in pushes {
            let meet = &meet;
            threads.spawn(move || {
                if sides == 2 {
                    // Several find their places among the processors.
                    probe::pin(0);
                }
                let mut record = [7; N];
                meet();
                let mut patience = Patience::of(sides);
                for turn in 0..each {
                    record[0] = turn.to_le_bytes()[0];
                    patience.insist(|| push(&record));
                }
            });
        }
        let consumer = threads.spawn(|| {
            probe::pin(1);
            let mut out = Out::new();
            meet();
            Round::timed(records as u64, || {
                let mut patience = Patience::of(sides);
                let mut carried = 0;
                while carried < records {
                    match drain(&mut out) {
                        0 => patience.wait(),
                        drained => carried += drained,
                    }
                }
                f64::from(out.calls)
            })
        });
        let round = consumer.join().unwrap();
        // The consumer waits actively: its processor time says nothing.
        Round { cpu: Duration::ZERO, ..round }
    })
}

/// For rings that give one item at a time.
pub fn one_by_one<const N: usize, P>(
    pushes: Vec<P>,
    mut pop: impl FnMut() -> Option<[u8; N]> + Send,
) -> Round
where
    P: FnMut(&[u8; N]) -> bool + Send,
{
    carry::<N, P>(pushes, |out| {
        let mut records = 0;
        while out.free() >= N {
            let Some(record) = pop() else { break };
            out.copy(&record);
            records += 1;
        }
        if records > 0 {
            out.write();
        }
        records
    })
}
