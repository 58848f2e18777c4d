//! `FrameReader` over readers with every chunking and every fault: no frame is
//! torn, none is doubled.

mod common;

use std::io::{self, ErrorKind, Read};

use common::{FORMAT, wire_of};
use forebay_std::{
    FrameReader,
    forebay::frame::{Decode, Prefixed, Reason},
};
use proptest::prelude::*;

/// What one read gives.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Give(usize),
    Fail(ErrorKind),
}

/// Gives `wire` by a script, and what is left when that is used up.
struct Scripted {
    wire: io::Cursor<Vec<u8>>,
    script: Vec<Answer>,
}

impl Scripted {
    fn new(wire: &[u8], script: &[Answer]) -> Self {
        let script = script.iter().rev().copied().collect();
        Self { wire: io::Cursor::new(wire.to_vec()), script }
    }
}

impl Read for Scripted {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        match self.script.pop().unwrap_or(Answer::Give(usize::MAX)) {
            Answer::Give(len) => {
                let len = room.len().min(len);
                self.wire.read(&mut room[..len])
            }
            Answer::Fail(kind) => Err(kind.into()),
        }
    }
}

/// What came of a stream: its payloads, the offsets and reasons of its
/// damages, and how often a read would have blocked.
#[derive(Debug, Default, PartialEq)]
struct Received {
    payloads: Vec<Vec<u8>>,
    damages: Vec<(u64, Reason)>,
    blocked: usize,
}

fn receive<F: Decode>(reader: Scripted, format: F) -> Received {
    let mut frames = FrameReader::new(reader, format);
    let mut received = Received::default();
    loop {
        match frames.fill() {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                received.blocked += 1;
            }
        }
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => received.payloads.push(frame.payload.to_vec()),
                Ok(None) => break,
                Err(damage) => received.damages.push((damage.offset, damage.reason)),
            }
        }
    }
    assert_eq!(frames.counts().frames, received.payloads.len() as u64);
    assert_eq!(frames.counts().damages, received.damages.len() as u64);
    assert!(!frames.fill().unwrap(), "the end stays the end");
    received
}

const SHORT: Prefixed = Prefixed::flatstream(64);
const MESSAGES: [&[u8]; 3] = [b"ab", b"", b"c"];

#[test]
fn every_chunking_with_every_fault_between() {
    let wire = wire_of(&SHORT, &MESSAGES);
    assert_eq!(wire.len(), 15);
    for cuts in 0u32..1 << (wire.len() - 1) {
        let mut script = Vec::new();
        let mut len = 1;
        for at in 0..wire.len() - 1 {
            if cuts & 1 << at == 0 {
                len += 1;
            } else {
                script.extend([
                    Answer::Give(len),
                    Answer::Fail(ErrorKind::Interrupted),
                    Answer::Fail(ErrorKind::WouldBlock),
                ]);
                len = 1;
            }
        }
        let received = receive(Scripted::new(&wire, &script), SHORT);
        assert_eq!(received.payloads, MESSAGES, "{script:?}");
        assert_eq!(received.damages, []);
        assert_eq!(received.blocked, cuts.count_ones() as usize);
    }
}

#[test]
fn an_end_in_every_place_costs_the_frame_that_it_cuts() {
    let messages = [&b"first"[..], b"", b"third"];
    let wire = wire_of(&FORMAT, &messages);
    let ends: Vec<usize> =
        (1..=3).map(|frames| wire_of(&FORMAT, &messages[..frames]).len()).collect();
    for end in 0..=wire.len() {
        let received = receive(Scripted::new(&wire[..end], &[]), FORMAT);
        let whole = ends.iter().filter(|&&len| len <= end).count();
        assert_eq!(received.payloads, messages[..whole], "cut at {end}");
        let begin = ends[..whole].last().copied().unwrap_or(0);
        if begin == end {
            assert_eq!(received.damages, []);
        } else {
            let [(offset, Reason::Truncated { .. })] = received.damages[..] else {
                panic!("cut at {end}: {:?}", received.damages);
            };
            assert_eq!(offset, begin as u64);
        }
    }
}

#[test]
fn a_damaged_frame_costs_itself() {
    let messages = [b"one", b"two", b"six"];
    let wire = wire_of(&FORMAT, &messages);
    let second = wire.len() / 3..wire.len() * 2 / 3;
    for at in second.clone() {
        let mut wire = wire.clone();
        wire[at] ^= 0x10;
        let received = receive(Scripted::new(&wire, &[Answer::Give(at)]), FORMAT);
        assert_eq!(received.payloads, [b"one", b"six"], "byte {at}");
        assert_eq!(received.damages.len(), 1);
        assert_eq!(received.damages[0].0, second.start as u64);
    }
}

#[test]
fn frames_that_wait_in_a_full_buffer_are_not_the_end() {
    let messages: Vec<[u8; 4]> = (0..20_000u32).map(u32::to_le_bytes).collect();
    let wire = wire_of(&FORMAT, &messages);
    assert!(wire.len() > 3 * 64 * 1024);
    let mut frames = FrameReader::new(&wire[..], FORMAT);
    for _ in 0..10 {
        assert!(frames.fill().unwrap());
    }
    assert!(!frames.reader().is_empty(), "all read: the buffer was never full");
    let mut received = Vec::new();
    while frames.fill().unwrap() {
        while let Some(frame) = frames.next_frame().unwrap() {
            received.push(<[u8; 4]>::try_from(frame.payload).unwrap());
        }
    }
    assert_eq!(received, messages);
}

#[test]
fn a_stream_that_is_lost_says_so() {
    let mut frames = FrameReader::new(&b"\xff\xff\xff\xffno length"[..], SHORT);
    assert!(frames.fill().unwrap());
    let damage = frames.next_frame().unwrap_err();
    assert!(matches!(damage.reason, Reason::TooLong { len: 0xffff_ffff, len_max: 64 }));
    assert!(frames.is_lost());
}

#[test]
fn an_error_is_passed_on_and_the_stream_goes_on() {
    let wire = wire_of(&FORMAT, &[b"message"]);
    let script = [Answer::Give(5), Answer::Fail(ErrorKind::ConnectionReset)];
    let mut frames = FrameReader::new(Scripted::new(&wire, &script), FORMAT);
    assert!(frames.fill().unwrap());
    assert_eq!(frames.fill().unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(frames.fill().unwrap());
    assert_eq!(frames.next_frame().unwrap().unwrap().payload, b"message");
}

/// Claims more than it was asked for.
struct Liar;

impl Read for Liar {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        Ok(room.len() + 1)
    }
}

#[test]
#[should_panic(expected = "65537 bytes received into 65536 free ones")]
fn a_reader_that_claims_too_much_is_found_out() {
    let _ = FrameReader::new(Liar, FORMAT).fill();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_messages_in_any_chunks(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..30),
        script in prop::collection::vec(prop_oneof![
            4 => (1usize..100).prop_map(Answer::Give),
            1 => Just(Answer::Fail(ErrorKind::Interrupted)),
            1 => Just(Answer::Fail(ErrorKind::WouldBlock)),
        ], 0..200),
    ) {
        let wire = wire_of(&FORMAT, &messages);
        let received = receive(Scripted::new(&wire, &script), FORMAT);
        prop_assert_eq!(received.payloads, messages);
        prop_assert_eq!(received.damages, []);
    }
}
