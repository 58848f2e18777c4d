//! Every checksum against a second implementation, over random bytes in
//! random parts.
//!
//! For the CRCs that is `support::crc`, bit by bit; for XXH3-64 the crate
//! `twox-hash`.

mod support;

use forebay::checksum::crc::{self, Crc, NoTable, Table};
use forebay::checksum::{CRC16, CRC32, CRC32C, CRC64, Checksum, NoChecksum};
use support::crc::{IBM_SDLC, ISCSI, ISO_HDLC, KERMIT, SMBUS, WE, XMODEM, XZ};
use support::random::Random;

const CHECK: &[u8] = b"123456789";

/// Lengths around the blocks of table, SIMD and hash implementations.
const LENS: [usize; 17] = [0, 1, 3, 7, 8, 15, 16, 17, 63, 64, 65, 128, 129, 240, 241, 1024, 1025];

fn agree<C: Checksum>(name: &str, checksum: C, oracle: impl Fn(&[u8]) -> u64, check: u64) {
    let mask = if C::LEN == 8 { u64::MAX } else { (1 << (8 * C::LEN)) - 1 };
    assert_eq!(oracle(CHECK), check, "{name}: the oracle");
    assert_eq!(checksum.compute(&[CHECK]) & mask, check, "{name}");

    let mut random = Random::new(0xC4EC);
    for round in 0..200 {
        let len = LENS.get(round).copied().unwrap_or_else(|| random.below(3000));
        let mut bytes = vec![0; len];
        random.fill(&mut bytes);
        let expected = oracle(&bytes);
        assert_eq!(checksum.compute(&[&bytes]) & mask, expected, "{name}: {len} bytes, whole");
        let parts = parts(&mut random, &bytes);
        let lens: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        assert_eq!(checksum.compute(&parts) & mask, expected, "{name}: parts of {lens:?}");
    }
}

/// `bytes` in up to nine parts, some of them empty.
fn parts<'b>(random: &mut Random, mut bytes: &'b [u8]) -> Vec<&'b [u8]> {
    let mut parts = Vec::new();
    for _ in 0..random.below(9) {
        let (part, rest) = bytes.split_at(random.below(bytes.len() + 1));
        parts.push(part);
        bytes = rest;
    }
    parts.push(bytes);
    parts
}

#[test]
fn the_ready_made() {
    agree("CRC16", CRC16, |bytes| XMODEM.of(bytes), 0x31C3);
    agree("CRC32", CRC32, |bytes| ISO_HDLC.of(bytes), 0xCBF4_3926);
    agree("CRC32C", CRC32C, |bytes| ISCSI.of(bytes), 0xE306_9283);
    agree("CRC64", CRC64, |bytes| XZ.of(bytes), 0x995D_C9BB_DF19_39FA);
}

/// A user's algorithms with each size of table, owned and by reference.
#[test]
fn every_width_and_table() {
    macro_rules! tables {
        ($name:literal, $width:ty, $algorithm:expr, $oracle:expr, $check:expr) => {
            let oracle = |bytes: &[u8]| $oracle.of(bytes);
            let bytewise = Crc::<$width, Table<1>>::new(&$algorithm);
            agree($name, Crc::<$width, NoTable>::new(&$algorithm), oracle, $check);
            agree($name, &bytewise, oracle, $check);
            agree($name, bytewise.clone(), oracle, $check);
            agree($name, Crc::<$width, Table<16>>::new(&$algorithm), oracle, $check);
        };
    }
    tables!("CRC-8/SMBUS", u8, crc::CRC_8_SMBUS, SMBUS, 0xF4);
    tables!("CRC-16/KERMIT", u16, crc::CRC_16_KERMIT, KERMIT, 0x2189);
    tables!("CRC-16/IBM-SDLC", u16, crc::CRC_16_IBM_SDLC, IBM_SDLC, 0x906E);
    tables!("CRC-32/ISCSI", u32, crc::CRC_32_ISCSI, ISCSI, 0xE306_9283);
    tables!("CRC-64/WE", u64, crc::CRC_64_WE, WE, 0x62EC_59E3_F1A4_F00A);
}

#[test]
fn none_is_nothing() {
    assert_eq!(NoChecksum::LEN, 0);
    assert_eq!(NoChecksum.compute(&[CHECK, CHECK]), 0);
}

#[cfg(feature = "crc32fast")]
#[test]
fn crc32fast_is_crc32() {
    use forebay::checksum::Crc32Fast;
    assert_eq!(Crc32Fast::LEN, 4);
    agree("Crc32Fast", Crc32Fast, |bytes| ISO_HDLC.of(bytes), 0xCBF4_3926);
    agree("Crc32Fast", Crc32Fast, |bytes| CRC32.compute(&[bytes]), 0xCBF4_3926);
}

#[cfg(feature = "xxh3")]
#[test]
fn xxh3_whole_and_in_parts() {
    use forebay::checksum::Xxh3;
    use twox_hash::XxHash3_64;
    assert_eq!(Xxh3::LEN, 8);
    agree("Xxh3", Xxh3, XxHash3_64::oneshot, 0x72DC_B18B_67A1_7DFF);
    // Of no parts at all, as of nothing.
    assert_eq!(Xxh3.compute(&[]), 0x2D06_8005_38D3_94C2);
}
