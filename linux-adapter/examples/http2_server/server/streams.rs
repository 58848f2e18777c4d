//! What each stream of a connection is doing.

use std::collections::BTreeMap;

use forebay_std::{
    forebay::frame::http2::{ErrorCode, Frame, Increment, StreamId},
    http2::{Group, OfferError, Payload, Urgency, Window, Writer},
};

use super::{
    fields::{self, Request},
    files::{Opened, Root},
};

/// The most streams at a time, `SETTINGS_MAX_CONCURRENT_STREAMS`.
pub(super) const STREAMS_MAX: usize = 100;
/// How much of a file is read at a time; what a slow reader keeps in memory,
/// a stream.
pub(super) const CHUNK_LEN: usize = 32 * 1024;
/// A window for what is received is given back when so much of it has been
/// used.
const CREDIT_MIN: u32 = 16 * 1024;
/// The connection's window for what is received: all that echoes may keep in
/// memory beside a chunk each, from which on the windows stay closed.
const RECEIVE_MAX: u32 = 1 << 20;
/// Room for a header section of a response.
const SECTION_LEN: usize = 256;
/// What waits at most: chunks of files and of echoes, and echoes within the
/// window.
pub(super) const PENDING_MAX: usize =
    STREAMS_MAX * (CHUNK_LEN + SECTION_LEN) + RECEIVE_MAX as usize;

/// A stream that is not closed.
pub(super) struct Stream {
    /// Whether the request has not ended.
    receiving: bool,
    /// What the peer may still send.
    window: Window,
    /// Bytes received that the window has not been given back.
    credit: u32,
    /// Bytes received that the connection's window has not been given back.
    kept: u32,
    received: u64,
    content_length: Option<u64>,
    upload: Upload,
    /// What is still to be sent of a file.
    body: Option<Body>,
}

/// What becomes of a request's data.
enum Upload {
    Ignored,
    Counted,
    Echoed,
}

struct Body {
    opened: Opened,
    at: u64,
}

/// Why data was not taken: the stream's error, by its code.
pub(super) struct Refused(pub(super) ErrorCode);

/// A connection's streams.
pub(super) struct Streams {
    writer: Writer,
    streams: BTreeMap<StreamId, Stream>,
    /// What the peer may still send on all streams.
    window: Window,
    /// Used bytes of it that it has not been given back.
    credit: u32,
}

impl Streams {
    /// No streams; the connection's window is to be grown to what this server
    /// has.
    pub(super) fn new(writer: Writer) -> Self {
        let window = Window::new(Window::INITIAL);
        Self { writer, streams: BTreeMap::new(), window, credit: RECEIVE_MAX - Window::INITIAL }
    }

    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn contains(&self, stream: StreamId) -> bool {
        self.streams.contains_key(&stream)
    }

    /// Whether the stream's request goes on.
    pub(super) fn is_receiving(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(|it| it.receiving)
    }

    pub(super) fn remove(&mut self, stream: StreamId) {
        if let Some(removed) = self.streams.remove(&stream) {
            self.credit += removed.kept;
        }
    }

    /// Gives up every stream and what waits of it.
    pub(super) fn abandon(&mut self) {
        let Self { writer, streams, .. } = self;
        streams.keys().for_each(|&stream| writer.close(stream));
        streams.clear();
    }

    /// Opens a stream and answers its request, or begins to.
    pub(super) fn answer(
        &mut self,
        id: StreamId,
        request: &Request,
        ended: bool,
        root: &Root,
    ) -> Result<(), OfferError> {
        self.writer.open(id, Urgency::DEFAULT)?;
        let mut stream = Stream {
            receiving: !ended,
            window: Window::new(Window::INITIAL),
            credit: 0,
            kept: 0,
            received: 0,
            content_length: request.content_length,
            upload: Upload::Ignored,
            body: None,
        };
        let head = request.method == b"HEAD";
        let mut group = Group::new(id);
        match &request.method[..] {
            b"GET" | b"HEAD" => match root.file(&request.path) {
                Err(_) => group = status(group, 503, head),
                Ok(None) => group = status(group, 404, head),
                Ok(Some(opened)) => {
                    group = group.headers(&fields::response(200, Some(opened.len)));
                    (group, stream.body) = first_chunk(group, opened, head);
                }
            },
            b"POST" | b"PUT" if request.path == b"/echo" => {
                stream.upload = Upload::Echoed;
                group = group.headers(&fields::response(200, request.content_length));
                if ended {
                    group = group.end();
                }
            }
            b"POST" | b"PUT" => {
                stream.upload = Upload::Counted;
                group = group.headers(&fields::response(200, None));
                if ended {
                    group = group.data(Payload::new("0\n")).end();
                }
            }
            _ => group = status(group, 405, head),
        }
        self.streams.insert(id, stream);
        self.writer.offer(group)
    }

    /// Answers with a status alone and takes no more of the request.
    pub(super) fn refuse(
        &mut self,
        id: StreamId,
        code: u16,
        ended: bool,
    ) -> Result<(), OfferError> {
        self.writer.open(id, Urgency::DEFAULT)?;
        let stream = Stream {
            receiving: !ended,
            window: Window::new(Window::INITIAL),
            credit: 0,
            kept: 0,
            received: 0,
            content_length: None,
            upload: Upload::Ignored,
            body: None,
        };
        self.streams.insert(id, stream);
        self.writer.offer(status(Group::new(id), code, false))
    }

    /// Takes a DATA frame's payload from the connection's window, whatever
    /// becomes of it; whether there was room.
    pub(super) fn take_window(&mut self, frame_len: u32) -> bool {
        self.window.take(frame_len as usize)
    }

    /// Takes the data of a frame of `frame_len` bytes, padding included, all
    /// of which the windows count.
    pub(super) fn receive(
        &mut self,
        id: StreamId,
        data: &[u8],
        frame_len: u32,
    ) -> Result<(), Refused> {
        let stream = self.streams.get_mut(&id).ok_or(Refused(ErrorCode::STREAM_CLOSED))?;
        if !stream.window.take(frame_len as usize) {
            return Err(Refused(ErrorCode::FLOW_CONTROL_ERROR));
        }
        stream.credit += frame_len;
        stream.kept += frame_len;
        stream.received += data.len() as u64;
        if stream.content_length.is_some_and(|length| stream.received > length) {
            return Err(Refused(ErrorCode::PROTOCOL_ERROR));
        }
        if let Upload::Echoed = stream.upload
            && !data.is_empty()
        {
            let group = Group::new(id).data(Payload::new(data.to_vec()));
            self.writer.offer(group).map_err(|_| Refused(ErrorCode::INTERNAL_ERROR))?;
        }
        Ok(())
    }

    /// Counts received bytes as used that no stream has.
    pub(super) fn ignore(&mut self, frame_len: u32) {
        self.credit += frame_len;
    }

    /// The request has ended.
    pub(super) fn end(&mut self, id: StreamId) -> Result<(), Refused> {
        let stream = self.streams.get_mut(&id).ok_or(Refused(ErrorCode::STREAM_CLOSED))?;
        if stream.content_length.is_some_and(|length| stream.received != length) {
            return Err(Refused(ErrorCode::PROTOCOL_ERROR));
        }
        stream.receiving = false;
        let group = match stream.upload {
            Upload::Ignored => return Ok(()),
            Upload::Echoed => Group::new(id).end(),
            Upload::Counted => {
                Group::new(id).data(Payload::new(format!("{}\n", stream.received))).end()
            }
        };
        self.writer.offer(group).map_err(|_| Refused(ErrorCode::INTERNAL_ERROR))
    }

    /// Reads on in files whose last chunk has left, gives windows back, and
    /// forgets streams that are through.
    pub(super) fn go_on(&mut self) -> Result<(), OfferError> {
        let Self { writer, streams, window, credit } = self;
        let mut closed = Vec::new();
        for (&id, stream) in streams {
            if stream.go_on(id, writer)? && !stream.receiving && !writer.is_open(id) {
                closed.push(id);
            }
            // What is echoed is kept until it has left.
            if !matches!(stream.upload, Upload::Echoed) || writer.pending(id) < CHUNK_LEN {
                *credit += std::mem::take(&mut stream.kept);
                let credit = if stream.receiving { &mut stream.credit } else { &mut 0 };
                give_back(writer, Some(id), &mut stream.window, credit)?;
            }
        }
        give_back(writer, None, window, credit)?;
        closed.iter().for_each(|&id| self.remove(id));
        Ok(())
    }
}

/// Gives a window back what has been used of it, if that is worth a frame.
fn give_back(
    writer: &Writer,
    stream: Option<StreamId>,
    window: &mut Window,
    credit: &mut u32,
) -> Result<(), OfferError> {
    if let Some(increment) = Increment::new(*credit)
        && *credit >= CREDIT_MIN
        && window.grow(increment)
    {
        writer.control(&Frame::WindowUpdate { stream, increment })?;
        *credit = 0;
    }
    Ok(())
}

impl Stream {
    /// Offers the next chunk when the last one has left and there is a window;
    /// whether nothing is left to offer.
    fn go_on(&mut self, id: StreamId, writer: &Writer) -> Result<bool, OfferError> {
        let Some(body) = &mut self.body else { return Ok(true) };
        if writer.pending(id) > 0 || writer.room(id) == 0 {
            return Ok(false);
        }
        let left = body.opened.len - body.at;
        let len = usize::try_from(left).map_or(CHUNK_LEN, |left| left.min(CHUNK_LEN));
        let Ok(bytes) = body.opened.read(body.at, len) else {
            // It has become shorter than was promised.
            self.body = None;
            self.receiving = false;
            writer.reset(id, ErrorCode::INTERNAL_ERROR)?;
            return Ok(true);
        };
        body.at += len as u64;
        let group = Group::new(id).data(Payload::new(bytes));
        if body.at < body.opened.len {
            writer.offer(group)?;
            return Ok(false);
        }
        self.body = None;
        writer.offer(group.end())?;
        Ok(true)
    }
}

/// The first chunk, with the header section, so that a small response leaves
/// at once; and the rest.
fn first_chunk(group: Group, opened: Opened, head: bool) -> (Group, Option<Body>) {
    let len = usize::try_from(opened.len).unwrap_or(usize::MAX).min(CHUNK_LEN);
    if head || len == 0 {
        return (group.end(), None);
    }
    // A file that cannot be read is found out by the next read.
    let Ok(bytes) = opened.read(0, len) else { return (group, Some(Body { opened, at: 0 })) };
    let group = group.data(Payload::new(bytes));
    if len as u64 == opened.len {
        (group.end(), None)
    } else {
        (group, Some(Body { opened, at: len as u64 }))
    }
}

/// A response of a status and its number as text.
fn status(group: Group, code: u16, head: bool) -> Group {
    let text = format!("{code}\n");
    let group = group.headers(&fields::response(code, Some(text.len() as u64)));
    if head { group.end() } else { group.data(Payload::new(text)).end() }
}
