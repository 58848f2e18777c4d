//! Clients that keep to the frames' rules and mean harm: work for nothing,
//! memory, waiting, and frames at the worst moment.

use std::{fs::OpenOptions, time::Duration};

use forebay_std::forebay::frame::http2::{ErrorCode, Frame, Increment, Kind, Setting, StreamId};

use super::{
    Server,
    raw::{GET, POST, Raw, block, get, post, raw_frame},
};

fn window(stream: Option<u32>, bytes: u32) -> Frame<'static> {
    let stream = stream.and_then(StreamId::new);
    Frame::WindowUpdate { stream, increment: Increment::new(bytes).unwrap() }
}

/// A peer that has its own streams reset, by errors of those streams alone:
/// each is work for nothing, as if it had reset them itself (CVE-2025-8671).
#[test]
fn a_flood_of_resets_that_are_provoked_ends() {
    let server = Server::start();
    let provocations: [fn(u32) -> Vec<u8>; 5] = [
        |stream| raw_frame(8, 0, stream, &[0; 4]),
        |stream| raw_frame(8, 0, stream, b"\x7F\xFF\xFF\xFF"),
        |stream| raw_frame(2, 0, stream, &[0; 4]),
        |stream| raw_frame(0, 8, stream, b""),
        |stream| [raw_frame(0, 1, stream, b""), raw_frame(0, 0, stream, b"late")].concat(),
    ];
    for provoke in provocations {
        let mut raw = Raw::new(&server);
        let mut bytes = Vec::new();
        for stream in (1..2_000).step_by(2) {
            bytes.extend(post(stream, "/count"));
            bytes.extend(provoke(stream));
        }
        raw.try_send(&bytes);
        raw.expect_goaway(ErrorCode::ENHANCE_YOUR_CALM);
    }
}

/// What the windows allow is taken: files that nobody reads, and echoes that
/// nobody takes.
#[test]
fn what_the_windows_allow_fits() {
    const FILES: u32 = 84;
    let server = Server::start();
    let body = server.file("file", 40_000);
    let mut raw = Raw::with(&server, &[Setting::InitialWindowSize(0)]);
    let streams = |range: std::ops::Range<u32>| range.map(|number| 2 * number + 1);
    let echoes: Vec<u32> = streams(FILES..100).collect();
    let ping = |raw: &mut Raw| {
        raw.frame(&Frame::Ping { ack: false, data: [3; 8] });
        let came = raw.find(|came| matches!(came.head.kind, Kind::PING | Kind::RST_STREAM));
        assert_eq!(came.frame(), Frame::Ping { ack: true, data: [3; 8] });
    };
    for stream in streams(0..FILES) {
        raw.send(&get(stream, "/file"));
    }
    for &stream in &echoes {
        raw.send(&post(stream, "/echo"));
    }
    // The windows of so much come back.
    for _ in 0..2 {
        for &stream in &echoes {
            raw.send(&raw_frame(0, 0, stream, &[7; 16_000]));
            ping(&mut raw);
        }
    }
    for &stream in &echoes {
        raw.send(&raw_frame(0, 0, stream, &[7; 16_000]).repeat(4));
    }
    ping(&mut raw);
    raw.frame(&window(None, 1 << 30));
    for &stream in &echoes {
        raw.send(&raw_frame(0, 1, stream, b""));
        raw.frame(&window(Some(stream), 1 << 20));
        assert!(raw.response(stream).1 == [7; 96_000]);
    }
    for stream in streams(0..FILES) {
        raw.frame(&window(Some(stream), 1 << 20));
        assert!(raw.response(stream).1 == body);
    }
}

/// A stream that is reset here between HEADERS and CONTINUATION: what comes is
/// no request, whatever it says.
#[test]
fn trailers_of_a_stream_reset_meanwhile_are_no_request() {
    let server = Server::start();
    server.file("file", 200_000);
    let mut raw = Raw::new(&server);
    raw.send(&raw_frame(1, 4, 1, &block(GET, "/file")));
    let mut got = 0;
    while got < 65_535 {
        let came = raw.find(|came| came.head.kind == Kind::DATA);
        got += came.head.payload_len;
    }
    // The next read finds less than was promised.
    OpenOptions::new().write(true).truncate(true).open(server.root.path("file")).unwrap();
    let mut bytes = raw_frame(8, 0, 0, b"\0\x01\0\0");
    bytes.extend(raw_frame(8, 0, 1, b"\0\x01\0\0"));
    bytes.extend(raw_frame(1, 1, 1, b""));
    raw.send(&bytes);
    let came = raw.find(|came| came.head.kind == Kind::RST_STREAM);
    let Frame::RstStream { code, .. } = came.frame() else { unreachable!() };
    assert_eq!(code, ErrorCode::INTERNAL_ERROR);
    raw.send(&raw_frame(9, 4, 1, &block(GET, "/none")));
    // An answer would come behind that to the first PING.
    for number in 0..2 {
        raw.frame(&Frame::Ping { ack: false, data: [number; 8] });
        assert_eq!(raw.next().unwrap().frame(), Frame::Ping { ack: true, data: [number; 8] });
    }
}

/// Bytes that come one by one keep nobody busy for ever (slowloris).
#[test]
fn a_frame_that_comes_too_slowly_ends() {
    let server = Server::with(|config| config.idle_max = Duration::from_secs(1));
    let long = raw_frame(0xBE, 0, 0, &[0; 6_000]);
    let mut raw = Raw::new(&server);
    let taken = raw.drip(&long);
    assert!(0 < taken && taken < long.len(), "{taken} bytes");
    raw.expect_goaway(ErrorCode::NO_ERROR);
}

/// A length that cannot come any more.
#[test]
fn a_length_without_a_body_is_an_error_of_the_stream() {
    let server = Server::start();
    let mut raw = Raw::new(&server);
    for (number, (method, length)) in [(POST, "4"), (GET, "4")].into_iter().enumerate() {
        let stream = 2 * u32::try_from(number).unwrap() + 1;
        let mut block = block(method, "/count");
        block.extend([0x0F, 13, u8::try_from(length.len()).unwrap()]);
        block.extend(length.as_bytes());
        raw.send(&raw_frame(1, 5, stream, &block));
        raw.expect_reset(stream, ErrorCode::PROTOCOL_ERROR);
    }
}
