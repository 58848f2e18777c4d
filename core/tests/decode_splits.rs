//! Decoding does not depend on where a stream is cut, and gives what the
//! formats' descriptions say.
//!
//! The oracle is `support::spec`. Streams are whole, cut short, damaged, or no
//! frames at all; short ones are cut in every way, longer ones once and twice
//! at every place, and random ones at random.

mod support;

use forebay::Decoder;
use forebay::frame::{Decode, Encode};
use proptest::collection::vec;
use proptest::prelude::*;
use support::drive;
use support::members::{self, Borrowed, Member};
use support::random::Random;
use support::spec::Outcome;

/// A member, and buffers as short as can be and longer.
struct Bench {
    member: Member,
    buffers: [Vec<u8>; 2],
}

impl Bench {
    fn new(member: Member) -> Self {
        let shortest = Decode::buffer_len_min(&Borrowed(&*member.format));
        let buffers = [vec![0; shortest], vec![0; 3 * shortest + 7]];
        Self { member, buffers }
    }

    fn frames(&self, payloads: &[&[u8]]) -> Vec<u8> {
        payloads.iter().flat_map(|payload| self.member.spec.encode(payload)).collect()
    }

    /// Decodes `stream` in pieces, in either buffer, and compares.
    fn check(&mut self, stream: &[u8], pieces: &[usize], expected: &Outcome) {
        for buffer in &mut self.buffers {
            let format = Borrowed(&*self.member.format);
            let outcome = drive::decode(format, stream, pieces.iter().copied(), buffer);
            let spec = self.member.spec;
            assert_eq!(&outcome, expected, "{spec:?}\n{stream:02x?}\nin pieces {pieces:?}");
        }
    }

    /// Whole, byte by byte, and looked at when all of it is there.
    fn check_coarsely(&mut self, stream: &[u8]) {
        let expected = self.member.spec.decode(stream);
        self.check(stream, &[], &expected);
        self.check(stream, &vec![1; stream.len()], &expected);

        let mut buffer = vec![0; self.buffers[1].len().max(stream.len())];
        let outcome = drive::decode_at_end(Borrowed(&*self.member.format), stream, &mut buffer);
        assert_eq!(outcome, expected, "{:?}\n{stream:02x?}\nat the end", self.member.spec);
    }

    fn check_every_chunking(&mut self, stream: &[u8]) {
        let expected = self.member.spec.decode(stream);
        let mut pieces = Vec::new();
        for cuts in 0..1_u32 << stream.len().saturating_sub(1) {
            pieces.clear();
            let mut len = 1;
            for place in 1..stream.len() {
                if cuts >> (place - 1) & 1 == 1 {
                    pieces.push(len);
                    len = 0;
                }
                len += 1;
            }
            self.check(stream, &pieces, &expected);
        }
    }

    fn check_one_and_two_cuts(&mut self, stream: &[u8]) {
        let expected = self.member.spec.decode(stream);
        for first in 0..=stream.len() {
            for second in 0..=stream.len() - first {
                self.check(stream, &[first, second], &expected);
            }
        }
    }
}

/// Streams that hold no frame on purpose, for any format.
const NOISE: [&[u8]; 5] = [
    b"",
    &[0; 11],
    &[0xFF; 11],
    &[1, 2, 3, 0, 0, 4, 3, 2, 1, 0],
    &[2, 2, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9],
];

#[test]
fn encoding_is_the_descriptions() {
    for member in members::all(600) {
        let format = Borrowed(&*member.format);
        for len in [0, 1, 2, 9, 253, 254, 255, 256, 508, 509, 600] {
            for fill in [0, 1, 0xFF] {
                let payload = vec![fill; len];
                let mut out = vec![0xA5; Encode::frame_len_max(&format, len)];
                match format.encode(&payload, &mut out) {
                    Ok(frame_len) => assert_eq!(out[..frame_len], member.spec.encode(&payload)),
                    Err(error) => assert!(len > 255, "{len} bytes of {fill}: {error}"),
                }
            }
        }
    }
}

fn short_streams(mut bench: Bench, len: usize) {
    let frames = bench.frames(&[b"", b"\0", b"ab", b"", b"\0c\0"]);
    for begin in [0, 1, 3] {
        let stream = &frames[begin..][..len.min(frames.len() - begin)];
        bench.check_every_chunking(stream);
    }
    let mut damaged = frames[..len.min(frames.len())].to_vec();
    damaged[0] ^= 0x10;
    bench.check_every_chunking(&damaged);
}

#[test]
fn short_streams_in_every_chunking() {
    for member in members::all(5) {
        short_streams(Bench::new(member), 8);
    }
}

#[test]
fn streams_of_12_bytes_in_every_chunking() {
    let members = [members::native(5), members::flatstream(5), members::cobs_crc32(5)];
    for member in members.into_iter().chain(members::cobs(2)) {
        let mut bench = Bench::new(member);
        for noise in NOISE {
            bench.check_every_chunking(noise);
        }
        short_streams(bench, 12);
    }
}

#[test]
fn longer_streams_in_every_one_and_two_cuts() {
    let members = [
        members::native(20),
        members::native_varint(200),
        members::flatstream(20),
        members::cobs_crc32(20),
    ];
    for mut bench in members.into_iter().map(Bench::new) {
        let whole = bench.frames(&[b"it fills", b"", b"\0in\0\0bits", b"and draws"]);
        bench.check_one_and_two_cuts(&whole);
        for damaged_at in [0, 4, 9, 21, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[damaged_at] ^= 0x40;
            bench.check_one_and_two_cuts(&damaged);
        }
    }
}

#[test]
fn streams_truncated_at_every_byte() {
    for mut bench in members::all(9).into_iter().map(Bench::new) {
        let whole = bench.frames(&[b"", b"abc", b"\0\0", b"123456789"]);
        for len in 0..=whole.len() {
            bench.check_coarsely(&whole[..len]);
        }
    }
}

#[test]
fn streams_damaged_at_every_byte() {
    for mut bench in members::all(9).into_iter().map(Bench::new) {
        let whole = bench.frames(&[b"abc", b"", b"\x01\0", b"56789"]);
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, whole[at]] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                bench.check_coarsely(&damaged);
            }
            let dropped = [&whole[..at], &whole[at + 1..]].concat();
            bench.check_coarsely(&dropped);
        }
    }
}

/// Nothing that is complete is held back: a peer may wait for the answer.
#[test]
fn a_frame_is_there_with_its_last_byte() {
    for mut bench in members::all(20).into_iter().map(Bench::new) {
        let payloads: [&[u8]; 5] = [b"", b"a longer payload", b"\0", b"", b"short"];
        let mut decoder =
            Decoder::new(Borrowed(&*bench.member.format), &mut bench.buffers[0][..]).unwrap();
        for payload in payloads {
            let frame = bench.member.spec.encode(payload);
            for (at, &byte) in frame.iter().enumerate() {
                decoder.free()[0] = byte;
                decoder.received(1);
                let delivered = decoder.next_frame().unwrap().map(|frame| frame.payload);
                let expected = (at + 1 == frame.len()).then_some(payload);
                assert_eq!(delivered, expected, "{:?}, byte {at}", bench.member.spec);
            }
        }
    }
}

/// Runs of bytes around a full block, with and without a zero behind; and
/// frames that are short enough for payloads that are not.
#[test]
fn blocks_and_maxima_of_cobs() {
    for payload_len_max in [253, 254, 255, 510] {
        for mut bench in members::cobs(payload_len_max).into_iter().map(Bench::new) {
            for run in (250..=257).chain(505..=512) {
                let ones = vec![1; run];
                let before_zero = [&ones[..], &[0, 2]].concat();
                let behind_zero = [&[0], &ones[..]].concat();
                let zeros = vec![0; run];
                bench.check_coarsely(&bench.frames(&[&ones, &before_zero, &behind_zero, &zeros]));
            }
        }
    }
}

/// A head that validates by chance claims more than there is. While bytes may
/// still come the decoder waits for them; at the end it looks behind the head.
#[test]
fn good_frames_behind_a_false_head_at_the_end() {
    let mut bench = Bench::new(members::native(64));
    let spec = bench.member.spec;
    let false_head = &spec.encode(&[7; 64])[..6];
    let good = bench.frames(&[b"first", b"", b"second"]);
    for false_heads in 1..=3 {
        let stream = [&[0xEE], &false_head.repeat(false_heads)[..], &good].concat();
        assert!(stream.len() < 6 + 64, "the false head is not to be complete");
        assert_eq!(spec.decode(&stream).payloads(), [&b"first"[..], b"", b"second"]);
        bench.check_coarsely(&stream);
        bench.check_one_and_two_cuts(&stream);
    }
}

/// What is done to a stream on its way; places wrap around its length.
#[derive(Clone, Debug)]
enum Harm {
    Flip { at: usize, bits: u8 },
    Drop { at: usize, len: usize },
    Insert { at: usize, bytes: Vec<u8> },
    Zero { at: usize, len: usize },
}

impl Harm {
    fn any() -> impl Strategy<Value = Self> {
        let at = any::<u16>().prop_map(usize::from);
        prop_oneof![
            (at.clone(), 1_u8..).prop_map(|(at, bits)| Self::Flip { at, bits }),
            (at.clone(), 1_usize..20).prop_map(|(at, len)| Self::Drop { at, len }),
            (at.clone(), vec(any::<u8>(), 1..20))
                .prop_map(|(at, bytes)| Self::Insert { at, bytes }),
            (at, 1_usize..20).prop_map(|(at, len)| Self::Zero { at, len }),
        ]
    }

    fn harm(&self, stream: &mut Vec<u8>) {
        let len_all = stream.len();
        let span = |at: usize, len| {
            let at = at % (len_all + 1);
            at..len_all.min(at + len)
        };
        match *self {
            Self::Flip { at, bits } => stream[span(at, 1)].iter_mut().for_each(|b| *b ^= bits),
            Self::Drop { at, len } => drop(stream.drain(span(at, len))),
            Self::Insert { at, ref bytes } => {
                drop(stream.splice(span(at, 0), bytes.iter().copied()));
            }
            Self::Zero { at, len } => stream[span(at, len)].fill(0),
        }
    }
}

/// Payloads with zeros in them, and over the length of a COBS block.
fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = prop_oneof![Just(0), Just(1), any::<u8>()];
    let payload = prop_oneof![
        8 => vec(byte, 0..40),
        1 => vec(any::<u8>(), 200..300),
        1 => (250_usize..300).prop_map(|len| vec![1; len]),
    ];
    vec(payload, 0..8)
}

/// Piece lengths that add up to at most `len`.
fn pieces(seed: u64, len: usize) -> Vec<usize> {
    let mut random = Random::new(seed);
    let longest = 1 + random.below(len + 1);
    let mut left = len;
    let mut pieces = Vec::new();
    while left > 0 {
        pieces.push(random.below(longest + 1).min(left));
        left -= pieces[pieces.len() - 1];
    }
    pieces
}

fn config() -> ProptestConfig {
    // What a run finds is pinned as a test of its own.
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) }
}

proptest! {
    #![proptest_config(config())]

    /// Any member, any damage: the decoder and the oracle agree to the byte.
    #[test]
    fn random_streams(
        member in 0_usize..407,
        payload_len_max in prop_oneof![0_usize..40, Just(300)],
        payloads in payloads(),
        harms in vec(Harm::any(), 0..4),
        seed in any::<u64>(),
    ) {
        let mut members = members::all(payload_len_max);
        prop_assert_eq!(members.len(), 407);
        let mut bench = Bench::new(members.swap_remove(member));
        // Payloads over the maximum go out too, as another sender's would.
        let width_max = |payload: &&Vec<u8>| payload.len() <= 255 || member >= 80;
        let mut stream = Vec::new();
        for payload in payloads.iter().filter(width_max) {
            stream.extend(bench.member.spec.encode(payload));
        }
        harms.iter().for_each(|harm| harm.harm(&mut stream));
        let expected = bench.member.spec.decode(&stream);
        bench.check(&stream, &pieces(seed, stream.len()), &expected);
        bench.check_coarsely(&stream);
    }

    /// Where a checksum and a delimiter or a head check guard a frame, what
    /// arrives is what was sent, in order, less what the damage touched.
    #[test]
    fn nothing_wrong_is_delivered(
        cobs in any::<bool>(),
        payloads in payloads(),
        harms in vec(Harm::any(), 0..4),
        seed in any::<u64>(),
    ) {
        let member = if cobs { members::cobs_crc32(300) } else { members::native(300) };
        let mut bench = Bench::new(member);
        let mut stream = bench.frames(&payloads.iter().map(Vec::as_slice).collect::<Vec<_>>());
        harms.iter().for_each(|harm| harm.harm(&mut stream));

        let pieces = pieces(seed, stream.len());
        let format = Borrowed(&*bench.member.format);
        let outcome = drive::decode(format, &stream, pieces, &mut bench.buffers[0]);
        let mut sent = payloads.iter();
        for payload in outcome.payloads() {
            // CRC-32 of nothing is zero, so five 01 are an empty frame, and
            // zeros are stuffed as 01: damage can cut one out of them.
            if !(cobs && payload.is_empty()) {
                let was_sent = sent.any(|sent| sent == payload);
                prop_assert!(was_sent, "not sent, or not then: {:02x?}", payload);
            }
        }
        if harms.is_empty() {
            prop_assert_eq!(outcome.payloads().len(), payloads.len());
        }
    }
}
