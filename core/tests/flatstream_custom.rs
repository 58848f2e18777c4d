//! flatstream's `custom` variant: any algorithm of a user, of which the low
//! SIZE bytes travel, little-endian, between length and payload.

use forebay::Decoder;
use forebay::checksum::Checksum;
use forebay::frame::{Cobs, Decode, Encode, Prefixed, Reason};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Golden {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    payload: String,
    framed: BTreeMap<String, String>,
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

/// CRC-16/XMODEM as a user would bring it; what is above its 16 bits is not to
/// travel.
#[derive(Clone, Copy)]
struct OwnXmodem;

impl Checksum for OwnXmodem {
    const LEN: usize = 2;

    fn compute(&self, parts: &[&[u8]]) -> u64 {
        let mut crc = 0_u16;
        for byte in parts.iter().copied().flatten() {
            crc ^= u16::from(*byte) << 8;
            for _ in 0..8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
            }
        }
        0xDEAD_BEEF_0000 | u64::from(crc)
    }
}

/// CRC-32/ISO-HDLC likewise.
#[derive(Clone, Copy)]
struct OwnCrc32;

impl Checksum for OwnCrc32 {
    const LEN: usize = 4;

    fn compute(&self, parts: &[&[u8]]) -> u64 {
        let mut crc = u32::MAX;
        for byte in parts.iter().copied().flatten() {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xEDB8_8320 };
            }
        }
        u64::from(!crc) | u64::MAX << 32
    }
}

/// As the vectors have it, from algorithms that are not the crate's.
#[test]
fn custom_algorithms_make_the_golden_frames() {
    fn check<C: Checksum + Copy>(vector: &Vector, variant: &str, custom: C) {
        let payload = bytes(&vector.payload);
        let format = Prefixed::flatstream(1 << 16).checksum(custom);
        let mut out = vec![0; format.frame_len(payload.len())];
        let len = format.encode(&payload, &mut out).unwrap();
        assert_eq!(out[..len], bytes(&vector.framed[variant]), "{} {variant}", vector.name);
        let mut decoder = Decoder::new(format, vec![0; Decode::buffer_len_min(&format)]).unwrap();
        decoder.free()[..len].copy_from_slice(&out);
        decoder.received(len);
        assert_eq!(decoder.next_frame().unwrap().unwrap().payload, payload);
    }
    let golden: Golden = serde_json::from_str(include_str!("golden/flatstream.json")).unwrap();
    assert_eq!(golden.vectors.len(), 8);
    for vector in &golden.vectors {
        check(vector, "crc16_xmodem", OwnXmodem);
        check(vector, "crc32_iso_hdlc", OwnCrc32);
    }
}

/// FNV-1a, of which `LEN` bytes travel.
#[derive(Clone, Copy)]
struct Fnv<const LEN: usize>;

fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

impl<const LEN: usize> Checksum for Fnv<LEN> {
    const LEN: usize = LEN;

    fn compute(&self, parts: &[&[u8]]) -> u64 {
        fnv(&parts.concat())
    }
}

/// Every size that a checksum may have, also those that no integer has.
#[test]
fn the_low_bytes_of_every_size_travel() {
    fn check<const LEN: usize>() {
        let payload = b"123456789";
        let format = Prefixed::flatstream(64).checksum(Fnv::<LEN>);
        let mut out = [0xA5; 32];
        let len = format.encode(payload, &mut out).unwrap();
        let expected = [&9_u32.to_le_bytes(), &fnv(payload).to_le_bytes()[..LEN], payload].concat();
        assert_eq!(out[..len], expected, "{LEN} bytes");

        for bit in 8 * 4..8 * len {
            let mut wire = expected.clone();
            wire[bit / 8] ^= 1 << (bit % 8);
            let mut decoder = Decoder::new(format, [0; 128]).unwrap();
            decoder.free()[..len].copy_from_slice(&wire);
            decoder.received(len);
            let damage = decoder.next_frame();
            let Err(damage) = damage else {
                // One byte cannot see all of it.
                assert!(LEN <= 1, "{LEN} bytes, bit {bit}: {damage:?}");
                continue;
            };
            let Reason::Checksum { computed, received } = damage.reason else {
                panic!("{damage}");
            };
            let mask = u64::MAX >> (64 - 8 * LEN);
            assert_eq!((computed & !mask, received & !mask), (0, 0), "{damage}");
        }

        let cobs = Cobs::new(64, Fnv::<LEN>);
        let len = cobs.encode(payload, &mut out).unwrap();
        let mut decoder = Decoder::new(cobs, [0; 128]).unwrap();
        decoder.free()[..len].copy_from_slice(&out[..len]);
        decoder.received(len);
        assert_eq!(decoder.next_frame().unwrap().unwrap().payload, payload);
    }
    check::<1>();
    check::<2>();
    check::<3>();
    check::<4>();
    check::<5>();
    check::<6>();
    check::<7>();
    check::<8>();
}
