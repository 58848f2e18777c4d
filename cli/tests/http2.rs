//! `forebay decode --format http2`, and `encode` as its inverse.

mod common;

use common::{run, stderr};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// SETTINGS, HEADERS, DATA, a frame of an extension.
const FRAMES: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x04\0\0\0\x01\x82\
\0\0\x04\0\x01\0\0\0\x01body\0\0\x01\xBE\xFF\0\0\0\x07x";
const LINES: &str = "SETTINGS flags 0x00 stream 0 length 0
HEADERS flags 0x04 stream 1 length 1 82
DATA flags 0x01 stream 1 length 4 626f6479
type 0xbe flags 0xff stream 7 length 1 78
";

fn decode(input: &[u8]) -> (Option<i32>, String, String) {
    let output = run(&["decode", "--format", "http2"], input);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output.status.code(), text, stderr(&output).to_owned())
}

#[test]
fn frames_are_printed_with_and_without_a_preface() {
    assert_eq!(decode(FRAMES), (Some(0), LINES.into(), String::new()));
    for (frames, lines) in [(FRAMES, LINES), (b"", "")] {
        let lines = format!("PREFACE\n{lines}");
        assert_eq!(decode(&[PREFACE, frames].concat()), (Some(0), lines, String::new()));
    }
    assert_eq!(decode(b""), (Some(0), String::new(), String::new()));
}

#[test]
fn violations_are_told_with_their_offset_and_code() {
    // Of the stream: what follows is printed.
    let update = b"\0\0\x04\x08\0\0\0\0\x01\0\0\0\0";
    let told = "offset 24: WINDOW_UPDATE of stream 1 by 0 (PROTOCOL_ERROR)\n";
    let output = decode(&[PREFACE, update, FRAMES].concat());
    assert_eq!(output, (Some(1), format!("PREFACE\n{LINES}"), told.into()));
    // Of the connection: nothing is.
    let ping = b"\0\0\x07\x06\0\0\0\0\0";
    let told = "offset 0: PING of stream 0 with 7 bytes instead of 8 (FRAME_SIZE_ERROR)\n";
    assert_eq!(decode(&[ping, FRAMES].concat()), (Some(1), String::new(), told.into()));
    // Between two frames of a field block.
    let headers = b"\0\0\x01\x01\0\0\0\0\x01\x82";
    let (code, _, told) = decode(&[&headers[..], FRAMES].concat());
    assert_eq!(code, Some(1));
    let first =
        "offset 10: SETTINGS of stream 0 within the field block of stream 1 (PROTOCOL_ERROR)";
    assert_eq!(told.lines().next(), Some(first));
}

#[test]
fn a_frame_cut_short_is_told() {
    let (code, lines, told) = decode(&FRAMES[..FRAMES.len() - 1]);
    assert_eq!((code, lines.lines().count()), (Some(1), 3));
    let expected =
        "offset 32: the stream ends inside a frame: 9 bytes received, at least 10 needed\n";
    assert_eq!(told, expected);
}

/// The maximum is the tool's option, at least HTTP/2's own.
#[test]
fn a_frame_over_the_maximum_is_told() {
    let head = b"\0\x50\0\0\0\0\0\0\x01";
    let long = [&head[..], &[0; 0x5000]].concat();
    assert_eq!(decode(&long).0, Some(0));
    let output = run(&["decode", "--format", "http2", "--max-len", "1"], &long);
    assert_eq!(output.status.code(), Some(1));
    let told = "offset 0: DATA with a payload of 20480 bytes, over the maximum of 16384 (FRAME_SIZE_ERROR)\n";
    assert_eq!(stderr(&output), told);
}

/// Bytes of each type, padding that is not zero and flags of no meaning among
/// them: what `decode` prints, `encode` makes bytes of again, the same ones.
#[test]
fn encode_is_the_inverse_of_decode() {
    let of_each_type: [&[u8]; 9] = [
        PREFACE,
        b"\0\0\x0C\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x06\0\0\x40\0\0\0\0\x04\x01\0\0\0\0",
        b"\0\0\x08\x06\x01\0\0\0\0pingpong\0\0\x05\x02\0\0\0\0\x03\x80\0\0\x01\x10",
        b"\0\0\x0C\x01\x29\0\0\0\x01\x03\0\0\0\0\xFF\x82\x86\x84xyz",
        b"\0\0\x01\x09\x04\0\0\0\x01\x82\0\0\x06\x05\xFC\0\0\0\x01\x01\0\0\0\x02?",
        b"\0\0\0\x00\x41\0\0\0\x02\0\0\x01\x00\x08\0\0\0\x01\0",
        b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08\0\0\x04\x08\0\0\0\0\0\x7F\xFF\xFF\xFF",
        b"\0\0\x0B\x07\0\0\0\0\0\0\0\0\x01\0\0\0\x0Bwhy\0\0\x02\xFF\xFF\x7F\xFF\xFF\xFF\0\xFF",
        &[b"\0\x40\0\0\0\0\0\0\x03", &[0xA5; 0x4000][..]].concat(),
    ];
    let bytes = of_each_type.concat();
    let (code, lines, told) = decode(&bytes);
    assert_eq!((code, told.as_str()), (Some(0), ""));
    assert_eq!(lines.lines().count(), 15);
    let output = run(&["encode", "--format", "http2"], lines.as_bytes());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(output.stdout == bytes);
    // As it would come from another system.
    let output = run(&["encode", "--format", "http2"], lines.replace('\n', "\r\n").as_bytes());
    assert!(output.stdout == bytes);
}

#[test]
fn what_breaks_a_rule_is_not_encoded() {
    let encode = |args: &[&str], lines: &str| {
        let output = run(&[&["encode", "--format", "http2"], args].concat(), lines.as_bytes());
        (output.status.code(), output.stdout.clone(), stderr(&output).to_owned())
    };
    let good = "HEADERS flags 0x00 stream 1 length 1 82\n";
    for (bad, told) in [
        (
            "PING flags 0 stream 0 length 8 0000000000000000",
            "PING of stream 0 within the field block of stream 1 (PROTOCOL_ERROR)",
        ),
        ("CONTINUATION flags 0x04 stream 1 length 2 82", "length 2, 1 bytes given"),
        ("CONTINUATION", "'' instead of flags"),
        ("", "'' instead of a frame's type"),
    ] {
        let told = format!("forebay: line 2: {told}\n");
        // What was good before it is there.
        let expected = (Some(2), b"\0\0\x01\x01\0\0\0\0\x01\x82".to_vec(), told);
        assert_eq!(encode(&[], &format!("{good}{bad}\n")), expected, "{bad}");
    }
    // The maximum is the tool's option, at least HTTP/2's own.
    let data = |len: usize| format!("DATA flags 0 stream 1 length {len} {}\n", "00".repeat(len));
    let (code, stdout, told) = encode(&["--max-len", "1"], &(data(16_384) + &data(16_385)));
    assert_eq!((code, stdout.len()), (Some(2), 9 + 16_384));
    let long = "forebay: line 2: DATA with a payload of 16385 bytes, over the maximum of 16384 (FRAME_SIZE_ERROR)\n";
    assert_eq!(told, long);
    assert_eq!(encode(&[], &data(16_385)).0, Some(0));
    let (code, stdout, told) = encode(&["--max-len", "1"], &data(30_000));
    assert_eq!((code, stdout.len()), (Some(2), 0));
    assert!(told.starts_with("forebay: line 1: 6"), "{told}");
}
