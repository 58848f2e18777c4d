//! Windows, frame sizes and system calls, by a client that counts.

use forebay_std::forebay::frame::http2::{Frame, Increment, Kind, Setting, StreamId, flags};

use super::{
    Server,
    raw::{Raw, get, post, raw_frame},
};

fn id(number: u32) -> StreamId {
    StreamId::new(number).unwrap()
}

/// Each small response leaves in one system call: HEADERS and DATA.
#[test]
fn a_response_leaves_in_one_system_call() {
    const COUNT: u32 = 20;
    let server = Server::start();
    let body = server.file("file", 8_000);
    let mut raw = Raw::new(&server);
    for number in 0..COUNT {
        raw.send(&get(2 * number + 1, "/file"));
        assert_eq!(raw.response(2 * number + 1), (0x88, body.clone()));
        let increment = Increment::new(8_000).unwrap();
        raw.frame(&Frame::WindowUpdate { stream: None, increment });
    }
    raw.end();
    let report = server.report();
    // The first write is of SETTINGS and a WINDOW_UPDATE, the second of the
    // acknowledgement.
    assert_eq!(report.requests, u64::from(COUNT));
    assert_eq!(report.frames, 3 + 2 * u64::from(COUNT));
    assert_eq!((report.writes, report.blocked), (2 + u64::from(COUNT), 0));
}

/// A hundred requests that arrive together are answered together.
#[test]
fn a_hundred_streams_share_system_calls() {
    let server = Server::start();
    let body = server.file("file", 500);
    let mut raw = Raw::new(&server);
    let requests: Vec<u8> = (0..100).flat_map(|number| get(2 * number + 1, "/file")).collect();
    raw.send(&requests);
    let mut ended = 0;
    while ended < 100 {
        let came = raw.next().unwrap();
        if let Frame::Data { data, .. } = came.frame() {
            assert_eq!(data, body);
            ended += u32::from(came.head.has(flags::END_STREAM));
        }
    }
    raw.end();
    let report = server.report();
    assert_eq!(report.frames, 3 + 200);
    // One read brings them all, as a rule; a few, whatever the kernel does.
    assert!(report.writes <= 2 + 5, "{} writes", report.writes);
}

/// A window of a byte, then of a few, then smaller than what has been sent.
#[test]
fn a_small_window_is_kept_to_the_byte() {
    let server = Server::start();
    let body = server.file("file", 40_000);
    let mut raw = Raw::with(&server, &[Setting::InitialWindowSize(1)]);
    raw.send(&get(1, "/file"));
    let mut got: Vec<u8> = Vec::new();
    let mut granted = 1;
    let mut step = 1;
    while got.len() < body.len() {
        while got.len() < granted.min(body.len()) {
            let came = raw.find(|came| came.head.kind == Kind::DATA);
            let Frame::Data { data, .. } = came.frame() else { unreachable!() };
            got.extend(data);
            assert!(got.len() <= granted, "over the window");
        }
        // Nothing more comes: the answer to a PING is the next frame.
        if granted < body.len() {
            raw.frame(&Frame::Ping { ack: false, data: [1; 8] });
            assert_eq!(raw.next().unwrap().frame(), Frame::Ping { ack: true, data: [1; 8] });
        }
        step = (step * 2).min(5_000);
        granted += step as usize;
        let increment = Increment::new(step).unwrap();
        raw.frame(&Frame::WindowUpdate { stream: Some(id(1)), increment });
    }
    assert!(got == body);
}

/// SETTINGS in the middle of a response: a negative window is worked off
/// before a byte comes.
#[test]
fn a_window_that_shrinks_below_zero_is_worked_off() {
    let server = Server::start();
    let body = server.file("file", 50_000);
    let mut raw = Raw::with(&server, &[Setting::InitialWindowSize(20_000)]);
    raw.send(&get(1, "/file"));
    let mut got = Vec::new();
    let take = |raw: &mut Raw, got: &mut Vec<u8>, len: usize| {
        while got.len() < len {
            let came = raw.find(|came| came.head.kind == Kind::DATA);
            let Frame::Data { data, .. } = came.frame() else { unreachable!() };
            got.extend(data);
        }
        assert_eq!(got.len(), len);
    };
    take(&mut raw, &mut got, 20_000);
    // The window is now 5,000 - 20,000.
    raw.send(&raw_frame(4, 0, 0, b"\0\x04\0\0\x13\x88"));
    let ack = raw.next().unwrap();
    assert_eq!(ack.frame(), Frame::SettingsAck);
    let update = |bytes| Frame::WindowUpdate {
        stream: Some(id(1)),
        increment: Increment::new(bytes).unwrap(),
    };
    raw.frame(&update(15_000));
    raw.frame(&Frame::Ping { ack: false, data: [2; 8] });
    assert_eq!(raw.next().unwrap().frame(), Frame::Ping { ack: true, data: [2; 8] });
    raw.frame(&update(1));
    take(&mut raw, &mut got, 20_001);
    raw.frame(&update(29_999));
    take(&mut raw, &mut got, 50_000);
    assert!(got == body);
}

#[test]
fn the_peers_frame_size_is_used_once_it_is_told() {
    let server = Server::start();
    let body = server.file("file", 200_000);
    let settings = [Setting::MaxFrameSize(1 << 20), Setting::InitialWindowSize(1 << 20)];
    let mut raw = Raw::with(&server, &settings);
    let increment = Increment::new(1 << 20).unwrap();
    raw.frame(&Frame::WindowUpdate { stream: None, increment });
    raw.send(&get(1, "/file"));
    let (mut got, mut longest) = (Vec::<u8>::new(), 0);
    while got.len() < body.len() {
        let came = raw.find(|came| came.head.kind == Kind::DATA);
        longest = longest.max(came.head.payload_len);
        let Frame::Data { data, .. } = came.frame() else { unreachable!() };
        got.extend(data);
    }
    assert!(got == body);
    // A chunk of the file is one frame.
    assert_eq!(longest, 32 * 1024);
}

/// A request's body is many times the window; the server gives it back, also
/// for what is padding.
#[test]
fn uploads_are_given_their_windows_back() {
    let server = Server::start();
    let mut raw = Raw::new(&server);
    raw.send(&post(1, "/count"));
    let (mut stream, mut connection, mut sent) = (65_535_i64, 65_535_i64, 0);
    let frame = raw_frame(0, 8, 1, &[&[200_u8][..], &[7; 1_000], &[0; 200]].concat());
    let cost = 1_201;
    for _ in 0..1_000 {
        while stream < cost || connection < cost {
            let came = raw.find(|came| came.head.kind == Kind::WINDOW_UPDATE);
            let Frame::WindowUpdate { stream: of, increment } = came.frame() else {
                unreachable!()
            };
            let window = if of.is_some() { &mut stream } else { &mut connection };
            *window += i64::from(increment.number());
        }
        raw.send(&frame);
        (stream, connection) = (stream - cost, connection - cost);
        sent += 1_000;
    }
    raw.send(&raw_frame(0, 1, 1, b""));
    assert_eq!(raw.response(1).1, format!("{sent}\n").into_bytes());
}

/// An echo that nobody takes keeps the sender's window closed, and so the
/// memory bounded.
#[test]
fn an_echo_that_is_not_taken_is_not_kept_for_ever() {
    let server = Server::start();
    let mut raw = Raw::with(&server, &[Setting::InitialWindowSize(0)]);
    raw.send(&post(1, "/echo"));
    let data = vec![9; 16_000];
    for _ in 0..4 {
        raw.send(&raw_frame(0, 0, 1, &data));
    }
    // A window is given back after the answers to what came with the data, so
    // before the answer to the second PING.
    let mut back = 0;
    for number in 1..=2 {
        raw.frame(&Frame::Ping { ack: false, data: [number; 8] });
        loop {
            let came = raw.next().unwrap();
            match came.frame() {
                Frame::WindowUpdate { stream: Some(_), increment } => back += increment.number(),
                Frame::Ping { .. } => break,
                _ => {}
            }
        }
    }
    assert!(back <= 32 * 1024, "{back} bytes of the window have come back");
    let increment = Increment::new(64_000).unwrap();
    raw.frame(&Frame::WindowUpdate { stream: Some(id(1)), increment });
    raw.send(&raw_frame(0, 1, 1, b""));
    let (_, body) = raw.response(1);
    assert!(body == data.repeat(4));
}

/// A reader that takes a few bytes now and then holds up nobody else.
#[test]
fn a_slow_reader_holds_up_nobody() {
    let server = Server::start();
    let long = server.file("long", 3_000_000);
    let short = server.file("short", 3_000);
    let settings = [Setting::InitialWindowSize((1 << 31) - 1)];
    let mut slow = Raw::with(&server, &settings);
    let increment = Increment::new(1 << 30).unwrap();
    slow.frame(&Frame::WindowUpdate { stream: None, increment });
    slow.send(&get(1, "/long"));
    // Others are served while it reads nothing.
    for _ in 0..10 {
        let mut raw = Raw::new(&server);
        raw.send(&get(1, "/short"));
        assert_eq!(raw.response(1), (0x88, short.clone()));
    }
    assert!(slow.response(1).1 == long);
    // A stream of its own connection, too, is served between the long one's.
    slow.send(&[get(3, "/long"), get(5, "/short")].concat());
    let mut before = 0;
    loop {
        let came = slow.next().unwrap();
        match came.head.stream {
            3 => before += came.head.payload_len,
            5 if came.head.has(flags::END_STREAM) => break,
            _ => {}
        }
    }
    assert!(before < 1_000_000, "{before} bytes of the long one came first");
}
