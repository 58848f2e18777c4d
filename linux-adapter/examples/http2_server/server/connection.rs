//! One connection: frames in, what they mean, frames out.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    sync::Arc,
    time::{Duration, Instant},
};

use forebay_linux::FdSink;
use forebay_std::{
    forebay::{
        Decoder,
        frame::{
            Decode, Reason,
            http2::{
                BlockOrder, ErrorCode, Frame, Head, Http2, PREFACE, Scope, Setting, Settings,
                StreamId, Violation, flags,
            },
        },
        pump::Drive,
    },
    http2::{Driver, FlowError, Limits, OfferError, Writer, writer},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{
    Report,
    fields::{Bad, Fields, LIST_LEN_MAX, Request},
    files::Root,
    streams::{PENDING_MAX, Refused, STREAMS_MAX, Streams},
};

/// CONTINUATIONs of one field block; with the frame size, a block's length.
const CONTINUATIONS_MAX: u32 = 8;
/// How long the peer has to take the last frames and to close.
const CLOSING_MAX: Duration = Duration::from_secs(2);
/// Writes before the socket is read again.
const WRITES_IN_A_ROW: usize = 32;
/// Streams reset here of which the peer may not know yet.
const RESET_KEPT: usize = 128;
/// Requests that the peer may have reset, or made this end reset by errors,
/// beyond those that it has let end: work for nothing (RFC 9113, section 10.5).
const RESETS_MAX: u64 = 200;

/// Why a connection ends.
enum End {
    /// The peer has closed it, or nothing is left to be done.
    Done,
    Socket(io::Error),
    /// An error of the connection (RFC 9113, section 5.4.1).
    Error(ErrorCode, String),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        Self::Error(violation.code(), violation.to_string())
    }
}

impl From<FlowError> for End {
    fn from(error: FlowError) -> Self {
        Self::Error(error.code(), error.to_string())
    }
}

/// What this server offers itself fits its queue, so that only a peer that
/// does not read its answers fills it.
impl From<OfferError> for End {
    fn from(error: OfferError) -> Self {
        Self::Error(ErrorCode::ENHANCE_YOUR_CALM, error.to_string())
    }
}

fn protocol(text: impl Into<String>) -> End {
    End::Error(ErrorCode::PROTOCOL_ERROR, text.into())
}

pub(super) struct Connection {
    root: Arc<Root>,
    writer: Writer,
    driver: Driver<FdSink<TcpStream>>,
    decoder: Decoder<Http2, Box<[u8]>>,
    state: State,
    report: Report,
    idle_max: Duration,
    /// When a frame was last received whole, or bytes were sent. Single bytes
    /// that come do not count: a frame could be made to last for ever.
    moved: Instant,
    stop: Arc<UnixStream>,
}

/// What has been received and what it has led to.
struct State {
    /// Bytes of the preface that have come.
    preface: usize,
    /// Whether the peer's first SETTINGS have come.
    settled: bool,
    order: BlockOrder,
    block: Option<Block>,
    fields: Fields,
    streams: Streams,
    /// The peer's last stream.
    last: Option<StreamId>,
    /// Streams reset here, the latest.
    reset: VecDeque<StreamId>,
    resets: u64,
    requests: u64,
    /// Whether the connection ends with the streams that there are.
    leaving: bool,
    /// Whether the server stops, and the peer has been told.
    stopping: bool,
}

/// A field block on its way.
struct Block {
    stream: StreamId,
    end_stream: bool,
    /// Whether the stream was open before: these are trailers, if it still is.
    trailers: bool,
    bytes: Vec<u8>,
}

impl Connection {
    /// Serves what is under `root`; to its end once `stop` is readable.
    pub(super) fn new(
        socket: TcpStream,
        root: Arc<Root>,
        idle_max: Duration,
        stop: Arc<UnixStream>,
    ) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let limits = Limits { pending_max: PENDING_MAX, ..Limits::default() };
        let (writer, driver) = writer(limits, FdSink::nonblocking(socket)?);
        let format = Http2::new(Http2::PAYLOAD_LEN_MAX_LEAST);
        let buffer = vec![0; 4 * format.buffer_len_min()].into_boxed_slice();
        let decoder = Decoder::new(format, buffer).map_err(io::Error::other)?;
        let state = State {
            preface: 0,
            settled: false,
            order: BlockOrder::new(CONTINUATIONS_MAX),
            block: None,
            fields: Fields::new(),
            streams: Streams::new(writer.clone()),
            last: None,
            reset: VecDeque::new(),
            resets: 0,
            requests: 0,
            leaving: false,
            stopping: false,
        };
        let (report, moved) = (Report::default(), Instant::now());
        Ok(Self { root, writer, driver, decoder, state, report, idle_max, moved, stop })
    }

    /// Serves until the end and says how it went.
    pub(super) fn run(mut self) -> Report {
        let end = self.settings().and_then(|()| {
            loop {
                if let Err(end) = self.turn() {
                    break Err(end);
                }
            }
        });
        // From here on the server's stop changes nothing.
        self.state.stopping = true;
        match end {
            Ok(()) | Err(End::Done) => self.linger(Instant::now() + CLOSING_MAX),
            Err(End::Socket(error)) => self.report.error = Some(error.to_string()),
            Err(End::Error(code, text)) => {
                self.go_away(code, &text);
                self.report.goaway = Some((code, text));
            }
        }
        let (flight, counts) = (self.driver.flight_counts(), self.driver.counts());
        self.report.requests = self.state.requests;
        self.report.frames = flight.frames;
        self.report.bytes = flight.bytes;
        self.report.writes = self.driver.sink().counts().calls;
        self.report.blocked = counts.blocked;
        self.report
    }

    /// The first frame is this end's SETTINGS.
    fn settings(&self) -> Result<(), End> {
        let count = u32::try_from(STREAMS_MAX).unwrap_or(u32::MAX);
        let len = u32::try_from(LIST_LEN_MAX).unwrap_or(u32::MAX);
        let list = [Setting::MaxConcurrentStreams(count), Setting::MaxHeaderListSize(len)];
        let mut bytes = [0; 12];
        let settings = Settings::write(&list, &mut bytes)
            .map_err(|error| End::Error(ErrorCode::INTERNAL_ERROR, error.to_string()))?;
        Ok(self.writer.control(&Frame::Settings(settings))?)
    }

    /// Writes what there is to write, then waits, then reads once.
    fn turn(&mut self) -> Result<(), End> {
        let blocked = self.write()?;
        if self.state.leaving && self.state.streams.len() == 0 && !self.driver.has_work() {
            return Err(End::Done);
        }
        let left = self.idle_max.saturating_sub(self.moved.elapsed());
        let ready = self.wait(blocked, left)?;
        if ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.read()?;
        }
        // Not before what has come is taken, however late that is.
        if !ready.contains(PollFlags::OUT) && self.moved.elapsed() >= self.idle_max {
            let text = format!("nothing has moved for {:?}", self.idle_max);
            return Err(End::Error(ErrorCode::NO_ERROR, text));
        }
        Ok(())
    }

    /// The server stops: what has begun is finished, and the peer is told that
    /// nothing else is (section 6.8).
    fn begin_to_stop(&mut self) -> Result<(), End> {
        (self.state.stopping, self.state.leaving) = (true, true);
        let (last_stream, code) = (self.state.last, ErrorCode::NO_ERROR);
        let debug = b"the server stops";
        Ok(self.writer.control(&Frame::GoAway { last_stream, code, debug })?)
    }

    /// Writes until nothing is left, or the socket is full, or reading has
    /// waited for long enough; whether there is more to write.
    fn write(&mut self) -> Result<bool, End> {
        for _ in 0..WRITES_IN_A_ROW {
            self.state.streams.go_on()?;
            match self.driver.turn()? {
                Drive::Moved { .. } => self.moved = Instant::now(),
                Drive::Blocked => return Ok(true),
                Drive::Idle => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Waits for the socket, and for the server's stop unless that has come.
    fn wait(&mut self, blocked: bool, longest: Duration) -> Result<PollFlags, End> {
        let flags = if blocked { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let longest = Timespec::try_from(longest).map_err(io::Error::other)?;
        let mut polled =
            [PollFd::new(self.driver.sink().fd(), flags), PollFd::new(&self.stop, PollFlags::IN)];
        let count = if self.state.stopping { 1 } else { 2 };
        loop {
            match poll(&mut polled[..count], Some(&longest)) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(End::Socket(error.into())),
            }
        }
        let [ready, stop] = polled.map(|it| it.revents());
        if !self.state.stopping && !stop.is_empty() {
            self.begin_to_stop()?;
        }
        Ok(ready)
    }

    /// Reads once and takes every frame that is whole.
    fn read(&mut self) -> Result<(), End> {
        let mut socket: &TcpStream = self.driver.sink().fd();
        let mut preface = [0; PREFACE.len()];
        let awaited = &PREFACE[self.state.preface..];
        let room = match awaited.len() {
            0 => self.decoder.free(),
            len => &mut preface[..len],
        };
        match socket.read(room) {
            Ok(0) => return Err(End::Done),
            Ok(len) if awaited.is_empty() => self.decoder.received(len),
            Ok(len) if preface[..len] == awaited[..len] => self.state.preface += len,
            Ok(_) => return Err(protocol("no connection preface")),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
        self.frames()
    }

    fn frames(&mut self) -> Result<(), End> {
        let Self { root, writer, decoder, state, moved, .. } = self;
        loop {
            match decoder.next_frame() {
                Ok(None) => return Ok(()),
                Ok(Some(frame)) => {
                    let Some((head, _)) = Head::split(frame.payload) else { return Ok(()) };
                    *moved = Instant::now();
                    state.order.check(head)?;
                    match Frame::parse(frame.payload) {
                        Ok(frame) => state.frame(frame, head, writer, root)?,
                        Err(violation) => return Err(violation.into()),
                    }
                }
                Err(damage) => match damage.reason {
                    Reason::Http2(violation) => state.violation(violation, writer)?,
                    other => return Err(protocol(other.to_string())),
                },
            }
        }
    }

    /// Says why, waits a little for the peer to take it, and closes: a socket
    /// closed with bytes unread would take the GOAWAY back.
    fn go_away(&mut self, code: ErrorCode, text: &str) {
        let frame = Frame::GoAway { last_stream: self.state.last, code, debug: text.as_bytes() };
        let deadline = Instant::now() + CLOSING_MAX;
        let left = || deadline.saturating_duration_since(Instant::now());
        self.state.streams.abandon();
        if self.writer.control(&frame).is_err() {
            return;
        }
        while !left().is_zero() {
            match self.driver.turn() {
                Ok(Drive::Moved { .. }) => {}
                Ok(Drive::Blocked) if self.wait(true, left()).is_ok() => {
                    // What comes is not waited for here.
                    self.discard();
                }
                _ => break,
            }
        }
        self.linger(deadline);
    }

    /// Closes this end's half, and awaits that the peer closes its own.
    fn linger(&mut self, deadline: Instant) {
        let left = || deadline.saturating_duration_since(Instant::now());
        let _ = self.driver.sink().fd().shutdown(Shutdown::Write);
        while !left().is_zero() && self.wait(false, left()).is_ok() && self.discard() {}
    }

    /// Reads what nobody looks at; whether there may be more.
    fn discard(&self) -> bool {
        let mut socket: &TcpStream = self.driver.sink().fd();
        match socket.read(&mut [0; 4096]) {
            Ok(len) => len > 0,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }
}

impl State {
    /// A frame that broke a rule.
    fn violation(&mut self, violation: Violation, writer: &Writer) -> Result<(), End> {
        match violation.scope() {
            Scope::Stream(stream) if self.order.open().is_none() && !self.is_idle(stream) => {
                self.reset(stream, violation.code(), writer)
            }
            _ => Err(violation.into()),
        }
    }

    fn is_idle(&self, stream: StreamId) -> bool {
        !stream.is_clients() || self.last.is_none_or(|last| stream > last)
    }

    /// Resets a stream, by the peer's fault.
    fn reset(&mut self, stream: StreamId, code: ErrorCode, writer: &Writer) -> Result<(), End> {
        self.count_reset()?;
        self.refuse(stream, code, writer)
    }

    fn count_reset(&mut self) -> Result<(), End> {
        self.resets += 1;
        if self.resets > RESETS_MAX + self.requests / 2 {
            let text = format!("{} of {} requests reset", self.resets, self.requests);
            return Err(End::Error(ErrorCode::ENHANCE_YOUR_CALM, text));
        }
        Ok(())
    }

    fn refuse(&mut self, stream: StreamId, code: ErrorCode, writer: &Writer) -> Result<(), End> {
        self.streams.remove(stream);
        if self.reset.len() == RESET_KEPT {
            self.reset.pop_front();
        }
        self.reset.push_back(stream);
        Ok(writer.reset(stream, code)?)
    }

    fn frame(
        &mut self,
        frame: Frame<'_>,
        head: Head,
        writer: &Writer,
        root: &Root,
    ) -> Result<(), End> {
        if !self.settled && !matches!(frame, Frame::Settings(_)) {
            return Err(protocol(format!("{} before SETTINGS", head.kind)));
        }
        self.settled = true;
        match frame {
            Frame::Data { stream, end_stream, data, .. } => {
                self.data(stream, data, end_stream, head.payload_len, writer)
            }
            Frame::Headers { stream, end_stream, fragment, .. } => {
                let trailers = self.headers(stream, end_stream)?;
                self.block = Some(Block { stream, end_stream, trailers, bytes: Vec::new() });
                self.fragment(fragment, head, writer, root)
            }
            Frame::Continuation { fragment, .. } => self.fragment(fragment, head, writer, root),
            Frame::RstStream { stream, .. } => {
                if self.is_idle(stream) {
                    return Err(protocol(format!("RST_STREAM of idle stream {}", stream.number())));
                }
                let was_open = self.streams.contains(stream);
                self.streams.remove(stream);
                writer.close(stream);
                if was_open { self.count_reset() } else { Ok(()) }
            }
            Frame::Settings(settings) => {
                writer.settings(&settings)?;
                Ok(writer.control(&Frame::SettingsAck)?)
            }
            Frame::Ping { ack: false, data } => {
                Ok(writer.control(&Frame::Ping { ack: true, data })?)
            }
            Frame::GoAway { .. } => {
                self.leaving = true;
                Ok(())
            }
            Frame::WindowUpdate { stream: Some(stream), .. } if self.is_idle(stream) => {
                Err(protocol(format!("WINDOW_UPDATE of idle stream {}", stream.number())))
            }
            Frame::WindowUpdate { stream, increment } => match writer.update(stream, increment) {
                Err(FlowError { scope: Scope::Stream(stream), .. }) => {
                    self.reset(stream, ErrorCode::FLOW_CONTROL_ERROR, writer)
                }
                result => Ok(result?),
            },
            Frame::PushPromise { .. } => Err(protocol("PUSH_PROMISE from a client")),
            // Deprecated, an answer to nothing, or unknown.
            _ => Ok(()),
        }
    }

    fn data(
        &mut self,
        stream: StreamId,
        data: &[u8],
        end_stream: bool,
        frame_len: u32,
        writer: &Writer,
    ) -> Result<(), End> {
        if self.is_idle(stream) {
            return Err(protocol(format!("DATA of idle stream {}", stream.number())));
        }
        if !self.streams.take_window(frame_len) {
            let text = "more data than the connection's window".into();
            return Err(End::Error(ErrorCode::FLOW_CONTROL_ERROR, text));
        }
        if !self.streams.is_receiving(stream) {
            self.streams.ignore(frame_len);
            if self.reset.contains(&stream) {
                return Ok(());
            }
            return self.reset(stream, ErrorCode::STREAM_CLOSED, writer);
        }
        let taken = self.streams.receive(stream, data, frame_len);
        let ended = taken.and_then(|()| if end_stream { self.streams.end(stream) } else { Ok(()) });
        match ended {
            Ok(()) => Ok(()),
            Err(Refused(code)) => self.reset(stream, code, writer),
        }
    }

    /// Checks that a field block may begin on a stream (section 5.1); whether
    /// the stream was open before.
    fn headers(&mut self, stream: StreamId, end_stream: bool) -> Result<bool, End> {
        let number = stream.number();
        if !stream.is_clients() {
            return Err(protocol(format!("HEADERS of stream {number}, which is not a client's")));
        }
        if self.is_idle(stream) {
            self.last = Some(stream);
            return Ok(false);
        }
        if self.streams.is_receiving(stream) && !end_stream {
            return Err(protocol(format!("trailers of stream {number} without END_STREAM")));
        }
        if !self.streams.is_receiving(stream) && !self.reset.contains(&stream) {
            let text = format!("HEADERS of closed stream {number}");
            return Err(End::Error(ErrorCode::STREAM_CLOSED, text));
        }
        Ok(true)
    }

    fn fragment(
        &mut self,
        fragment: &[u8],
        head: Head,
        writer: &Writer,
        root: &Root,
    ) -> Result<(), End> {
        // `order` has seen to it that there is a block.
        let Some(mut block) = self.block.take() else { return Ok(()) };
        block.bytes.extend_from_slice(fragment);
        if head.has(flags::END_HEADERS) {
            return self.section(&block, writer, root);
        }
        self.block = Some(block);
        Ok(())
    }

    /// A whole header section: of a request, or its trailers.
    fn section(&mut self, block: &Block, writer: &Writer, root: &Root) -> Result<(), End> {
        let Block { stream, end_stream, trailers, .. } = *block;
        let decoded = if trailers {
            self.fields.trailers(&block.bytes).map(|()| None)
        } else {
            self.fields.request(&block.bytes).map(Some)
        };
        let full = self.streams.len() >= STREAMS_MAX;
        match decoded {
            Err(Bad::Compression(text)) => Err(End::Error(ErrorCode::COMPRESSION_ERROR, text)),
            Err(Bad::Flood(text)) => Err(End::Error(ErrorCode::ENHANCE_YOUR_CALM, text)),
            // Reset here, before the block or within it.
            _ if trailers && !self.streams.contains(stream) => Ok(()),
            // That a peer did not know, and is to try elsewhere.
            _ if !trailers && (full || self.stopping) => {
                self.refuse(stream, ErrorCode::REFUSED_STREAM, writer)
            }
            Err(Bad::Malformed(_)) => self.reset(stream, ErrorCode::PROTOCOL_ERROR, writer),
            Err(Bad::TooLong) if trailers => self.reset(stream, ErrorCode::PROTOCOL_ERROR, writer),
            Err(Bad::TooLong) => Ok(self.streams.refuse(stream, 431, end_stream)?),
            Ok(None) => match self.streams.end(stream) {
                Ok(()) => Ok(()),
                Err(Refused(code)) => self.reset(stream, code, writer),
            },
            // A body that was announced and does not come (section 8.1.1).
            Ok(Some(Request { content_length: Some(1..), .. })) if end_stream => {
                self.reset(stream, ErrorCode::PROTOCOL_ERROR, writer)
            }
            Ok(Some(request)) => {
                self.requests += 1;
                Ok(self.streams.answer(stream, &request, end_stream, root)?)
            }
        }
    }
}
