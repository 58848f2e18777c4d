//! The packets of TFTP (RFC 1350, section 5, and RFC 2347).

/// A request is no longer than this (RFC 2347).
pub(crate) const REQUEST_LEN_MAX: usize = 512;
/// Opcode and block number, before the bytes of a DATA packet.
pub(crate) const HEAD_LEN: usize = 4;
/// As much as is looked at of a packet where no DATA is wanted.
pub(crate) const BARE_LEN_MAX: usize = 128;

const RRQ: u16 = 1;
const WRQ: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;

/// The codes of ERROR packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Code {
    Undefined = 0,
    NotFound = 1,
    AccessViolation = 2,
    DiskFull = 3,
    IllegalOperation = 4,
    UnknownTransfer = 5,
    Exists = 6,
    Options = 8,
}

/// What a peer is told, or was refused for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) text: &'static str,
}

pub(crate) const fn refusal(code: Code, text: &'static str) -> Refusal {
    Refusal { code, text }
}

impl Refusal {
    /// The ERROR packet.
    pub(crate) fn packet(&self) -> Vec<u8> {
        let head = [ERROR.to_be_bytes(), (self.code as u16).to_be_bytes()].concat();
        [&head, self.text.as_bytes(), b"\0"].concat()
    }
}

/// A packet, borrowed from where it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet<'p> {
    Request(Request<'p>),
    Data { block: u16, data: &'p [u8] },
    Ack { block: u16 },
    Error { code: u16, text: &'p [u8] },
    Oack(Options<'p>),
}

/// RRQ or WRQ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request<'p> {
    pub(crate) writes: bool,
    pub(crate) name: &'p [u8],
    pub(crate) mode: &'p [u8],
    pub(crate) options: Options<'p>,
}

/// Names and values, each ended by a zero byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options<'p>(&'p [u8]);

impl<'p> Packet<'p> {
    /// Reads a packet; `None` for what is none.
    pub(crate) fn decode(bytes: &'p [u8]) -> Option<Self> {
        let (opcode, body) = u16_of(bytes)?;
        Some(match opcode {
            RRQ | WRQ => {
                if bytes.len() > REQUEST_LEN_MAX {
                    return None;
                }
                let (name, rest) = text_of(body)?;
                let (mode, rest) = text_of(rest)?;
                let options = Options::decode(rest)?;
                Self::Request(Request { writes: opcode == WRQ, name, mode, options })
            }
            DATA => {
                let (block, data) = u16_of(body)?;
                Self::Data { block, data }
            }
            // Some clients pad it.
            ACK => Self::Ack { block: u16_of(body)?.0 },
            ERROR => {
                let (code, text) = u16_of(body)?;
                // Some forget the zero byte.
                let text = text_of(text).map_or(text, |(text, _)| text);
                Self::Error { code, text }
            }
            OACK => Self::Oack(Options::decode(body)?),
            _ => return None,
        })
    }
}

impl<'p> Options<'p> {
    /// Reads options; `None` for what is none.
    pub(crate) fn decode(bytes: &'p [u8]) -> Option<Self> {
        let mut rest = bytes;
        while !rest.is_empty() {
            (_, rest) = text_of(rest)?;
            (_, rest) = text_of(rest)?;
        }
        Some(Self(bytes))
    }

    /// As they were received.
    pub(crate) fn bytes(&self) -> &'p [u8] {
        self.0
    }

    /// The pairs of name and value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'p [u8], &'p [u8])> + use<'p> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (name, behind) = text_of(rest)?;
            let (value, behind) = text_of(behind)?;
            rest = behind;
            Some((name, value))
        })
    }
}

/// The head of a DATA packet.
pub(crate) fn data_head(block: u16) -> [u8; HEAD_LEN] {
    head(DATA, block)
}

/// An ACK packet.
pub(crate) fn ack(block: u16) -> [u8; HEAD_LEN] {
    head(ACK, block)
}

/// An OACK packet of these options; nothing if there are none.
pub(crate) fn oack<'o>(options: impl IntoIterator<Item = (&'o str, u64)>) -> Vec<u8> {
    let mut packet = Vec::new();
    for (name, value) in options {
        if packet.is_empty() {
            packet.extend(OACK.to_be_bytes());
        }
        packet.extend(format!("{name}\0{value}\0").as_bytes());
    }
    packet
}

fn head(opcode: u16, number: u16) -> [u8; HEAD_LEN] {
    let ([a, b], [c, d]) = (opcode.to_be_bytes(), number.to_be_bytes());
    [a, b, c, d]
}

fn u16_of(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (&number, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(number), rest))
}

fn text_of(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}
