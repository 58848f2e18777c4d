//! DLT streams through the decoder: every chunking gives the same, damage
//! costs what it must, and no length is waited for that is over the maximum.

mod support;

use forebay::frame::dlt::{
    Dlt, Extended, Header, Id, Level, Message, MessageWriter, StorageHeader, UserRecord,
};
use forebay::frame::{Decode, Order, Reason};
use forebay::{Decoder, decoder::BufferTooShort};
use support::drive;
use support::random::Random;
use support::spec::{Event, Outcome};

fn message(number: u8, text: &str) -> Vec<u8> {
    let header = Header {
        order: Order::Little,
        counter: number,
        ecu: None,
        session: None,
        timestamp: None,
        extended: Some(Extended::log(Level::Info, Id::new("APP"), Id::new("CTX"))),
    };
    let mut out = vec![0; 1024];
    let mut message = MessageWriter::new(&header, &mut out).unwrap();
    message.argument(&text.into()).unwrap();
    let len = message.finish();
    out.truncate(len);
    out
}

/// One form of stream, and how a message stands in it.
struct Form {
    format: fn(usize) -> Dlt,
    lead: Vec<u8>,
}

fn forms() -> [Form; 3] {
    let storage = StorageHeader { seconds: 1, microseconds: 2, ecu: Id::new("ECU1") };
    let mut lead = [0; 16];
    storage.put(&mut lead).unwrap();
    let mut head = [0; 8];
    UserRecord::put_log_head(&mut head).unwrap();
    [
        Form { format: Dlt::file, lead: lead.to_vec() },
        Form { format: Dlt::bare, lead: vec![] },
        Form { format: Dlt::user, lead: head.to_vec() },
    ]
}

impl Form {
    fn frame(&self, number: u8, text: &str) -> Vec<u8> {
        [self.lead.clone(), message(number, text)].concat()
    }
}

/// Decodes in pieces, in the shortest buffer and a longer one.
fn decode(format: Dlt, stream: &[u8], pieces: &[usize]) -> Outcome {
    let shortest = Decode::buffer_len_min(&format);
    let [first, second] = [shortest, 3 * shortest + 7]
        .map(|len| drive::decode(format, stream, pieces.iter().copied(), &mut vec![0; len]));
    assert_eq!(first, second, "{pieces:?}");
    first
}

/// Whole, in two pieces and three at every place, byte by byte, and at the
/// end.
fn decode_in_every_way(format: Dlt, stream: &[u8]) -> Outcome {
    let whole = decode(format, stream, &[]);
    for cut in 0..=stream.len() {
        assert_eq!(decode(format, stream, &[cut]), whole, "cut at {cut}");
        for second in (0..=stream.len() - cut).step_by(7) {
            assert_eq!(decode(format, stream, &[cut, second]), whole, "cut at {cut} and {second}");
        }
    }
    assert_eq!(decode(format, stream, &vec![1; stream.len()]), whole);
    let mut buffer = vec![0; Decode::buffer_len_min(&format).max(stream.len())];
    assert_eq!(drive::decode_at_end(format, stream, &mut buffer), whole);
    whole
}

fn frames(outcome: &Outcome) -> Vec<&[u8]> {
    outcome.payloads()
}

fn reasons(outcome: &Outcome) -> Vec<(u64, Reason)> {
    let reason = |event: &Event| match event {
        Event::Damage { offset, reason } => Some((*offset, *reason)),
        Event::Frame { .. } => None,
    };
    outcome.events.iter().filter_map(reason).collect()
}

#[test]
fn every_split_gives_the_same_frames() {
    for form in forms() {
        let sent = [form.frame(1, ""), form.frame(2, "two"), form.frame(3, "number three")];
        let outcome = decode_in_every_way((form.format)(64), &sent.concat());
        assert_eq!(frames(&outcome), sent);
        assert_eq!((reasons(&outcome), outcome.bytes_lost), (vec![], 0));
    }
}

#[test]
fn every_cut_is_told_once() {
    for form in forms() {
        let sent = [form.frame(1, "one"), form.frame(2, "two")];
        let (whole, first) = (sent.concat(), sent[0].len());
        for len in 0..whole.len() {
            let outcome = decode_in_every_way((form.format)(64), &whole[..len]);
            assert_eq!(frames(&outcome).len(), len / first);
            match reasons(&outcome)[..] {
                [] => assert_eq!(len % first, 0),
                [(offset, Reason::Truncated { received, .. })] => {
                    assert_eq!(usize::try_from(offset), Ok(len / first * first));
                    assert_eq!(received, len % first);
                }
                ref other => panic!("{other:?}"),
            }
        }
    }
}

/// What is not of the form, between frames and before the first: one damage,
/// and nothing else is lost.
#[test]
fn filth_between_frames_costs_itself() {
    for form in forms() {
        let (one, two) = (form.frame(1, "one"), form.frame(2, "two"));
        for filth in
            [&b"\xE0\xFF\xEE\xFF\xFF"[..], b"DL", b"DLT", b"\0", &[0; 40], b"DUH", b"DUDUH"]
        {
            let stream = [filth, &one, filth, &two].concat();
            let outcome = decode_in_every_way((form.format)(64), &stream);
            assert_eq!(frames(&outcome), [&one[..], &two], "{filth:02x?}");
            assert_eq!(reasons(&outcome).len(), 2, "{filth:02x?}: {:?}", reasons(&outcome));
            assert_eq!(outcome.bytes_lost, 2 * filth.len() as u64);
        }
    }
}

/// Each byte of the first of three frames damaged in turn: the third arrives,
/// and but for a length that passes the second does, too.
#[test]
fn a_damaged_frame_costs_itself_or_what_its_length_says() {
    for form in forms() {
        let sent = [form.frame(1, "one"), form.frame(2, "two"), form.frame(3, "three")];
        let len_at = form.lead.len() + 2..form.lead.len() + 4;
        for at in 0..sent[0].len() {
            for value in [0x80, 0x40, 0x01, 0xFF] {
                let mut stream = sent.concat();
                stream[at] ^= value;
                let outcome = decode((form.format)(64), &stream, &[]);
                let frames = frames(&outcome);
                assert_eq!(frames.last(), Some(&&sent[2][..]), "byte {at} ^ {value:#x}");
                if !len_at.contains(&at) {
                    assert!(frames.contains(&&sent[1][..]), "byte {at} ^ {value:#x}");
                }
            }
        }
    }
}

#[test]
fn a_length_over_the_maximum_is_not_waited_for() {
    for form in forms() {
        let mut long = form.frame(1, "one");
        let at = form.lead.len() + 2;
        for len in [65_u16, 1000, 65_535] {
            long[at..at + 2].copy_from_slice(&len.to_be_bytes());
            let good = form.frame(2, "two");
            let stream = [&long[..], &good].concat();
            let outcome = decode_in_every_way((form.format)(64), &stream);
            let too_long = Reason::TooLong { len: u64::from(len), len_max: 64 };
            assert_eq!(reasons(&outcome), [(0, too_long)]);
            assert_eq!(frames(&outcome), [&good[..]]);
        }
        // Too short for its own headers.
        long[at..at + 2].copy_from_slice(&13_u16.to_be_bytes());
        let outcome = decode((form.format)(64), &long, &[]);
        assert_eq!(reasons(&outcome), [(0, Reason::TooShort { len: 13, len_min: 14 })]);
    }
}

#[test]
fn records_of_all_types_come_through_a_stream() {
    let (app, context) = (Id::new("APP"), Id::new("CTX"));
    let log = message(1, "log");
    let records = [
        UserRecord::RegisterApp { app, pid: 42, description: b"what it is" },
        UserRecord::RegisterContext {
            app,
            context,
            position: 7,
            level: -1,
            trace: -2,
            pid: 42,
            description: b"",
        },
        UserRecord::Log(&log),
        UserRecord::Overflow { lost: 9, app },
        UserRecord::LogLevel { level: 6, trace: 1, position: 7 },
        UserRecord::LogState { state: -1 },
        UserRecord::Injection { position: 7, service: 4097, data: b"data" },
        UserRecord::UnregisterContext { app, context, pid: 42 },
        UserRecord::UnregisterApp { app, pid: 42 },
    ];
    let mut stream = Vec::new();
    for record in &records {
        let mut out = [0; 128];
        let len = record.put(&mut out).unwrap();
        // The room that it needs is all that it needs, and is told.
        assert_eq!(record.put(&mut out[..len]), Ok(len));
        assert!(record.put(&mut out[..len - 1]).is_err());
        stream.extend_from_slice(&out[..len]);
    }
    let outcome = decode_in_every_way(Dlt::user(64), &stream);
    assert_eq!(reasons(&outcome), []);
    let parsed: Vec<_> = frames(&outcome).iter().map(|f| UserRecord::parse(f).unwrap()).collect();
    assert_eq!(parsed, records);

    // The bytes of the protocol, on a little-endian machine.
    if cfg!(target_endian = "little") {
        let expected =
            b"DUH\x01\x02\0\0\0APP\0\x2a\0\0\0\x0a\0\0\0what it isDUH\x01\x04\0\0\0APP\0CTX\0\
            \x07\0\0\0\xff\xfe\x2a\0\0\0\0\0\0\0DUH\x01\x01\0\0\0";
        assert_eq!(stream[..expected.len()], *expected);
    }
}

#[test]
fn hostile_data_lengths_are_not_waited_for() {
    let mut stream = [0; 64];
    let record = UserRecord::Injection { position: 0, service: 0, data: b"" };
    let len = record.put(&mut stream).unwrap();
    for data_len in [100_u32, u32::MAX / 2, u32::MAX] {
        stream[len - 4..len].copy_from_slice(&data_len.to_ne_bytes());
        let outcome = decode(Dlt::user(64), &stream[..len], &[]);
        assert!(matches!(reasons(&outcome)[..], [(0, Reason::TooLong { len_max: 64, .. })]));
        assert!(UserRecord::parse(&stream[..len]).is_err());
    }
}

/// Random streams cut at random, of whole frames, parts of them and filth.
#[test]
fn random_streams_do_not_depend_on_where_they_are_cut() {
    let seed = 0x0D17;
    let mut random = Random::new(seed);
    for form in forms() {
        for _ in 0..300 {
            let mut stream = Vec::new();
            for number in 0..4 {
                let mut frame = form.frame(number, "some text");
                match random.below(4) {
                    0 => {
                        let at = random.below(frame.len());
                        frame[at] = random.byte();
                    }
                    1 => frame.truncate(random.below(frame.len())),
                    _ => {}
                }
                stream.extend_from_slice(&frame);
            }
            let whole = decode((form.format)(100), &stream, &[]);
            let mut pieces = Vec::new();
            let mut left = stream.len();
            while left > 0 {
                let piece = 1 + random.below(left.min(30));
                pieces.push(piece);
                left -= piece;
            }
            assert_eq!(decode((form.format)(100), &stream, &pieces), whole, "seed {seed:#x}");
        }
    }
}

#[test]
fn the_buffer_is_as_long_as_the_longest_frame() {
    for (format, needed) in
        [(Dlt::file(65_535), 65_551), (Dlt::bare(100_000), 65_535), (Dlt::user(0), 34)]
    {
        let error = Decoder::new(format, [0; 8]).unwrap_err();
        assert_eq!(error, BufferTooShort { needed, given: 8 });
    }
    assert_eq!(Message::parse(&message(1, "")).unwrap().len_bytes(), 21);
}
