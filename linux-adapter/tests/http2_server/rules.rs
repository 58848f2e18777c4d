//! Clients that break the rules: each is told what RFC 9113 says, and others
//! are served all the same.

use forebay_std::forebay::frame::http2::{ErrorCode, Frame, Kind, PREFACE, Setting};

use super::{
    Server,
    raw::{Raw, block, encoded, get, post, raw_frame},
};

/// What costs the connection.
#[test]
fn connection_errors_end_in_goaway_with_the_code() {
    let server = Server::start();
    let body = server.file("file", 100);
    let long = vec![0; 16_385];
    // A literal that is indexed, whose block ends in its name.
    let compression = raw_frame(1, 5, 1, b"\x82\x40\x0Aabc");
    let protocol = ErrorCode::PROTOCOL_ERROR;
    let size = ErrorCode::FRAME_SIZE_ERROR;
    let flow = ErrorCode::FLOW_CONTROL_ERROR;
    let greatest = raw_frame(8, 0, 0, b"\x7F\xFF\xFF\xFF");
    let in_a_block = |frame: &[u8]| [&raw_frame(1, 1, 1, b"\x82"), frame].concat();
    let cases: Vec<(&str, Vec<u8>, ErrorCode)> = vec![
        ("PING within a field block", in_a_block(&raw_frame(6, 0, 0, &[0; 8])), protocol),
        ("HEADERS within a field block", in_a_block(&get(3, "/file")), protocol),
        ("CONTINUATION of another stream", in_a_block(&raw_frame(9, 4, 3, b"")), protocol),
        (
            "an unknown frame within a field block",
            in_a_block(&raw_frame(0xBE, 0, 0, b"")),
            protocol,
        ),
        // Of the stream alone, were it not within a field block.
        ("PRIORITY within a field block", in_a_block(&raw_frame(2, 0, 1, b"")), size),
        ("CONTINUATION without HEADERS", raw_frame(9, 4, 1, b"\x82"), protocol),
        ("DATA on stream 0", raw_frame(0, 0, 0, b"x"), protocol),
        ("DATA on an idle stream", raw_frame(0, 0, 1, b"x"), protocol),
        ("HEADERS of an even stream", get(2, "/file"), protocol),
        ("RST_STREAM on an idle stream", raw_frame(3, 0, 1, &[0; 4]), protocol),
        ("WINDOW_UPDATE on an idle stream", raw_frame(8, 0, 1, b"\0\0\0\x01"), protocol),
        ("WINDOW_UPDATE by 0", raw_frame(8, 0, 0, &[0; 4]), protocol),
        ("WINDOW_UPDATE of 3 bytes", raw_frame(8, 0, 0, &[0; 3]), size),
        ("a window over its greatest", [&greatest[..], &greatest].concat(), flow),
        ("a frame over the maximum", raw_frame(0, 0, 1, &long), size),
        ("an unknown frame over the maximum", raw_frame(0xBE, 0, 0, &long), size),
        ("PING of 7 bytes", raw_frame(6, 0, 0, &[0; 7]), size),
        ("PING on a stream", raw_frame(6, 0, 1, &[0; 8]), protocol),
        ("SETTINGS of 5 bytes", raw_frame(4, 0, 0, &[0; 5]), size),
        ("SETTINGS on a stream", raw_frame(4, 0, 1, &[]), protocol),
        ("an acknowledgement with SETTINGS", raw_frame(4, 1, 0, &[0; 6]), size),
        ("ENABLE_PUSH of 2", raw_frame(4, 0, 0, b"\0\x02\0\0\0\x02"), protocol),
        ("INITIAL_WINDOW_SIZE of 2^31", raw_frame(4, 0, 0, b"\0\x04\x80\0\0\0"), flow),
        ("MAX_FRAME_SIZE of 16383", raw_frame(4, 0, 0, b"\0\x05\0\0\x3F\xFF"), protocol),
        ("PUSH_PROMISE of a client", raw_frame(5, 4, 1, b"\0\0\0\x02\x82"), protocol),
        ("padding over the payload", raw_frame(1, 0xD, 1, b"\x05\x82\x86\x84"), protocol),
        ("a block that cannot be decoded", compression, ErrorCode::COMPRESSION_ERROR),
        ("a reference to no field", raw_frame(1, 5, 1, b"\xBE"), ErrorCode::COMPRESSION_ERROR),
        // The length of an integer is in the next byte, and there is none.
        ("a block of one byte", raw_frame(1, 5, 1, b"\x3F"), ErrorCode::COMPRESSION_ERROR),
    ];
    for (name, bytes, code) in cases {
        println!("{name}");
        let mut raw = Raw::new(&server);
        raw.send(&bytes);
        raw.expect_goaway(code);
        // The server waits for it a little.
        drop(raw);
        let (told, text) = server.report().goaway.expect(name);
        assert_eq!(told, code, "{name}: {text}");
    }
    // And the next one is served.
    let mut raw = Raw::new(&server);
    raw.send(&get(1, "/file"));
    assert_eq!(raw.response(1), (0x88, body));
}

#[test]
fn a_connection_begins_with_preface_and_settings() {
    let server = Server::start();
    for first in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &PREFACE[1..]] {
        let mut raw = Raw::silent(server.address);
        raw.send(first);
        raw.expect_goaway(ErrorCode::PROTOCOL_ERROR);
    }
    for first in [get(1, "/"), raw_frame(6, 0, 0, &[0; 8]), encoded(&Frame::SettingsAck)] {
        let mut raw = Raw::silent(server.address);
        raw.send(&[PREFACE, &first[..]].concat());
        raw.expect_goaway(ErrorCode::PROTOCOL_ERROR);
    }
}

#[test]
fn a_stream_cannot_be_opened_twice() {
    let server = Server::start();
    server.file("file", 1);
    let mut raw = Raw::new(&server);
    raw.send(&get(3, "/file"));
    raw.response(3);
    raw.send(&get(3, "/file"));
    raw.expect_goaway(ErrorCode::STREAM_CLOSED);
    // Nor one below the last: it was closed by the last one's opening.
    let mut raw = Raw::new(&server);
    raw.send(&[get(3, "/file"), get(1, "/file")].concat());
    raw.expect_goaway(ErrorCode::STREAM_CLOSED);
}

/// What costs the stream: the connection goes on.
#[test]
fn stream_errors_end_in_rst_stream_with_the_code() {
    let server = Server::start();
    let body = server.file("file", 100);
    let protocol = ErrorCode::PROTOCOL_ERROR;
    let mut raw = Raw::new(&server);
    let mut stream = 1;
    let with_length = |stream, length: &str| {
        let mut block = block(super::raw::POST, "/count");
        block.extend([0x0F, 13, u8::try_from(length.len()).unwrap()]);
        block.extend(length.as_bytes());
        raw_frame(1, 4, stream, &block)
    };
    type Case = (&'static str, fn(u32) -> Vec<u8>, ErrorCode);
    let cases: [Case; 6] = [
        (
            "WINDOW_UPDATE by 0",
            |it| [post(it, "/count"), raw_frame(8, 0, it, &[0; 4])].concat(),
            protocol,
        ),
        (
            "a stream's window over its greatest",
            |it| [post(it, "/count"), raw_frame(8, 0, it, b"\x7F\xFF\xFF\xFF")].concat(),
            ErrorCode::FLOW_CONTROL_ERROR,
        ),
        (
            "PRIORITY of 4 bytes",
            |it| [post(it, "/count"), raw_frame(2, 0, it, &[0; 4])].concat(),
            ErrorCode::FRAME_SIZE_ERROR,
        ),
        (
            "PADDED without a pad length",
            |it| [post(it, "/count"), raw_frame(0, 8, it, b"")].concat(),
            ErrorCode::FRAME_SIZE_ERROR,
        ),
        (
            "a field name in capitals",
            |it| raw_frame(1, 5, it, b"\x82\x86\x84\0\x01A\x01b"),
            protocol,
        ),
        ("no :path", |it| raw_frame(1, 5, it, b"\x82\x86"), protocol),
    ];
    for (name, bytes, code) in cases {
        println!("{name}");
        raw.send(&bytes(stream));
        raw.expect_reset(stream, code);
        stream += 2;
    }
    for (length, data) in [("2", &b"abc"[..]), ("4", b"abc")] {
        raw.send(&[with_length(stream, length), raw_frame(0, 1, stream, data)].concat());
        raw.expect_reset(stream, protocol);
        stream += 2;
    }
    // Data on a stream that has ended on both sides.
    raw.send(&get(stream, "/file"));
    assert_eq!(raw.response(stream), (0x88, body.clone()));
    raw.send(&raw_frame(0, 0, stream, b"late"));
    raw.expect_reset(stream, ErrorCode::STREAM_CLOSED);
    // After a reset such data is on its way still, and ignored.
    raw.send(&raw_frame(0, 0, stream, b"late"));
    raw.ping();
    // A HEADERS of a stream reset here keeps the table in step.
    stream += 2;
    raw.send(&get(stream, "/file"));
    assert_eq!(raw.response(stream), (0x88, body));
    raw.end();
    assert_eq!(server.report().goaway, None);
}

#[test]
fn more_data_than_a_window_is_refused() {
    let server = Server::start();
    // An echo that cannot leave, so that not much of the window comes back:
    // 65,535 bytes and at most 32 KiB.
    let mut raw = Raw::with(&server, &[Setting::InitialWindowSize(0)]);
    let frames = raw_frame(0, 0, 1, &[0; 16_384]).repeat(7);
    raw.send(&[post(1, "/echo"), frames].concat());
    raw.expect_reset(1, ErrorCode::FLOW_CONTROL_ERROR);
    // The connection's window is of 1 MiB, and each stream keeps 32,000 bytes of
    // it at least.
    let mut raw = Raw::with(&server, &[Setting::InitialWindowSize(0)]);
    for number in 0..40 {
        let stream = 2 * number + 1;
        let frames = raw_frame(0, 0, stream, &[0; 16_000]).repeat(4);
        // The last ones come too late, perhaps.
        raw.try_send(&[post(stream, "/echo"), frames].concat());
    }
    raw.expect_goaway(ErrorCode::FLOW_CONTROL_ERROR);
}

#[test]
fn a_field_block_has_an_end() {
    let server = Server::start();
    let mut raw = Raw::new(&server);
    let mut bytes = raw_frame(1, 1, 1, b"\x82");
    bytes.extend(raw_frame(9, 0, 1, b"").repeat(9));
    raw.send(&bytes);
    raw.expect_goaway(ErrorCode::ENHANCE_YOUR_CALM);
    // Eight are accepted.
    let mut raw = Raw::new(&server);
    let mut bytes = raw_frame(1, 1, 1, b"");
    let block = block(super::raw::GET, "/none");
    for (number, byte) in block.chunks(2).enumerate() {
        assert!(number < 8);
        let end = if number == block.chunks(2).count() - 1 { 4 } else { 0 };
        bytes.extend(raw_frame(9, end, 1, byte));
    }
    raw.send(&bytes);
    assert_eq!(raw.response(1), (0x8D, b"404\n".to_vec()));
}

#[test]
fn a_header_list_over_the_maximum_is_answered_with_431() {
    let server = Server::start();
    let body = server.file("file", 10);
    let mut raw = Raw::new(&server);
    let mut long = block(super::raw::GET, "/file");
    for _ in 0..200 {
        long.extend(b"\0\x01a\x7F\x00");
        long.extend([b'x'; 127]);
    }
    let (first, rest) = long.split_at(16_384);
    raw.send(&[raw_frame(1, 1, 1, first), raw_frame(9, 4, 1, rest)].concat());
    // A literal of the name `:status`, index 8.
    assert_eq!(raw.response(1), (0x08, b"431\n".to_vec()));
    raw.send(&get(3, "/file"));
    assert_eq!(raw.response(3), (0x88, body));
}

#[test]
fn more_streams_than_are_allowed_are_refused() {
    let server = Server::start();
    let mut raw = Raw::new(&server);
    for number in 0..100 {
        raw.send(&post(2 * number + 1, "/count"));
    }
    raw.send(&post(201, "/count"));
    raw.expect_reset(201, ErrorCode::REFUSED_STREAM);
    // When one has ended there is room for one.
    raw.send(&raw_frame(0, 1, 1, b"12345"));
    let data = raw.find(|came| came.head.kind == Kind::DATA);
    assert!(matches!(data.frame(), Frame::Data { data: b"5\n", end_stream: true, .. }));
    raw.send(&post(203, "/count"));
    raw.send(&raw_frame(0, 1, 203, b""));
    assert_eq!(raw.response(203).1, b"0\n");
}

#[test]
fn what_must_be_ignored_is() {
    let server = Server::start();
    let body = server.file("file", 10);
    let mut raw = Raw::new(&server);
    raw.send(&raw_frame(0xBE, 0xFF, 7, b"an extension"));
    raw.send(&raw_frame(2, 0, 9, b"\x80\0\0\x01\xFF"));
    raw.send(&raw_frame(4, 0, 0, b"\xFF\xEE\0\0\0\x01"));
    raw.send(&raw_frame(6, 1, 0, &[0; 8]));
    // A request in padded HEADERS with priority fields, the reserved bit set.
    let block = [&b"\x03\x80\0\0\x01\x10"[..], &block(super::raw::GET, "/file"), &[0; 3]].concat();
    raw.send(&raw_frame(1, 0x2D, 1 | 1 << 31, &block));
    assert_eq!(raw.response(1), (0x88, body));
}

/// A peer that asks and does not read the answers.
#[test]
fn a_flood_of_pings_or_settings_ends() {
    let server = Server::start();
    let ping = encoded(&Frame::Ping { ack: false, data: [7; 8] });
    let settings = raw_frame(4, 0, 0, b"\0\x04\0\0\xFF\xFF");
    for flood in [ping, settings] {
        let mut raw = Raw::new(&server);
        let flood = flood.repeat(10_000);
        // More than the buffers of both sockets hold.
        let mut sent = 0_u64;
        while raw.try_send(&flood) {
            sent += 10_000;
            assert!(sent < 100_000_000, "no end of it");
        }
        let (code, text) = server.report().goaway.unwrap();
        assert_eq!(code, ErrorCode::ENHANCE_YOUR_CALM, "{text}");
    }
}

/// A peer that opens streams and resets them at once.
#[test]
fn a_flood_of_resets_ends() {
    let server = Server::start();
    let mut raw = Raw::new(&server);
    let mut bytes = Vec::new();
    for number in 0..1_000 {
        bytes.extend(post(2 * number + 1, "/count"));
        bytes.extend(raw_frame(3, 0, 2 * number + 1, b"\0\0\0\x08"));
    }
    raw.try_send(&bytes);
    raw.expect_goaway(ErrorCode::ENHANCE_YOUR_CALM);
}
