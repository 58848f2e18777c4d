//! The `embedded-io` adapters: asynchronous driving, reading, and 0.6 as 0.7.

use std::{
    collections::VecDeque,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use embedded_io::ErrorKind;
use forebay::{
    Decoder, Pump, Sink,
    checksum::CRC16,
    frame::{Cobs, Encode},
    io_06::Io06,
    pump::{Drive, DriveError, Stuck},
    ring::Ring,
    sink::EmbeddedIo,
};

/// What a line does with one poll of a read or write.
enum Turn {
    /// Takes or gives at most so many bytes.
    Move(usize),
    /// Is not ready.
    Wait,
    Fail(ErrorKind),
}

/// A line with a script; what was written can be read back.
#[derive(Default)]
struct Line {
    script: VecDeque<Turn>,
    bytes: VecDeque<u8>,
}

impl Line {
    fn new(script: impl IntoIterator<Item = Turn>) -> Self {
        Self { script: script.into_iter().collect(), bytes: VecDeque::new() }
    }

    async fn turn(&mut self) -> Result<usize, ErrorKind> {
        std::future::poll_fn(|_| match self.script.pop_front() {
            Some(Turn::Move(len)) => Poll::Ready(Ok(len)),
            Some(Turn::Wait) => Poll::Pending,
            Some(Turn::Fail(kind)) => Poll::Ready(Err(kind)),
            None => panic!("the script is at its end"),
        })
        .await
    }
}

impl embedded_io_async::ErrorType for Line {
    type Error = ErrorKind;
}

impl embedded_io_async::Write for Line {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let len = self.turn().await?.min(bytes.len());
        self.bytes.extend(&bytes[..len]);
        Ok(len)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl embedded_io_async::Read for Line {
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        let len = self.turn().await?.min(bytes.len()).min(self.bytes.len());
        for (to, from) in bytes.iter_mut().zip(self.bytes.drain(..len)) {
            *to = from;
        }
        Ok(len)
    }
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn cancelled_drives_count_each_byte_once() {
    let format = Cobs::new(32, CRC16);
    let mut ring = Ring::<1024>::new();
    let (mut producer, consumer) = ring.split();
    let mut pump: Pump<_, _, 1, 1> = Pump::new(format, [0; 64]);
    pump.add(consumer).unwrap();
    let messages: Vec<Vec<u8>> = (0..20u8).map(|n| vec![n; usize::from(n)]).collect();
    for message in &messages {
        producer.push(message).unwrap();
    }

    // Every drive is polled once and dropped, so that each `Wait` cancels one.
    let mut line = Line::default();
    let (mut bytes, mut frames, mut cancelled) = (0, 0, 0);
    for len in (1..12).cycle() {
        line.script =
            VecDeque::from(if len % 3 == 0 { vec![Turn::Wait] } else { vec![Turn::Move(len)] });
        match poll_once(pump.drive_async(&mut line)) {
            Poll::Ready(Ok(Drive::Moved { bytes: moved, frames: ended })) => {
                assert!((1..=len).contains(&moved), "{moved} of {len}");
                bytes += moved;
                frames += ended;
            }
            Poll::Ready(Ok(Drive::Idle)) => break,
            Poll::Pending => cancelled += 1,
            Poll::Ready(other) => panic!("{other:?}"),
        }
    }
    assert!(cancelled > 0);
    assert_eq!((bytes, frames), (line.bytes.len(), messages.len()));
    assert_eq!(pump.counts().bytes, bytes as u64);
    assert!((producer.ledger() + pump.ledger()).balances(0));

    // The same bytes through an asynchronous reader, with waits and an
    // interruption on the way.
    let mut decoder = Decoder::new(format, [0; 64]).unwrap();
    let mut payloads = Vec::new();
    for len in (1..9).cycle() {
        line.script = VecDeque::from(match len {
            4 => vec![Turn::Wait],
            5 => vec![Turn::Fail(ErrorKind::Interrupted), Turn::Move(len)],
            _ => vec![Turn::Move(len)],
        });
        match poll_once(decoder.read_from_async(&mut line)) {
            Poll::Ready(Ok(0)) => break,
            Poll::Ready(Ok(read)) => assert!(read <= len),
            Poll::Ready(Err(error)) => panic!("{error:?}"),
            Poll::Pending => continue,
        }
        while let Some(frame) = decoder.next_frame().unwrap() {
            payloads.push(frame.payload.to_vec());
        }
    }
    assert_eq!(payloads, messages);
}

#[test]
fn a_failed_drive_keeps_what_was_to_be_written() {
    let mut ring = Ring::<64>::new();
    let (mut producer, consumer) = ring.split();
    let mut pump: Pump<_, _, 1, 1> = Pump::new(Cobs::new(8, CRC16), [0; 32]);
    pump.add(consumer).unwrap();

    let mut line = Line::new([]);
    assert_eq!(poll_once(pump.drive_async(&mut line)), Poll::Ready(Ok(Drive::Idle)));

    producer.push(b"12345").unwrap();
    line.script.extend([
        Turn::Fail(ErrorKind::Interrupted),
        Turn::Fail(ErrorKind::BrokenPipe),
        Turn::Move(0),
        Turn::Move(4),
        Turn::Move(99),
    ]);
    let broken = DriveError::Sink(ErrorKind::BrokenPipe);
    assert_eq!(poll_once(pump.drive_async(&mut line)), Poll::Ready(Err(broken)));
    let stuck = DriveError::Stuck(Stuck { pending: 9 });
    assert_eq!(poll_once(pump.drive_async(&mut line)), Poll::Ready(Err(stuck)));
    let moved = Drive::Moved { bytes: 4, frames: 0 };
    assert_eq!(poll_once(pump.drive_async(&mut line)), Poll::Ready(Ok(moved)));
    let moved = Drive::Moved { bytes: 5, frames: 1 };
    assert_eq!(poll_once(pump.drive_async(&mut line)), Poll::Ready(Ok(moved)));
    let mut frame = [0; 16];
    let len = Cobs::new(8, CRC16).encode(b"12345", &mut frame).unwrap();
    assert_eq!(line.bytes, &frame[..len]);
}

/// A serial port at `embedded-io` 0.6.
#[derive(Default)]
struct Old {
    bytes: VecDeque<u8>,
    failure: Option<embedded_io_06::ErrorKind>,
}

impl embedded_io_06::ErrorType for Old {
    type Error = embedded_io_06::ErrorKind;
}

impl embedded_io_06::Write for Old {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.failure.take().map_or(Ok(()), Err)?;
        let len = bytes.len().min(3);
        self.bytes.extend(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

impl embedded_io_06::Read for Old {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        self.failure.take().map_or(Ok(()), Err)?;
        let len = bytes.len().min(self.bytes.len());
        for (to, from) in bytes.iter_mut().zip(self.bytes.drain(..len)) {
            *to = from;
        }
        Ok(len)
    }
}

#[test]
fn a_serial_port_at_0_6_is_driven_and_read() {
    let mut ring = Ring::<64>::new();
    let (mut producer, consumer) = ring.split();
    let mut pump: Pump<_, _, 1, 1> = Pump::new(Cobs::new(8, CRC16), [0; 32]);
    pump.add(consumer).unwrap();
    producer.push(b"12345").unwrap();

    let interrupted = Some(embedded_io_06::ErrorKind::Interrupted);
    let mut sink = EmbeddedIo::new(Io06::new(Old { failure: interrupted, ..Old::default() }));
    while pump.has_work() {
        let driven = pump.drive(&mut sink).unwrap();
        assert!(matches!(driven, Drive::Moved { bytes: 3, .. }), "{driven:?}");
    }

    let mut port = sink.into_inner().into_inner();
    port.failure = interrupted;
    let mut port = Io06::new(port);
    let mut decoder = Decoder::new(Cobs::new(8, CRC16), [0; 16]).unwrap();
    assert_eq!(decoder.read_from(&mut port).unwrap(), 9);
    assert_eq!(decoder.next_frame().unwrap().unwrap().payload, b"12345");

    let mut port = port.into_inner();
    port.failure = Some(embedded_io_06::ErrorKind::TimedOut);
    let error = EmbeddedIo::new(Io06::new(port)).write(&[b"x"]).unwrap_err();
    assert_eq!(embedded_io::Error::kind(&error), ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "TimedOut");
}
