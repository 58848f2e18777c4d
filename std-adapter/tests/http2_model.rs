//! The HTTP/2 writer against a plain model: random groups, windows, settings,
//! resets and short writes; a reader that knows nothing of the writer counts
//! windows and puts the streams together again.

mod common;

use std::collections::BTreeMap;

use forebay_std::{
    forebay::{
        Decoder,
        decoder::Damage,
        frame::http2::{
            BlockOrder, ErrorCode, Frame, Head, Http2, Increment, Setting, Settings, StreamId,
        },
    },
    http2::{Flight, Group, Limits, OfferError, Payload, Queue, Urgency},
};
use proptest::prelude::*;

const STREAMS: u8 = 5;

fn id(index: u8) -> StreamId {
    StreamId::new(u32::from(index) * 2 + 1).unwrap()
}

/// What a stream was sent, as its reader sees it: field blocks whole, data of
/// neighbouring frames as one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Block { promised: Option<u32>, block: Vec<u8> },
    Data(Vec<u8>),
    End,
}

/// A part of a group to offer: what it is, its length, its padding.
#[derive(Clone, Debug)]
enum Piece {
    Block(usize),
    Promise(usize),
    Data(usize, Option<u8>),
}

#[derive(Clone, Debug)]
enum Op {
    Open(u8, u8),
    Offer {
        stream: u8,
        pieces: Vec<Piece>,
        end: bool,
    },
    Control([u8; 8]),
    Reset(u8),
    PeerReset(u8),
    UpdateStream(u8, u32),
    UpdateConnection(u32),
    InitialWindow(u32),
    FrameSize(u32),
    /// Fill, and take so many bytes of the slices.
    Write(usize),
}

fn ops() -> impl Strategy<Value = Op> {
    let stream = || 0..STREAMS;
    let piece = prop_oneof![
        2 => prop_oneof![0..300_usize, 16_380..16_390_usize, 30_000..150_000_usize]
            .prop_map(Piece::Block),
        1 => (0..20_000_usize).prop_map(Piece::Promise),
        5 => (prop_oneof![0..200_usize, 3_000..6_000_usize, 10_000..70_000_usize],
              proptest::option::of(any::<u8>())).prop_map(|(len, padding)| Piece::Data(len, padding)),
    ];
    prop_oneof![
        3 => (stream(), 0..8_u8).prop_map(|(stream, urgency)| Op::Open(stream, urgency)),
        6 => (stream(), proptest::collection::vec(piece, 0..4), any::<bool>())
            .prop_map(|(stream, pieces, end)| Op::Offer { stream, pieces, end }),
        1 => any::<[u8; 8]>().prop_map(Op::Control),
        1 => stream().prop_map(Op::Reset),
        1 => stream().prop_map(Op::PeerReset),
        3 => (stream(), 1..100_000_u32).prop_map(|(stream, bytes)| Op::UpdateStream(stream, bytes)),
        3 => (1..100_000_u32).prop_map(Op::UpdateConnection),
        1 => prop_oneof![0..100_u32, 0..200_000_u32].prop_map(Op::InitialWindow),
        1 => prop_oneof![Just(16_384_u32), 16_384..70_000_u32].prop_map(Op::FrameSize),
        6 => prop_oneof![0..20_usize, 0..5_000_usize, 0..400_000_usize].prop_map(Op::Write),
    ]
}

/// What one stream was promised to send and what its windows allow, counted
/// with plain numbers.
#[derive(Default)]
struct Model {
    open: bool,
    ended: bool,
    window: i64,
    /// All that was accepted since it was opened, in order.
    expected: Vec<Seen>,
    /// What has arrived since then.
    seen: Vec<Seen>,
    /// Streams that were closed by a reset: a prefix of what was expected.
    cut: Vec<(Vec<Seen>, Vec<Seen>)>,
    done: Vec<(Vec<Seen>, Vec<Seen>)>,
}

fn push(list: &mut Vec<Seen>, seen: Seen) {
    match (list.last_mut(), seen) {
        (_, Seen::Data(data)) if data.is_empty() => {}
        (Some(Seen::Data(last)), Seen::Data(data)) => last.extend(data),
        (_, seen) => list.push(seen),
    }
}

/// The far end: decodes, checks the rules of the connection, and notes what
/// each stream brought.
struct Reader {
    decoder: Decoder<Http2, Vec<u8>>,
    order: BlockOrder,
    block: Vec<u8>,
    frames: Vec<(Head, Vec<u8>)>,
}

impl Reader {
    fn new() -> Self {
        let format = Http2::new(1 << 20);
        let decoder = Decoder::new(format, vec![0; (1 << 20) + 9]).unwrap();
        Self { decoder, order: BlockOrder::new(8), block: Vec::new(), frames: Vec::new() }
    }

    fn receive(&mut self, mut bytes: &[u8]) -> Result<(), Damage> {
        while !bytes.is_empty() {
            let free = self.decoder.free();
            let len = free.len().min(bytes.len());
            free[..len].copy_from_slice(&bytes[..len]);
            self.decoder.received(len);
            bytes = &bytes[len..];
            while let Some(frame) = self.decoder.next_frame()? {
                let (head, _) = Head::split(frame.payload).unwrap();
                self.order.check(head).unwrap();
                self.frames.push((head, frame.payload.to_vec()));
            }
        }
        Ok(())
    }
}

struct World {
    queue: Queue,
    flight: Flight,
    reader: Reader,
    streams: BTreeMap<u32, Model>,
    connection: i64,
    initial: i64,
    frame_size: u32,
    controls: Vec<Vec<u8>>,
    controls_seen: Vec<Vec<u8>>,
    accepted: u64,
    refused: u64,
    filler: u8,
}

impl World {
    fn new(borrow_from: usize) -> Self {
        let limits = Limits { borrow_from, pending_max: 600_000, ..Limits::default() };
        Self {
            queue: Queue::new(limits),
            flight: Flight::new(),
            reader: Reader::new(),
            streams: BTreeMap::new(),
            connection: 65_535,
            initial: 65_535,
            frame_size: 16_384,
            controls: Vec::new(),
            controls_seen: Vec::new(),
            accepted: 0,
            refused: 0,
            filler: 0,
        }
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        self.filler = self.filler.wrapping_add(1);
        (0..len).map(|at| at.to_le_bytes()[0].wrapping_mul(31) ^ self.filler).collect()
    }

    fn model(&mut self, stream: StreamId) -> &mut Model {
        self.streams.entry(stream.number()).or_default()
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Open(stream, urgency) => {
                let stream = id(stream);
                let opened = self.queue.open(stream, Urgency::new(urgency).unwrap());
                let initial = self.initial;
                // As long as it is in flight, a number is not used again: no
                // stream is opened twice on a connection.
                self.drain();
                let model = self.model(stream);
                assert_eq!(opened.is_ok(), !model.open);
                if opened.is_ok() {
                    model.open = true;
                    model.ended = false;
                    model.window = initial;
                }
            }
            Op::Offer { stream, pieces, end } => self.offer(id(stream), pieces, end),
            Op::Control(data) => {
                let frame = Frame::Ping { ack: true, data };
                if self.queue.control(&frame).is_ok() {
                    let mut bytes = vec![0; 17];
                    frame.encode(&mut bytes).unwrap();
                    self.controls.push(bytes);
                }
            }
            Op::Reset(stream) => {
                // After what is committed; what is not is dropped.
                let stream = id(stream);
                self.drain();
                if self.queue.is_open(stream) {
                    self.queue.reset(stream, ErrorCode::CANCEL).unwrap();
                    self.cut(stream);
                }
            }
            Op::PeerReset(stream) => {
                self.drain();
                self.queue.close(id(stream));
                self.cut(id(stream));
            }
            Op::UpdateStream(stream, bytes) => {
                let stream = id(stream);
                let updated = self.queue.update(Some(stream), Increment::new(bytes).unwrap());
                let model = self.model(stream);
                let window = model.window + i64::from(bytes);
                let over = model.open && window > (1 << 31) - 1;
                assert_eq!(updated.is_err(), over);
                if model.open && !over {
                    model.window = window;
                }
            }
            Op::UpdateConnection(bytes) => {
                self.queue.update(None, Increment::new(bytes).unwrap()).unwrap();
                self.connection += i64::from(bytes);
            }
            Op::InitialWindow(bytes) => {
                // What is committed was cut for the old windows.
                self.drain();
                let mut out = [0; 6];
                let settings = [Setting::InitialWindowSize(bytes)];
                let settings = Settings::write(&settings, &mut out).unwrap();
                self.queue.settings(&settings).unwrap();
                let change = i64::from(bytes) - self.initial;
                self.initial += change;
                for model in self.streams.values_mut().filter(|model| model.open) {
                    model.window += change;
                }
            }
            Op::FrameSize(bytes) => {
                // What is committed was cut for the old size.
                self.drain();
                let mut out = [0; 6];
                let settings = [Setting::MaxFrameSize(bytes)];
                let settings = Settings::write(&settings, &mut out).unwrap();
                // A smaller size could make a waiting block too long.
                if bytes >= self.frame_size {
                    self.queue.settings(&settings).unwrap();
                    self.frame_size = bytes;
                }
            }
            Op::Write(len) => self.write(len),
        }
    }

    fn offer(&mut self, stream: StreamId, pieces: Vec<Piece>, end: bool) {
        let mut group = Group::new(stream);
        let mut expected = Vec::new();
        let mut empty = true;
        for piece in pieces {
            empty = false;
            match piece {
                Piece::Block(len) => {
                    let block = self.bytes(len);
                    group = group.headers(&block);
                    expected.push(Seen::Block { promised: None, block });
                }
                Piece::Promise(len) => {
                    let block = self.bytes(len);
                    group = group.push_promise(StreamId::new(2).unwrap(), &block);
                    expected.push(Seen::Block { promised: Some(2), block });
                }
                Piece::Data(len, padding) => {
                    let data = self.bytes(len);
                    let payload = Payload::new(data.clone());
                    group = match padding {
                        None => group.data(payload),
                        Some(padding) => group.padded_data(payload, padding),
                    };
                    expected.push(Seen::Data(data));
                }
            }
        }
        if end {
            group = group.end();
            expected.push(Seen::End);
        }
        let frame_size = self.frame_size as usize;
        let long = expected.iter().any(|seen| match seen {
            Seen::Block { promised: None, block } => block.len() > 9 * frame_size,
            Seen::Block { block, .. } => block.len() > 9 * frame_size - 4,
            _ => false,
        });
        let offered = self.queue.offer(group);
        let model = self.streams.entry(stream.number()).or_default();
        match offered {
            Ok(()) => {
                assert!(model.open && !model.ended && !long && (end || !empty));
                model.ended = end;
                expected.into_iter().for_each(|seen| push(&mut model.expected, seen));
                self.accepted += 1;
            }
            Err(error) => {
                self.refused += 1;
                match error {
                    OfferError::Empty { .. } => assert!(empty && !end),
                    OfferError::BlockTooLong { .. } => assert!(long),
                    // Closed when its end is committed, which may not have arrived.
                    OfferError::NotOpen { .. } => assert!(!model.open || model.ended),
                    OfferError::Ended { .. } => assert!(model.ended || !model.open),
                    OfferError::Full { needed, free } => assert!(needed > free),
                    other => panic!("{other}"),
                }
            }
        }
    }

    /// A reset: what has arrived is all that will.
    fn cut(&mut self, stream: StreamId) {
        let model = self.model(stream);
        model.open = false;
        let lists = (std::mem::take(&mut model.expected), std::mem::take(&mut model.seen));
        model.cut.push(lists);
    }

    /// Takes `len` bytes, or as many as there are, from the slices.
    fn write(&mut self, len: usize) {
        self.queue.fill(&mut self.flight);
        let bytes = self.flight.slices().concat();
        assert_eq!(bytes.len(), self.flight.pending());
        let len = len.min(bytes.len());
        self.reader.receive(&bytes[..len]).unwrap();
        self.flight.wrote(len).unwrap();
        self.look();
    }

    /// Lets all that is committed leave, and nothing else.
    fn drain(&mut self) {
        let bytes = self.flight.slices().concat();
        self.reader.receive(&bytes).unwrap();
        self.flight.wrote(bytes.len()).unwrap();
        assert!(self.flight.is_empty());
        self.look();
    }

    /// What the far end makes of the frames that have arrived.
    fn look(&mut self) {
        for (head, bytes) in std::mem::take(&mut self.reader.frames) {
            assert!(head.payload_len <= self.frame_size, "{head:?}");
            match Frame::parse(&bytes).unwrap() {
                Frame::Data { stream, end_stream, data, .. } => {
                    // Padding counts, too.
                    self.connection -= i64::from(head.payload_len);
                    let connection = self.connection;
                    let model = self.model(stream);
                    model.window -= i64::from(head.payload_len);
                    let least = model.window.min(connection);
                    assert!(least >= 0 || head.payload_len == 0, "{least}");
                    push(&mut model.seen, Seen::Data(data.to_vec()));
                    if end_stream {
                        self.end(stream);
                    }
                }
                Frame::Headers { stream, end_stream, end_headers, fragment, .. } => {
                    self.block(stream, None, fragment, end_headers, end_stream);
                }
                Frame::PushPromise { stream, promised, end_headers, fragment, .. } => {
                    self.block(stream, Some(promised.number()), fragment, end_headers, false);
                }
                Frame::Continuation { stream, end_headers, fragment } => {
                    self.continuation(stream, fragment, end_headers);
                }
                Frame::Ping { .. } => self.controls_seen.push(bytes),
                Frame::RstStream { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn block(
        &mut self,
        stream: StreamId,
        promised: Option<u32>,
        fragment: &[u8],
        end_headers: bool,
        end_stream: bool,
    ) {
        let model = self.model(stream);
        model.seen.push(Seen::Block { promised, block: Vec::new() });
        if end_stream {
            model.seen.push(Seen::End);
        }
        self.continuation(stream, fragment, end_headers);
    }

    fn continuation(&mut self, stream: StreamId, fragment: &[u8], end_headers: bool) {
        self.reader.block.extend(fragment);
        if !end_headers {
            return;
        }
        let whole = std::mem::take(&mut self.reader.block);
        let model = self.model(stream);
        let ended = model.seen.last() == Some(&Seen::End);
        let at = model.seen.len() - 1 - usize::from(ended);
        let Seen::Block { block, .. } = &mut model.seen[at] else { panic!("no block") };
        *block = whole;
        if ended {
            model.seen.pop();
            self.end(stream);
        }
    }

    fn end(&mut self, stream: StreamId) {
        let model = self.model(stream);
        model.seen.push(Seen::End);
        model.open = false;
        let lists = (std::mem::take(&mut model.expected), std::mem::take(&mut model.seen));
        model.done.push(lists);
    }

    /// Opens all windows and lets everything leave; compares.
    fn finish(mut self) {
        // The queue's room for RST_STREAMs and PINGs is bounded, not endless.
        for _ in 0..20_000 {
            self.write(usize::MAX);
            if !self.queue.has_work() && self.flight.is_empty() {
                let parked: Vec<_> =
                    (0..STREAMS).map(id).filter(|&it| self.queue.pending(it) > 0).collect();
                let Some(&stream) = parked.first() else { break };
                let increment = Increment::new(1 << 20).unwrap();
                self.queue.update(Some(stream), increment).unwrap();
                self.model(stream).window += 1 << 20;
                self.queue.update(None, increment).unwrap();
                self.connection += 1 << 20;
            }
        }
        assert!(self.flight.is_empty() && !self.queue.has_work());
        assert_eq!(self.controls, self.controls_seen);
        for (stream, model) in &self.streams {
            for (expected, seen) in &model.done {
                assert!(expected == seen, "stream {stream} ended");
            }
            assert!(model.expected == model.seen, "stream {stream} is open");
            for (expected, seen) in &model.cut {
                assert!(is_prefix(seen, expected), "stream {stream} was reset");
            }
        }
        let ledger = self.queue.ledger();
        assert_eq!((ledger.accepted, ledger.refused), (self.accepted, self.refused));
        let delivered = self.flight.counts().groups;
        assert_eq!(ledger.accepted, delivered + ledger.undeliverable);
    }
}

/// Whether `seen` is the beginning of `expected`, cut between frames.
fn is_prefix(seen: &[Seen], expected: &[Seen]) -> bool {
    let Some((last, before)) = seen.split_last() else { return true };
    if seen.len() > expected.len() || before != &expected[..before.len()] {
        return false;
    }
    match (last, &expected[before.len()]) {
        (Seen::Data(data), Seen::Data(whole)) => whole.starts_with(data),
        (last, whole) => last == whole,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_stream_keeps_its_order_and_its_windows(
        ops in proptest::collection::vec(ops(), 1..60),
        borrow_from in prop_oneof![Just(0_usize), Just(4096), Just(usize::MAX)],
    ) {
        let mut world = World::new(borrow_from);
        for stream in 0..STREAMS {
            world.apply(Op::Open(stream, stream % 3 + 2));
        }
        for op in ops {
            world.apply(op);
        }
        world.finish();
    }
}
