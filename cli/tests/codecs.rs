//! `forebay encode` and `forebay decode`, run as programs.

mod common;

use std::{
    fs::{self, File},
    io::{Read, Write},
    process::Stdio,
};

use common::{FORMATS, forebay, run, stderr, watch};
use serde_json::Value;

/// The names of the vectors' variants, and the tool's.
const VARIANTS: [(&str, &str); 5] = [
    ("default", "flatstream"),
    ("none", "flatstream"),
    ("crc16_xmodem", "flatstream-crc16"),
    ("crc32_iso_hdlc", "flatstream-crc32"),
    ("xxh3_64", "flatstream-xxh3"),
];

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/golden/flatstream.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("no text '{key}' in {value}"))
}

fn bytes(digits: &str) -> Vec<u8> {
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn flatstream_vectors_are_framed_byte_for_byte_both_ways() {
    let golden = golden();
    let vectors = golden["vectors"].as_array().unwrap();
    let payloads: String = vectors.iter().map(|v| format!("{}\n", text(v, "payload"))).collect();
    for (variant, format) in VARIANTS {
        let framed: String = vectors.iter().map(|v| text(&v["framed"], variant)).collect();
        let framed = bytes(&framed);
        let encoded = run(&["encode", "--format", format], payloads.as_bytes());
        assert!(encoded.status.success(), "{}", stderr(&encoded));
        assert_eq!(encoded.stdout, framed, "{variant}");
        let decoded = run(&["decode", "--format", format], &framed);
        assert!(decoded.status.success(), "{}", stderr(&decoded));
        assert_eq!(decoded.stdout, payloads.as_bytes(), "{variant}");
    }
    assert!(vectors.len() >= 8);
}

/// Streams cut and damaged: the frames before the damage come out, and the
/// exit status tells a clean end from all others.
#[test]
fn flatstream_decode_cases_end_as_flatstream_ends_them() {
    let golden = golden();
    let cases = golden["deframe_cases"].as_array().unwrap();
    for case in cases {
        let name = text(case, "name");
        let variant = text(case, "deframer");
        let (_, format) = VARIANTS.iter().find(|(name, _)| *name == variant).expect(name);
        let max_len = case["max_frame_len"].to_string();
        let input = bytes(text(case, "input"));
        let decoded = run(&["decode", "--format", format, "--max-len", &max_len], &input);

        let clean = text(case, "end") == "clean_eof";
        assert_eq!(decoded.status.code(), Some(i32::from(!clean)), "{name}");
        assert_eq!(decoded.stderr.is_empty(), clean, "{name}");
        let frames: String = case["frames"]
            .as_array()
            .unwrap()
            .iter()
            .map(|frame| format!("{}\n", frame.as_str().unwrap()))
            .collect();
        // A checksum's damage costs one frame here, and the stream there.
        assert!(decoded.stdout.starts_with(frames.as_bytes()), "{name}");
        if !clean {
            let offset = format!("offset {}: ", case["last_good_offset"]);
            assert!(stderr(&decoded).starts_with(&offset), "{name}: {}", stderr(&decoded));
        }
    }
    assert!(cases.len() >= 8);
}

#[test]
fn every_format_round_trips() {
    let long = "5a00".repeat(40_000);
    let lines = format!("\n00\nDEADbeef\n{long}\n000000\r\nff");
    let expected = format!("\n00\ndeadbeef\n{long}\n000000\nff\n");
    for format in FORMATS {
        let encoded = run(&["encode", "--format", format], lines.as_bytes());
        assert!(encoded.status.success(), "{format}: {}", stderr(&encoded));
        let decoded = run(&["decode", "--format", format], &encoded.stdout);
        assert!(decoded.status.success(), "{format}: {}", stderr(&decoded));
        assert!(decoded.stderr.is_empty());
        assert!(decoded.stdout == expected.as_bytes(), "{format}");
    }
}

#[test]
fn nothing_in_is_nothing_out() {
    for format in FORMATS {
        for command in ["encode", "decode"] {
            let output = run(&[command, "--format", format], b"");
            assert!(output.status.success());
            assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{command} {format}");
        }
    }
}

/// Each frame damaged in turn: a damage is told with the frame's offset, the
/// other frames come out.
#[test]
fn damage_costs_its_frame_and_is_told_with_its_offset() {
    for format in ["prefixed", "cobs-crc32", "flatstream-crc16", "flatstream-crc32"] {
        let frames = ["00112233", "4455667788", "99aabbccddee"]
            .map(|payload| run(&["encode", "--format", format], payload.as_bytes()).stdout);
        let mut offset = 0;
        for damaged in 0..3 {
            let mut wire = frames.concat();
            let frame_len = frames[damaged].len();
            // Within the payload, or what stands for it.
            wire[offset + frame_len - 5] ^= 0x10;
            let decoded = run(&["decode", "--format", format], &wire);
            assert_eq!(decoded.status.code(), Some(1), "{format}");
            let mut left = vec!["00112233\n", "4455667788\n", "99aabbccddee\n"];
            left.remove(damaged);
            assert_eq!(decoded.stdout, left.concat().as_bytes(), "{format}");
            let told = stderr(&decoded);
            assert!(told.starts_with(&format!("offset {offset}: ")), "{format}: {told}");
            assert_eq!(told.lines().count(), 1, "{format}: {told}");
            offset += frame_len;
        }
    }
}

#[test]
fn a_cut_off_frame_is_told_with_the_figures() {
    let whole = run(&["encode"], b"00112233\n44556677\n").stdout;
    let decoded = run(&["decode"], &whole[..whole.len() - 3]);
    assert_eq!(decoded.status.code(), Some(1));
    assert_eq!(decoded.stdout, b"00112233\n");
    assert_eq!(
        stderr(&decoded),
        "offset 14: the stream ends inside a frame: 11 bytes received, at least 14 needed\n"
    );
}

#[test]
fn a_length_over_the_maximum_is_told_with_the_figures() {
    let wire = b"\x01\0\0\0a\x05\0\0\0abcde";
    let decoded = run(&["decode", "--format", "flatstream", "--max-len", "4"], wire);
    assert_eq!(decoded.status.code(), Some(1));
    assert_eq!(decoded.stdout, b"61\n");
    assert_eq!(stderr(&decoded), "offset 5: length 5 is over the maximum of 4\n");

    let encoded = run(&["encode", "--max-len", "2"], b"0011\n001122");
    assert_eq!(encoded.status.code(), Some(2));
    assert_eq!(
        stderr(&encoded),
        "forebay: line 2: a payload of 3 bytes is over the format's maximum of 2\n"
    );
    // Far over, so that the line is not even kept.
    let encoded = run(&["encode", "--max-len", "2"], &[b'0'; 1000]);
    assert_eq!(encoded.status.code(), Some(2));
    assert_eq!(stderr(&encoded), "forebay: line 1: 1000 bytes, a payload of 2 takes 4\n");
}

#[test]
fn bad_digits_are_told_by_line_and_column() {
    let encoded = run(&["encode", "--format", "flatstream"], b"00\n0x\n00\n");
    assert_eq!(encoded.status.code(), Some(2));
    assert_eq!(encoded.stdout, b"\x01\0\0\0\0");
    assert_eq!(stderr(&encoded), "forebay: line 2, column 2: 'x' is no hexadecimal digit\n");

    let encoded = run(&["encode"], b"012");
    assert_eq!(encoded.status.code(), Some(2));
    assert_eq!(
        stderr(&encoded),
        "forebay: line 1, column 3: 3 hexadecimal digits, a byte takes two\n"
    );
}

#[test]
fn an_unknown_format_is_answered_with_the_known_ones() {
    for command in ["encode", "decode"] {
        let output = run(&[command, "--format", "morse"], b"");
        assert_eq!(output.status.code(), Some(2));
        for format in FORMATS {
            assert!(stderr(&output).contains(format), "{}", stderr(&output));
        }
    }
}

#[test]
fn a_full_disk_is_an_error() {
    for (command, input) in [("encode", &b"00\n"[..]), ("decode", b"\x01\0\0\0a")] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut child = forebay(&[command, "--format", "flatstream"])
            .stdin(Stdio::piped())
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}");
        let told = "forebay: standard output: No space left on device (os error 28)\n";
        assert_eq!(stderr(&output), told, "{command}");
    }
}

/// Neither SIGPIPE nor a panic.
#[test]
fn a_closed_pipe_is_an_error() {
    for (command, line) in [("encode", &b"00\n"[..]), ("decode", b"\x01\0\0\0a")] {
        let input = line.repeat(100_000);
        let mut child = forebay(&[command, "--format", "flatstream"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        std::thread::scope(|threads| {
            threads.spawn(move || {
                // It ends before it has read all of it.
                let _ = stdin.write_all(&input);
            });
            stdout.read_exact(&mut [0; 1]).unwrap();
            drop(stdout);
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{command}");
            let told = "forebay: standard output: Broken pipe (os error 32)\n";
            assert_eq!(stderr(&output), told, "{command}");
        });
    }
}

/// Standard streams that another process has made non-blocking.
#[test]
fn streams_that_do_not_block_are_waited_for() {
    let frames = b"\x01\0\0\0a".repeat(100_000);
    let (stdin, mut input) = std::io::pipe().unwrap();
    let (mut output, stdout) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&stdin, true).unwrap();
    rustix::io::ioctl_fionbio(&stdout, true).unwrap();
    // So that every write is short.
    rustix::pipe::fcntl_setpipe_size(&stdout, 4096).unwrap();
    let mut child =
        forebay(&["decode", "--format", "flatstream"]).stdin(stdin).stdout(stdout).spawn().unwrap();
    let _watch = watch(&child);
    // It waits for input, then for room.
    input.write_all(&frames[..1]).unwrap();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            input.write_all(&frames[1..]).unwrap();
            drop(input);
        });
        let mut decoded = Vec::new();
        output.read_to_end(&mut decoded).unwrap();
        assert!(decoded == b"61\n".repeat(100_000));
    });
    assert!(child.wait().unwrap().success());
}

#[test]
fn input_that_cannot_be_read_is_an_error() {
    for command in ["encode", "decode"] {
        let directory = File::open("/").unwrap();
        let output = forebay(&[command]).stdin(directory).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert_eq!(stderr(&output), "forebay: standard input: Is a directory (os error 21)\n");
    }
}
