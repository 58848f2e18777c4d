//! Every member of the format families, beside its spec.

use forebay::checksum::{CRC16, CRC32, CRC64, Checksum, NoChecksum};
use forebay::frame::{
    Cobs, Cover, Decode, Encode, EncodeError, Envelope, Order, Place, Prefixed, Resync, Step, Width,
};

use super::crc;
use super::spec::{self, Spec, Sum};

/// A format of the crate and its spec.
pub(crate) struct Member {
    pub(crate) spec: Spec,
    pub(crate) format: Box<dyn Format>,
}

/// What encodes and decodes, behind one pointer: the families have hundreds
/// of members.
pub(crate) trait Format: Encode + Decode {}

impl<F: Encode + Decode> Format for F {}

/// Decoding and encoding through the pointer.
#[derive(Clone, Copy)]
pub(crate) struct Borrowed<'m>(pub(crate) &'m dyn Format);

impl Decode for Borrowed<'_> {
    fn buffer_len_min(&self) -> usize {
        Decode::buffer_len_min(self.0)
    }

    fn decode(&self, input: &mut [u8], seen: usize) -> Step {
        self.0.decode(input, seen)
    }

    fn resync(&self, input: &[u8]) -> Resync {
        self.0.resync(input)
    }
}

impl Encode for Borrowed<'_> {
    fn frame_len_max(&self, payload_len: usize) -> usize {
        Encode::frame_len_max(self.0, payload_len)
    }

    fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, EncodeError> {
        self.0.encode(payload, out)
    }

    fn envelope(&self, payload: &[u8], out: &mut [u8]) -> Result<Option<Envelope>, EncodeError> {
        self.0.envelope(payload, out)
    }
}

/// A checksum of a user's own, of a length that no integer has; its high
/// bytes are to be cut off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Custom;

impl Checksum for Custom {
    const LEN: usize = 3;

    fn compute(&self, parts: &[&[u8]]) -> u64 {
        custom(&parts.concat())
    }
}

fn custom(bytes: &[u8]) -> u64 {
    bytes.iter().fold(u64::MAX, |sum, &byte| sum.wrapping_mul(31) ^ u64::from(byte))
}

const NONE: Sum = Sum { len: 0, of: |_| 0 };
const CUSTOM: Sum = Sum { len: 3, of: custom };
const SUM16: Sum = Sum { len: 2, of: |bytes| crc::XMODEM.of(bytes) };
const SUM32: Sum = Sum { len: 4, of: |bytes| crc::ISO_HDLC.of(bytes) };
const SUM64: Sum = Sum { len: 8, of: |bytes| crc::XZ.of(bytes) };

/// All of them, with payloads of at most `payload_len_max` bytes.
pub(crate) fn all(payload_len_max: usize) -> Vec<Member> {
    let mut members = prefixed(payload_len_max);
    members.extend(cobs(payload_len_max));
    members
}

/// Width or varint x order x head check x place x cover x checksum.
pub(crate) fn prefixed(payload_len_max: usize) -> Vec<Member> {
    let mut members = Vec::new();
    for width in [Width::U8, Width::U16, Width::U32, Width::U64] {
        let format = Prefixed::new(width, payload_len_max);
        every(format, width.len_bytes(), payload_len_max, &mut members);
    }
    every(Prefixed::varint(payload_len_max), 0, payload_len_max, &mut members);
    members.push(native(payload_len_max));
    members.push(flatstream(payload_len_max));
    members
}

fn every<const VARINT: bool>(
    plain: Prefixed<NoChecksum, VARINT>,
    width: usize,
    payload_len_max: usize,
    members: &mut Vec<Member>,
) {
    for bits in 0..16 {
        let bit = |bit: u32| bits >> bit & 1 == 1;
        let order = if bit(0) { Order::Big } else { Order::Little };
        let place = if bit(1) { Place::BeforePayload } else { Place::AfterPayload };
        let cover = if bit(2) { Cover::HeadAndPayload } else { Cover::Payload };
        let format = plain.order(order).place(place).cover(cover);
        let format = if bit(3) { format.head_check() } else { format };
        let spec = spec::Prefixed {
            width,
            big_endian: bit(0),
            before: bit(1),
            covers_head: bit(2),
            head_check: bit(3),
            payload_len_max,
            sum: NONE,
        };
        let with = |sum| Spec::Prefixed(spec::Prefixed { sum, ..spec });
        members.push(Member { spec: with(NONE), format: Box::new(format) });
        members.push(Member { spec: with(CUSTOM), format: Box::new(format.checksum(Custom)) });
        members.push(Member { spec: with(SUM16), format: Box::new(format.checksum(CRC16)) });
        members.push(Member { spec: with(SUM32), format: Box::new(format.checksum(CRC32)) });
        members.push(Member { spec: with(SUM64), format: Box::new(format.checksum(CRC64)) });
    }
}

pub(crate) fn native(payload_len_max: usize) -> Member {
    let spec = spec::Prefixed {
        width: 4,
        big_endian: false,
        head_check: true,
        before: false,
        covers_head: true,
        payload_len_max,
        sum: SUM32,
    };
    let format = Box::new(Prefixed::native(payload_len_max, CRC32));
    Member { spec: Spec::Prefixed(spec), format }
}

/// As native, with lengths that take as many bytes as they need.
pub(crate) fn native_varint(payload_len_max: usize) -> Member {
    let spec = spec::Prefixed {
        width: 0,
        big_endian: false,
        head_check: true,
        before: false,
        covers_head: true,
        payload_len_max,
        sum: SUM32,
    };
    let format = Prefixed::varint(payload_len_max).head_check();
    let format = Box::new(format.cover(Cover::HeadAndPayload).checksum(CRC32));
    Member { spec: Spec::Prefixed(spec), format }
}

pub(crate) fn flatstream(payload_len_max: usize) -> Member {
    let spec = spec::Prefixed {
        width: 4,
        big_endian: false,
        head_check: false,
        before: true,
        covers_head: false,
        payload_len_max,
        sum: SUM32,
    };
    let format = Box::new(Prefixed::flatstream(payload_len_max).checksum(CRC32));
    Member { spec: Spec::Prefixed(spec), format }
}

pub(crate) fn cobs(payload_len_max: usize) -> Vec<Member> {
    fn member<C: Checksum + 'static>(payload_len_max: usize, sum: Sum, checksum: C) -> Member {
        let spec = Spec::Cobs(spec::Cobs { payload_len_max, sum });
        Member { spec, format: Box::new(Cobs::new(payload_len_max, checksum)) }
    }
    vec![
        member(payload_len_max, NONE, NoChecksum),
        member(payload_len_max, CUSTOM, Custom),
        member(payload_len_max, SUM16, CRC16),
        member(payload_len_max, SUM32, CRC32),
        member(payload_len_max, SUM64, CRC64),
    ]
}

pub(crate) fn cobs_crc32(payload_len_max: usize) -> Member {
    let spec = Spec::Cobs(spec::Cobs { payload_len_max, sum: SUM32 });
    Member { spec, format: Box::new(Cobs::new(payload_len_max, CRC32)) }
}
