//! A frame without its payload: what stands before and after it.

use super::{Frame, Head, Http2, Kind, flags};
use crate::frame::{Encode, EncodeError, Envelope, room};

/// The most bytes before a payload: head, pad length, priority fields or the
/// eight bytes of GOAWAY.
const LEAD_MAX: usize = Head::LEN + 8;

/// A frame's fixed parts, as a format whose payload is the rest of the frame:
/// data, a piece of a field block, debug data, settings.
#[derive(Clone, Copy)]
pub(super) struct Outline {
    head: Head,
    /// What follows the head; the first `fields_len` bytes count.
    fields: [u8; LEAD_MAX - Head::LEN],
    fields_len: usize,
    padding: u8,
}

impl Outline {
    fn new(kind: Kind, flags: u8, stream: u32) -> Self {
        let head = Head { payload_len: 0, kind, flags, stream };
        Self { head, fields: [0; LEAD_MAX - Head::LEN], fields_len: 0, padding: 0 }
    }

    /// Appends a field.
    fn field(mut self, bytes: &[u8]) -> Self {
        let free = self.fields.get_mut(self.fields_len..).unwrap_or_default();
        if let Some(free) = free.get_mut(..bytes.len()) {
            free.copy_from_slice(bytes);
            self.fields_len += bytes.len();
        }
        self
    }

    fn flag(mut self, flag: u8, set: bool) -> Self {
        self.head.flags |= if set { flag } else { 0 };
        self
    }

    fn padded(self, padding: Option<u8>) -> Self {
        let Some(padding) = padding else { return self };
        let mut padded = self.flag(flags::PADDED, true).field(&[padding]);
        padded.padding = padding;
        padded
    }

    /// The outline of `frame`, and the rest of it.
    pub(super) fn of<'p>(frame: &Frame<'p>) -> (Self, &'p [u8]) {
        match *frame {
            Frame::Data { stream, end_stream, padding, data } => {
                let outline = Self::new(Kind::DATA, 0, stream.number());
                (outline.flag(flags::END_STREAM, end_stream).padded(padding), data)
            }
            Frame::Headers { stream, end_stream, end_headers, priority, padding, fragment } => {
                let mut outline = Self::new(Kind::HEADERS, 0, stream.number())
                    .flag(flags::END_STREAM, end_stream)
                    .flag(flags::END_HEADERS, end_headers)
                    .padded(padding);
                if let Some(priority) = priority {
                    outline = outline.flag(flags::PRIORITY, true).field(&priority.encode());
                }
                (outline, fragment)
            }
            Frame::Priority { stream, priority } => {
                (Self::new(Kind::PRIORITY, 0, stream.number()).field(&priority.encode()), &[])
            }
            Frame::RstStream { stream, code } => {
                let outline = Self::new(Kind::RST_STREAM, 0, stream.number());
                (outline.field(&code.0.to_be_bytes()), &[])
            }
            Frame::Settings(settings) => (Self::new(Kind::SETTINGS, 0, 0), settings.as_bytes()),
            Frame::SettingsAck => (Self::new(Kind::SETTINGS, flags::ACK, 0), &[]),
            Frame::PushPromise { stream, promised, end_headers, padding, fragment } => {
                let outline = Self::new(Kind::PUSH_PROMISE, 0, stream.number())
                    .flag(flags::END_HEADERS, end_headers)
                    .padded(padding)
                    .field(&promised.number().to_be_bytes());
                (outline, fragment)
            }
            Frame::Ping { ack, ref data } => {
                (Self::new(Kind::PING, 0, 0).flag(flags::ACK, ack).field(data), &[])
            }
            Frame::GoAway { last_stream, code, debug } => {
                let outline = Self::new(Kind::GOAWAY, 0, 0)
                    .field(&last_stream.map_or(0, |stream| stream.number()).to_be_bytes())
                    .field(&code.0.to_be_bytes());
                (outline, debug)
            }
            Frame::WindowUpdate { stream, increment } => {
                let stream = stream.map_or(0, |stream| stream.number());
                let outline = Self::new(Kind::WINDOW_UPDATE, 0, stream);
                (outline.field(&increment.number().to_be_bytes()), &[])
            }
            Frame::Continuation { stream, end_headers, fragment } => {
                let outline = Self::new(Kind::CONTINUATION, 0, stream.number());
                (outline.flag(flags::END_HEADERS, end_headers), fragment)
            }
            Frame::Unknown { kind, flags, stream, payload } => {
                (Self::new(kind, flags, stream), payload)
            }
        }
    }

    /// The head with its length, for so many bytes of the rest.
    pub(super) fn head(&self, rest_len: usize) -> Result<Head, EncodeError> {
        let around = self.fields_len + usize::from(self.padding);
        let greatest = Http2::PAYLOAD_LEN_MAX_GREATEST;
        match u32::try_from(rest_len.saturating_add(around)) {
            Ok(payload_len) if payload_len <= greatest => Ok(Head { payload_len, ..self.head }),
            _ => {
                let payload_len_max = greatest as usize - around;
                Err(EncodeError::TooLong { payload_len: rest_len, payload_len_max })
            }
        }
    }
}

impl Encode for Outline {
    fn frame_len_max(&self, payload_len: usize) -> usize {
        let around = Head::LEN + self.fields_len + usize::from(self.padding);
        payload_len.saturating_add(around)
    }

    fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, EncodeError> {
        let head = self.head(payload.len())?.encode();
        let frame_len = self.frame_len_max(payload.len());
        let mut bytes = room(out, frame_len)?.iter_mut();
        let fields = self.fields.get(..self.fields_len).unwrap_or_default();
        for part in [&head, fields] {
            bytes.by_ref().zip(part).for_each(|(out, &byte)| *out = byte);
        }
        // What is left is the payload's and the padding's.
        if let Some((rest, padding)) = bytes.into_slice().split_at_mut_checked(payload.len()) {
            rest.copy_from_slice(payload);
            padding.fill(0);
        }
        Ok(frame_len)
    }

    fn envelope(&self, payload: &[u8], out: &mut [u8]) -> Result<Option<Envelope>, EncodeError> {
        let head = self.head(payload.len())?.encode();
        let envelope =
            Envelope { head_len: Head::LEN + self.fields_len, tail_len: usize::from(self.padding) };
        let out = room(out, envelope.head_len + envelope.tail_len)?;
        out.fill(0);
        let fields = self.fields.get(..self.fields_len).unwrap_or_default();
        let bytes = head.iter().chain(fields);
        out.iter_mut().zip(bytes).for_each(|(out, &byte)| *out = byte);
        Ok(Some(envelope))
    }
}
