//! `forebay recover`, run as a program on files.

mod common;

use std::{fs, process::Command};

use common::{Dir, FORMATS, read, run, stderr};
use serde_json::Value;

/// Payloads of the lines that `hex` has, as frames.
fn encode(format: &str, hex: &str) -> Vec<u8> {
    let encoded = run(&["encode", "--format", format], hex.as_bytes());
    assert!(encoded.status.success(), "{}", stderr(&encoded));
    encoded.stdout
}

/// Runs `recover` on `file`; its exit status, its lines, and its last words.
fn recover(dir: &Dir, file: &[u8], options: &[&str]) -> (i32, Vec<String>, String) {
    let path = dir.path("file");
    fs::write(&path, file).unwrap();
    let args = [&["recover", path.to_str().unwrap()], options].concat();
    let output = run(&args, b"");
    let lines = String::from_utf8(output.stdout.clone()).unwrap();
    let lines = lines.lines().map(str::to_owned).collect();
    (output.status.code().unwrap(), lines, stderr(&output).to_owned())
}

#[test]
fn a_good_file_is_one_range() {
    let dir = Dir::new();
    for format in FORMATS {
        let file = encode(format, "6f6e65\n\n7468726565\n");
        let (status, lines, told) = recover(&dir, &file, &["--format", format]);
        assert_eq!(status, 0, "{format}: {told}");
        assert_eq!(lines, [format!("good 0..{}: frames 3, bytes 8", file.len())], "{format}");
        assert_eq!(told, "recovered: frames 3, bytes 8, damages 0, bytes lost 0\n");
        assert_eq!(recover(&dir, b"", &["--format", format]).0, 0);
    }
}

#[test]
fn a_damaged_frame_is_a_range_and_the_copy_is_good() {
    let dir = Dir::new();
    for format in FORMATS.into_iter().filter(|&format| format != "flatstream") {
        let mut file = encode(format, "6f6e65\n74776f\n7468726565\n");
        let frame_len = encode(format, "6f6e65\n").len();
        // In the payload; the middle one everywhere.
        let at = file.windows(3).position(|bytes| bytes == b"two").unwrap();
        file[at] ^= 0x20;
        let copy = dir.path(format);
        let (status, lines, told) =
            recover(&dir, &file, &["--format", format, "--out", copy.to_str().unwrap()]);
        assert_eq!(status, 1, "{format}: {told}");
        let (second, third, end) = (frame_len, 2 * frame_len, file.len());
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(lines[0], format!("good 0..{second}: frames 1, bytes 3"));
        assert!(
            lines[1].starts_with(&format!("damaged {second}..{third}: checksum 0x")),
            "{lines:?}"
        );
        assert_eq!(lines[2], format!("good {third}..{end}: frames 1, bytes 5"));
        let lost = third - second;
        let total = format!("recovered: frames 2, bytes 8, damages 1, bytes lost {lost}\n");
        assert_eq!(told, total);
        assert_eq!(read(&copy), encode(format, "6f6e65\n7468726565\n"), "{format}");
    }
}

/// Where `decode` loses the rest of the stream.
#[test]
fn a_damaged_length_costs_its_frame() {
    let dir = Dir::new();
    let line = format!("{}\n", "5a".repeat(40));
    for format in ["flatstream", "flatstream-crc16", "flatstream-crc32", "flatstream-xxh3"] {
        let whole = encode(format, &line.repeat(50));
        let frame_len = whole.len() / 50;
        for byte in 0..4 {
            let mut file = whole.clone();
            file[10 * frame_len + byte] ^= 0x40;
            let (status, lines, _) =
                recover(&dir, &file, &["--format", format, "--max-len", "4000"]);
            let (begin, end) = (10 * frame_len, 11 * frame_len);
            assert_eq!(status, 1);
            assert_eq!(lines[0], format!("good 0..{begin}: frames 10, bytes 400"), "{format}");
            assert!(lines[1].starts_with(&format!("damaged {begin}..{end}: ")), "{lines:?}");
            let rest = format!("good {end}..{}: frames 39, bytes 1560", whole.len());
            assert_eq!(lines[2..], [rest], "{format}");
        }
    }
}

/// What flatstream reads before its error is found, at least.
#[test]
fn flatstream_decode_cases() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../core/tests/golden/flatstream.json");
    let golden: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let dir = Dir::new();
    let cases = golden["deframe_cases"].as_array().unwrap();
    for case in cases {
        let text = |key: &str| case[key].as_str().unwrap();
        let format = match text("deframer") {
            "default" | "none" => "flatstream",
            "crc16_xmodem" => "flatstream-crc16",
            "crc32_iso_hdlc" => "flatstream-crc32",
            "xxh3_64" => "flatstream-xxh3",
            other => panic!("{other}"),
        };
        let digits = text("input");
        let file: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect();
        let max_len = case["max_frame_len"].to_string();
        let options = ["--format", format, "--max-len", &max_len];
        let (status, lines, told) = recover(&dir, &file, &options);
        let clean = text("end") == "clean_eof";
        assert_eq!(status, i32::from(!clean), "{}: {told}", text("name"));
        let (frames, good) = (case["frames"].as_array().unwrap().len(), &case["last_good_offset"]);
        if frames > 0 {
            let first = format!("good 0..{good}: frames {frames}, ");
            assert!(lines[0].starts_with(&first), "{}: {lines:?}", text("name"));
        }
    }
    assert!(cases.len() >= 8);
}

#[test]
fn no_file_is_overwritten_and_none_is_made_up() {
    let dir = Dir::new();
    let copy = dir.path("copy");
    fs::write(&copy, "precious").unwrap();
    let (status, lines, told) =
        recover(&dir, &encode("prefixed", "00\n"), &["--out", copy.to_str().unwrap()]);
    assert_eq!((status, lines.len()), (2, 0));
    assert!(told.contains("copy: File exists"), "{told}");
    assert_eq!(read(&copy), b"precious");

    let absent = dir.path("absent");
    let output = run(&["recover", absent.to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("absent: No such file"), "{}", stderr(&output));
    let output = run(&["recover", dir.path("").to_str().unwrap()], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("Is a directory"), "{}", stderr(&output));
}

/// 64 MiB with damage in the middle, in 48 MiB of address space.
#[test]
fn a_file_larger_than_memory() {
    let dir = Dir::new();
    let frame = encode("flatstream-xxh3", &format!("{}\n", "a5".repeat(65_536)));
    let mut file = frame.repeat(1024);
    let middle = file.len() / 2;
    file[middle..middle + 100_000].fill(0);
    let path = dir.path("file");
    fs::write(&path, &file).unwrap();
    let script =
        "ulimit -v 49152; exec \"$0\" recover --format flatstream-xxh3 --max-len 65536 \"$1\"";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_forebay"), path.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let lost = 2 * frame.len();
    let total = format!("recovered: frames 1022, bytes 66977792, damages 1, bytes lost {lost}\n");
    assert_eq!(stderr(&output), total);
}
