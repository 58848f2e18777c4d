//! `forebay decode --format http2`.

mod common;

use common::{run, stderr};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// SETTINGS, HEADERS, DATA, a frame of an extension.
const FRAMES: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x04\0\0\0\x01\x82\
\0\0\x04\0\x01\0\0\0\x01body\0\0\x01\xBE\xFF\0\0\0\x07x";
const LINES: &str = "SETTINGS flags 0x00 stream 0 length 0
HEADERS flags 0x04 stream 1 length 1
DATA flags 0x01 stream 1 length 4
type 0xbe flags 0xff stream 7 length 1
";

fn decode(input: &[u8]) -> (Option<i32>, String, String) {
    let output = run(&["decode", "--format", "http2"], input);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output.status.code(), text, stderr(&output).to_owned())
}

#[test]
fn frames_are_printed_with_and_without_a_preface() {
    for input in [FRAMES.to_vec(), [PREFACE, FRAMES].concat()] {
        assert_eq!(decode(&input), (Some(0), LINES.into(), String::new()));
    }
    assert_eq!(decode(b""), (Some(0), String::new(), String::new()));
}

#[test]
fn violations_are_told_with_their_offset_and_code() {
    // Of the stream: what follows is printed.
    let update = b"\0\0\x04\x08\0\0\0\0\x01\0\0\0\0";
    let told = "offset 24: WINDOW_UPDATE of stream 1 by 0 (PROTOCOL_ERROR)\n";
    let output = decode(&[PREFACE, update, FRAMES].concat());
    assert_eq!(output, (Some(1), LINES.into(), told.into()));
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
