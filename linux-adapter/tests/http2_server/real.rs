//! curl, nghttp and h2load. The latter two exit with 0 after a failure, so
//! what counts is what they print.

use std::{
    fs,
    os::unix::fs::symlink,
    process::{Command, Output, Stdio},
};

use super::Server;

/// Runs a program; `None`, with the words that say so, where it is missing.
pub(crate) fn run(program: &str, args: &[&str]) -> Option<Output> {
    match Command::new(program).args(args).stdin(Stdio::null()).output() {
        Ok(output) => Some(output),
        Err(error) => {
            println!("SKIPPED: {program} cannot be run: {error}");
            None
        }
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What curl writes to standard output, and what it says of the transfer.
fn curl(args: &[&str]) -> Option<(Vec<u8>, String)> {
    let fixed = ["-sS", "--http2-prior-knowledge", "--max-time", "60", "--path-as-is"];
    let told = ["-w", "%{stderr}%{http_code} %{http_version} %{size_download}"];
    let output = run("curl", &[&fixed[..], &told, args].concat())?;
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    Some((output.stdout, text(&output.stderr)))
}

#[test]
fn curl_gets_files_of_every_length() {
    let server = Server::start();
    for len in [0, 1, 16_383, 16_384, 16_385, 32_768, 32_769, 65_535, 65_536, 1_000_001] {
        let body = server.file("file", len);
        let Some((got, told)) = curl(&[&server.url("file")]) else { return };
        assert_eq!(told, format!("200 2 {len}"));
        assert!(got == body, "{len} bytes");
        assert_eq!(server.report().goaway, None);
    }
}

#[test]
fn curl_gets_and_echoes_a_hundred_megabytes() {
    let server = Server::start();
    let body = server.file("file", 100_000_000);
    let Some((got, told)) = curl(&[&server.url("file")]) else { return };
    assert_eq!(told, "200 2 100000000");
    assert!(got == body);
    let report = server.report();
    assert!(report.writes * 3 < report.frames * 2, "{report}");

    let data = format!("@{}", server.root.path("file").display());
    let (got, told) = curl(&["--data-binary", &data, &server.url("echo")]).unwrap();
    assert_eq!(told, "200 2 100000000");
    assert!(got == body);
    let (got, _) = curl(&["--data-binary", &data, &server.url("count")]).unwrap();
    assert_eq!(text(&got), "100000000\n");
}

#[test]
fn curl_is_told_of_what_there_is_not() {
    let server = Server::start();
    let body = server.file("file", 10);
    let root = server.root.path(".");
    fs::create_dir(root.join("folder")).unwrap();
    fs::write(root.join("folder/index.html"), b"index").unwrap();
    symlink("../file", root.join("folder/inside")).unwrap();
    symlink("/etc/passwd", root.join("outside")).unwrap();
    symlink("/etc", root.join("elsewhere")).unwrap();
    symlink("../..", root.join("folder/above")).unwrap();
    server.root.fifo("fifo");
    for (path, code) in [
        ("file?query", 200),
        ("folder/", 200),
        ("folder/inside", 200),
        ("none", 404),
        ("folder", 404),
        ("file/none", 404),
        ("outside", 404),
        ("elsewhere/passwd", 404),
        ("folder/above/file", 404),
        ("../file", 404),
        ("folder/../file", 404),
        ("%2e%2e/file", 404),
        ("folder%2f..%2ffile", 404),
        ("/etc/passwd", 404),
        ("fifo", 404),
        ("file%00", 404),
    ] {
        let Some((got, told)) = curl(&[&server.url(path)]) else { return };
        assert!(told.starts_with(&format!("{code} 2 ")), "{path}: {told}");
        if path.starts_with("file?") || path.ends_with("inside") {
            assert_eq!(got, body);
        }
    }
    let (got, told) = curl(&["--head", &server.url("file")]).unwrap();
    assert!(text(&got).contains("content-length: 10\r\n"), "{}", text(&got));
    assert!(told.starts_with("200 2 "));
    let (_, told) = curl(&["-X", "DELETE", &server.url("file")]).unwrap();
    assert!(told.starts_with("405 2 "), "{told}");
}

/// Slow on purpose: curl takes 400,000 bytes a second.
#[test]
fn curl_that_is_slow_gets_everything() {
    let server = Server::start();
    let body = server.file("file", 600_000);
    let Some((got, told)) = curl(&["--limit-rate", "400000", &server.url("file")]) else { return };
    assert_eq!(told, "200 2 600000");
    assert!(got == body);
}

/// `-w 10 -W 12`: windows of 1,023 and 4,095 bytes.
#[test]
fn nghttp_gets_files_through_small_windows() {
    let server = Server::start();
    let body = server.file("file", 300_000);
    for windows in [&["-w", "10", "-W", "12"][..], &["-w", "30", "-W", "30"], &[]] {
        let url = server.url("file");
        let args = [windows, &[&url]].concat();
        let Some(output) = run("nghttp", &args) else { return };
        assert!(output.stdout == body, "{windows:?}: {}", text(&output.stderr));
        let report = server.report();
        assert_eq!((report.goaway, report.requests), (None, 1));
    }
}

#[test]
fn nghttp_prints_the_frames_of_a_response() {
    let server = Server::start();
    server.file("file", 300);
    let Some(output) = run("nghttp", &["-nv", &server.url("file")]) else { return };
    let told = text(&output.stdout);
    for line in [
        "recv SETTINGS frame <length=12, flags=0x00, stream_id=0>",
        "[SETTINGS_MAX_CONCURRENT_STREAMS(0x03):100]",
        "[SETTINGS_MAX_HEADER_LIST_SIZE(0x06):16384]",
        "recv SETTINGS frame <length=0, flags=0x01, stream_id=0>",
        "recv (stream_id=13) :status: 200",
        "recv (stream_id=13) content-length: 300",
        "recv DATA frame <length=300, flags=0x01, stream_id=13>",
    ] {
        assert!(told.contains(line), "no '{line}' in\n{told}");
    }
    assert!(!told.contains("recv GOAWAY") && !told.contains("recv RST_STREAM"), "{told}");
}

/// A hundred streams at once, 30 MB together; nghttp would print fewer bytes.
#[test]
fn nghttp_gets_a_hundred_streams_at_once() {
    let server = Server::start();
    let body = server.file("file", 300_000);
    let Some(output) = run("nghttp", &["-m", "100", &server.url("file")]) else { return };
    assert_eq!(output.stdout.len(), 100 * body.len(), "{}", text(&output.stderr));
    let mut of_each = body;
    let mut all = output.stdout;
    // They are printed as they come, so mixed: the same bytes as often.
    of_each.sort_unstable();
    all.sort_unstable();
    assert!(all.chunks(100).zip(&of_each).all(|(chunk, &byte)| chunk == [byte; 100]));
    let report = server.report();
    assert_eq!((report.requests, report.goaway), (100, None));
}

#[test]
fn h2load_succeeds_with_every_request() {
    let server = Server::start();
    server.file("small", 100);
    server.file("large", 200_000);
    for (path, args) in [
        ("small", &["-n", "2000", "-c", "4", "-m", "10"][..]),
        ("small", &["-n", "1000", "-c", "2", "-m", "100"]),
        ("large", &["-n", "200", "-c", "4", "-m", "10"]),
        ("large", &["-n", "50", "-c", "2", "-m", "10", "-w", "12", "-W", "13"]),
    ] {
        let count = args[1];
        let url = server.url(path);
        let Some(output) = run("h2load", &[args, &[&url]].concat()) else { return };
        let told = text(&output.stdout);
        let all = format!(
            "requests: {count} total, {count} started, {count} done, {count} succeeded, \
             0 failed, 0 errored, 0 timeout"
        );
        assert!(told.contains(&all), "{told}{}", text(&output.stderr));
        assert!(told.contains(&format!("status codes: {count} 2xx")), "{told}");
    }
}

/// Uploads of many streams, each echoed whole.
#[test]
fn h2load_uploads_and_is_echoed() {
    let server = Server::start();
    let body = server.file("file", 50_000);
    let data = server.root.path("file");
    let url = server.url("echo");
    let args = ["-n", "200", "-c", "2", "-m", "20", "-d", data.to_str().unwrap(), &url];
    let Some(output) = run("h2load", &args) else { return };
    let told = text(&output.stdout);
    assert!(told.contains("200 succeeded, 0 failed, 0 errored"), "{told}");
    let traffic = format!("({}) data", 200 * body.len());
    assert!(told.contains(&traffic), "{told}");
}
