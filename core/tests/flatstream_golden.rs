//! Byte-exact with flatstream-rs: every vector and every decode case that its
//! program produced.

use forebay::Decoder;
use forebay::checksum::{CRC16, CRC32, Checksum, NoChecksum, Xxh3};
use forebay::frame::{Decode, Encode, Prefixed, Reason};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Golden {
    checksums: BTreeMap<String, usize>,
    vectors: Vec<Vector>,
    deframe_cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    payload: String,
    crc16: String,
    crc32: String,
    xxh3_64: String,
    framed: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    deframer: String,
    max_frame_len: usize,
    input: String,
    frames: Vec<String>,
    end: String,
    last_good_offset: u64,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/flatstream.json")).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

/// Does `job` with the variant of flatstream that the vectors call `name`.
fn with_variant<J: Job>(name: &str, payload_len_max: usize, job: J) -> J::Answer {
    let format = Prefixed::flatstream(payload_len_max);
    match name {
        "default" | "none" => job.run(format),
        "crc16_xmodem" => job.run(format.checksum(CRC16)),
        "crc32_iso_hdlc" => job.run(format.checksum(CRC32)),
        "xxh3_64" => job.run(format.checksum(Xxh3)),
        _ => panic!("unknown variant {name}"),
    }
}

/// A closure that is generic over the checksum.
trait Job {
    type Answer;
    fn run<C: Checksum>(self, format: Prefixed<C>) -> Self::Answer;
}

struct Encoded<'p>(&'p [u8]);

impl Job for Encoded<'_> {
    type Answer = Vec<u8>;

    fn run<C: Checksum>(self, format: Prefixed<C>) -> Vec<u8> {
        let mut out = vec![0xA5; format.frame_len(self.0.len())];
        let len = format.encode(self.0, &mut out).unwrap();
        out.truncate(len);
        out
    }
}

/// What stands before the payload, as for a payload that is lent.
struct Enveloped<'p>(&'p [u8]);

impl Job for Enveloped<'_> {
    type Answer = Vec<u8>;

    fn run<C: Checksum>(self, format: Prefixed<C>) -> Vec<u8> {
        let mut out = [0xA5; 16];
        let envelope = format.envelope(self.0, &mut out).unwrap().unwrap();
        assert_eq!(envelope.tail_len, 0);
        [&out[..envelope.head_len], self.0].concat()
    }
}

/// Frames, the end in the vectors' words, and the offset behind the last good
/// frame, with `input` arriving in chunks of `chunk_len`.
struct Deframed<'i> {
    input: &'i [u8],
    chunk_len: usize,
}

impl Job for Deframed<'_> {
    type Answer = (Vec<Vec<u8>>, String, u64);

    fn run<C: Checksum>(self, format: Prefixed<C>) -> Self::Answer {
        let buffer = vec![0; Decode::buffer_len_min(&format)];
        let mut decoder = Decoder::new(format, buffer).unwrap();
        let mut frames = Vec::new();
        let mut good = 0;
        let mut input = self.input;
        let end = loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    assert_eq!(frame.offset, good);
                    good += frame.frame_len as u64;
                    frames.push(frame.payload.to_vec());
                }
                Ok(None) if input.is_empty() => {
                    if decoder.offset() == self.input.len() as u64 {
                        break "clean_eof".into();
                    }
                    decoder.end();
                }
                Ok(None) => {
                    let free = decoder.free();
                    let (chunk, rest) =
                        input.split_at(free.len().min(self.chunk_len).min(input.len()));
                    free[..chunk.len()].copy_from_slice(chunk);
                    decoder.received(chunk.len());
                    input = rest;
                }
                Err(damage) => {
                    assert_eq!(damage.offset, good);
                    break match damage.reason {
                        Reason::Truncated { .. } => "unexpected_eof".into(),
                        Reason::TooLong { len, len_max } => {
                            format!("invalid_frame declared={len} limit={len_max}")
                        }
                        Reason::Checksum { computed, received } => {
                            format!("checksum_mismatch wire={received:#x} calculated={computed:#x}")
                        }
                        reason => panic!("not one of flatstream's: {reason}"),
                    };
                }
            }
        };
        (frames, end, good)
    }
}

#[test]
fn checksums_and_their_lengths() {
    fn check<C: Checksum>(checksum: C, payload: &[u8], expected: &str) {
        let width = 2 * C::LEN;
        assert_eq!(format!("{:0width$x}", checksum.compute(&[payload])), expected);
    }
    let golden = golden();
    for vector in &golden.vectors {
        let payload = bytes(&vector.payload);
        check(CRC16, &payload, &vector.crc16);
        check(CRC32, &payload, &vector.crc32);
        check(Xxh3, &payload, &vector.xxh3_64);
    }
    let lens = [
        ("default", NoChecksum::LEN),
        ("none", NoChecksum::LEN),
        ("crc16_xmodem", <forebay::checksum::Crc16 as Checksum>::LEN),
        ("crc32_iso_hdlc", <forebay::checksum::Crc32 as Checksum>::LEN),
        ("xxh3_64", Xxh3::LEN),
    ];
    let lens = lens.map(|(name, len)| (name.to_owned(), len));
    assert_eq!(golden.checksums, BTreeMap::from(lens));
}

#[test]
fn vectors() {
    let vectors = golden().vectors;
    assert_eq!(vectors.len(), 8);
    for vector in vectors {
        let payload = bytes(&vector.payload);
        assert_eq!(vector.framed.len(), 5);
        for (variant, framed) in &vector.framed {
            let what = format!("{} {variant}", vector.name);
            let framed = bytes(framed);
            assert_eq!(with_variant(variant, 1 << 20, Encoded(&payload)), framed, "{what}");
            assert_eq!(with_variant(variant, 1 << 20, Enveloped(&payload)), framed, "{what}");
            let deframed = Deframed { input: &framed, chunk_len: framed.len() };
            let (frames, end, good) = with_variant(variant, payload.len(), deframed);
            assert_eq!(frames, [&payload[..]], "{what}");
            assert_eq!((end.as_str(), good), ("clean_eof", framed.len() as u64), "{what}");
        }
    }
}

#[test]
fn decode_cases_in_every_chunk_length() {
    let cases = golden().deframe_cases;
    assert_eq!(cases.len(), 57);
    for case in cases {
        let input = bytes(&case.input);
        let expected: Vec<Vec<u8>> = case.frames.iter().map(|frame| bytes(frame)).collect();
        for chunk_len in 1..=input.len().max(1) {
            let deframed = Deframed { input: &input, chunk_len };
            let (frames, end, good) = with_variant(&case.deframer, case.max_frame_len, deframed);
            let what = format!("{} in chunks of {chunk_len}", case.name);
            assert_eq!(frames, expected, "{what}");
            assert_eq!(end, case.end, "{what}");
            assert_eq!(good, case.last_good_offset, "{what}");
        }
    }
}
