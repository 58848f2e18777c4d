//! What every sink must do, whatever is behind it.
//!
//! A sink joins with a factory that gives it and its far end:
//!
//! ```
//! use forebay_std::WriteSink;
//! use forebay_tests::conformance::{Reader, conforms};
//!
//! conforms(|| {
//!     let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
//!     near.set_nonblocking(true).unwrap();
//!     (WriteSink::new(near), Reader(far))
//! });
//! ```
//!
//! One thread plays both ends, so the sink must not block: its descriptor is
//! non-blocking, or what it writes to has no bounds.
//!
//! A closed pipe raises SIGPIPE, which Rust's start-up code ignores before any
//! test runs: that a sink survives without that help is not shown here.

use std::{
    fmt::Debug,
    io::{ErrorKind, Read},
};

use forebay::{
    Decoder, Pump,
    checksum::{CRC32, Crc32},
    frame::{Encode, Prefixed},
    pump::{Drive, DriveError},
    ring::{Consumer, Producer, heap},
    sink::{Progress, Sink},
};

/// What the bytes of a sink arrive at. Dropping it closes it.
pub trait Far {
    /// Whether the sink is blocked in the end when nothing is taken here.
    const STOPS: bool = true;
    /// Whether the sink's writes fail once this end has been dropped.
    const CLOSES: bool = true;

    /// Takes at least one and at most `len_max` of the bytes that have
    /// arrived, of which there are some.
    fn take(&mut self, len_max: usize) -> Vec<u8>;

    /// Takes all that is left; the sink has been dropped.
    fn rest(self) -> Vec<u8>;
}

/// The far end of a sink, as a reader that waits for bytes.
#[derive(Debug)]
pub struct Reader<R>(pub R);

impl<R: Read> Far for Reader<R> {
    fn take(&mut self, len_max: usize) -> Vec<u8> {
        let mut bytes = vec![0; len_max];
        let len = loop {
            match self.0.read(&mut bytes) {
                Ok(len) => break len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("the far end: {error}"),
            }
        };
        bytes.truncate(len);
        bytes
    }

    fn rest(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).expect("the far end");
        bytes
    }
}

/// Checks that the sinks that `make` makes, each with its far end, do what
/// [`Sink`] demands.
///
/// # Panics
///
/// When they do not; the message says what they do instead.
pub fn conforms<S, F>(make: impl Fn() -> (S, F))
where
    S: Sink<Error: Debug>,
    F: Far,
{
    slices_of_every_shape(&make);
    a_cut_at_every_byte(&make);
    if F::STOPS {
        a_far_end_that_stops(&make);
    }
    if F::CLOSES {
        a_far_end_that_closes(&make);
    }
}

/// A sink, its far end and what has passed between them.
struct Line<S, F> {
    sink: S,
    far: F,
    sent: usize,
    received: Vec<u8>,
    /// How often the sink was blocked.
    blocked: usize,
}

impl<S: Sink<Error: Debug>, F: Far> Line<S, F> {
    fn new((sink, far): (S, F)) -> Self {
        Self { sink, far, sent: 0, received: Vec::new(), blocked: 0 }
    }

    /// Takes from the far end of a sink that is blocked, each time another
    /// number of bytes.
    fn make_room(&mut self) {
        assert!(self.received.len() < self.sent, "blocked with nothing in the way");
        self.blocked += 1;
        let len_max = [4096, 1, 100_000, 7][self.blocked % 4];
        let taken = self.far.take(len_max);
        assert!(!taken.is_empty(), "what the sink took has not arrived");
        self.received.extend(taken);
    }

    /// Sends all of `slices`, going on wherever a write ended.
    fn send(&mut self, slices: &[&[u8]]) {
        let mut left: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut slices = slices.to_vec();
        while left > 0 {
            match self.sink.write(&slices).expect("the far end is open") {
                Progress::Wrote(0) => panic!("none of {left} bytes taken, and not blocked"),
                Progress::Wrote(len) => {
                    assert!(len <= left, "{len} bytes of {left} taken");
                    self.sent += len;
                    left -= len;
                    slices = behind(&slices, len);
                }
                Progress::Blocked => self.make_room(),
            }
        }
    }

    /// Drives the pump until nothing is left in it.
    fn drain(&mut self, pump: &mut TestPump) {
        loop {
            match pump.drive(&mut self.sink).expect("the far end is open") {
                Drive::Moved { bytes, .. } => self.sent += bytes,
                Drive::Blocked => self.make_room(),
                Drive::Idle => return,
            }
        }
    }

    /// Drops the sink and checks that what has arrived is `expected`.
    fn end(self, expected: &[u8], what: &str) {
        let Self { sink, far, sent, mut received, .. } = self;
        drop(sink);
        received.extend(far.rest());
        assert_eq!(sent, expected.len(), "{what}: bytes that the sink says it took");
        assert_eq!(received.len(), expected.len(), "{what}: bytes that arrived");
        let wrong = received.iter().zip(expected).position(|(byte, expected)| byte != expected);
        assert_eq!(wrong, None, "{what}: the first byte that arrived wrong");
    }
}

/// The slices without their first `len` bytes; empty slices stay.
fn behind<'s>(slices: &[&'s [u8]], mut len: usize) -> Vec<&'s [u8]> {
    let mut left = Vec::new();
    for slice in slices {
        let gone = slice.len().min(len);
        len -= gone;
        if gone == 0 || gone < slice.len() {
            left.push(&slice[gone..]);
        }
    }
    left
}

/// The first `len_max` bytes of the slices.
#[must_use]
pub fn front<'s>(slices: &[&'s [u8]], mut len_max: usize) -> Vec<&'s [u8]> {
    let mut front = Vec::new();
    for slice in slices {
        let len = slice.len().min(len_max);
        len_max -= len;
        front.push(&slice[..len]);
    }
    front
}

/// Bytes of which no two neighbourhoods are the same.
fn bytes(len: usize) -> Vec<u8> {
    let mut state: u32 = 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

/// Everything arrives once and in order, in whatever slices it was given.
fn slices_of_every_shape<S: Sink<Error: Debug>, F: Far>(make: &impl Fn() -> (S, F)) {
    let bytes = bytes(3 << 20);
    let small = |count: usize| bytes.chunks(3).take(count).collect::<Vec<_>>();
    let empty = |count: usize| vec![&[][..]; count];
    let shapes: [(&str, Vec<&[u8]>); 10] = [
        ("one byte", vec![&bytes[..1]]),
        ("empty slices between others", vec![&[], &bytes[..1], &[], &[], &bytes[1..900], &[]]),
        ("1023 slices", small(1023)),
        ("1024 slices", small(1024)),
        ("1025 slices", small(1025)),
        ("5000 slices", small(5000)),
        ("2000 empty slices before others", [empty(2000), small(2)].concat()),
        ("2000 empty slices behind others", [small(2), empty(2000)].concat()),
        ("3 MiB in a slice", vec![&bytes]),
        ("a long slice between short ones", vec![&bytes[..5], &bytes[5..1 << 20], &bytes[..7]]),
    ];
    for (what, slices) in shapes {
        let mut line = Line::new(make());
        line.send(&slices);
        line.end(&slices.concat(), what);
    }

    let mut line = Line::new(make());
    let (many, few) = bytes.split_at(100_000);
    line.send(&many.chunks(33).collect::<Vec<_>>());
    line.send(&[&few[..20]]);
    line.end(&bytes[..100_020], "one list behind another");
}

type Format = Prefixed<Crc32>;
type TestPump<'r> = Pump<'r, Format, Vec<u8>, 2>;

const FORMAT: Format = Prefixed::native(1 << 16, CRC32);

/// A pump of two lanes that lends records from 32 bytes, and their producers.
fn pump() -> (TestPump<'static>, [Producer<'static>; 2]) {
    let ring = || heap::ring(1 << 16).expect("a good capacity");
    let lanes: [(Producer<'_>, Consumer<'_>); 2] = [ring(), ring()];
    let mut pump = Pump::new(FORMAT, vec![0; 1 << 14]).borrow_from(32);
    let producers = lanes.map(|(producer, consumer)| {
        pump.add(consumer).expect("two lanes");
        producer
    });
    (pump, producers)
}

/// A sink that is given the first `left` bytes and no more.
struct Cut<'s, S> {
    sink: &'s mut S,
    left: usize,
}

impl<S: Sink> Sink for Cut<'_, S> {
    type Error = S::Error;

    fn write(&mut self, slices: &[&[u8]]) -> Result<Progress, S::Error> {
        let progress = self.sink.write(&front(slices, self.left))?;
        if let Progress::Wrote(len) = progress {
            self.left -= len;
        }
        Ok(progress)
    }
}

/// A pump's batch, cut in two writes at every byte, arrives whole.
fn a_cut_at_every_byte<S: Sink<Error: Debug>, F: Far>(make: &impl Fn() -> (S, F)) {
    let bytes = bytes(100);
    let records: [[&[u8]; 3]; 2] = [[b"a", &bytes[..40], b""], [&bytes[40..77], b"b", b"cd"]];
    let frame_len = |record: &&[u8]| FORMAT.frame_len_max(record.len());
    let len: usize = records.as_flattened().iter().map(frame_len).sum();
    for cut in 1..=len {
        let (mut pump, mut producers) = pump();
        for (producer, records) in producers.iter_mut().zip(&records) {
            records.iter().for_each(|record| producer.push(record).expect("room"));
        }
        let batch = pump.fill().concat();
        assert_eq!(batch.len(), len);

        let mut line = Line::new(make());
        while line.sent < cut {
            let left = cut - line.sent;
            match pump.drive(&mut Cut { sink: &mut line.sink, left }) {
                Ok(Drive::Moved { bytes, .. }) => line.sent += bytes,
                other => panic!("{other:?} from an open far end with {left} bytes to go"),
            }
        }
        line.drain(&mut pump);
        line.end(&batch, "a batch cut in two");

        let ledger = producers[0].ledger() + producers[1].ledger() + pump.ledger();
        assert!(ledger.balances(0) && ledger.delivered == 6, "{ledger}");
        assert_eq!(pump.counts().bytes, len as u64);
        assert_frames(&batch, &records);
    }
}

/// Checks that the wire holds the records of both lanes, each lane's in order.
fn assert_frames(wire: &[u8], lanes: &[[&[u8]; 3]; 2]) {
    let mut decoder = Decoder::new(FORMAT, vec![0; 1 << 17]).expect("a large buffer");
    decoder.free()[..wire.len()].copy_from_slice(wire);
    decoder.received(wire.len());
    let mut lanes = lanes.map(|records| records.into_iter().peekable());
    while let Some(frame) = decoder.next_frame().expect("no damage") {
        let next = lanes.iter_mut().find_map(|lane| lane.next_if(|next| *next == frame.payload));
        assert!(next.is_some(), "{:?} is out of order", frame.payload);
    }
    assert!(lanes.iter_mut().all(|lane| lane.next().is_none()), "a frame is missing");
}

/// A message of a pump's stress: long and short, each with its number.
fn message(number: usize) -> Vec<u8> {
    let mut message = number.to_le_bytes().to_vec();
    message.resize(8 + number * 37 % 3000, number.to_le_bytes()[0]);
    message
}

/// More than any far end keeps that is asked to stop.
const STOPS_WITHIN: usize = 64 << 20;

/// A far end that takes nothing blocks the sink, which says so and no more;
/// when it takes again, everything arrives.
fn a_far_end_that_stops<S: Sink<Error: Debug>, F: Far>(make: &impl Fn() -> (S, F)) {
    let (mut pump, [mut producer, _]) = pump();
    let mut line = Line::new(make());
    let mut expected = Vec::new();
    let mut number = 0;
    loop {
        while producer.push(&message(number)).is_ok() {
            let mut frame = vec![0; FORMAT.frame_len_max(message(number).len())];
            let len = FORMAT.encode(&message(number), &mut frame).expect("room");
            expected.extend_from_slice(&frame[..len]);
            number += 1;
        }
        match pump.drive(&mut line.sink).expect("a far end that stops is no error") {
            Drive::Moved { bytes, .. } => line.sent += bytes,
            Drive::Blocked => break,
            Drive::Idle => panic!("nothing to write from a full ring"),
        }
        assert!(line.sent < STOPS_WITHIN, "not blocked after {} bytes", line.sent);
    }

    let (pending, counts) = (pump.pending(), pump.counts());
    let again = pump.drive(&mut line.sink).expect("a far end that stops is no error");
    assert_eq!(again, Drive::Blocked, "nothing was taken at the far end meanwhile");
    assert_eq!(pump.pending(), pending, "a blocked sink took something");
    assert_eq!(pump.counts().blocked, counts.blocked + 1);

    let under_way = producer.ledger() + pump.ledger();
    assert!(under_way.balances(number as u64 - under_way.delivered), "{under_way}");
    line.drain(&mut pump);
    let ledger = producer.ledger() + pump.ledger();
    assert!(ledger.balances(0) && ledger.delivered == number as u64, "{ledger}");
    assert_eq!(pump.counts().bytes, expected.len() as u64);
    line.end(&expected, "a far end that stopped");
}

/// More writes than it takes any sink to learn that nobody reads.
const CLOSES_WITHIN: usize = 1000;

/// A far end that is gone is an error, each time, and the pump keeps what has
/// not left.
fn a_far_end_that_closes<S: Sink<Error: Debug>, F: Far>(make: &impl Fn() -> (S, F)) {
    let (mut pump, [mut producer, _]) = pump();
    let Line { mut sink, far, .. } = {
        let mut line = Line::new(make());
        producer.push(b"to an open end").expect("room");
        line.drain(&mut pump);
        line
    };
    drop(far);

    let mut closed = false;
    for number in 0..CLOSES_WITHIN {
        producer.push(&message(number)).expect("room");
        let batch = pump.fill().concat();
        match pump.drive(&mut sink) {
            Ok(Drive::Moved { .. }) => {}
            Ok(other) => panic!("{other:?} from a closed far end"),
            Err(DriveError::Sink(_) | DriveError::Stuck(_)) => {
                assert_eq!(pump.fill().concat(), batch, "an error loses nothing");
                closed = true;
                break;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(closed, "no error in {CLOSES_WITHIN} writes to a closed far end");
    assert!(pump.drive(&mut sink).is_err(), "a closed far end opens again");
    let ledger = producer.ledger() + pump.ledger();
    assert!(ledger.balances(ledger.in_flight()) && ledger.in_flight() == 1, "{ledger}");
}
