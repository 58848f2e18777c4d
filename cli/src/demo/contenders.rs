//! Three ways to carry the same messages over the same kind of wire.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    panic::resume_unwind,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use forebay::{
    Ledger,
    checksum::Crc32Fast,
    frame::{Encode, Prefixed},
};
use forebay_linux::{FdSink, Kind};
use forebay_std::{Drained, Drainer, FrameReader, Sender};

use crate::stdio::report;

use super::{
    Load, Progress,
    message::{self, Verifier},
    wire::Wire,
};

/// Bytes of each producer's ring.
const RING_LEN: usize = 256 * 1024;
/// The buffer of the contender with `BufWriter`.
const BUF_WRITER_LEN: usize = 64 * 1024;
/// Between two looks at the progress.
const GLANCE: Duration = Duration::from_millis(200);

type Format = Prefixed<Crc32Fast>;

/// How one contender fared.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) name: &'static str,
    pub(super) ledger: Ledger,
    /// System calls on the sending side.
    pub(super) calls: u64,
    pub(super) elapsed: Duration,
    /// Messages that the far side verified.
    pub(super) verified: u64,
    /// Messages that it found wrong, and damages of the stream.
    pub(super) wrong: u64,
}

impl Outcome {
    /// Messages a second.
    pub(super) fn rate(&self) -> f64 {
        self.ledger.delivered as f64 / self.elapsed.as_secs_f64()
    }

    pub(super) fn calls_per_message(&self) -> f64 {
        self.calls as f64 / (self.ledger.delivered.max(1)) as f64
    }

    /// Whether every message is accounted for: refused, or verified on the far
    /// side.
    pub(super) fn is_whole(&self) -> bool {
        self.ledger.balances(0) && self.verified == self.ledger.delivered && self.wrong == 0
    }
}

/// Rings, a drainer, one vectored write a batch.
pub(super) fn forebay(load: &Load, progress: &mut Progress) -> io::Result<Outcome> {
    let wire = Wire::new(load.socket)?;
    let format = format(load);
    let mut sink = FdSink::new(wire.near)?;
    if sink.kind() == Kind::Pipe {
        sink = FdSink::nonblocking(sink.into_inner())?;
    }
    let batch = load.batch.unwrap_or(usize::MAX);
    let mut drainer = Drainer::with_pump(|pump| pump.frames_max(batch), format, sink);
    let mut senders = Vec::new();
    for _ in 0..load.producers {
        senders.push(drainer.sender(RING_LEN).map_err(io::Error::other)?);
    }
    let refused = AtomicU64::new(0);
    let clock = Clock::start(load);

    thread::scope(|threads| {
        let far = threads.spawn(|| verify(File::from(wire.far), load));
        let senders: Vec<_> = (0..)
            .zip(senders)
            .map(|(producer, sender)| {
                let (clock, refused) = (&clock, &refused);
                threads.spawn(move || produce(load, clock, refused, producer, sender))
            })
            .collect();

        let outcome = |drainer: &Drainer<Format, FdSink<_>>, refused: u64| Outcome {
            name: "forebay",
            ledger: Ledger { refused, ..drainer.ledger() },
            calls: drainer.sink().counts().calls,
            elapsed: clock.elapsed(),
            verified: 0,
            wrong: 0,
        };
        while drainer.run_until(Instant::now() + GLANCE)? != Drained::Finished {
            clock.glance();
            progress.show(&outcome(&drainer, refused.load(Ordering::Relaxed)));
        }
        let mut outcome = outcome(&drainer, 0);
        outcome.ledger = drainer.ledger()
            + senders
                .into_iter()
                .map(|sender| sender.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .sum();
        drop(drainer); // ends the stream
        let far = far.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        Ok(Outcome { verified: far.good, wrong: far.bad, ..outcome })
    })
}

/// Sends until the clock stops; returns the sender's ledger.
fn produce(
    load: &Load,
    clock: &Clock,
    refused: &AtomicU64,
    producer: u32,
    mut sender: Sender,
) -> Ledger {
    let mut sequence = 0;
    while clock.runs(producer, sequence) {
        let sent = sender.send_with(load.size, |room| message::write(room, producer, sequence));
        if sent.is_ok() {
            sequence += 1;
        } else {
            // No room, which has been counted: the message is offered again.
            refused.fetch_add(1, Ordering::Relaxed);
            thread::yield_now();
        }
    }
    sender.ledger()
}

/// One `write` a message, behind a mutex.
pub(super) fn write_each(load: &Load, progress: &mut Progress) -> io::Result<Outcome> {
    by_hand("write each", load, progress, Counting::new)
}

/// A `BufWriter` behind a mutex.
pub(super) fn buf_writer(load: &Load, progress: &mut Progress) -> io::Result<Outcome> {
    by_hand("BufWriter 64 KiB", load, progress, |file| {
        BufWriter::with_capacity(BUF_WRITER_LEN, Counting::new(file))
    })
}

/// What the two writers by hand have in common.
trait ByHand: Write + Send {
    fn calls(&self) -> u64;
}

/// Counts the system calls of a file.
struct Counting {
    file: File,
    calls: u64,
}

impl Counting {
    fn new(file: File) -> Self {
        Self { file, calls: 0 }
    }
}

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ByHand for Counting {
    fn calls(&self) -> u64 {
        self.calls
    }
}

impl ByHand for BufWriter<Counting> {
    fn calls(&self) -> u64 {
        self.get_ref().calls
    }
}

fn by_hand<W: ByHand>(
    name: &'static str,
    load: &Load,
    progress: &mut Progress,
    open: impl FnOnce(File) -> W,
) -> io::Result<Outcome> {
    let wire = Wire::new(load.socket)?;
    let writer = Mutex::new(open(File::from(wire.near)));
    let written = AtomicU64::new(0);
    let clock = Clock::start(load);
    let far = {
        let load = *load;
        thread::spawn(move || verify(File::from(wire.far), &load))
    };
    let outcome = |calls: u64, delivered: u64| Outcome {
        name,
        ledger: Ledger { offered: delivered, accepted: delivered, delivered, ..Ledger::default() },
        calls,
        elapsed: clock.elapsed(),
        verified: 0,
        wrong: 0,
    };

    let running = AtomicUsize::new(load.producers);
    let here = thread::current();
    let delivered = thread::scope(|threads| {
        let producers: Vec<_> = (0..)
            .take(load.producers)
            .map(|producer| {
                let (clock, writer, written) = (&clock, &writer, &written);
                let ends = Ends { running: &running, waits: &here };
                threads.spawn(move || {
                    let _ends = ends;
                    write_frames(load, clock, writer, written, producer)
                })
            })
            .collect();
        // Relaxed: the threads are joined behind it.
        while running.load(Ordering::Relaxed) > 0 {
            thread::park_timeout(GLANCE.min(clock.left()));
            clock.glance();
            let calls = lock(&writer).calls();
            progress.show(&outcome(calls, written.load(Ordering::Relaxed)));
        }
        producers
            .into_iter()
            .map(|producer| producer.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .sum::<io::Result<u64>>()
    })?;
    let mut writer = writer.into_inner().unwrap_or_else(PoisonError::into_inner);
    writer.flush()?;
    let outcome = outcome(writer.calls(), delivered);
    drop(writer); // ends the stream
    let far = far.join().unwrap_or_else(|panic| resume_unwind(panic))?;
    Ok(Outcome { verified: far.good, wrong: far.bad, ..outcome })
}

/// Says that a producer has ended, also by a panic, so that the clock does not
/// run on until the next glance.
struct Ends<'d> {
    running: &'d AtomicUsize,
    waits: &'d Thread,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        self.waits.unpark();
    }
}

fn write_frames<W: ByHand>(
    load: &Load,
    clock: &Clock,
    writer: &Mutex<W>,
    written: &AtomicU64,
    producer: u32,
) -> io::Result<u64> {
    let format = format(load);
    let mut payload = vec![0; load.size];
    let mut frame = vec![0; format.frame_len(load.size)];
    let mut sequence = 0;
    while clock.runs(producer, sequence) {
        message::write(&mut payload, producer, sequence);
        let len = format.encode(&payload, &mut frame).map_err(io::Error::other)?;
        lock(writer).write_all(&frame[..len])?;
        written.fetch_add(1, Ordering::Relaxed);
        sequence += 1;
    }
    Ok(sequence)
}

/// Reads to the end of the stream and checks every message.
fn verify(far: File, load: &Load) -> io::Result<Verifier> {
    let mut verifier = Verifier::new(load.producers);
    let mut frames = FrameReader::new(far, format(load));
    while frames.fill()? {
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => verifier.check(frame.payload),
                Ok(None) => break,
                Err(damage) => {
                    report!("{damage}");
                    verifier.bad += 1;
                }
            }
        }
    }
    Ok(verifier)
}

fn format(load: &Load) -> Format {
    Prefixed::native(load.size, Crc32Fast)
}

/// Says how long the producers go on.
struct Clock {
    start: Instant,
    duration: Duration,
    /// Messages in all, and how many share them.
    count: u64,
    producers: u64,
    /// Looked at by producers in place of the time, which costs more.
    over: AtomicBool,
}

impl Clock {
    fn start(load: &Load) -> Self {
        let (duration, count) = match load.count {
            None => (load.duration, u64::MAX),
            Some(count) => (Duration::MAX, count),
        };
        let producers = load.producers as u64;
        Self { start: Instant::now(), duration, count, producers, over: AtomicBool::new(false) }
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn left(&self) -> Duration {
        self.duration.saturating_sub(self.elapsed())
    }

    /// Stops the producers when it is time.
    fn glance(&self) {
        if self.left().is_zero() {
            self.over.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a producer that has sent `sequence` messages sends another.
    fn runs(&self, producer: u32, sequence: u64) -> bool {
        let rest = u64::from(u64::from(producer) < self.count % self.producers);
        sequence < self.count / self.producers + rest && !self.over.load(Ordering::Relaxed)
    }
}

/// A writer that panicked has lost messages; the verifier will say so.
fn lock<W>(writer: &Mutex<W>) -> std::sync::MutexGuard<'_, W> {
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}
