//! Encode and decode in memory: forebay beside flatstream-rs's way, tokio-util
//! and the cobs crate, and beside a copy with the same checksum.
//!
//! Frames are written one behind the other into 64 KiB, and decoded out of
//! them again. flatstream-rs is on no registry; what stands for it is its way
//! of working, written anew: three `write_all` into a `Vec`, three `read_exact`
//! of which the last fills a `Vec`.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::{
    hint::black_box,
    io::{Read, Write},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use forebay::{
    Batch, Decoder,
    batch::PushError,
    checksum::{Checksum, Crc32Fast, NoChecksum, Xxh3},
    frame::{Cobs, Decode, Encode, Prefixed, Resync, Step},
};
use forebay_benches::rounds::{Goal, Group, Round, of};
use tokio_util::codec::{Decoder as _, Encoder, LengthDelimitedCodec};

/// What frames are written into and decoded from.
const BUFFER_LEN: usize = 64 * 1024;
/// Bytes of payload in one round.
const ROUND_LEN: usize = 1024 * 1024;
const PAYLOADS: usize = 16;
const BUDGET: Duration = Duration::from_millis(2500);

const FLATSTREAM: &str = "as flatstream-rs does";
const BOUND: &str = "copy and checksum";

/// Formats that the compiler knows, as those of most programs are. What is
/// read from memory, as in a `Pump`, is measured as "in a variable".
const FLAT: Prefixed<Crc32Fast> = Prefixed::flatstream(BUFFER_LEN / 2).checksum(Crc32Fast);

/// The same as a type: a decoder that holds it holds nothing, and the compiler
/// knows it there too.
struct Flat;

impl Decode for Flat {
    fn buffer_len_min(&self) -> usize {
        Decode::buffer_len_min(&FLAT)
    }

    #[inline]
    fn decode(&self, input: &mut [u8], seen: usize) -> Step {
        FLAT.decode(input, seen)
    }

    fn resync(&self, input: &[u8]) -> Resync {
        FLAT.resync(input)
    }
}

const NATIVE: Prefixed<Crc32Fast> = Prefixed::native(BUFFER_LEN / 2, Crc32Fast);
const FLAT_PLAIN: Prefixed = Prefixed::flatstream(BUFFER_LEN / 2);
const FLAT_XXH3: Prefixed<Xxh3> = Prefixed::flatstream(BUFFER_LEN / 2).checksum(Xxh3);
const COBS: Cobs<Crc32Fast> = Cobs::new(BUFFER_LEN / 2, Crc32Fast);

struct Load {
    payloads: Vec<&'static [u8]>,
    /// Frames that are written before the buffer is begun again.
    frames: usize,
    passes: usize,
}

impl Load {
    fn new(len: usize) -> Self {
        let payload = |seed: usize| {
            // Zeros now and then, for COBS.
            let bytes: Vec<u8> = (0..len).map(|at| (at * 31 + seed * 17) as u8).collect();
            &*bytes.leak()
        };
        // What the longest of the formats here adds.
        let frames = BUFFER_LEN / (len + len / 250 + 20);
        let passes = ROUND_LEN / (frames * len);
        Self { payloads: (0..PAYLOADS).map(payload).collect(), frames, passes }
    }

    fn payload(&self, frame: usize) -> &'static [u8] {
        self.payloads[frame % PAYLOADS]
    }

    /// `pass` handles all frames of a buffer.
    fn timed(&self, mut pass: impl FnMut()) -> Round {
        Round::timed((self.frames * self.passes) as u64, || {
            for _ in 0..self.passes {
                pass();
            }
            f64::NAN
        })
    }
}

fn main() {
    for len in [64, 256, 4096] {
        let load = Load::new(len);
        crc32_encode(len, &load);
        crc32_decode(len, &load);
    }
    for len in [64, 256, 4096] {
        let load = Load::new(len);
        plain(len, &load);
        xxh3(len, &load);
        cobs_crc32(len, &load);
    }
}

fn crc32_encode(len: usize, load: &Load) {
    let variable = black_box(FLAT);
    let goals: &[Goal] =
        if len == 4096 { &[of(0.7, FLATSTREAM), of(1.3, BOUND)] } else { &[of(0.7, FLATSTREAM)] };
    Group::new(format!("encode {len} B, CRC-32"))
        .peer(FLATSTREAM, three_writes(load, Crc32Fast))
        .peer("tokio-util, no checksum", tokio_encode(load))
        .bound(BOUND, copy_and_crc32(load))
        .ours("Prefixed::flatstream", goals, encode(load, || FLAT))
        .ours("  in a variable", &[], encode(load, move || variable))
        .ours("Prefixed::native", &[], encode(load, || NATIVE))
        .ours("Batch of flatstream", &[], batch(load, || FLAT))
        .run(BUDGET);
}

fn crc32_decode(len: usize, load: &Load) {
    let variable = black_box(FLAT);
    Group::new(format!("decode {len} B, CRC-32"))
        .peer(FLATSTREAM, three_reads(load, Crc32Fast))
        .peer("tokio-util, no checksum", tokio_decode(load))
        .bound("checksum alone", crc32_alone(load))
        .ours("Decoder, flatstream", &[of(0.6, FLATSTREAM)], decode(load, &FLAT, || FLAT))
        .ours("  as a type", &[], decode(load, &FLAT, || Flat))
        .ours("  in a variable", &[], decode(load, &FLAT, move || variable))
        .ours("Decoder, native", &[], decode(load, &NATIVE, || NATIVE))
        .run(BUDGET);
}

fn plain(len: usize, load: &Load) {
    Group::new(format!("encode {len} B, no checksum"))
        .peer(FLATSTREAM, three_writes(load, NoChecksum))
        .peer("tokio-util", tokio_encode(load))
        .ours("Prefixed::flatstream", &[], encode(load, || FLAT_PLAIN))
        .run(BUDGET / 2);
    Group::new(format!("decode {len} B, no checksum"))
        .peer(FLATSTREAM, three_reads(load, NoChecksum))
        .peer("tokio-util", tokio_decode(load))
        .ours("Decoder, flatstream", &[], decode(load, &FLAT_PLAIN, || FLAT_PLAIN))
        .run(BUDGET / 2);
}

fn xxh3(len: usize, load: &Load) {
    Group::new(format!("encode {len} B, XXH3"))
        .peer(FLATSTREAM, three_writes(load, Xxh3))
        .ours("Prefixed::flatstream", &[], encode(load, || FLAT_XXH3))
        .run(BUDGET / 2);
    Group::new(format!("decode {len} B, XXH3"))
        .peer(FLATSTREAM, three_reads(load, Xxh3))
        .ours("Decoder, flatstream", &[], decode(load, &FLAT_XXH3, || FLAT_XXH3))
        .run(BUDGET / 2);
}

fn cobs_crc32(len: usize, load: &Load) {
    Group::new(format!("encode {len} B, COBS and CRC-32"))
        .peer("cobs and crc32fast", cobs_encode(load))
        .ours("Cobs", &[], encode(load, || COBS))
        .run(BUDGET / 2);
    Group::new(format!("decode {len} B, COBS and CRC-32"))
        .peer("cobs and crc32fast", cobs_decode(load))
        .ours("Cobs", &[], decode_over_copy(load, || COBS))
        .run(BUDGET / 2);
}

fn encode<F: Encode>(load: &Load, format: impl Fn() -> F) -> impl FnMut() -> Round {
    let mut buffer = vec![0; BUFFER_LEN];
    move || {
        load.timed(|| {
            let mut at = 0;
            for frame in 0..load.frames {
                at += format().encode(load.payload(frame), &mut buffer[at..]).unwrap();
            }
            black_box(&buffer);
        })
    }
}

fn batch<F: Encode>(load: &Load, format: impl Fn() -> F) -> impl FnMut() -> Round {
    let buffer = vec![0; 2 * BUFFER_LEN].into_boxed_slice();
    let mut batch: Batch<'_, Box<[u8]>> = Batch::new(buffer).borrow_from(usize::MAX);
    move || {
        load.timed(|| {
            for frame in 0..load.frames {
                match batch.push(&format(), load.payload(frame)) {
                    Ok(()) => {}
                    Err(error @ PushError::Full { .. }) => unreachable!("{error}"),
                    Err(error) => panic!("{error}"),
                }
            }
            black_box(batch.slices().len_bytes());
            batch.advance(batch.len_bytes()).unwrap();
        })
    }
}

/// The value of the checksum, as many bytes of it as travel.
fn value<C: Checksum>(checksum: &C, payload: &[u8]) -> ([u8; 8], usize) {
    (checksum.compute(&[payload]).to_le_bytes(), C::LEN)
}

fn three_writes<C: Checksum>(load: &Load, checksum: C) -> impl FnMut() -> Round {
    fn frame<W: Write, C: Checksum>(out: &mut W, checksum: &C, payload: &[u8]) {
        let (value, len) = value(checksum, payload);
        out.write_all(&(payload.len() as u32).to_le_bytes()).unwrap();
        out.write_all(&value[..len]).unwrap();
        out.write_all(payload).unwrap();
    }
    let mut buffer = Vec::with_capacity(BUFFER_LEN);
    move || {
        load.timed(|| {
            buffer.clear();
            for at in 0..load.frames {
                frame(&mut buffer, &checksum, load.payload(at));
            }
            black_box(&buffer);
        })
    }
}

fn tokio_encode(load: &Load) -> impl FnMut() -> Round {
    let mut codec = LengthDelimitedCodec::builder().little_endian().new_codec();
    let mut buffer = BytesMut::with_capacity(BUFFER_LEN);
    move || {
        load.timed(|| {
            buffer.clear();
            for frame in 0..load.frames {
                codec.encode(Bytes::from_static(load.payload(frame)), &mut buffer).unwrap();
            }
            black_box(&buffer);
        })
    }
}

fn copy_and_crc32(load: &Load) -> impl FnMut() -> Round {
    let mut buffer = vec![0; BUFFER_LEN];
    move || {
        load.timed(|| {
            let mut left = &mut buffer[..];
            for frame in 0..load.frames {
                let payload = load.payload(frame);
                let (out, rest) = left.split_at_mut(payload.len() + 8);
                out[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
                out[4..8].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
                out[8..].copy_from_slice(payload);
                left = rest;
            }
            black_box(&buffer);
        })
    }
}

/// The frames of one pass.
fn wire<F: Encode>(load: &Load, format: &F) -> Vec<u8> {
    let mut wire = vec![0; BUFFER_LEN];
    let mut len = 0;
    for frame in 0..load.frames {
        len += format.encode(load.payload(frame), &mut wire[len..]).unwrap();
    }
    wire.truncate(len);
    wire
}

/// Takes the frames out of a buffer that has received all of them.
fn decode<F: Decode>(
    load: &Load,
    encoder: &impl Encode,
    format: impl Fn() -> F,
) -> impl FnMut() -> Round {
    let mut wire = wire(load, encoder);
    move || {
        load.timed(|| {
            let len = wire.len();
            let mut decoder = Decoder::new(format(), &mut wire[..]).unwrap();
            decoder.received(len);
            let mut frames = 0;
            while let Some(frame) = decoder.next_frame().unwrap() {
                black_box(frame.payload);
                frames += 1;
            }
            assert_eq!(frames, load.frames);
        })
    }
}

/// As `decode`, for a format that changes what it decodes.
fn decode_over_copy<F: Encode + Decode>(
    load: &Load,
    format: impl Fn() -> F,
) -> impl FnMut() -> Round {
    let wire = wire(load, &format());
    let mut decoder = Decoder::new(format(), vec![0; BUFFER_LEN]).unwrap();
    move || {
        load.timed(|| {
            decoder.free()[..wire.len()].copy_from_slice(&wire);
            decoder.received(wire.len());
            let mut frames = 0;
            while let Some(frame) = decoder.next_frame().unwrap() {
                black_box(frame.payload);
                frames += 1;
            }
            assert_eq!(frames, load.frames);
        })
    }
}

fn three_reads<C: Checksum + Copy>(load: &Load, checksum: C) -> impl FnMut() -> Round {
    fn frame<R: Read, C: Checksum>(input: &mut R, checksum: &C, payload: &mut Vec<u8>) -> bool {
        let mut len = [0; 4];
        if input.read_exact(&mut len).is_err() {
            return false;
        }
        let mut received = [0; 8];
        input.read_exact(&mut received[..C::LEN]).unwrap();
        payload.resize(u32::from_le_bytes(len) as usize, 0);
        input.read_exact(payload).unwrap();
        assert_eq!(value(checksum, payload).0, received);
        true
    }
    let wire = wire(load, &Prefixed::flatstream(BUFFER_LEN).checksum(checksum));
    let mut payload = Vec::new();
    move || {
        load.timed(|| {
            let mut input = &wire[..];
            let mut frames = 0;
            while frame(&mut input, &checksum, &mut payload) {
                black_box(&payload);
                frames += 1;
            }
            assert_eq!(frames, load.frames);
        })
    }
}

fn tokio_decode(load: &Load) -> impl FnMut() -> Round {
    let wire = wire(load, &Prefixed::flatstream(BUFFER_LEN));
    let mut codec = LengthDelimitedCodec::builder().little_endian().new_codec();
    let mut buffer = BytesMut::new();
    move || {
        load.timed(|| {
            buffer.extend_from_slice(&wire);
            let mut frames = 0;
            while let Some(payload) = codec.decode(&mut buffer).unwrap() {
                black_box(payload);
                frames += 1;
            }
            assert_eq!(frames, load.frames);
        })
    }
}

/// The least that any decoder does.
fn crc32_alone(load: &Load) -> impl FnMut() -> Round {
    let wire = wire(load, &Prefixed::flatstream(BUFFER_LEN).checksum(Crc32Fast));
    let frame_len = wire.len() / load.frames;
    move || {
        load.timed(|| {
            for frame in wire.chunks_exact(frame_len) {
                black_box(crc32fast::hash(&frame[8..]));
            }
        })
    }
}

fn cobs_encode(load: &Load) -> impl FnMut() -> Round {
    let mut buffer = vec![0; BUFFER_LEN];
    let mut whole = Vec::with_capacity(BUFFER_LEN);
    move || {
        load.timed(|| {
            let mut at = 0;
            for frame in 0..load.frames {
                let payload = load.payload(frame);
                whole.clear();
                whole.extend_from_slice(payload);
                whole.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
                at += cobs::encode(&whole, &mut buffer[at..]);
                buffer[at] = 0;
                at += 1;
            }
            black_box(&buffer);
        })
    }
}

fn cobs_decode(load: &Load) -> impl FnMut() -> Round {
    let wire = wire(load, &Cobs::new(BUFFER_LEN, Crc32Fast));
    let mut buffer = vec![0; BUFFER_LEN];
    move || {
        load.timed(|| {
            buffer[..wire.len()].copy_from_slice(&wire);
            let mut frames = 0;
            for frame in buffer[..wire.len()].split_inclusive_mut(|&byte| byte == 0) {
                let len = cobs::decode_in_place(frame).unwrap();
                let (payload, checksum) = frame[..len].split_at(len - 4);
                assert_eq!(crc32fast::hash(payload).to_le_bytes(), checksum);
                black_box(payload);
                frames += 1;
            }
            assert_eq!(frames, load.frames);
        })
    }
}
