//! Standard streams that are closed, full or strange, and names that are no
//! text: an error at most, never a panic.

mod common;

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::ffi::OsStringExt,
    process::{Command, Output, Stdio},
};

use common::{Dir, FORMATS, assert_same, forebay, read, run, stderr};

/// Every command, with little to do: on the bytes of `in`.
const COMMANDS: [&[&str]; 11] = [
    &["--help"],
    &["send", "--help"],
    &["demo", "--count", "1000"],
    &["send", "--to", "stdio:"],
    &["recv", "--from", "stdio:"],
    &["relay", "--from", "serial:/dev/null", "--to", "stdio:"],
    &["encode"],
    &["decode"],
    &["recover", "frames"],
    &["copy", "frames", "copied"],
    &["doctor", "--path", "frames"],
];

/// In a directory with frames, through a shell that `redirects`.
fn shell(dir: &Dir, args: &[&str], redirects: &str) -> Output {
    let frames = run(&["send", "--to", "stdio:"], &b"a line\n".repeat(20_000)).stdout;
    fs::write(dir.path("frames"), &frames).unwrap();
    let input = match args[0] {
        "encode" => b"00ff\n".repeat(50_000),
        "send" => b"a line\n".repeat(50_000),
        _ => frames,
    };
    fs::write(dir.path("in"), input).unwrap();
    Command::new("bash")
        .args(["-c", &format!("\"$0\" \"$@\" <in {redirects}"), env!("CARGO_BIN_EXE_forebay")])
        .args(args)
        .current_dir(dir.path(""))
        .output()
        .unwrap()
}

#[track_caller]
fn ends_well(output: &Output, what: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!told.contains("panicked"), "{what}: {told}");
    assert!(matches!(output.status.code(), Some(0..=2)), "{what}: {}: {told}", output.status);
}

#[test]
fn an_output_that_is_closed_or_full_is_no_panic() {
    let ways = [
        ">&-",
        ">/dev/full",
        "| head -c 1 >head; exit ${PIPESTATUS[0]}",
        "| true; exit ${PIPESTATUS[0]}",
    ];
    for args in COMMANDS {
        for way in ways {
            let dir = Dir::new();
            ends_well(&shell(&dir, args, way), &format!("{args:?} {way}"));
        }
    }
}

#[test]
fn a_standard_error_that_is_closed_or_full_is_no_panic() {
    // Errors of every command, too.
    let wrong: [&[&str]; 5] = [
        &["recv", "--from", "file:absent"],
        &["recover", "absent"],
        &["copy", "absent", "there"],
        &["doctor", "--path", "absent"],
        &["demo", "--size", "1"],
    ];
    for args in COMMANDS.into_iter().chain(wrong) {
        for way in ["2>&-", "2>/dev/full"] {
            let dir = Dir::new();
            ends_well(&shell(&dir, args, &format!("{way} >out")), &format!("{args:?} {way}"));
        }
    }
    for args in wrong {
        let dir = Dir::new();
        assert_eq!(shell(&dir, args, "2>/dev/full").status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn an_input_that_is_closed_empty_or_a_directory_is_told() {
    for args in
        [&["send", "--to", "stdio:"][..], &["recv", "--from", "stdio:"], &["encode"], &["decode"]]
    {
        for way in ["<&-", "</dev/null"] {
            let output = shell(&Dir::new(), args, way);
            ends_well(&output, &format!("{args:?} {way}"));
            assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0), "{args:?} {way}");
        }
        let output = shell(&Dir::new(), args, "</");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains("Is a directory"), "{args:?}: {}", stderr(&output));
    }
}

/// 64 MiB without a newline, in about the time that reading them takes.
#[test]
fn one_huge_line() {
    const LEN: usize = 64 << 20;
    let dir = Dir::new();
    fs::write(dir.path("line"), vec![b'x'; LEN]).unwrap();
    let max_len = LEN.to_string();
    let frames = dir.target("file", "frames");
    let output = forebay(&["send", "--to", &frames, "--max-len", &max_len])
        .stdin(File::open(dir.path("line")).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let output = run(&["recv", "--from", &frames, "--max-len", &max_len], b"");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_same(&output.stdout, &read(&dir.path("line")));
}

fn odd(dir: &Dir, prefix: &str) -> OsString {
    let mut name = OsString::from(prefix);
    name.push(dir.path(""));
    name.push(OsString::from_vec(b"n\xFFt \xC3 UTF-8\n".to_vec()));
    name
}

#[test]
fn names_need_not_be_text() {
    let dir = Dir::new();
    let plain = odd(&dir, "");
    for format in ["file:", "unix:"] {
        let target = odd(&dir, format);
        let send = |args: &[&str]| {
            let mut command = forebay(&["send"]);
            command.args(args).arg("--to").arg(&target).stdin(Stdio::piped());
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let mut child = send(if format == "unix:" { &["--listen"] } else { &[] });
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, b"a line\n").unwrap();
        drop(stdin);
        if format == "file:" {
            assert!(child.wait().unwrap().success());
        }
        let mut command = forebay(&["recv"]);
        if format == "unix:" {
            command.arg("--connect");
        }
        let received = command.arg("--from").arg(&target).output().unwrap();
        assert!(received.status.success(), "{}", String::from_utf8_lossy(&received.stderr));
        assert_eq!(received.stdout, b"a line\n");
        assert!(child.wait().unwrap().success());
        let _ = fs::remove_file(&plain);
    }

    fs::write(&plain, run(&["send", "--to", "stdio:"], b"a line\n").stdout).unwrap();
    let mut copied = plain.clone();
    copied.push("2");
    let copy = |args: &[&str]| {
        let done = forebay(&["copy"]).args([&plain, &copied]).args(args).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    copy(&[]);
    copy(&["--verify"]);
    let done = forebay(&["recover"]).arg(&copied).output().unwrap();
    assert!(done.status.success());
    let done = forebay(&["doctor", "--path"]).arg(&copied).output().unwrap();
    assert!(done.status.success());

    // A line that is not there says so with the name as it can be shown.
    let mut command = forebay(&["relay", "--from"]);
    command.arg(odd(&dir, "serial:")).args(["--to", "stdio:"]);
    let done = command.output().unwrap();
    assert_eq!(done.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&done.stderr).contains("UTF-8"), "{done:?}");
}

/// Exit statuses are told where one looks for them.
#[test]
fn help_tells_the_exit_statuses() {
    for command in
        ["send", "recv", "relay", "copy", "doctor", "encode", "decode", "recover", "demo"]
    {
        let help = run(&[command, "--help"], b"");
        assert!(help.status.success());
        let help = String::from_utf8(help.stdout).unwrap();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains("exit status"), "{command}: {help}");
    }
    let help = String::from_utf8(run(&["--help"], b"").stdout).unwrap();
    assert!(help.contains("Exit status: "), "{help}");
    assert_eq!(FORMATS.len(), 7);
}

#[test]
fn wrong_arguments_are_told_and_change_nothing() {
    let wrong: [&[&str]; 12] = [
        &["demo", "--count", "0"],
        &["demo", "--seconds", "nan"],
        &["demo", "--producers", "65"],
        &["demo", "--batch", "0"],
        &[],
        &["sned"],
        &["send"],
        &["copy", "one"],
        &["copy", "in", "out", "--backend", "carrier"],
        &["decode", "--format", "morse"],
        &["send", "--to", "stdio:", "--max-len", "x"],
        &["recover"],
    ];
    for args in wrong {
        let dir = Dir::new();
        let output = forebay(args).current_dir(dir.path("")).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!stderr(&output).trim().is_empty(), "{args:?}: {}", stderr(&output));
        assert_eq!(fs::read_dir(dir.path("")).unwrap().count(), 0, "{args:?}");
    }
}
