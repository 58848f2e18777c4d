//! The HTTP/2 writer case by case: the defects that such writers have had,
//! each under its name, then many threads and one connection.

mod common;

use std::{
    io::{self, ErrorKind, IoSlice, Read, Write},
    thread,
};

use common::watchdog;
use forebay_std::{
    FrameReader, WriteSink,
    forebay::{
        Progress, Sink,
        frame::http2::{
            BlockOrder, ErrorCode, Frame, Head, Http2, Increment, Kind, Scope, Setting, Settings,
            StreamId, flags,
        },
        pump::Drive,
    },
    http2::{
        Driver, Flight, FlowControl, Group, Limits, OfferError, Payload, Queue, Urgency, Window,
        Writer, writer,
    },
};

fn id(number: u32) -> StreamId {
    StreamId::new(number).unwrap()
}

/// The heads of `wire`, which is to be whole frames.
fn heads(mut wire: &[u8]) -> Vec<Head> {
    let mut heads = Vec::new();
    let mut order = BlockOrder::new(8);
    while !wire.is_empty() {
        let (head, rest) = Head::split(wire).unwrap();
        order.check(head).unwrap();
        let (_, behind) = rest.split_at(head.payload_len as usize);
        let frame = &wire[..Head::LEN + head.payload_len as usize];
        Frame::parse(frame).unwrap();
        heads.push(head);
        wire = behind;
    }
    heads
}

fn kinds(wire: &[u8]) -> Vec<(Kind, u32)> {
    heads(wire).iter().map(|head| (head.kind, head.stream)).collect()
}

/// A queue with these streams open.
fn queue(streams: &[u32]) -> Queue {
    let mut queue = Queue::new(Limits::default());
    for &stream in streams {
        queue.open(id(stream), Urgency::DEFAULT).unwrap();
    }
    queue
}

/// Everything that leaves now.
fn leave(queue: &mut Queue, flight: &mut Flight) -> Vec<u8> {
    let mut wire = Vec::new();
    while queue.fill(flight) || !flight.is_empty() {
        let bytes = flight.slices().concat();
        flight.wrote(bytes.len()).unwrap();
        wire.extend(bytes);
    }
    wire
}

fn settings(queue: &mut Queue, setting: Setting) {
    let mut out = [0; 6];
    queue.settings(&Settings::write(&[setting], &mut out).unwrap()).unwrap();
}

#[test]
fn trailers_never_overtake_data() {
    let (mut queue, mut flight) = (queue(&[1, 3]), Flight::new());
    let long = Payload::new(vec![0; 100_000]);
    let group = Group::new(id(1)).headers(b"\x88").data(long).headers(b"\x88").end();
    queue.offer(group).unwrap();
    let group = Group::new(id(3)).headers(b"\x88").end();
    queue.offer(group).unwrap();
    // The windows hold the data back, so the trailers wait, too.
    let wire = leave(&mut queue, &mut flight);
    assert_eq!(wire.len(), 65_535 + 9 * 4 + 2 * 10);
    let last = kinds(&wire).into_iter().rfind(|&(_, stream)| stream == 1);
    assert_eq!(last, Some((Kind::DATA, 1)));
    let increment = Increment::new(1 << 20).unwrap();
    queue.update(None, increment).unwrap();
    assert!(leave(&mut queue, &mut flight).is_empty(), "the stream's window is closed");
    queue.update(Some(id(1)), increment).unwrap();
    let heads = heads(&leave(&mut queue, &mut flight));
    let (trailers, data) = heads.split_last().unwrap();
    assert!(data.iter().all(|head| head.kind == Kind::DATA && !head.has(flags::END_STREAM)));
    assert_eq!((trailers.kind, trailers.flags), (Kind::HEADERS, 0x5));
    assert!(!queue.is_open(id(1)));
}

#[test]
fn a_continuation_never_leaves_its_headers() {
    let (mut queue, mut flight) = (queue(&[1, 3]), Flight::new());
    queue.offer(Group::new(id(1)).headers(&[0; 140_000]).end()).unwrap();
    queue.offer(Group::new(id(3)).headers(b"\x88").end()).unwrap();
    // Urgent frames and other streams come whenever they can, and the flight
    // is filled byte by byte.
    let mut wire = Vec::new();
    for turn in 0_u64.. {
        if turn % 1_000 == 0 {
            queue.control(&Frame::Ping { ack: true, data: turn.to_be_bytes() }).unwrap();
        }
        queue.fill(&mut flight);
        let Some(&byte) = flight.slices().first().and_then(|slice| slice.first()) else { break };
        wire.push(byte);
        flight.wrote(1).unwrap();
    }
    let kinds: Vec<_> = kinds(&wire).into_iter().filter(|&(kind, _)| kind != Kind::PING).collect();
    let mut expected = vec![(Kind::HEADERS, 1)];
    expected.extend([(Kind::CONTINUATION, 1); 8]);
    expected.push((Kind::HEADERS, 3));
    assert_eq!(kinds, expected);
    // END_STREAM goes on HEADERS, END_HEADERS on the last CONTINUATION.
    let heads: Vec<_> = heads(&wire).into_iter().filter(|head| head.stream == 1).collect();
    assert_eq!(heads[0].flags, flags::END_STREAM);
    assert!(heads[1..8].iter().all(|head| head.flags == 0 && head.payload_len == 16_384));
    assert_eq!(heads[8].flags, flags::END_HEADERS);
}

#[test]
fn a_block_of_more_frames_than_peers_accept_is_refused() {
    let mut queue = queue(&[1]);
    let block = vec![0; 9 * 16_384 + 1];
    let error = queue.offer(Group::new(id(1)).headers(&block)).unwrap_err();
    let (continuations, continuations_max) = (9, 8);
    let expected = OfferError::BlockTooLong { stream: id(1), continuations, continuations_max };
    assert_eq!(error, expected);
    queue.offer(Group::new(id(1)).headers(&block[1..])).unwrap();
    // A promise takes four bytes of its frame for the promised stream.
    let error = queue.offer(Group::new(id(1)).push_promise(id(2), &block[1..])).unwrap_err();
    assert!(matches!(error, OfferError::BlockTooLong { continuations: 9, .. }));
    assert_eq!((queue.ledger().accepted, queue.ledger().refused), (1, 2));
}

/// Takes a little, then says that it is blocked, then takes a little again.
struct Reluctant {
    taken: Vec<u8>,
    turn: usize,
    calls: usize,
    slices_max: usize,
}

impl Sink for Reluctant {
    type Error = io::Error;

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        self.calls += 1;
        self.turn += 1;
        self.slices_max = self.slices_max.max(slices.len());
        if self.turn.is_multiple_of(2) {
            return Ok(Progress::Blocked);
        }
        let bytes = slices.concat();
        let len = bytes.len().min(self.turn * 7);
        self.taken.extend(&bytes[..len]);
        Ok(Progress::Wrote(len))
    }
}

/// One seed lost what a short write had not taken, another raised EAGAIN.
#[test]
fn partial_writes_lose_nothing_and_would_block_is_no_error() {
    let sink = Reluctant { taken: Vec::new(), turn: 0, calls: 0, slices_max: 0 };
    let (writer, mut driver) = writer(Limits::default(), sink);
    let body: Vec<u8> = (0..60_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    writer.open(id(1), Urgency::DEFAULT).unwrap();
    let group = Group::new(id(1)).headers(b"\x88").data(Payload::new(body.clone())).end();
    writer.offer(group).unwrap();
    let (mut moved, mut blocked) = (0, 0);
    loop {
        match driver.turn().unwrap() {
            Drive::Moved { bytes, .. } => moved += bytes,
            Drive::Blocked => blocked += 1,
            Drive::Idle => break,
        }
    }
    let wire = &driver.sink().taken;
    assert!(blocked > 10);
    assert_eq!(moved, wire.len());
    let mut data: Vec<u8> = Vec::new();
    for head in heads(wire) {
        assert!(head.payload_len <= 16_384);
    }
    let mut rest = &wire[10..];
    while let Some((head, behind)) = Head::split(rest) {
        let (payload, behind) = behind.split_at(head.payload_len as usize);
        data.extend(payload);
        rest = behind;
    }
    assert!(data == body);
    let counts = driver.counts();
    assert_eq!(counts.bytes, moved as u64);
    assert_eq!(counts.blocked, blocked);
    assert!(counts.short > 10);
    assert!(driver.ledger().balances(0), "{}", driver.ledger());
}

/// A seed never made a vectored write on a socket.
#[test]
fn a_response_is_one_vectored_write() {
    /// Counts calls, and what a vector held.
    #[derive(Default)]
    struct Vectored(Vec<usize>, Vec<u8>);
    impl Write for Vectored {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("a write of one slice")
        }
        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            self.0.push(slices.len());
            slices.iter().for_each(|slice| self.1.extend_from_slice(slice));
            Ok(slices.iter().map(|slice| slice.len()).sum())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (writer, mut driver) = writer(Limits::default(), WriteSink::new(Vectored::default()));
    writer.open(id(1), Urgency::DEFAULT).unwrap();
    let body = Payload::new(vec![1; 40_000]);
    writer
        .offer(Group::new(id(1)).headers(&[0; 20_000]).data(body).headers(b"\x88").end())
        .unwrap();
    driver.flush().unwrap();
    let Vectored(calls, wire) = driver.sink().writer();
    // Blocks and heads side by side, three pieces of data where they were.
    assert_eq!(calls, &[7]);
    assert_eq!(heads(wire).len(), 2 + 3 + 1);
    let counts = driver.flight_counts();
    assert_eq!((counts.bytes_lent, counts.bytes_copied), (40_000, 0));
    assert_eq!((counts.frames, counts.groups), (6, 1));
}

#[test]
fn data_stays_where_it_is() {
    let (mut queue, mut flight) = (queue(&[1]), Flight::new());
    let body: std::sync::Arc<[u8]> = vec![3; 24_000].into();
    queue.offer(Group::new(id(1)).padded_data(Payload::new(body.clone()), 3).end()).unwrap();
    queue.fill(&mut flight);
    let slices = flight.slices();
    let at: Vec<_> = slices.iter().map(|slice| slice.as_ptr()).collect();
    assert!(at.contains(&body.as_ptr()));
    assert!(at.contains(&body[16_380..].as_ptr()), "cut at 16,384 less padding and its length");
    let heads = heads(&slices.concat());
    assert_eq!(heads.len(), 2);
    assert!(heads.iter().all(|head| head.has(flags::PADDED)));
    let pending = flight.pending();
    flight.wrote(pending).unwrap();
    assert_eq!(std::sync::Arc::strong_count(&body), 1, "given up with its last byte");
}

#[test]
fn an_empty_end_needs_no_window() {
    let (mut queue, mut flight) = (queue(&[1]), Flight::new());
    settings(&mut queue, Setting::InitialWindowSize(0));
    queue.offer(Group::new(id(1)).headers(b"\x88").end()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(kinds(&leave(&mut queue, &mut flight)), [(Kind::HEADERS, 1)]);
    queue.open(id(3), Urgency::DEFAULT).unwrap();
    queue.offer(Group::new(id(3)).headers(b"\x88")).unwrap();
    queue.offer(Group::new(id(3)).end()).unwrap();
    let wire = leave(&mut queue, &mut flight);
    assert_eq!(wire[10..], *b"\0\0\0\0\x01\0\0\0\x03");
}

#[test]
fn the_more_urgent_stream_leaves_first_and_equals_take_turns() {
    let (mut queue, mut flight) = (Queue::new(Limits::default()), Flight::new());
    for (stream, urgency) in [(1, 5), (3, 5), (5, 0)] {
        queue.open(id(stream), Urgency::new(urgency).unwrap()).unwrap();
        let body = Payload::new(vec![0; 20_000]);
        queue.offer(Group::new(id(stream)).headers(b"\x88").data(body).end()).unwrap();
    }
    queue.control(&Frame::SettingsAck).unwrap();
    let streams: Vec<_> =
        heads(&leave(&mut queue, &mut flight)).iter().map(|head| head.stream).collect();
    assert_eq!(streams, [0, 5, 5, 5, 1, 3, 1, 3, 1, 3]);
    assert_eq!(Urgency::new(8), None);
}

#[test]
fn a_peer_that_does_not_read_is_not_answered_for_ever() {
    let mut queue = queue(&[]);
    let ping = Frame::Ping { ack: true, data: [0; 8] };
    let answered = (0..).take_while(|_| queue.control(&ping).is_ok()).count();
    assert_eq!(answered, 16 * 1024 / 17);
    let error = queue.control(&ping).unwrap_err();
    assert_eq!(error, OfferError::Full { needed: 17, free: 16 * 1024 % 17 });
    leave(&mut queue, &mut Flight::new());
    queue.control(&ping).unwrap();
}

#[test]
fn frames_of_streams_are_no_control_frames() {
    let mut queue = queue(&[1]);
    let stream = id(1);
    let code = ErrorCode::CANCEL;
    for frame in [
        Frame::Data { stream, end_stream: false, padding: None, data: b"" },
        Frame::Continuation { stream, end_headers: true, fragment: b"" },
        Frame::RstStream { stream, code },
    ] {
        let kind = frame.head().unwrap().kind;
        assert_eq!(queue.control(&frame), Err(OfferError::OfStream { stream, kind }));
    }
}

#[test]
fn what_a_queue_refuses_is_told_with_the_figures() {
    let limits = Limits { pending_max: 100, ..Limits::default() };
    let mut queue = Queue::new(limits);
    let stream = id(1);
    let group = |len| Group::new(stream).data(Payload::new(vec![0; len]));
    assert_eq!(queue.offer(group(1)), Err(OfferError::NotOpen { stream }));
    queue.open(stream, Urgency::DEFAULT).unwrap();
    assert_eq!(queue.open(stream, Urgency::DEFAULT), Err(OfferError::Open { stream }));
    assert_eq!(queue.offer(Group::new(stream)), Err(OfferError::Empty { stream }));
    queue.offer(group(60)).unwrap();
    assert_eq!(queue.offer(group(41)), Err(OfferError::Full { needed: 41, free: 40 }));
    queue.offer(group(40).end()).unwrap();
    assert_eq!(queue.offer(group(0)), Err(OfferError::Ended { stream }));
    assert_eq!(queue.pending(stream), 100);
    // A reset drops both, and counts them.
    queue.reset(stream, ErrorCode::CANCEL).unwrap();
    assert_eq!(kinds(&leave(&mut queue, &mut Flight::new())), [(Kind::RST_STREAM, 1)]);
    let ledger = queue.ledger();
    assert_eq!((ledger.accepted, ledger.refused, ledger.undeliverable), (2, 4, 2));
    assert!(ledger.balances(0));
}

#[test]
fn windows_move_with_the_initial_size_and_never_over_the_greatest() {
    let mut flow = FlowControl::new();
    flow.open(id(1));
    flow.take(id(1), 65_535);
    flow.set_initial(0).unwrap();
    assert_eq!(flow.stream(id(1)).map(Window::bytes), Some(-65_535));
    // The connection's window is another (section 6.9.2).
    assert_eq!(flow.connection().bytes(), 0);
    flow.update(None, Increment::new(10).unwrap()).unwrap();
    flow.update(Some(id(1)), Increment::new(65_535).unwrap()).unwrap();
    assert_eq!(flow.available(id(1)), 0);
    flow.update(Some(id(1)), Increment::new(1).unwrap()).unwrap();
    assert_eq!(flow.available(id(1)), 1);

    let greatest = Increment::new((1 << 31) - 1).unwrap();
    let error = flow.update(Some(id(1)), greatest).unwrap_err();
    assert_eq!((error.code(), error.scope), (ErrorCode::FLOW_CONTROL_ERROR, Scope::Stream(id(1))));
    assert_eq!(
        error.to_string(),
        "the window of stream 1 of 1 bytes grown by 2147483647, over 2147483647 (FLOW_CONTROL_ERROR)"
    );
    assert_eq!(flow.update(None, greatest).unwrap_err().scope, Scope::Connection);
    // A change that is too much for one stream changes none.
    flow.open(id(3));
    flow.update(Some(id(3)), greatest).unwrap();
    assert_eq!(flow.set_initial(1).unwrap_err().scope, Scope::Connection);
    assert_eq!(flow.stream(id(1)).map(Window::bytes), Some(1));
    // A stream that has closed may still be updated.
    flow.close(id(1));
    flow.update(Some(id(1)), greatest).unwrap();
}

#[test]
fn after_an_error_of_the_sink_everything_is_still_there() {
    let (writer, mut driver) = writer(Limits::default(), WriteSink::new([0_u8; 30].to_vec()));
    drop(writer);
    driver.run().unwrap();

    let mut small = [0; 12];
    let (writer, mut driver) = self::writer(Limits::default(), WriteSink::new(&mut small[..]));
    writer.open(id(1), Urgency::DEFAULT).unwrap();
    writer.offer(Group::new(id(1)).headers(b"\x88").data(Payload::new("body")).end()).unwrap();
    assert_eq!(driver.flush().unwrap_err().kind(), ErrorKind::WriteZero);
    let mut large = [0; 11];
    *driver.sink_mut() = WriteSink::new(&mut large[..]);
    driver.flush().unwrap();
    assert_eq!(driver.ledger().delivered, 1);
    drop((writer, driver));
    let wire = [&small[..], &large].concat();
    assert_eq!(kinds(&wire), [(Kind::HEADERS, 1), (Kind::DATA, 1)]);
}

/// Many threads offer, one drives into a pipe, one reads and opens windows:
/// every stream whole and in order, every group delivered.
#[test]
fn many_threads_share_one_connection() {
    const THREADS: u32 = 8;
    const STREAMS: u32 = 20;
    const BODY: usize = 20_000;
    let _held = watchdog("an HTTP/2 connection of many threads");
    let (reader, pipe) = io::pipe().unwrap();
    let (writer, mut driver): (Writer, Driver<_>) = writer(Limits::default(), WriteSink::new(pipe));
    let byte = |stream: u32| stream.to_le_bytes()[0];
    thread::scope(|threads| {
        for thread in 0..THREADS {
            let writer = writer.clone();
            threads.spawn(move || {
                for number in 0..STREAMS {
                    let stream = id((thread * STREAMS + number) * 2 + 1);
                    let urgency = Urgency::new(byte(number) % 8).unwrap();
                    writer.open(stream, urgency).unwrap();
                    let body = Payload::new(vec![byte(stream.number()); BODY]);
                    // Half of them in parts, as a body that is made meanwhile.
                    let group = Group::new(stream).headers(b"\x88");
                    if number % 2 == 0 {
                        writer.offer(group.data(body).headers(b"\x40\x01a\x01b").end()).unwrap();
                    } else {
                        writer.offer(group).unwrap();
                        for at in (0..BODY).step_by(10_000) {
                            let part = body.slice(at..at + 10_000).unwrap();
                            writer.offer(Group::new(stream).data(part)).unwrap();
                        }
                        writer.offer(Group::new(stream).headers(b"\x40\x01a\x01b").end()).unwrap();
                    }
                }
            });
        }
        let updates = writer.clone();
        drop(writer);
        threads.spawn(|| driver.run().unwrap());
        let streams = usize::try_from(THREADS * STREAMS).unwrap();
        let mut lens = vec![0; 2 * streams + 1];
        let mut order = BlockOrder::new(8);
        let mut frames = FrameReader::new(reader, Http2::new(0));
        let mut ended = 0;
        while ended < streams {
            assert!(frames.fill().unwrap());
            while let Some(frame) = frames.next_frame().unwrap() {
                let (head, _) = Head::split(frame.payload).unwrap();
                order.check(head).unwrap();
                match Frame::parse(frame.payload).unwrap() {
                    Frame::Headers { stream, end_stream, .. } => {
                        let len = lens[stream.number() as usize];
                        assert_eq!(len, if end_stream { BODY } else { 0 });
                        ended += usize::from(end_stream);
                    }
                    Frame::Data { stream, data, .. } => {
                        assert!(data.iter().all(|&it| it == byte(stream.number())));
                        lens[stream.number() as usize] += data.len();
                        let increment = Increment::new(head.payload_len).unwrap();
                        updates.update(None, increment).unwrap();
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        drop(updates);
    });
    let ledger = driver.ledger();
    assert_eq!(ledger.delivered, u64::from(THREADS * STREAMS / 2 * (1 + 4)));
    assert!(ledger.balances(0), "{ledger}");
    let counts = driver.counts();
    assert!(counts.writes < driver.flight_counts().frames);
}

/// A driver that sleeps is woken by an offer, and ends with the last writer.
#[test]
fn a_sleeping_driver_is_woken() {
    let _held = watchdog("a sleeping HTTP/2 driver");
    for round in 0..200_u64 {
        let (mut reader, pipe) = io::pipe().unwrap();
        let (writer, mut driver) = writer(Limits::default(), WriteSink::new(pipe));
        thread::scope(|threads| {
            threads.spawn(|| driver.run().unwrap());
            for number in 0..round {
                let data = number.to_be_bytes();
                writer.control(&Frame::Ping { ack: false, data }).unwrap();
                let mut bytes = [0; 17];
                reader.read_exact(&mut bytes).unwrap();
                assert_eq!(Frame::parse(&bytes), Ok(Frame::Ping { ack: false, data }));
            }
            // Often it sleeps by now, and sometimes it does not yet.
            (0..round).for_each(|_| thread::yield_now());
            drop(writer);
        });
    }
}
