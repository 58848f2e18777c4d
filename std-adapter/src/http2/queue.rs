//! Which frame leaves next.

use std::{
    collections::{BTreeMap, VecDeque},
    error::Error,
    fmt,
    ops::RangeBounds,
};

use forebay::{
    Ledger,
    batch::BORROW_FROM_DEFAULT,
    frame::http2::{ErrorCode, Frame, Head, Http2, Increment, Kind, Setting, Settings, StreamId},
};

use super::{
    Flight, FlowControl, FlowError, Group, Payload,
    group::{Content, Part},
};

/// Bytes of waiting frames of the connection from which more are refused: a
/// peer that has its PINGs answered must read the answers.
const CONTROL_LEN_MAX: usize = 16 * 1024;

/// What a [`Queue`] holds and commits at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of groups that wait, 4 MiB unless set; more are refused.
    pub pending_max: usize,
    /// Bytes committed at a time, 256 KiB unless set: what a frame of the
    /// connection, or of a more urgent stream, may have before it. The last
    /// group committed may go over.
    pub flight_max: usize,
    /// CONTINUATIONs of one field block, 8 unless set; peers refuse blocks of
    /// more. Looked at when a block is offered: a peer that lowers its frame
    /// size gets what waits already in more.
    pub continuations_max: usize,
    /// Data of so many bytes in one frame is lent and not copied,
    /// [`BORROW_FROM_DEFAULT`] unless set.
    pub borrow_from: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending_max: 4 << 20,
            flight_max: 256 << 10,
            continuations_max: 8,
            borrow_from: BORROW_FROM_DEFAULT,
        }
    }
}

/// How soon a stream's frames leave: 0 first, 7 last (RFC 9218, section 4.1).
/// Streams of one urgency take turns, a frame each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Urgency(u8);

impl Urgency {
    /// What a stream has that says nothing.
    pub const DEFAULT: Self = Self(3);
    const COUNT: usize = 8;

    /// An urgency of 0 to 7.
    #[must_use]
    pub const fn new(urgency: u8) -> Option<Self> {
        if (urgency as usize) < Self::COUNT { Some(Self(urgency)) } else { None }
    }
}

/// The frames that wait for their turn, by stream.
///
/// Invariant: a lane is in `ready` at its urgency, once, if it has parts and
/// is not parked; a parked lane has data in front and no window for it;
/// `pending` is the sum of what the lanes' parts hold.
#[derive(Debug)]
pub struct Queue {
    limits: Limits,
    flow: FlowControl,
    /// The peer's `SETTINGS_MAX_FRAME_SIZE`.
    payload_len_max: usize,
    lanes: BTreeMap<StreamId, Lane>,
    ready: [VecDeque<StreamId>; Urgency::COUNT],
    /// Frames of the connection, encoded; they leave first.
    control: VecDeque<Vec<u8>>,
    control_len: usize,
    pending: usize,
    ledger: Ledger,
}

/// A stream's parts in order.
#[derive(Debug)]
struct Lane {
    parts: VecDeque<Part>,
    urgency: Urgency,
    /// Whether it waits for a window.
    parked: bool,
    /// Whether END_STREAM is among its parts.
    ended: bool,
    pending: usize,
}

impl Queue {
    /// No streams; the peer's settings are the initial ones.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            flow: FlowControl::new(),
            payload_len_max: Http2::PAYLOAD_LEN_MAX_LEAST as usize,
            lanes: BTreeMap::new(),
            ready: Default::default(),
            control: VecDeque::new(),
            control_len: 0,
            pending: 0,
            ledger: Ledger::default(),
        }
    }

    /// Opens a stream for what is to be sent on it.
    ///
    /// # Errors
    ///
    /// [`OfferError::Open`] when it is open.
    pub fn open(&mut self, stream: StreamId, urgency: Urgency) -> Result<(), OfferError> {
        if self.lanes.contains_key(&stream) {
            return Err(OfferError::Open { stream });
        }
        let parts = VecDeque::new();
        let lane = Lane { parts, urgency, parked: false, ended: false, pending: 0 };
        self.lanes.insert(stream, lane);
        self.flow.open(stream);
        Ok(())
    }

    /// Whether the stream is open: END_STREAM has not been committed.
    #[must_use]
    pub fn is_open(&self, stream: StreamId) -> bool {
        self.lanes.contains_key(&stream)
    }

    /// Takes a group, whole or not at all, behind those of its stream.
    ///
    /// # Errors
    ///
    /// [`OfferError`]; the refusal is counted.
    pub fn offer(&mut self, group: Group) -> Result<(), OfferError> {
        self.ledger.offered += 1;
        let taken = self.check(&group).and_then(|needed| self.take(group, needed));
        match taken {
            Ok(()) => self.ledger.accepted += 1,
            Err(_) => self.ledger.refused += 1,
        }
        self.invariants();
        taken
    }

    /// What stands in the way of a group; the bytes that it holds.
    fn check(&self, group: &Group) -> Result<usize, OfferError> {
        let stream = group.stream;
        if group.parts.is_empty() {
            return Err(OfferError::Empty { stream });
        }
        let continuations_max = self.limits.continuations_max;
        for part in &group.parts {
            if let Content::Block { block, .. } = &part.content {
                let continuations = self.continuations(block.len(), part.is_promise());
                if continuations > continuations_max {
                    let error =
                        OfferError::BlockTooLong { stream, continuations, continuations_max };
                    return Err(error);
                }
            }
        }
        let free = self.limits.pending_max - self.pending.min(self.limits.pending_max);
        let needed = group.parts.iter().map(|part| part.content.len()).sum();
        if needed > free {
            return Err(OfferError::Full { needed, free });
        }
        Ok(needed)
    }

    fn take(&mut self, mut group: Group, needed: usize) -> Result<(), OfferError> {
        let stream = group.stream;
        let lane = self.lanes.get_mut(&stream).ok_or(OfferError::NotOpen { stream })?;
        if lane.ended {
            return Err(OfferError::Ended { stream });
        }
        if let Some(last) = group.parts.back_mut() {
            last.last = true;
            lane.ended = last.end_stream;
        }
        if lane.parts.is_empty() {
            self.ready[usize::from(lane.urgency.0)].push_back(stream);
        }
        lane.parts.append(&mut group.parts);
        lane.pending += needed;
        self.pending += needed;
        Ok(())
    }

    /// How many CONTINUATIONs a field block takes at the peer's frame size.
    fn continuations(&self, block_len: usize, promise: bool) -> usize {
        let first = self.payload_len_max - if promise { 4 } else { 0 };
        block_len.saturating_sub(first).div_ceil(self.payload_len_max)
    }

    /// Takes a frame of the connection, which leaves before those of streams:
    /// SETTINGS, PING, GOAWAY, WINDOW_UPDATE, PRIORITY, or an extension's.
    ///
    /// # Errors
    ///
    /// [`OfferError::OfStream`] for a frame whose place among others matters,
    /// [`OfferError::Full`] when the peer has not read many of the last ones,
    /// or for a frame over its maximum.
    pub fn control(&mut self, frame: &Frame<'_>) -> Result<(), OfferError> {
        if let Frame::Data { stream, .. }
        | Frame::Headers { stream, .. }
        | Frame::PushPromise { stream, .. }
        | Frame::Continuation { stream, .. }
        | Frame::RstStream { stream, .. } = *frame
        {
            let kind = frame.head().map_or(Kind::DATA, |head| head.kind);
            return Err(OfferError::OfStream { stream, kind });
        }
        self.push_control(frame)
    }

    fn push_control(&mut self, frame: &Frame<'_>) -> Result<(), OfferError> {
        let needed = frame.frame_len();
        let free = CONTROL_LEN_MAX - self.control_len;
        let too_long = needed - Head::LEN > self.payload_len_max;
        let mut bytes = vec![0; needed];
        if needed > free || too_long || frame.encode(&mut bytes).is_err() {
            return Err(OfferError::Full { needed, free });
        }
        self.control_len += needed;
        self.control.push_back(bytes);
        Ok(())
    }

    /// Resets a stream: what waits of it is dropped, and counted as
    /// undeliverable; RST_STREAM leaves behind what has been committed.
    ///
    /// # Errors
    ///
    /// [`OfferError::Full`] as from [`control`](Queue::control); the stream is
    /// closed all the same.
    pub fn reset(&mut self, stream: StreamId, code: ErrorCode) -> Result<(), OfferError> {
        self.close(stream);
        self.push_control(&Frame::RstStream { stream, code })
    }

    /// Forgets a stream, as after the peer's RST_STREAM: what waits of it is
    /// dropped, and counted as undeliverable.
    pub fn close(&mut self, stream: StreamId) {
        if let Some(lane) = self.lanes.remove(&stream) {
            self.ready[usize::from(lane.urgency.0)].retain(|&ready| ready != stream);
            let dropped = lane.parts.iter().filter(|part| part.last).count();
            self.ledger.undeliverable += dropped as u64;
            self.pending -= lane.pending;
        }
        self.flow.close(stream);
        self.invariants();
    }

    /// Takes the peer's WINDOW_UPDATE, of the connection if there is no
    /// stream.
    ///
    /// # Errors
    ///
    /// As [`FlowControl::update`].
    pub fn update(
        &mut self,
        stream: Option<StreamId>,
        increment: Increment,
    ) -> Result<(), FlowError> {
        let was_closed = self.flow.connection().available() == 0;
        self.flow.update(stream, increment)?;
        // A peer may send many of these: no look at lanes that stay as they are.
        match stream {
            Some(stream) => self.unpark(stream..=stream),
            None if was_closed => self.unpark(..),
            None => {}
        }
        self.invariants();
        Ok(())
    }

    /// Takes the peer's SETTINGS; what concerns neither windows nor frame
    /// sizes is not looked at.
    ///
    /// # Errors
    ///
    /// As [`FlowControl::set_initial`].
    pub fn settings(&mut self, settings: &Settings<'_>) -> Result<(), FlowError> {
        let taken = settings.iter().try_for_each(|setting| {
            match setting {
                Setting::InitialWindowSize(initial) => self.flow.set_initial(initial)?,
                Setting::MaxFrameSize(max) => self.payload_len_max = max as usize,
                _ => {}
            }
            Ok(())
        });
        self.unpark(..);
        self.invariants();
        taken
    }

    /// Makes the lanes ready, of these, that have a window again.
    fn unpark(&mut self, streams: impl RangeBounds<StreamId>) {
        for (&stream, lane) in self.lanes.range_mut(streams) {
            if lane.parked && self.flow.available(stream) > 0 {
                lane.parked = false;
                self.ready[usize::from(lane.urgency.0)].push_back(stream);
            }
        }
    }

    /// Commits frames for as long as there is something to send and the flight
    /// has room; returns whether it committed any.
    pub fn fill(&mut self, flight: &mut Flight) -> bool {
        let before = flight.pending();
        while !flight.is_full() && flight.pending() < self.limits.flight_max {
            if let Some(bytes) = self.control.pop_front() {
                self.control_len -= bytes.len();
                flight.frames(&bytes);
            } else if let Some(stream) = self.ready.iter_mut().find_map(VecDeque::pop_front) {
                self.commit(stream, flight);
            } else {
                break;
            }
        }
        self.invariants();
        flight.pending() > before
    }

    /// Commits the next frame of a lane taken from `ready`, or the frames of
    /// its next block.
    fn commit(&mut self, stream: StreamId, flight: &mut Flight) {
        let Some(lane) = self.lanes.get_mut(&stream) else { return };
        let Some(part) = lane.parts.front_mut() else { return };
        let before = part.content.len();
        let (end_stream, last) = (part.end_stream, part.last);
        let done = match &mut part.content {
            Content::Block { promised, block } => {
                let first_max = self.payload_len_max - if promised.is_some() { 4 } else { 0 };
                let (mut fragment, mut rest) = block.split_at(block.len().min(first_max));
                let mut end_headers = rest.is_empty();
                let head = match *promised {
                    None => Frame::Headers {
                        stream,
                        end_stream,
                        end_headers,
                        priority: None,
                        padding: None,
                        fragment,
                    },
                    Some(promised) => Frame::PushPromise {
                        stream,
                        promised,
                        end_headers,
                        padding: None,
                        fragment,
                    },
                };
                flight.copy(&head, last && end_headers);
                while !end_headers {
                    (fragment, rest) = rest.split_at(rest.len().min(self.payload_len_max));
                    end_headers = rest.is_empty();
                    let frame = Frame::Continuation { stream, end_headers, fragment };
                    flight.copy(&frame, last && end_headers);
                }
                lane.pending -= before;
                self.pending -= before;
                true
            }
            Content::Data { payload, at, padding } => {
                let window = self.flow.available(stream);
                let rest_len = payload.len() - *at;
                if rest_len > 0 && window == 0 {
                    lane.parked = true;
                    return;
                }
                let limit = window.min(self.payload_len_max);
                let padding =
                    padding.filter(|&padding| usize::from(padding) + 1 + rest_len.min(1) <= limit);
                let around = padding.map_or(0, |padding| usize::from(padding) + 1);
                let len = rest_len.min(limit.saturating_sub(around));
                let done = len == rest_len;
                let data = payload.slice(*at..*at + len).unwrap_or_else(|| payload.clone());
                let ends = Ends { stream: end_stream && done, group: last && done };
                send_data(flight, stream, data, padding, ends, self.limits.borrow_from);
                self.flow.take(stream, len + around);
                *at += len;
                lane.pending -= len;
                self.pending -= len;
                done
            }
        };
        if done {
            lane.parts.pop_front();
        }
        if !lane.parts.is_empty() {
            self.ready[usize::from(lane.urgency.0)].push_back(stream);
        } else if lane.ended {
            self.lanes.remove(&stream);
            self.flow.close(stream);
        }
    }

    /// How many more bytes of data the stream's windows would let leave than
    /// wait in it: what is worth being offered next.
    #[must_use]
    pub fn room(&self, stream: StreamId) -> usize {
        let waiting = self.lanes.get(&stream).map_or(0, |lane| lane.pending);
        self.flow.available(stream).saturating_sub(waiting)
    }

    /// Bytes that wait in the stream.
    #[must_use]
    pub fn pending(&self, stream: StreamId) -> usize {
        self.lanes.get(&stream).map_or(0, |lane| lane.pending)
    }

    /// Whether [`fill`](Queue::fill) would commit something. A lane that is
    /// ready may still turn out to have no window.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.control.is_empty() || self.ready.iter().any(|ready| !ready.is_empty())
    }

    /// The windows.
    #[must_use]
    pub const fn flow(&self) -> &FlowControl {
        &self.flow
    }

    /// Groups offered, accepted, refused, and dropped with their streams;
    /// those delivered are [`FlightCounts::groups`](super::FlightCounts).
    #[must_use]
    pub const fn ledger(&self) -> Ledger {
        self.ledger
    }

    fn invariants(&self) {
        if cfg!(debug_assertions) {
            let mut pending = 0;
            for (&stream, lane) in &self.lanes {
                let ready = |queue: &VecDeque<_>| queue.iter().filter(|&&it| it == stream).count();
                let counts = self.ready.iter().map(ready).collect::<Vec<_>>();
                let expected = usize::from(!lane.parts.is_empty() && !lane.parked);
                assert_eq!(counts.iter().sum::<usize>(), expected);
                assert_eq!(counts[usize::from(lane.urgency.0)], expected);
                assert!(!lane.parked || self.flow.available(stream) == 0);
                let held: usize = lane.parts.iter().map(|part| part.content.len()).sum();
                assert_eq!(held, lane.pending);
                pending += held;
            }
            assert_eq!(pending, self.pending);
        }
    }
}

/// What a frame is the last of.
#[derive(Clone, Copy)]
struct Ends {
    stream: bool,
    group: bool,
}

/// Commits a DATA frame, its data lent from `borrow_from` bytes up.
fn send_data(
    flight: &mut Flight,
    stream: StreamId,
    data: Payload,
    padding: Option<u8>,
    ends: Ends,
    borrow_from: usize,
) {
    let end_stream = ends.stream;
    let frame = Frame::Data { stream, end_stream, padding, data: data.as_bytes() };
    if data.is_empty() || data.len() < borrow_from {
        flight.copy(&frame, ends.group);
        return;
    }
    // At most the peer's maximum, so that it has a head.
    let Ok(head) = frame.head() else { return };
    let mut bytes = head.encode().to_vec();
    bytes.extend(padding);
    flight.lend(&bytes, data, padding.map_or(0, usize::from), ends.group);
}

/// Why something was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OfferError {
    /// No room until something has left; `needed` over the limit never fits.
    Full {
        /// Bytes offered.
        needed: usize,
        /// Bytes that there is room for.
        free: usize,
    },
    /// The stream is open already.
    Open {
        /// The stream.
        stream: StreamId,
    },
    /// The stream was not opened, or it has been closed.
    NotOpen {
        /// The stream.
        stream: StreamId,
    },
    /// END_STREAM was offered before.
    Ended {
        /// The stream.
        stream: StreamId,
    },
    /// A group without parts.
    Empty {
        /// The stream.
        stream: StreamId,
    },
    /// A field block of more frames than peers accept.
    BlockTooLong {
        /// The stream.
        stream: StreamId,
        /// The CONTINUATIONs that it takes.
        continuations: usize,
        /// The most allowed.
        continuations_max: usize,
    },
    /// A frame of a stream where one of the connection was to be.
    OfStream {
        /// The stream.
        stream: StreamId,
        /// The frame's type.
        kind: Kind,
    },
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Full { needed, free } => {
                write!(f, "{needed} bytes offered, there is room for {free}")
            }
            Self::Open { stream } => write!(f, "stream {} is open already", stream.number()),
            Self::NotOpen { stream } => write!(f, "stream {} is not open", stream.number()),
            Self::Ended { stream } => write!(f, "stream {} has been ended", stream.number()),
            Self::Empty { stream } => write!(f, "an empty group of stream {}", stream.number()),
            Self::BlockTooLong { stream, continuations, continuations_max } => write!(
                f,
                "stream {}: a field block of {continuations} CONTINUATIONs, at most {continuations_max} are allowed",
                stream.number()
            ),
            Self::OfStream { stream, kind } => {
                write!(f, "{kind} of stream {} is no frame of the connection", stream.number())
            }
        }
    }
}

impl Error for OfferError {}
