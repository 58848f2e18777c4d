//! What is found again in damaged streams: 2,000 trials for each format and
//! kind of damage, 200 frames of 64 random bytes each.
//!
//! `cargo test -p forebay --test recovery -- --nocapture` prints the figures
//! as rows of a table: damage, format, frames lost in the mean and at most,
//! frames whole in the damaged stream and not found, frames delivered that
//! were not sent.

mod support;

use forebay::checksum::{CRC16, CRC32, Checksum};
use forebay::frame::{Encode, Order, Place, Prefixed, Reason, Width};
use forebay::recover::{Piece, Recovery, buffer_len_min};
use proptest::prelude::*;
use support::random::Random;

const TRIALS: u32 = 2000;
const FRAMES: usize = 200;
const PAYLOAD_LEN: usize = 64;

/// What became of a stream.
#[derive(Debug, Default, PartialEq)]
struct Recovered {
    /// Offsets and payloads.
    frames: Vec<(usize, Vec<u8>)>,
    damages: Vec<(usize, usize, Reason)>,
}

impl Recovered {
    fn payloads(&self) -> Vec<&[u8]> {
        self.frames.iter().map(|(_, payload)| &payload[..]).collect()
    }
}

/// Recovers `stream`, received in chunks of `chunk_len` or of what there is
/// room for; checks that the pieces make up the stream.
fn recover<C: Checksum>(format: Prefixed<C>, mut stream: &[u8], chunk_len: usize) -> Recovered {
    let len = stream.len();
    let buffer = vec![0; buffer_len_min(&format)];
    let mut recovery = Recovery::new(format, buffer).unwrap();
    let mut recovered = Recovered::default();
    let (mut at, mut ended) = (0, false);
    loop {
        match recovery.next_piece() {
            Some(Piece::Frame(frame)) => {
                assert_eq!(frame.offset, at as u64);
                recovered.frames.push((at, frame.payload.to_vec()));
                at += frame.frame_len;
            }
            Some(Piece::Damaged(damaged)) => {
                assert_eq!(damaged.begin, at as u64);
                assert!(damaged.begin < damaged.end);
                let end = usize::try_from(damaged.end).unwrap();
                recovered.damages.push((at, end, damaged.reason));
                at = end;
            }
            None if ended => break,
            None if stream.is_empty() => {
                recovery.end();
                ended = true;
            }
            None => {
                let free = recovery.free();
                assert!(!free.is_empty());
                let (chunk, rest) = stream.split_at(free.len().min(chunk_len).min(stream.len()));
                free[..chunk.len()].copy_from_slice(chunk);
                recovery.received(chunk.len());
                stream = rest;
            }
        }
    }
    assert_eq!(at, len, "the pieces make up the stream");
    recovered
}

fn encode<P: AsRef<[u8]>>(format: &impl Encode, payloads: &[P]) -> Vec<u8> {
    let mut stream = Vec::new();
    for payload in payloads {
        let (begin, payload) = (stream.len(), payload.as_ref());
        stream.resize(begin + format.frame_len_max(payload.len()), 0);
        let len = format.encode(payload, &mut stream[begin..]).unwrap();
        stream.truncate(begin + len);
    }
    stream
}

/// What happens to a stream on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    /// One bit flipped.
    Flip,
    /// Three bits flipped, somewhere.
    ThreeFlips,
    /// 2 to 16 bytes overwritten.
    Burst,
    /// 1 to 300 bytes missing.
    Delete,
    /// 1 to 300 bytes inserted.
    Insert,
    /// The end missing.
    Truncate,
    /// 512 bytes of zeros instead of what was there.
    Hole,
}

impl Damage {
    /// Harms the stream, in which `frame_len` bytes are a frame; says for each
    /// frame whether its bytes are still there, side by side.
    fn harm(self, random: &mut Random, stream: &mut Vec<u8>, frame_len: usize) -> Vec<bool> {
        let before = stream.clone();
        // Bytes from here on have moved, or are gone.
        let mut overwritten = 0..0;
        let (mut cut, mut moved) = (stream.len(), 0..0);
        match self {
            Self::Flip | Self::ThreeFlips => {
                for _ in 0..if self == Self::Flip { 1 } else { 3 } {
                    let at = random.below(stream.len());
                    stream[at] ^= 1 << random.below(8);
                }
                overwritten = 0..stream.len();
            }
            Self::Burst => {
                let len = 2 + random.below(15);
                let at = random.below(stream.len() - len);
                random.fill(&mut stream[at..at + len]);
                overwritten = at..at + len;
            }
            Self::Hole => {
                let at = random.below(stream.len() - 512);
                stream[at..at + 512].fill(0);
                overwritten = at..at + 512;
            }
            Self::Delete => {
                let len = 1 + random.below(300);
                let at = random.below(stream.len() - len);
                stream.drain(at..at + len);
                moved = at..at + len;
            }
            Self::Insert => {
                let at = random.below(stream.len() + 1);
                let mut extra = vec![0; 1 + random.below(300)];
                random.fill(&mut extra);
                stream.splice(at..at, extra);
                moved = at..at;
            }
            Self::Truncate => {
                cut = random.below(stream.len());
                stream.truncate(cut);
            }
        }
        (0..before.len() / frame_len)
            .map(|frame| {
                let (begin, end) = (frame * frame_len, (frame + 1) * frame_len);
                let same = overwritten.is_empty() || stream[begin..end] == before[begin..end];
                let together = if moved.is_empty() {
                    self != Self::Insert || moved.start <= begin || moved.start >= end
                } else {
                    moved.end <= begin || moved.start >= end
                };
                same && together && end <= cut
            })
            .collect()
    }
}

#[derive(Debug, Default)]
struct Costs {
    lost: u32,
    lost_max: u32,
    /// Frames that were whole in the damaged stream and were not found.
    missed: u32,
    /// Frames delivered that were not sent.
    wrong: u32,
}

fn trials<C: Checksum + Copy>(name: &str, format: Prefixed<C>, damage: Damage) -> Costs {
    let mut random = Random::new(0x466F_7265_6261_7900);
    let mut costs = Costs::default();
    let mut payloads = [[0; PAYLOAD_LEN]; FRAMES];
    for _ in 0..TRIALS {
        payloads.iter_mut().for_each(|payload| random.fill(payload));
        let mut stream = encode(&format, &payloads);
        let whole = damage.harm(&mut random, &mut stream, format.frame_len(PAYLOAD_LEN));
        let recovered = recover(format, &stream, usize::MAX);
        let mut found = [false; FRAMES];
        let mut next = 0;
        for payload in recovered.payloads() {
            match payloads[next..].iter().position(|sent| sent == payload) {
                Some(skipped) => {
                    next += skipped + 1;
                    found[next - 1] = true;
                }
                None => costs.wrong += 1,
            }
        }
        let count = |frames: &mut dyn Iterator<Item = bool>| {
            u32::try_from(frames.filter(|&it| it).count()).unwrap()
        };
        let lost = count(&mut found.iter().map(|found| !found));
        costs.lost += lost;
        costs.lost_max = costs.lost_max.max(lost);
        costs.missed += count(&mut whole.iter().zip(found).map(|(&whole, found)| whole && !found));
    }
    let Costs { lost, lost_max, missed, wrong } = costs;
    let mean = f64::from(lost) / f64::from(TRIALS);
    println!("| {damage:?} | {name} | {mean:.3} | {lost_max} | {missed} | {wrong} |");
    costs
}

const FLATSTREAM: Prefixed = Prefixed::flatstream(PAYLOAD_LEN);
const ROOMY: Prefixed = Prefixed::flatstream(1 << 14);

/// A flipped bit costs the frame that it is in: exactly one of 200, whatever
/// it hits.
#[test]
fn a_flipped_bit_costs_its_frame() {
    fn check<C: Checksum + Copy>(name: &str, format: Prefixed<C>) {
        let costs = trials(name, format, Damage::Flip);
        assert_eq!((costs.lost, costs.lost_max), (TRIALS, 1), "{name}: {costs:?}");
        assert_eq!((costs.missed, costs.wrong), (0, 0), "{name}: {costs:?}");
    }
    check("flatstream-crc16", FLATSTREAM.checksum(CRC16));
    check("flatstream-crc32", FLATSTREAM.checksum(CRC32));
    check("flatstream-crc32, 16 KiB", ROOMY.checksum(CRC32));
    #[cfg(feature = "xxh3")]
    check("flatstream-xxh3, 16 KiB", ROOMY.checksum(forebay::checksum::Xxh3));
    check("native-crc32, 16 KiB", Prefixed::native(1 << 14, CRC32));
}

/// No other damage costs a frame whose bytes are still there.
#[test]
fn whole_frames_are_found() {
    fn check<C: Checksum + Copy>(name: &str, format: Prefixed<C>, damage: Damage) {
        let costs = trials(name, format, damage);
        assert_eq!(costs.missed, 0, "{name}: {costs:?}");
        assert_eq!(costs.wrong, 0, "{name}: {costs:?}");
    }
    for damage in
        [Damage::ThreeFlips, Damage::Burst, Damage::Delete, Damage::Insert, Damage::Truncate]
    {
        check("flatstream-crc16", FLATSTREAM.checksum(CRC16), damage);
        check("flatstream-crc32, 16 KiB", ROOMY.checksum(CRC32), damage);
        check("native-crc32", Prefixed::native(PAYLOAD_LEN, CRC32), damage);
    }
    // Zeros are empty frames there if they begin where a frame does, as long
    // as nothing shows where they end; not in the native format.
    check("native-crc32", Prefixed::native(PAYLOAD_LEN, CRC32), Damage::Hole);
    let costs = trials("flatstream-crc32", FLATSTREAM.checksum(CRC32), Damage::Hole);
    assert_eq!(costs.missed, 0, "{costs:?}");
}

/// Without a checksum a damaged payload is delivered, but a damaged length
/// costs its frame alone.
#[test]
fn without_a_checksum_a_damaged_length_costs_its_frame() {
    for (name, format) in [("flatstream", FLATSTREAM), ("flatstream, 16 KiB", ROOMY)] {
        let costs = trials(name, format, Damage::Flip);
        assert_eq!((costs.lost, costs.lost_max), (TRIALS, 1), "{name}: {costs:?}");
        assert_eq!(costs.missed, 0, "{name}: {costs:?}");
        // The damaged payload, or a frame of a length that is not its own.
        assert!(costs.wrong <= TRIALS, "{name}: {costs:?}");
        trials(name, format, Damage::Delete);
        trials(name, format, Damage::Insert);
    }
}

/// A frame that holds frames, in the middle of others: whichever of its bits
/// is flipped and wherever it is cut off, its payload stays its own.
#[test]
fn frames_within_a_damaged_frame_are_not_delivered() {
    fn check<C: Checksum + Copy>(name: &str, format: Prefixed<C>) {
        for inner_len in [8, 9, 16, 24] {
            let inner: Vec<_> = (0..12u8).map(|n| vec![n + 1; inner_len]).collect();
            let outer = encode(&format, &inner);
            let others = [b"first".to_vec(), outer.clone(), b"third".to_vec(), b"last".to_vec()];
            let [first, _, third, last] = [0, 1, 2, 3].map(|n| &others[n][..]);
            for (payloads, left) in
                [(&others[..], vec![first, third, last]), (&others[..2], vec![first])]
            {
                let stream = encode(&format, payloads);
                let begin = format.frame_len(5);
                let outer_len = format.frame_len(outer.len());
                for bit in 0..8 * outer_len {
                    let mut stream = stream.clone();
                    stream[begin + bit / 8] ^= 1 << (bit % 8);
                    let recovered = recover(format, &stream, usize::MAX);
                    assert_eq!(recovered.payloads(), left, "{name}, {inner_len}, bit {bit}");
                    let [(from, to, _)] = recovered.damages[..] else { panic!("{recovered:?}") };
                    assert_eq!((from, to), (begin, begin + outer_len), "{name}, bit {bit}");
                }
                let stream = encode(&format, &others[..2]);
                for cut in begin + 1..stream.len() {
                    let recovered = recover(format, &stream[..cut], usize::MAX);
                    // Cut between two inner frames, it looks like a damaged length.
                    let inside = cut.checked_sub(begin + format.head_len(outer.len()));
                    if inside.is_none_or(|at| at == 0 || at % format.frame_len(inner_len) != 0) {
                        assert_eq!(recovered.payloads(), [first], "{name}, cut at {cut}");
                    }
                }
            }
        }
    }
    check("flatstream-crc32", Prefixed::flatstream(1 << 12).checksum(CRC32));
    #[cfg(feature = "xxh3")]
    check("flatstream-xxh3", Prefixed::flatstream(1 << 12).checksum(forebay::checksum::Xxh3));
    check("native-crc32", Prefixed::native(1 << 12, CRC32));
}

/// With 16 bits, a flipped payload is told from a flipped length.
#[test]
fn frames_within_a_damaged_payload_are_not_delivered_with_crc16() {
    let format = Prefixed::flatstream(1 << 12).checksum(CRC16);
    let inner: Vec<_> = (0..12u8).map(|n| vec![n + 1; 10]).collect();
    let outer = encode(&format, &inner);
    let stream = encode(&format, &[&b"first"[..], &outer, b"third", b"last"]);
    let begin = format.frame_len(5);
    for bit in 8 * 4..8 * format.frame_len(outer.len()) {
        let mut stream = stream.clone();
        stream[begin + bit / 8] ^= 1 << (bit % 8);
        let recovered = recover(format, &stream, usize::MAX);
        assert_eq!(recovered.payloads(), [&b"first"[..], b"third", b"last"], "bit {bit}");
    }
}

/// Empty frames say nothing by their checksums of zero; they are found by what
/// leads to them and by what they lead to.
#[test]
fn empty_frames_behind_a_damage_are_found() {
    let format = FLATSTREAM.checksum(CRC32);
    for payloads in [&[&b"one"[..], b"", b"", b"four"][..], &[b"one", b""]] {
        let stream = encode(&format, payloads);
        for at in 0..format.frame_len(3) {
            let mut stream = stream.clone();
            stream[at] ^= 0x40;
            let recovered = recover(format, &stream, usize::MAX);
            assert_eq!(recovered.payloads(), payloads[1..], "byte {at}");
        }
    }
}

#[test]
fn zeros_are_not_frames_where_none_is_expected() {
    let format = FLATSTREAM.checksum(CRC32);
    let mut stream = encode(&format, &[[7; 64], [8; 64]]);
    stream[20..].fill(0);
    stream.resize(100_000, 0);
    let recovered = recover(format, &stream, usize::MAX);
    assert_eq!(recovered.frames, []);
    assert!(matches!(recovered.damages[..], [(0, 100_000, Reason::Checksum { .. })]));
}

#[test]
fn a_buffer_that_is_too_short_is_refused() {
    let needed = buffer_len_min(&FLATSTREAM);
    let error = Recovery::new(FLATSTREAM, vec![0; needed - 1]).unwrap_err();
    assert_eq!((error.needed, error.given), (needed, needed - 1));
}

type EncodeAll = Box<dyn Fn(&[Vec<u8>]) -> Vec<u8>>;
type Recover = Box<dyn Fn(&[u8], usize) -> Recovered>;

/// A format as two functions.
struct Codec {
    encode: EncodeAll,
    recover: Recover,
}

/// Formats that have little in common.
fn codecs() -> Vec<Codec> {
    fn codec<C: Checksum + Copy + 'static>(format: Prefixed<C>) -> Codec {
        Codec {
            encode: Box::new(move |payloads| encode(&format, payloads)),
            recover: Box::new(move |stream, chunk_len| recover(format, stream, chunk_len)),
        }
    }
    let short = Prefixed::new(Width::U8, 40);
    vec![
        codec(Prefixed::flatstream(40)),
        codec(Prefixed::flatstream(40).checksum(CRC16)),
        codec(Prefixed::flatstream(40).checksum(CRC32)),
        codec(Prefixed::native(40, CRC32)),
        codec(short),
        codec(short.head_check()),
        codec(short.checksum(CRC16).place(Place::BeforePayload)),
        codec(Prefixed::new(Width::Varint, 200)),
        codec(Prefixed::new(Width::Varint, 200).checksum(CRC32)),
        codec(Prefixed::new(Width::Varint, 40).head_check().checksum(CRC16)),
        codec(Prefixed::new(Width::U64, 40).order(Order::Big).checksum(CRC32)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_whole_comes_whole(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..200),
    ) {
        for Codec { encode, recover } in codecs() {
            let recovered = recover(&encode(&payloads), usize::MAX);
            assert_eq!(recovered.payloads(), payloads);
            assert_eq!(recovered.damages, []);
        }
    }

    /// Few values, so that much looks like a frame.
    #[test]
    fn any_bytes_in_any_chunks_are_the_same_pieces(
        junk in prop::collection::vec(
            prop_oneof![3 => Just(0u8), 2 => 0u8..8, 1 => any::<u8>()], 0..6000),
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..200),
        at in any::<prop::sample::Index>(),
        chunk_len in 1usize..5000,
    ) {
        for Codec { encode, recover } in codecs() {
            let mut stream = encode(&payloads);
            let at = at.index(stream.len() + 1);
            stream.splice(at..at, junk.iter().copied());
            let whole = recover(&stream, usize::MAX);
            assert_eq!(recover(&stream, chunk_len), whole);
        }
    }
}
