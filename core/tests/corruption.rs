//! What damage on the way costs: 2,000 trials for each format and kind of
//! damage, 200 frames of 64 random bytes each.
//!
//! `cargo test -p forebay --test corruption -- --nocapture` prints the figures
//! as rows of a table: damage, format, frames lost in the mean and at most,
//! frames delivered that were not sent.

mod support;

use forebay::Decoder;
use forebay::checksum::crc::{self, Crc, Table};
use forebay::checksum::{CRC32, CRC32C, CRC64, Checksum, Crc32};
use forebay::frame::{Cobs, Cover, Decode, Encode, Prefixed, Reason};
use support::random::Random;

const TRIALS: u32 = 2000;
const FRAMES: usize = 200;
const PAYLOAD_LEN: usize = 64;
/// Head or stuffing, checksum, delimiter.
const FRAME_LEN_MAX: usize = PAYLOAD_LEN + 10;

type Payload = [u8; PAYLOAD_LEN];

/// What happens to a stream on its way.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// One bit flipped.
    Flip,
    /// 2 to 16 bytes overwritten.
    Burst,
    /// One byte dropped.
    Drop,
    /// One byte inserted.
    Insert,
}

impl Damage {
    fn harm(self, random: &mut Random, stream: &mut Vec<u8>) {
        match self {
            Self::Flip => {
                let at = random.below(stream.len());
                stream[at] ^= 1 << random.below(8);
            }
            Self::Burst => {
                let len = 2 + random.below(15);
                let at = random.below(stream.len() - len);
                random.fill(&mut stream[at..at + len]);
            }
            Self::Drop => drop(stream.remove(random.below(stream.len()))),
            Self::Insert => stream.insert(random.below(stream.len() + 1), random.byte()),
        }
    }
}

/// What the trials of one format and one kind of damage have cost.
#[derive(Debug, Default)]
struct Costs {
    lost: u32,
    lost_max: u32,
    wrong: u32,
}

impl Costs {
    fn mean(&self) -> f64 {
        f64::from(self.lost) / f64::from(TRIALS)
    }

    /// Whether damage costs the damaged frames: as COBS with a CRC-32 kept by
    /// hand does, whose figures these are.
    fn assert_own_frames_only(&self, what: &str) {
        assert!((self.mean() * 100.0).round() <= 102.0, "{what}: {self:?}");
        assert!(self.lost_max <= 2, "{what}: {self:?}");
        assert_eq!(self.wrong, 0, "{what}: {self:?}");
    }
}

fn trials<F: Encode + Decode + Copy>(name: &str, format: F, damage: Damage) -> Costs {
    trials_of(name, format, damage, |random, payloads| {
        payloads.iter_mut().for_each(|payload| random.fill(payload));
    })
}

/// Trials of payloads that `refill` fills.
fn trials_of<F: Encode + Decode + Copy>(
    name: &str,
    format: F,
    damage: Damage,
    refill: impl Fn(&mut Random, &mut [Payload; FRAMES]),
) -> Costs {
    let mut random = Random::new(0x466F_7265_6261_7900);
    let mut costs = Costs::default();
    let mut payloads = [[0; PAYLOAD_LEN]; FRAMES];
    for _ in 0..TRIALS {
        refill(&mut random, &mut payloads);
        let mut stream = encode(format, &payloads);
        damage.harm(&mut random, &mut stream);
        let (lost, wrong) = decode(format, &stream, &payloads);
        costs.lost += lost;
        costs.lost_max = costs.lost_max.max(lost);
        costs.wrong += wrong;
    }
    let Costs { lost_max, wrong, .. } = costs;
    println!("| {damage:?} | {name} | {:.2} | {lost_max} | {wrong} |", costs.mean());
    costs
}

fn encode<F: Encode>(format: F, payloads: &[Payload]) -> Vec<u8> {
    let mut stream = vec![0; payloads.len() * FRAME_LEN_MAX];
    let mut len = 0;
    for payload in payloads {
        len += format.encode(payload, &mut stream[len..]).unwrap();
    }
    stream.truncate(len);
    stream
}

/// Frames lost and frames delivered that were not sent, or not in this order.
fn decode<F: Decode>(format: F, stream: &[u8], payloads: &[Payload]) -> (u32, u32) {
    let (mut right, mut wrong, mut next) = (0, 0, 0);
    each_payload(format, stream, |payload| {
        match payloads[next..].iter().position(|sent| sent == payload) {
            Some(skipped) => {
                right += 1;
                next += skipped + 1;
            }
            None => wrong += 1,
        }
    });
    (u32::try_from(payloads.len()).unwrap() - right, wrong)
}

/// Decodes `stream`, received in pieces as they fit; returns the damages.
fn each_payload<F: Decode>(
    format: F,
    mut stream: &[u8],
    mut take: impl FnMut(&[u8]),
) -> Vec<Reason> {
    let buffer = vec![0; 4096.max(format.buffer_len_min())];
    let mut decoder = Decoder::new(format, buffer).unwrap();
    let mut damages = Vec::new();
    let mut ended = false;
    loop {
        match decoder.next_frame() {
            Ok(Some(frame)) => take(frame.payload),
            Err(damage) => damages.push(damage.reason),
            Ok(None) if ended => return damages,
            Ok(None) if stream.is_empty() => {
                decoder.end();
                ended = true;
            }
            Ok(None) => {
                let free = decoder.free();
                let len = free.len().min(stream.len());
                free[..len].copy_from_slice(&stream[..len]);
                decoder.received(len);
                stream = &stream[len..];
            }
        }
    }
}

const COBS: Cobs<Crc32> = Cobs::new(PAYLOAD_LEN, CRC32);
const NATIVE: Prefixed<Crc32> = Prefixed::native(PAYLOAD_LEN, CRC32);
/// The same with lengths of one or two bytes.
const VARINT: Prefixed<Crc32, true> =
    Prefixed::varint(4 * PAYLOAD_LEN).head_check().cover(Cover::HeadAndPayload).checksum(CRC32);

#[test]
fn a_flipped_bit() {
    trials("cobs-crc32", COBS, Damage::Flip).assert_own_frames_only("cobs-crc32");
    trials("native-crc32", NATIVE, Damage::Flip).assert_own_frames_only("native-crc32");
    trials("varint-crc32", VARINT, Damage::Flip).assert_own_frames_only("varint-crc32");
    let roomy = Prefixed::native(1 << 20, CRC32);
    trials("native-crc32, 1 MiB", roomy, Damage::Flip)
        .assert_own_frames_only("native-crc32, 1 MiB");
    // It has no check of its lengths to resynchronise by, but says no
    // falsehood.
    let flatstream = Prefixed::flatstream(PAYLOAD_LEN).checksum(CRC32);
    assert_eq!(trials("flatstream-crc32", flatstream, Damage::Flip).wrong, 0);
}

#[test]
fn bursts_and_lost_and_extra_bytes() {
    for damage in [Damage::Burst, Damage::Drop, Damage::Insert] {
        let costs = trials("cobs-crc32", COBS, damage);
        assert!(costs.lost_max <= 2, "{costs:?}");
        assert_eq!(costs.wrong, 0, "{costs:?}");
        // A dropped byte makes its frame reach into the next one, whose head is
        // then missed.
        let costs = trials("native-crc32", NATIVE, damage);
        assert!(costs.lost_max <= 2, "{costs:?}");
        assert_eq!(costs.wrong, 0, "{costs:?}");
    }
}

/// Zeros are stuffed as 01, so that damage adds, drops and cuts off whole
/// zeros. A checksum that begins with ones and is not zero for nothing sees
/// all of it.
#[test]
fn payloads_of_zeros() {
    const CRC16: &Crc<u16, Table<16>> = &Crc::<u16, Table<16>>::new(&crc::CRC_16_IBM_3740);
    const CRC32: &Crc<u32, Table<16>> = &Crc::<u32, Table<16>>::new(&crc::CRC_32_MPEG_2);
    fn check<C: Checksum + Copy>(name: &str, checksum: C) {
        for damage in [Damage::Flip, Damage::Drop] {
            let costs = trials_of(name, Cobs::new(PAYLOAD_LEN, checksum), damage, numbered_zeros);
            costs.assert_own_frames_only(name);
        }
    }
    check("zeros, cobs-crc16/ibm-3740", CRC16);
    check("zeros, cobs-crc32/mpeg-2", CRC32);
}

fn numbered_zeros(_: &mut Random, payloads: &mut [Payload; FRAMES]) {
    for (number, payload) in (1..=u8::MAX).zip(payloads) {
        payload[PAYLOAD_LEN - 1] = number;
    }
}

#[test]
fn zeros_hold_no_frame() {
    let zeros = [0; 4096];
    let none = |payload: &[u8]| panic!("a frame of {} bytes", payload.len());
    let damages = each_payload(NATIVE, &zeros, none);
    assert!(matches!(damages[..], [Reason::HeadCheck { .. }]), "{damages:?}");
    assert_eq!(each_payload(COBS, &zeros, none), []);
}

/// An oversize frame is skipped to its delimiter, counted once, and no part of
/// it is taken for a frame: not its tail either, which here is one.
#[test]
fn oversize_frames_are_skipped_whole() {
    let mut random = Random::new(1);
    let frame_len_max = Cobs::<Crc32>::frame_len_max(PAYLOAD_LEN);
    for oversize_len in (frame_len_max..6 * frame_len_max).chain([4095, 4096, 4097, 20_000]) {
        let payloads: [Payload; 3] = core::array::from_fn(|_| {
            let mut payload = [0; PAYLOAD_LEN];
            random.fill(&mut payload);
            payload
        });
        let [first, second, tail] = payloads.map(|payload| encode(COBS, &[payload]));
        let filler = vec![0x55; oversize_len - (tail.len() - 1)];
        let stream = [&first[..], &filler, &tail, &second].concat();

        let mut delivered = Vec::new();
        let damages = each_payload(COBS, &stream, |payload| delivered.push(payload.to_vec()));
        assert_eq!(delivered, payloads[..2], "{oversize_len} bytes");
        let (len, len_max) = (frame_len_max as u64 + 1, frame_len_max as u64);
        assert_eq!(damages, [Reason::TooLong { len, len_max }], "{oversize_len} bytes");
    }
}

#[test]
fn other_checksums_in_cobs() {
    fn check<C: Checksum + Copy>(name: &str, checksum: C) {
        let costs = trials(name, Cobs::new(PAYLOAD_LEN, checksum), Damage::Flip);
        costs.assert_own_frames_only(name);
    }
    check("cobs-crc64", CRC64);
    check("cobs-crc32c", CRC32C);
}
