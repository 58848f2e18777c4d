//! The conformance suite against the core's own sink, the adapters' and the
//! faulty ones, and against sinks that are wrong.

use std::{
    cell::RefCell,
    io::{self, ErrorKind, IoSlice, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    rc::Rc,
};

use forebay::{Progress, Sink, sink::EmbeddedIo};
use forebay_linux::{
    FdSink,
    uring::{Config, RingSink, SinkSet, StreamSink},
};
use forebay_std::WriteSink;
use forebay_tests::{
    conformance::{Far, Reader, conforms, front},
    faulty::{Failed, FaultySink, FaultyWriter, Step},
};

type Memory = Rc<RefCell<Vec<u8>>>;

/// The far end of a line in memory, which is bounded if it `STOPS`.
struct End<const STOPS: bool>(Memory);

impl<const STOPS: bool> Far for End<STOPS> {
    const STOPS: bool = STOPS;

    fn take(&mut self, len_max: usize) -> Vec<u8> {
        let mut memory = self.0.borrow_mut();
        let len = memory.len().min(len_max);
        memory.drain(..len).collect()
    }

    fn rest(self) -> Vec<u8> {
        self.0.take()
    }
}

/// The near end: what `inner` takes goes into the memory.
struct Near<T> {
    inner: T,
    memory: Memory,
    len_max: usize,
}

fn bounded<T>(inner: T) -> (Near<T>, End<true>) {
    let memory = Memory::default();
    (Near { inner, memory: Rc::clone(&memory), len_max: 5000 }, End(memory))
}

fn unbounded<T>(inner: T) -> (Near<T>, End<false>) {
    let memory = Memory::default();
    (Near { inner, memory: Rc::clone(&memory), len_max: usize::MAX }, End(memory))
}

impl<T> Near<T> {
    /// The bytes that still go into the memory, if its far end is open.
    fn room(&self) -> Option<usize> {
        (Rc::strong_count(&self.memory) > 1).then(|| self.len_max - self.memory.borrow().len())
    }
}

impl<I: Iterator<Item = Step>> Sink for Near<FaultySink<I>> {
    type Error = Failed;

    fn write(&mut self, slices: &[&[u8]]) -> Result<Progress, Failed> {
        let progress = match self.room() {
            None => return Err(Failed),
            Some(0) => return Ok(Progress::Blocked),
            Some(room) => self.inner.write(&front(slices, room)),
        };
        self.memory.borrow_mut().append(&mut self.inner.taken);
        progress
    }
}

impl<I: Iterator<Item = Step>> Write for Near<FaultyWriter<I>> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        let slices = match self.room() {
            None => return Err(ErrorKind::BrokenPipe.into()),
            Some(0) => return Err(ErrorKind::WouldBlock.into()),
            Some(room) => front(&slices, room),
        };
        let slices: Vec<IoSlice<'_>> = slices.into_iter().map(IoSlice::new).collect();
        let written = self.inner.write_vectored(&slices);
        self.memory.borrow_mut().append(&mut self.inner.taken);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line that takes at most 333 bytes a call and is interrupted at every
/// third.
#[derive(Default)]
struct Uart {
    calls: usize,
}

impl embedded_io::ErrorType for Near<Uart> {
    type Error = embedded_io::ErrorKind;
}

impl embedded_io::Write for Near<Uart> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, embedded_io::ErrorKind> {
        assert!(!bytes.is_empty(), "such a call may take nothing and be no error");
        self.inner.calls += 1;
        if self.room().is_none() {
            return Err(embedded_io::ErrorKind::BrokenPipe);
        }
        if self.inner.calls.is_multiple_of(3) {
            return Err(embedded_io::ErrorKind::Interrupted);
        }
        let len = bytes.len().min(333);
        self.memory.borrow_mut().extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> Result<(), embedded_io::ErrorKind> {
        Ok(())
    }
}

/// Short and long counts and interruptions, for ever.
fn script() -> impl Iterator<Item = Step> {
    use Step::{Interrupted, Take};
    [Take(1), Interrupted, Take(2), Take(40), Interrupted, Interrupted, Take(5001)]
        .into_iter()
        .cycle()
}

#[test]
fn the_faulty_sink() {
    conforms(|| bounded(FaultySink::new([])));
    conforms(|| bounded(FaultySink::new(script())));
    conforms(|| unbounded(FaultySink::new(script())));
}

#[test]
fn embedded_io() {
    conforms(|| {
        let (near, far) = unbounded(Uart::default());
        (EmbeddedIo::new(near), far)
    });
}

fn write_sink<W, F>((near, far): (W, F)) -> (WriteSink<W>, F)
where
    W: Write,
{
    (WriteSink::new(near), far)
}

#[test]
fn a_writer_that_is_vectored() {
    conforms(|| write_sink(bounded(FaultyWriter::vectored([]))));
    conforms(|| write_sink(bounded(FaultyWriter::vectored(script()))));
}

#[test]
fn a_writer_that_is_not_vectored() {
    conforms(|| write_sink(bounded(FaultyWriter::sequential([]))));
    conforms(|| write_sink(unbounded(FaultyWriter::sequential(script()))));
}

#[test]
fn a_unix_stream() {
    conforms(|| {
        let (near, far) = UnixStream::pair().unwrap();
        (FdSink::nonblocking(near).unwrap(), Reader(far))
    });
}

#[test]
fn a_pipe() {
    conforms(|| {
        let (far, near) = io::pipe().unwrap();
        (FdSink::nonblocking(near).unwrap(), Reader(far))
    });
}

fn ring_sink<F>((near, far): (impl Into<OwnedFd>, F)) -> (StreamSink, Reader<F>) {
    let sink = StreamSink::new(near).unwrap();
    if let Some(why) = sink.fallback() {
        println!("SKIPPED: {why}");
    }
    (sink, Reader(far))
}

#[test]
fn a_unix_stream_by_a_ring() {
    conforms(|| ring_sink(UnixStream::pair().unwrap()));
    conforms(|| {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        ring_sink((near, far))
    });
}

/// What a set takes leaves when that is submitted.
struct Submitted(RingSink, SinkSet);

impl Sink for Submitted {
    type Error = io::Error;

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        match self.0.write(slices)? {
            Progress::Blocked => {
                self.1.submit(0, None)?;
                self.0.write(slices)
            }
            wrote => Ok(wrote),
        }
    }
}

#[test]
fn a_unix_stream_of_a_set() {
    for registered in [false, true] {
        let config = Config::new().queue_depth(8).registered_buffers(registered);
        let set = match SinkSet::new(&config) {
            Ok(set) => set,
            Err(why) => {
                println!("SKIPPED: {why}");
                return;
            }
        };
        for lack in set.lacks() {
            println!("SKIPPED: {lack}");
        }
        conforms(|| {
            let (near, far) = UnixStream::pair().unwrap();
            (Submitted(set.add(near).unwrap(), set.clone()), Reader(far))
        });
    }
}

/// What is wrong with a sink.
#[derive(Clone, Copy)]
enum Fault {
    /// Loses the last byte of a long write.
    Loses,
    /// Takes a byte and says that it did not.
    Doubles,
    /// Takes the second slice before the first.
    Reorders,
    /// Counts a slice too many.
    Overcounts,
    /// Looks at 1024 slices, empty ones among them.
    LooksAt1024,
    /// Reports a blocked line as an error.
    FailsWhenBlocked,
    /// Says of a line that takes nothing that it took nothing.
    ZeroWhenBlocked,
    /// Goes on when nobody reads.
    NeverCloses,
}

struct Wrong {
    near: Near<FaultySink<std::iter::Empty<Step>>>,
    fault: Fault,
}

impl Sink for Wrong {
    type Error = Failed;

    fn write(&mut self, slices: &[&[u8]]) -> Result<Progress, Failed> {
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        let progress = match self.fault {
            Fault::NeverCloses if self.near.room().is_none() => return Ok(Progress::Wrote(len)),
            Fault::LooksAt1024 => self.near.write(&slices[..slices.len().min(1024)])?,
            Fault::Reorders => {
                let mut slices = slices.to_vec();
                if let [first, second, ..] = &mut slices[..] {
                    std::mem::swap(first, second);
                }
                self.near.write(&slices)?
            }
            _ => self.near.write(slices)?,
        };
        match (self.fault, progress) {
            (Fault::Loses, Progress::Wrote(100..)) => {
                self.near.memory.borrow_mut().pop();
            }
            (Fault::Doubles, Progress::Wrote(len @ 2..)) => return Ok(Progress::Wrote(len - 1)),
            (Fault::Overcounts, Progress::Wrote(_)) => return Ok(Progress::Wrote(len + 1)),
            (Fault::FailsWhenBlocked, Progress::Blocked) => return Err(Failed),
            (Fault::ZeroWhenBlocked, Progress::Blocked) => return Ok(Progress::Wrote(0)),
            _ => {}
        }
        Ok(progress)
    }
}

fn wrong(fault: Fault) {
    conforms(|| {
        let (near, far) = bounded(FaultySink::new(std::iter::empty()));
        (Wrong { near, fault }, far)
    });
}

#[test]
#[should_panic(expected = "bytes that arrived")]
fn a_sink_that_loses_is_found() {
    wrong(Fault::Loses);
}

#[test]
#[should_panic(expected = "bytes that arrived")]
fn a_sink_that_doubles_is_found() {
    wrong(Fault::Doubles);
}

#[test]
#[should_panic(expected = "arrived wrong")]
fn a_sink_that_reorders_is_found() {
    wrong(Fault::Reorders);
}

#[test]
#[should_panic(expected = "2 bytes of 1 taken")]
fn a_sink_that_counts_too_much_is_found() {
    wrong(Fault::Overcounts);
}

#[test]
#[should_panic(expected = "none of 6 bytes taken, and not blocked")]
fn a_sink_that_sees_empty_slices_alone_is_found() {
    wrong(Fault::LooksAt1024);
}

#[test]
#[should_panic(expected = "the far end is open")]
fn a_sink_that_fails_when_blocked_is_found() {
    wrong(Fault::FailsWhenBlocked);
}

#[test]
#[should_panic(expected = "taken, and not blocked")]
fn a_sink_that_takes_nothing_when_blocked_is_found() {
    wrong(Fault::ZeroWhenBlocked);
}

#[test]
#[should_panic(expected = "no error in 1000 writes")]
fn a_sink_that_goes_on_without_a_reader_is_found() {
    wrong(Fault::NeverCloses);
}
