//! HTTP/2 frames: byte by byte as RFC 9113 draws them, both ways; every rule
//! that a frame can break, with its code and its cost.

use forebay::{
    Batch, Decoder,
    decoder::Damage,
    frame::{
        Decode, EncodeError, Reason, Step,
        http2::{
            BlockOrder, ErrorCode, Frame, Head, Http2, Increment, Kind, Priority, Scope, Setting,
            Settings, SettingsError, StreamId, Violation, flags,
        },
    },
};
use proptest::prelude::*;

const FORMAT: Http2 = Http2::new(Http2::PAYLOAD_LEN_MAX_LEAST);

fn id(number: u32) -> StreamId {
    StreamId::new(number).unwrap()
}

fn encoded(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = vec![0xEE; frame.frame_len() + 3];
    let len = frame.encode(&mut out).unwrap();
    assert_eq!(len, frame.frame_len());
    assert_eq!(out[len..], [0xEE; 3], "nothing behind the frame is touched");
    out.truncate(len);
    out
}

/// Each type as the RFC draws it, by hand.
#[test]
fn ten_types_byte_by_byte() {
    let priority = Priority { exclusive: true, dependency: 0x0102_0304, weight: 15 };
    let settings = [Setting::EnablePush(false), Setting::Unknown { id: 0xFFEE, value: 7 }];
    let mut bytes = [0; 12];
    let settings = Settings::write(&settings, &mut bytes).unwrap();
    let cases: Vec<(Frame<'_>, &[u8])> = vec![
        (
            Frame::Data { stream: id(1), end_stream: true, padding: None, data: b"ab" },
            b"\0\0\x02\0\x01\0\0\0\x01ab",
        ),
        (
            Frame::Data { stream: id(1), end_stream: false, padding: Some(2), data: b"a" },
            b"\0\0\x04\0\x08\0\0\0\x01\x02a\0\0",
        ),
        // All padding, and a pad length of zero: both legal.
        (
            Frame::Data { stream: id(1), end_stream: false, padding: Some(2), data: b"" },
            b"\0\0\x03\0\x08\0\0\0\x01\x02\0\0",
        ),
        (
            Frame::Data { stream: id(1), end_stream: false, padding: Some(0), data: b"" },
            b"\0\0\x01\0\x08\0\0\0\x01\0",
        ),
        (
            Frame::Headers {
                stream: id(0x7FFF_FFFF),
                end_stream: true,
                end_headers: true,
                priority: Some(priority),
                padding: Some(1),
                fragment: b"\x82",
            },
            b"\0\0\x08\x01\x2D\x7F\xFF\xFF\xFF\x01\x81\x02\x03\x04\x0F\x82\0",
        ),
        (
            Frame::Priority { stream: id(3), priority },
            b"\0\0\x05\x02\0\0\0\0\x03\x81\x02\x03\x04\x0F",
        ),
        (
            Frame::RstStream { stream: id(5), code: ErrorCode::CANCEL },
            b"\0\0\x04\x03\0\0\0\0\x05\0\0\0\x08",
        ),
        (Frame::Settings(settings), b"\0\0\x0C\x04\0\0\0\0\0\0\x02\0\0\0\0\xFF\xEE\0\0\0\x07"),
        (Frame::SettingsAck, b"\0\0\0\x04\x01\0\0\0\0"),
        (
            Frame::PushPromise {
                stream: id(1),
                promised: id(2),
                end_headers: true,
                padding: Some(1),
                fragment: b"\x82",
            },
            b"\0\0\x07\x05\x0C\0\0\0\x01\x01\0\0\0\x02\x82\0",
        ),
        (Frame::Ping { ack: true, data: *b"pingpong" }, b"\0\0\x08\x06\x01\0\0\0\0pingpong"),
        (
            Frame::GoAway { last_stream: Some(id(9)), code: ErrorCode(0x1234), debug: b"why" },
            b"\0\0\x0B\x07\0\0\0\0\0\0\0\0\x09\0\0\x12\x34why",
        ),
        (
            Frame::WindowUpdate {
                stream: Some(id(1)),
                increment: Increment::new(0x7FFF_FFFF).unwrap(),
            },
            b"\0\0\x04\x08\0\0\0\0\x01\x7F\xFF\xFF\xFF",
        ),
        (
            Frame::WindowUpdate { stream: None, increment: Increment::new(1).unwrap() },
            b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01",
        ),
        (
            Frame::Continuation { stream: id(1), end_headers: true, fragment: b"\x82" },
            b"\0\0\x01\x09\x04\0\0\0\x01\x82",
        ),
        (
            Frame::Unknown { kind: Kind(0xBE), flags: 0xFF, stream: 0, payload: b"ext" },
            b"\0\0\x03\xBE\xFF\0\0\0\0ext",
        ),
    ];
    let mut kinds = std::collections::BTreeSet::new();
    for (frame, bytes) in cases {
        assert_eq!(encoded(&frame), bytes, "{frame:?}");
        assert_eq!(Frame::parse(bytes), Ok(frame));
        let head = frame.head().unwrap();
        assert_eq!(Head::split(bytes).unwrap().0, head);
        kinds.insert(head.kind.0);
        let mut wire = bytes.to_vec();
        let frame_len = bytes.len();
        assert_eq!(FORMAT.decode(&mut wire, 0), Step::Frame { payload: 0..frame_len, frame_len });
        for len in 1..frame_len {
            let needed = if len < Head::LEN { Head::LEN } else { frame_len };
            assert_eq!(FORMAT.decode(&mut wire[..len], 0), Step::Incomplete { needed });
        }
    }
    assert!((0..10).all(|kind| kinds.contains(&kind)), "{kinds:?}");
}

/// Bits that are reserved, and flags that a type does not define, are ignored.
#[test]
fn reserved_bits_are_ignored() {
    let update = Frame::parse(b"\0\0\x04\x08\xFF\x80\0\0\x01\x80\0\0\x05").unwrap();
    let increment = Increment::new(5).unwrap();
    assert_eq!(update, Frame::WindowUpdate { stream: Some(id(1)), increment });
    // On CONTINUATION the PADDED flag means nothing.
    let continuation = Frame::parse(b"\0\0\x01\x09\x08\0\0\0\x01\xFF").unwrap();
    let expected = Frame::Continuation { stream: id(1), end_headers: false, fragment: b"\xFF" };
    assert_eq!(continuation, expected);
}

/// A seed wrote lengths in one byte.
#[test]
fn payloads_above_255_bytes_keep_their_length() {
    for len in [255, 256, 16_384, 65_536, (1 << 24) - 1] {
        let data = vec![7; len];
        let frame = Frame::Data { stream: id(1), end_stream: true, padding: None, data: &data };
        let wire = encoded(&frame);
        assert_eq!(wire.len(), 9 + len);
        assert_eq!(wire[..3], u32::try_from(len).unwrap().to_be_bytes()[1..]);
        assert!(Frame::parse(&wire) == Ok(frame));
    }
    let data = vec![7; 1 << 24];
    let frame = Frame::Data { stream: id(1), end_stream: true, padding: Some(3), data: &data };
    let payload_len_max = (1 << 24) - 1 - 4;
    let error = EncodeError::TooLong { payload_len: 1 << 24, payload_len_max };
    assert_eq!(frame.encode(&mut vec![0; 1 << 25]), Err(error));
    let short = Frame::Ping { ack: false, data: [0; 8] };
    assert_eq!(short.encode(&mut [0; 16]), Err(EncodeError::NoRoom { needed: 17, free: 16 }));
}

/// A frame with `head`'s figures and so much payload.
fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let payload_len = u32::try_from(payload.len()).unwrap();
    let mut wire = Head { payload_len, kind: Kind(kind), flags, stream }.encode().to_vec();
    wire.extend(payload);
    wire
}

/// Every rule that a frame alone can break: what is said of it, and its cost.
#[test]
fn violations_are_told_with_code_and_cost() {
    let long = vec![0; 16_385];
    let cases: Vec<(Vec<u8>, &str, u32)> = vec![
        (
            raw(0, 0, 1, &long),
            "DATA with a payload of 16385 bytes, over the maximum of 16384 (FRAME_SIZE_ERROR)",
            0,
        ),
        (raw(0, 0, 0, b"x"), "DATA on stream 0 (PROTOCOL_ERROR)", 0),
        (
            raw(0, 8, 1, b""),
            "DATA of stream 1 with 0 bytes, at least 1 needed (FRAME_SIZE_ERROR)",
            1,
        ),
        (raw(0, 8, 1, b"\x01"), "DATA with 1 bytes of padding in 0 bytes (PROTOCOL_ERROR)", 0),
        (raw(0, 8, 1, b"\x03xx"), "DATA with 3 bytes of padding in 2 bytes (PROTOCOL_ERROR)", 0),
        (raw(1, 4, 0, b""), "HEADERS on stream 0 (PROTOCOL_ERROR)", 0),
        (
            raw(1, 0x28, 1, b"\0\0\0\0\0"),
            "HEADERS of stream 1 with 5 bytes, at least 6 needed (FRAME_SIZE_ERROR)",
            0,
        ),
        (
            raw(1, 0x28, 1, b"\x02\0\0\0\0\0x"),
            "HEADERS with 2 bytes of padding in 1 bytes (PROTOCOL_ERROR)",
            0,
        ),
        (raw(2, 0, 0, b"\0\0\0\0\0"), "PRIORITY on stream 0 (PROTOCOL_ERROR)", 0),
        (
            raw(2, 0, 7, b"\0\0\0\0"),
            "PRIORITY of stream 7 with 4 bytes instead of 5 (FRAME_SIZE_ERROR)",
            7,
        ),
        (raw(3, 0, 0, b"\0\0\0\0"), "RST_STREAM on stream 0 (PROTOCOL_ERROR)", 0),
        (
            raw(3, 0, 7, b"\0\0\0\0\0"),
            "RST_STREAM of stream 7 with 5 bytes instead of 4 (FRAME_SIZE_ERROR)",
            0,
        ),
        (raw(4, 0, 1, b""), "SETTINGS on stream 1 instead of 0 (PROTOCOL_ERROR)", 0),
        (
            raw(4, 0, 0, b"\0\x01\0\0\0"),
            "SETTINGS with 5 bytes, no multiple of 6 (FRAME_SIZE_ERROR)",
            0,
        ),
        (
            raw(4, 1, 0, b"\0\x01\0\0\0\0"),
            "an acknowledgement of SETTINGS with 6 bytes (FRAME_SIZE_ERROR)",
            0,
        ),
        (
            raw(4, 0, 0, b"\0\x02\0\0\0\x02"),
            "setting 0x2 of 2, allowed are 0 to 1 (PROTOCOL_ERROR)",
            0,
        ),
        (
            raw(4, 0, 0, b"\0\x04\x80\0\0\0"),
            "setting 0x4 of 2147483648, allowed are 0 to 2147483647 (FLOW_CONTROL_ERROR)",
            0,
        ),
        (
            raw(4, 0, 0, b"\0\x05\0\0\x3F\xFF"),
            "setting 0x5 of 16383, allowed are 16384 to 16777215 (PROTOCOL_ERROR)",
            0,
        ),
        (
            raw(4, 0, 0, b"\0\x05\x01\0\0\0"),
            "setting 0x5 of 16777216, allowed are 16384 to 16777215 (PROTOCOL_ERROR)",
            0,
        ),
        (raw(5, 4, 0, b"\0\0\0\x02"), "PUSH_PROMISE on stream 0 (PROTOCOL_ERROR)", 0),
        (
            raw(5, 4, 1, b"\0\0\0"),
            "PUSH_PROMISE of stream 1 with 3 bytes, at least 4 needed (FRAME_SIZE_ERROR)",
            0,
        ),
        (raw(5, 4, 1, b"\x80\0\0\0"), "PUSH_PROMISE of stream 0 on stream 1 (PROTOCOL_ERROR)", 0),
        (
            raw(5, 12, 1, b"\x01\0\0\0\x02"),
            "PUSH_PROMISE with 1 bytes of padding in 0 bytes (PROTOCOL_ERROR)",
            0,
        ),
        (raw(6, 0, 1, b"12345678"), "PING on stream 1 instead of 0 (PROTOCOL_ERROR)", 0),
        (
            raw(6, 0, 0, b"1234567"),
            "PING of stream 0 with 7 bytes instead of 8 (FRAME_SIZE_ERROR)",
            0,
        ),
        (raw(7, 0, 1, b"12345678"), "GOAWAY on stream 1 instead of 0 (PROTOCOL_ERROR)", 0),
        (
            raw(7, 0, 0, b"1234567"),
            "GOAWAY of stream 0 with 7 bytes, at least 8 needed (FRAME_SIZE_ERROR)",
            0,
        ),
        (
            raw(8, 0, 7, b"\0\0\0"),
            "WINDOW_UPDATE of stream 7 with 3 bytes instead of 4 (FRAME_SIZE_ERROR)",
            0,
        ),
        (raw(8, 0, 7, b"\x80\0\0\0"), "WINDOW_UPDATE of stream 7 by 0 (PROTOCOL_ERROR)", 7),
        (raw(8, 0, 0, b"\0\0\0\0"), "WINDOW_UPDATE of stream 0 by 0 (PROTOCOL_ERROR)", 0),
        (raw(9, 0, 0, b""), "CONTINUATION on stream 0 (PROTOCOL_ERROR)", 0),
    ];
    for (wire, told, costs) in cases {
        // A good frame behind it is delivered where the stream alone is lost.
        let wire = [wire, encoded(&Frame::SettingsAck)].concat();
        let mut decoder = Decoder::new(FORMAT, vec![0; 1 << 15]).unwrap();
        decoder.free()[..wire.len()].copy_from_slice(&wire);
        decoder.received(wire.len());
        let Err(Damage { offset: 0, reason: Reason::Http2(violation) }) = decoder.next_frame()
        else {
            panic!("{told}");
        };
        assert_eq!(violation.to_string(), told);
        let scope = StreamId::new(costs).map_or(Scope::Connection, Scope::Stream);
        assert_eq!(violation.scope(), scope, "{told}");
        let next = decoder.next_frame().unwrap().map(|frame| Frame::parse(frame.payload));
        let next_expected = (costs != 0).then_some(Ok(Frame::SettingsAck));
        assert_eq!(next, next_expected, "{told}");
        assert_eq!(decoder.is_lost(), costs == 0, "{told}");
    }
}

/// A head's nine bytes are enough, however much is declared to follow.
#[test]
fn what_a_head_tells_is_refused_before_anything_is_waited_for() {
    for (head, code) in [
        (*b"\xFF\xFF\xFF\0\0\0\0\0\x01", ErrorCode::FRAME_SIZE_ERROR),
        (*b"\0\x40\x01\xBE\0\0\0\0\0", ErrorCode::FRAME_SIZE_ERROR),
        (*b"\0\x40\0\0\0\0\0\0\0", ErrorCode::PROTOCOL_ERROR),
        (*b"\0\x40\0\x06\0\0\0\0\0", ErrorCode::FRAME_SIZE_ERROR),
    ] {
        let Step::Damaged { skip: 1, reason: Reason::Http2(violation), resync: true } =
            FORMAT.decode(&mut head.clone(), 0)
        else {
            panic!("{head:?}");
        };
        assert_eq!(violation.code(), code);
    }
    // As long as the maximum is waited for.
    let step = FORMAT.decode(&mut b"\0\x40\0\0\0\0\0\0\x01".clone(), 0);
    assert_eq!(step, Step::Incomplete { needed: 16_384 + 9 });
    // The maximum is this endpoint's choice, within the setting's range.
    assert_eq!(Http2::new(0), FORMAT);
    assert_eq!(Http2::new(u32::MAX).payload_len_max(), (1 << 24) - 1);
    let step = Http2::new(20_000).decode(&mut b"\0\x4E\x20\0\0\0\0\0\x01".clone(), 0);
    assert_eq!(step, Step::Incomplete { needed: 20_000 + 9 });
}

#[test]
fn one_whole_frame_is_parsed_and_nothing_else() {
    let ping = encoded(&Frame::Ping { ack: false, data: [0; 8] });
    for (bytes, given, frame_len) in
        [(&ping[..16], 16, 17), (&[&ping[..], b"x"].concat(), 18, 17), (&ping[..8], 8, 9)]
    {
        let violation = Violation::NotOneFrame { given, frame_len };
        assert_eq!(Frame::parse(bytes), Err(violation));
        assert_eq!(violation.code(), ErrorCode::INTERNAL_ERROR);
    }
}

#[test]
fn settings_are_written_in_their_ranges_alone() {
    let all = [
        Setting::HeaderTableSize(0),
        Setting::EnablePush(true),
        Setting::MaxConcurrentStreams(u32::MAX),
        Setting::InitialWindowSize((1 << 31) - 1),
        Setting::MaxFrameSize((1 << 24) - 1),
        Setting::MaxHeaderListSize(1),
    ];
    let mut out = [0; 36];
    let settings = Settings::write(&all, &mut out).unwrap();
    assert!(Settings::parse(settings.as_bytes()).unwrap().iter().eq(all));
    let mut short = [0; 35];
    let short = Settings::write(&all, &mut short);
    let no_room = EncodeError::NoRoom { needed: 36, free: 35 };
    assert_eq!(short, Err(SettingsError::NoRoom(no_room)));
    for wrong in [Setting::InitialWindowSize(1 << 31), Setting::MaxFrameSize(16_383)] {
        let error = Settings::write(&[wrong], &mut [0; 6]).unwrap_err();
        assert!(matches!(error, SettingsError::Value(Violation::SettingValue { .. })));
    }
}

fn head(kind: Kind, flags: u8, stream: u32) -> Head {
    Head { payload_len: 0, kind, flags, stream }
}

/// A seed let a CONTINUATION overtake its HEADERS.
#[test]
fn a_continuation_before_its_headers_is_refused() {
    let mut order = BlockOrder::new(8);
    let violation = order.check(head(Kind::CONTINUATION, 4, 1)).unwrap_err();
    assert_eq!(violation, Violation::NoBlock { stream: 1 });
    assert_eq!(
        (violation.code(), violation.scope()),
        (ErrorCode::PROTOCOL_ERROR, Scope::Connection)
    );
    // Nor after a block has ended.
    order.check(head(Kind::HEADERS, flags::END_HEADERS, 1)).unwrap();
    order.check(head(Kind::CONTINUATION, 4, 1)).unwrap_err();
}

#[test]
fn nothing_comes_between_the_frames_of_a_block() {
    for first in [Kind::HEADERS, Kind::PUSH_PROMISE] {
        for kind in (0..=255).map(Kind) {
            for stream in [0, 1, 3] {
                let mut order = BlockOrder::new(8);
                order.check(head(first, 0, 1)).unwrap();
                assert_eq!(order.open(), Some(id(1)));
                let checked = order.check(head(kind, flags::END_HEADERS, stream));
                if kind == Kind::CONTINUATION && stream == 1 {
                    assert_eq!((checked, order.open()), (Ok(()), None));
                } else {
                    let expected =
                        Violation::BlockInterrupted { stream: 1, by: kind, by_stream: stream };
                    assert_eq!(checked, Err(expected));
                    assert_eq!(expected.code(), ErrorCode::PROTOCOL_ERROR);
                }
            }
        }
    }
}

#[test]
fn a_block_without_end_is_refused() {
    let mut order = BlockOrder::new(2);
    order.check(head(Kind::HEADERS, 0, 1)).unwrap();
    order.check(head(Kind::CONTINUATION, 0, 1)).unwrap();
    order.check(head(Kind::CONTINUATION, 0, 1)).unwrap();
    let violation = order.check(head(Kind::CONTINUATION, flags::END_HEADERS, 1)).unwrap_err();
    assert_eq!(violation, Violation::TooManyContinuations { stream: 1, continuations_max: 2 });
    assert_eq!(violation.code(), ErrorCode::ENHANCE_YOUR_CALM);
}

fn stream() -> impl Strategy<Value = StreamId> {
    prop_oneof![1..8_u32, 1..=StreamId::GREATEST].prop_map(id)
}

/// What payloads are cut from.
static POOL: [u8; 1024] = {
    let (mut pool, mut at) = ([0; 1024], 0);
    while at < pool.len() {
        pool[at] = ((at * 167) >> 3).to_le_bytes()[0];
        at += 1;
    }
    pool
};

fn bytes() -> impl Strategy<Value = &'static [u8]> {
    (0..300_usize, 0..700_usize).prop_map(|(len, at)| &POOL[at..at + len])
}

fn frames() -> impl Strategy<Value = Frame<'static>> {
    let pad = || proptest::option::of(any::<u8>());
    let priority = || {
        (any::<bool>(), 0..=StreamId::GREATEST, any::<u8>())
            .prop_map(|(exclusive, dependency, weight)| Priority { exclusive, dependency, weight })
    };
    prop_oneof![
        (stream(), any::<bool>(), pad(), bytes()).prop_map(
            |(stream, end_stream, padding, data)| {
                Frame::Data { stream, end_stream, padding, data }
            }
        ),
        (stream(), any::<bool>(), any::<bool>(), proptest::option::of(priority()), pad(), bytes())
            .prop_map(|(stream, end_stream, end_headers, priority, padding, fragment)| {
                Frame::Headers { stream, end_stream, end_headers, priority, padding, fragment }
            }),
        (stream(), priority()).prop_map(|(stream, priority)| Frame::Priority { stream, priority }),
        (stream(), any::<u32>())
            .prop_map(|(stream, code)| { Frame::RstStream { stream, code: ErrorCode(code) } }),
        Just(Frame::SettingsAck),
        (stream(), stream(), any::<bool>(), pad(), bytes()).prop_map(
            |(stream, promised, end_headers, padding, fragment)| {
                Frame::PushPromise { stream, promised, end_headers, padding, fragment }
            }
        ),
        (any::<bool>(), any::<[u8; 8]>()).prop_map(|(ack, data)| Frame::Ping { ack, data }),
        (proptest::option::of(stream()), any::<u32>(), bytes()).prop_map(
            |(last_stream, code, debug)| {
                Frame::GoAway { last_stream, code: ErrorCode(code), debug }
            }
        ),
        (proptest::option::of(stream()), 1..=StreamId::GREATEST).prop_map(|(stream, bytes)| {
            Frame::WindowUpdate { stream, increment: Increment::new(bytes).unwrap() }
        }),
        (stream(), any::<bool>(), bytes()).prop_map(|(stream, end_headers, fragment)| {
            Frame::Continuation { stream, end_headers, fragment }
        }),
    ]
}

/// What a decoder says of `wire`, given in pieces.
fn decoded(wire: &[u8], pieces: &[usize]) -> Vec<Result<Vec<u8>, Damage>> {
    let mut decoder = Decoder::new(FORMAT, vec![0; FORMAT.buffer_len_min()]).unwrap();
    let (mut told, mut rest) = (Vec::new(), wire);
    for len in pieces.iter().copied().chain([usize::MAX]) {
        let (mut piece, behind) = rest.split_at(len.min(rest.len()));
        rest = behind;
        while !piece.is_empty() {
            let free = decoder.free();
            let len = free.len().min(piece.len());
            free[..len].copy_from_slice(&piece[..len]);
            decoder.received(len);
            piece = &piece[len..];
            loop {
                match decoder.next_frame() {
                    Ok(Some(frame)) => told.push(Ok(frame.payload.to_vec())),
                    Ok(None) => break,
                    Err(damage) => told.push(Err(damage)),
                }
            }
        }
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }))]

    /// Encoded, through a batch or not, cut anywhere: the same frames.
    #[test]
    fn frames_survive_any_chunking(
        frames in proptest::collection::vec(frames(), 1..8),
        pieces in proptest::collection::vec(1..40_usize, 0..60),
    ) {
        let wire: Vec<u8> = frames.iter().flat_map(encoded).collect();
        let mut batch: Batch<Vec<u8>> = Batch::new(vec![0; 1 << 16]).borrow_from(64);
        for frame in &frames {
            frame.push(&mut batch).unwrap();
        }
        prop_assert_eq!(batch.slices().concat(), &wire[..]);

        let told = decoded(&wire, &pieces);
        prop_assert_eq!(told.len(), frames.len());
        for (told, frame) in told.iter().zip(&frames) {
            prop_assert_eq!(Frame::parse(told.as_ref().unwrap()), Ok(*frame));
        }
    }

    /// Whatever comes, nothing panics, the answers do not depend on the
    /// pieces, and what is delivered encodes to frames of the same meaning.
    #[test]
    fn anything_is_answered_the_same_in_any_chunking(
        heads in proptest::collection::vec((0..24_u32, 0..12_u8, any::<u8>(), 0..3_u32), 1..10),
        filler in proptest::collection::vec(any::<u8>(), 300),
        pieces in proptest::collection::vec(1..20_usize, 0..60),
    ) {
        let mut wire = Vec::new();
        for (at, &(payload_len, kind, flags, stream)) in heads.iter().enumerate() {
            wire.extend(Head { payload_len, kind: Kind(kind), flags, stream }.encode());
            wire.extend(&filler[at..at + payload_len as usize]);
        }
        let told = decoded(&wire, &pieces);
        prop_assert_eq!(&told, &decoded(&wire, &[]));
        for bytes in told.into_iter().flatten() {
            let frame = Frame::parse(&bytes).unwrap();
            let again = encoded(&frame);
            prop_assert_eq!(Frame::parse(&again), Ok(frame));
            prop_assert_eq!(again.len(), bytes.len());
        }
    }
}
