//! `WriteSink` over writers with every fault: the wire is whole, whatever the
//! splits.

mod common;

use std::io::{self, ErrorKind, IoSlice, Write};

use common::{FORMAT, wire_of};
use forebay_std::{
    Drained, Drainer, WriteSink,
    forebay::{
        Progress, Pump, Sink,
        frame::{Prefixed, Width},
        pump::{Drive, DriveError, Stuck},
        ring::{Producer, heap},
    },
};
use proptest::prelude::*;

/// The answer to one call.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Take(usize),
    Fail(ErrorKind),
}

/// Answers by a script, and takes all when that is used up.
struct Scripted {
    vectored: bool,
    script: Vec<Answer>,
    wire: Vec<u8>,
    calls: usize,
}

impl Scripted {
    /// `script` is in order.
    fn new(vectored: bool, script: &[Answer]) -> Self {
        let script = script.iter().rev().copied().collect();
        Self { vectored, script, wire: Vec::new(), calls: 0 }
    }
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.calls += 1;
        let mut room = match self.script.pop().unwrap_or(Answer::Take(usize::MAX)) {
            Answer::Take(room) => room,
            Answer::Fail(kind) => return Err(kind.into()),
        };
        let before = self.wire.len();
        let slices = if self.vectored { slices } else { &slices[..1] };
        for slice in slices {
            let taken = slice.len().min(room);
            self.wire.extend_from_slice(&slice[..taken]);
            room -= taken;
        }
        Ok(self.wire.len() - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Small messages that are copied and longer ones that are lent, so that a
/// write has several slices.
const MESSAGES: [&[u8]; 5] = [b"a", b"a longer one", b"", b"again longer", b"b"];
const LENT_FROM: usize = 10;

type Line = Pump<'static, Prefixed, Box<[u8]>, 1>;

/// A format with few bytes, so that all pairs of splits are soon tried.
const SHORT: Prefixed = Prefixed::new(Width::U8, 255);

fn line<M: AsRef<[u8]>>(messages: &[M]) -> (Producer<'static>, Line) {
    let (mut producer, consumer) = heap::ring(1 << 16).unwrap();
    let mut pump = Pump::new(SHORT, vec![0; 1 << 12].into_boxed_slice()).borrow_from(LENT_FROM);
    pump.add(consumer).unwrap();
    for message in messages {
        producer.push(message.as_ref()).unwrap();
    }
    (producer, pump)
}

/// Drives until nothing is left, past blocked writes and the errors that the
/// script has; returns these.
fn drive_to_end(pump: &mut Line, sink: &mut WriteSink<Scripted>) -> Vec<DriveError<ErrorKind>> {
    let mut errors = Vec::new();
    loop {
        match pump.drive(sink) {
            Ok(Drive::Idle) => return errors,
            Ok(Drive::Moved { .. } | Drive::Blocked) => {}
            Err(DriveError::Sink(error)) => errors.push(DriveError::Sink(error.kind())),
            Err(DriveError::Stuck(stuck)) => errors.push(DriveError::Stuck(stuck)),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn every_pair_of_splits_with_every_fault_between() {
    let wire = wire_of(&SHORT, &MESSAGES);
    for vectored in [true, false] {
        for first in 1..wire.len() {
            for second in 1..=wire.len() - first {
                for fault in [
                    Answer::Take(usize::MAX),
                    Answer::Fail(ErrorKind::Interrupted),
                    Answer::Fail(ErrorKind::WouldBlock),
                ] {
                    let script = [Answer::Take(first), fault, Answer::Take(second), fault];
                    let (producer, mut pump) = line(&MESSAGES);
                    let mut sink = WriteSink::new(Scripted::new(vectored, &script));
                    assert_eq!(drive_to_end(&mut pump, &mut sink), []);
                    assert_eq!(sink.writer().wire, wire, "{vectored} {script:?}");
                    let ledger = producer.ledger() + pump.ledger();
                    assert_eq!((ledger.delivered, ledger.in_flight()), (5, 0));
                    let counts = pump.counts();
                    assert_eq!(counts.bytes, wire.len() as u64);
                    let blocked = matches!(fault, Answer::Fail(ErrorKind::WouldBlock));
                    assert_eq!(counts.blocked > 0, blocked, "{script:?}");
                }
            }
        }
    }
}

#[test]
fn one_call_for_a_vectored_writer_one_a_slice_for_another() {
    let wire = wire_of(&SHORT, &MESSAGES);
    for (vectored, calls) in [(true, 1), (false, 5)] {
        let (_producer, mut pump) = line(&MESSAGES);
        let mut sink = WriteSink::new(Scripted::new(vectored, &[]));
        assert_eq!(drive_to_end(&mut pump, &mut sink), []);
        assert_eq!(sink.writer().wire, wire);
        assert_eq!(sink.writer().calls, calls);
    }
}

#[test]
fn no_bytes_taken_is_an_error_with_the_figure_and_the_stream_goes_on() {
    let wire = wire_of(&SHORT, &MESSAGES);
    for taken in 0..wire.len() {
        let script = [Answer::Take(taken), Answer::Take(0)];
        let (_producer, mut pump) = line(&MESSAGES);
        let mut sink = WriteSink::new(Scripted::new(true, &script[usize::from(taken == 0)..]));
        let errors = drive_to_end(&mut pump, &mut sink);
        let pending = wire.len() - taken;
        assert_eq!(errors, [DriveError::Stuck(Stuck { pending })]);
        assert_eq!(sink.writer().wire, wire);
        assert_eq!(pump.ledger().delivered, 5);
    }
}

#[test]
fn an_error_takes_nothing_and_the_stream_goes_on() {
    let wire = wire_of(&SHORT, &MESSAGES);
    for taken in 1..wire.len() {
        let script = [Answer::Take(taken), Answer::Fail(ErrorKind::TimedOut)];
        let (_producer, mut pump) = line(&MESSAGES);
        let mut sink = WriteSink::new(Scripted::new(true, &script));
        let errors = drive_to_end(&mut pump, &mut sink);
        assert_eq!(errors, [DriveError::Sink(ErrorKind::TimedOut)]);
        assert_eq!(sink.writer().wire, wire);
    }
}

#[test]
fn more_slices_than_one_call_takes_and_empty_ones_among_them() {
    let bytes: Vec<u8> = (0..=255).collect();
    let slices: Vec<&[u8]> = bytes.chunks(1).flat_map(|slice| [&[][..], slice, &[]]).collect();
    let mut sink = WriteSink::new(Vec::new());
    assert_eq!(sink.write(&slices).unwrap(), Progress::Wrote(64));
    assert_eq!(sink.writer()[..], bytes[..64]);

    // The first bytes behind more empty slices than one call takes.
    let mut slices = vec![&[][..]; 100];
    slices.push(b"found");
    let mut sink = WriteSink::new(Vec::new());
    assert_eq!(sink.write(&slices).unwrap(), Progress::Wrote(5));
}

#[test]
fn a_drainer_tells_a_stuck_writer_as_write_zero() {
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Scripted::new(true, &[Answer::Take(0)])));
    let mut sender = drainer.sender(1 << 10).unwrap();
    sender.send(b"message").unwrap();
    drop(sender);
    let error = drainer.run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WriteZero);
    assert!(error.to_string().contains("17 bytes"), "{error}");
    drainer.run().unwrap();
    assert_eq!(drainer.sink().writer().wire, wire_of(&FORMAT, &[b"message"]));
}

/// Holds everything back until it is flushed, and is interrupted and blocked
/// before it does that.
#[derive(Default)]
struct Holding {
    held: Vec<u8>,
    wire: Vec<u8>,
    script: Vec<ErrorKind>,
}

impl Write for Holding {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(kind) = self.script.pop() {
            return Err(kind.into());
        }
        self.wire.append(&mut self.held);
        Ok(())
    }
}

#[test]
fn an_idle_drainer_has_nothing_held_back() {
    let script = vec![ErrorKind::Interrupted, ErrorKind::WouldBlock, ErrorKind::Interrupted];
    let writer = Holding { script, ..Holding::default() };
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(writer));
    let mut sender = drainer.sender(1 << 10).unwrap();
    let far = std::time::Instant::now() + std::time::Duration::from_secs(60);

    sender.send(b"held").unwrap();
    assert_eq!(drainer.flush_until(far).unwrap(), Drained::Idle);
    assert_eq!(drainer.sink().writer().wire, wire_of(&FORMAT, &[b"held"]));

    sender.send(b"last").unwrap();
    drop(sender);
    drainer.run().unwrap();
    assert_eq!(drainer.sink().writer().wire, wire_of(&FORMAT, &[b"held", b"last"]));

    drainer.sink_mut().writer_mut().script = vec![ErrorKind::StorageFull];
    assert_eq!(drainer.run().unwrap_err().kind(), ErrorKind::StorageFull);
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let answer = prop_oneof![
        4 => (1usize..40).prop_map(Answer::Take),
        1 => Just(Answer::Take(0)),
        1 => Just(Answer::Fail(ErrorKind::Interrupted)),
        1 => Just(Answer::Fail(ErrorKind::WouldBlock)),
        1 => Just(Answer::Fail(ErrorKind::Other)),
    ];
    prop::collection::vec(answer, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_messages_through_any_faults(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..30),
        script in answers(),
        vectored in any::<bool>(),
    ) {
        let (producer, mut pump) = line(&messages);
        let mut sink = WriteSink::new(Scripted::new(vectored, &script));
        drive_to_end(&mut pump, &mut sink);
        prop_assert_eq!(&sink.writer().wire, &wire_of(&SHORT, &messages));
        prop_assert!((producer.ledger() + pump.ledger()).balances(0));
    }
}
