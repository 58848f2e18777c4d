//! The formats once more, for whole streams: slow, plain, and without a call
//! of the crate. From the crate only the types of the answers are taken.

use forebay::frame::Reason;

use super::crc::IBM_SDLC;

/// What happened at one place of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Frame { offset: u64, frame_len: usize, payload: Vec<u8> },
    Damage { offset: u64, reason: Reason },
}

/// What became of a whole stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) events: Vec<Event>,
    pub(crate) bytes_lost: u64,
    pub(crate) bytes_idle: u64,
}

impl Outcome {
    pub(crate) fn payloads(&self) -> Vec<&[u8]> {
        let payloads = self.events.iter().filter_map(|event| match event {
            Event::Frame { payload, .. } => Some(&payload[..]),
            Event::Damage { .. } => None,
        });
        payloads.collect()
    }

    fn frame(&mut self, offset: usize, frame_len: usize, payload: &[u8]) {
        let (offset, payload) = (offset as u64, payload.to_vec());
        self.events.push(Event::Frame { offset, frame_len, payload });
    }

    fn damage(&mut self, offset: usize, lost: usize, reason: Reason) {
        self.events.push(Event::Damage { offset: offset as u64, reason });
        self.bytes_lost += lost as u64;
    }
}

/// A checksum of `len` bytes on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sum {
    pub(crate) len: usize,
    pub(crate) of: fn(&[u8]) -> u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Spec {
    Prefixed(Prefixed),
    Cobs(Cobs),
}

impl Spec {
    pub(crate) fn encode(&self, payload: &[u8]) -> Vec<u8> {
        match self {
            Self::Prefixed(prefixed) => prefixed.encode(payload),
            Self::Cobs(cobs) => cobs.encode(payload),
        }
    }

    pub(crate) fn decode(&self, stream: &[u8]) -> Outcome {
        match self {
            Self::Prefixed(prefixed) => prefixed.decode(stream),
            Self::Cobs(cobs) => cobs.decode(stream),
        }
    }

    pub(crate) fn payload_len_max(&self) -> usize {
        match self {
            Self::Prefixed(prefixed) => prefixed.payload_len_max,
            Self::Cobs(cobs) => cobs.payload_len_max,
        }
    }
}

/// What is wrong, and how many bytes that concerns: `None` when nothing tells
/// where the next frame is.
type Wrong = (Option<usize>, Reason);

/// `length | head check | [checksum] | payload | [checksum]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefixed {
    /// 0: a varint.
    pub(crate) width: usize,
    pub(crate) big_endian: bool,
    pub(crate) head_check: bool,
    pub(crate) before: bool,
    pub(crate) covers_head: bool,
    pub(crate) payload_len_max: usize,
    pub(crate) sum: Sum,
}

impl Prefixed {
    fn number(&self, value: u64, len: usize) -> Vec<u8> {
        let mut bytes = value.to_le_bytes()[..len].to_vec();
        if self.big_endian {
            bytes.reverse();
        }
        bytes
    }

    fn value(&self, bytes: &[u8]) -> u64 {
        let fold = |value, &byte| value << 8 | u64::from(byte);
        if self.big_endian { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) }
    }

    fn check_len(&self) -> usize {
        if self.head_check { 2 } else { 0 }
    }

    fn length(&self, payload_len: usize) -> Vec<u8> {
        if self.width == 0 {
            varint(payload_len)
        } else {
            self.number(payload_len as u64, self.width)
        }
    }

    fn checksum(&self, lead: &[u8], payload: &[u8]) -> Vec<u8> {
        let covered = if self.covers_head { [lead, payload].concat() } else { payload.to_vec() };
        self.number((self.sum.of)(&covered), self.sum.len)
    }

    fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let mut lead = self.length(payload.len());
        if self.head_check {
            lead.extend(self.number(IBM_SDLC.of(&lead), 2));
        }
        let checksum = self.checksum(&lead, payload);
        if self.before {
            [&lead, &checksum, payload].concat()
        } else {
            [&lead, payload, &checksum].concat()
        }
    }

    /// The payload's length out of a length and its check.
    fn read_lead(&self, length: &[u8], check: &[u8]) -> Result<usize, Reason> {
        let computed = IBM_SDLC.of(length);
        let received = self.value(check);
        if self.head_check && computed != received {
            let (computed, received) = (computed.try_into().unwrap(), received.try_into().unwrap());
            return Err(Reason::HeadCheck { computed, received });
        }
        let len = if self.width == 0 { varint_value(length)? } else { self.value(length) };
        let len_max = self.payload_len_max as u64;
        if len > len_max {
            return Err(Reason::TooLong { len, len_max });
        }
        Ok(len.try_into().unwrap())
    }

    /// How many bytes of `rest` are its length.
    fn width(&self, rest: &[u8]) -> Result<usize, Wrong> {
        if self.width > 0 {
            return Ok(self.width);
        }
        let longest = varint(self.payload_len_max).len();
        let received = rest.len();
        match rest.iter().take(longest).position(|byte| *byte < 128) {
            Some(last) => Ok(last + 1),
            None if received < longest => {
                Err((Some(received), Reason::Truncated { received, needed: received + 1 }))
            }
            None => {
                let (len, len_max) = (1 << (7 * longest), self.payload_len_max as u64);
                Err((None, Reason::TooLong { len, len_max }))
            }
        }
    }

    /// The frame at the front of `rest`: its length and payload.
    fn frame<'s>(&self, rest: &'s [u8]) -> Result<(usize, &'s [u8]), Wrong> {
        let received = rest.len();
        let truncated = |needed| (Some(received), Reason::Truncated { received, needed });
        let width = self.width(rest)?;
        let lead_len = width + self.check_len();
        let lead = rest.get(..lead_len).ok_or(truncated(lead_len))?;
        let (length, check) = lead.split_at(width);
        let len = self.read_lead(length, check).map_err(|reason| (None, reason))?;
        let frame_len = lead_len + len + self.sum.len;
        let body = rest.get(lead_len..frame_len).ok_or(truncated(frame_len))?;
        let (payload, checksum) = if self.before {
            let (checksum, payload) = body.split_at(self.sum.len);
            (payload, checksum)
        } else {
            body.split_at(len)
        };
        let computed = self.value(&self.checksum(lead, payload));
        let received = self.value(checksum);
        if computed != received {
            return Err((Some(frame_len), Reason::Checksum { computed, received }));
        }
        Ok((frame_len, payload))
    }

    fn decode(&self, stream: &[u8]) -> Outcome {
        let mut outcome = Outcome::default();
        let mut at = 0;
        while at < stream.len() {
            match self.frame(&stream[at..]) {
                Ok((frame_len, payload)) => {
                    outcome.frame(at, frame_len, payload);
                    at += frame_len;
                }
                Err((skip, reason)) => {
                    let skip = skip.unwrap_or_else(|| self.search(&stream[at..]));
                    outcome.damage(at, skip, reason);
                    at += skip;
                }
            }
        }
        outcome
    }

    /// The bytes before the next whole good frame, at least one.
    fn search(&self, rest: &[u8]) -> usize {
        let mut places = 1..rest.len();
        let good = |&at: &usize| self.head_check && self.frame(&rest[at..]).is_ok();
        places.find(good).unwrap_or(rest.len())
    }
}

/// Seven bits a byte, least significant first; 128 is added to all but the
/// last.
fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 128 {
        bytes.push(u8::try_from(number % 128 + 128).unwrap());
        number /= 128;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

/// The number, unless fewer bytes say it.
fn varint_value(bytes: &[u8]) -> Result<u64, Reason> {
    let number = bytes.iter().rev().fold(0, |number, byte| number * 128 + u64::from(byte % 128));
    if varint(number.try_into().unwrap()) != bytes {
        let value = bytes.iter().take(4).fold(0, |value, &byte| value * 256 + u32::from(byte));
        return Err(Reason::Head { value });
    }
    Ok(number)
}

/// `COBS(payload | checksum LE) | 00`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cobs {
    pub(crate) payload_len_max: usize,
    pub(crate) sum: Sum,
}

impl Cobs {
    fn encode(&self, payload: &[u8]) -> Vec<u8> {
        let checksum = (self.sum.of)(payload).to_le_bytes();
        let mut frame = stuff(&[payload, &checksum[..self.sum.len]].concat());
        frame.push(0);
        frame
    }

    /// The longest frame of a payload that is allowed: one without zeros.
    fn frame_len_max(&self) -> usize {
        stuff(&vec![1; self.payload_len_max + self.sum.len]).len() + 1
    }

    fn decode(&self, stream: &[u8]) -> Outcome {
        let mut outcome = Outcome::default();
        let frame_len_max = self.frame_len_max();
        let len_max = frame_len_max as u64;
        let mut at = 0;
        for piece in stream.split_inclusive(|&byte| byte == 0) {
            let (len, whole) = (piece.len(), piece.ends_with(&[0]));
            let stuffed = piece.strip_suffix(&[0]).unwrap_or(piece);
            if stuffed.is_empty() {
                outcome.bytes_idle += 1;
            } else if stuffed.len() >= frame_len_max {
                outcome.damage(at, len, Reason::TooLong { len: len_max + 1, len_max });
            } else if !whole {
                let reason = Reason::Truncated { received: len, needed: len + 1 };
                outcome.damage(at, len, reason);
            } else {
                match self.payload(stuffed) {
                    Ok(payload) => outcome.frame(at, len, &payload),
                    Err(reason) => outcome.damage(at, len, reason),
                }
            }
            at += len;
        }
        outcome
    }

    fn payload(&self, stuffed: &[u8]) -> Result<Vec<u8>, Reason> {
        let mut content = unstuff(stuffed).map_err(|at| Reason::Stuffing { at })?;
        let (len, len_min) = (content.len(), self.sum.len);
        if len < len_min {
            return Err(Reason::TooShort { len, len_min });
        }
        let len = len - len_min;
        if len > self.payload_len_max {
            let (len, len_max) = (len as u64, self.payload_len_max as u64);
            return Err(Reason::TooLong { len, len_max });
        }
        let checksum = content.split_off(len);
        let received = checksum.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
        let computed = (self.sum.of)(&content).to_le_bytes();
        let computed =
            computed[..len_min].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
        if computed != received {
            return Err(Reason::Checksum { computed, received });
        }
        Ok(content)
    }
}

/// Blocks of a code byte, which is one more than the bytes that follow, and
/// bytes that are not zero. A block of fewer than 254 stands for a zero after
/// it too, unless it is the last.
fn stuff(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut block = Vec::new();
    let mut close = |block: &mut Vec<u8>| {
        out.push(u8::try_from(block.len() + 1).unwrap());
        out.append(block);
    };
    for &byte in content {
        if block.len() == 254 {
            close(&mut block);
        }
        if byte == 0 {
            close(&mut block);
        } else {
            block.push(byte);
        }
    }
    close(&mut block);
    out
}

fn unstuff(mut stuffed: &[u8]) -> Result<Vec<u8>, usize> {
    let (mut content, len) = (Vec::new(), stuffed.len());
    while let [code, ..] = *stuffed {
        let block = stuffed.get(1..usize::from(code)).ok_or(len - stuffed.len())?;
        content.extend_from_slice(block);
        stuffed = &stuffed[usize::from(code)..];
        if code < 255 && !stuffed.is_empty() {
            content.push(0);
        }
    }
    Ok(content)
}
