//! `forebay doctor`, in full possession of its rights and where some of them
//! are really missing.
//!
//! This program gives rights up, which lasts, and becomes the command; it has
//! one thread, as it has no test harness.

mod common;
#[path = "../../tests/src/restrict.rs"]
mod restrict;

use std::{
    env, fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
};

use common::Dir;

const RESTRICTIONS: &str = "FOREBAY_DOCTOR_RESTRICTIONS";

fn main() {
    if let Ok(restrictions) = env::var(RESTRICTIONS) {
        restrict::apply(&restrictions);
        let mut words = env::args_os().skip(1);
        let error = Command::new(words.next().unwrap()).args(words).exec();
        panic!("{error}");
    }
    if env::args().any(|word| word == "--list") {
        return;
    }
    let dir = Dir::new();
    let everybody = fs::Permissions::from_mode(0o777);
    fs::set_permissions(dir.path(""), everybody).unwrap();
    // Where everybody may run it.
    let command = dir.path("forebay");
    fs::copy(env!("CARGO_BIN_EXE_forebay"), &command).unwrap();
    fs::write(dir.path("file"), [0; 4096]).unwrap();

    let report = Report::of(&command, "", None);
    let has_uring = report.0.iter().any(|line| line == "ok io_uring: works");
    if !has_uring {
        println!("SKIPPED: io_uring does not work here: {:?}", report.0);
    }
    what_is_there_is_told(&report);
    what_a_filter_refuses_has_advice(&command);
    if has_uring {
        small_limits_have_advice(&command);
        a_path_is_told_of(&command, &dir);
    }
    a_path_that_is_not_there_is_an_error(&command);
    println!("doctor: all cases passed");
}

struct Report(Vec<String>);

impl Report {
    fn of(command: &Path, restrictions: &str, path: Option<&Path>) -> Self {
        let mut doctor = Command::new(env::current_exe().unwrap());
        doctor.env(RESTRICTIONS, restrictions).arg(command).arg("doctor");
        if let Some(path) = path {
            doctor.arg("--path").arg(path);
        }
        let output = doctor.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{restrictions}: {} {told}", output.status);
        assert_eq!(told, "", "{restrictions}");
        let text = String::from_utf8(output.stdout).unwrap();
        let report = Self(text.lines().map(Into::into).collect());
        report.is_whole();
        report
    }

    /// Each `no` has advice behind it, and nothing else has.
    fn is_whole(&self) {
        for (at, line) in self.0.iter().enumerate() {
            let advised = self.0.get(at + 1).is_some_and(|line| line.starts_with("   -> "));
            match line.split_once(' ') {
                Some(("no", _)) => assert!(advised, "no advice: {line}"),
                Some(("ok", _)) => assert!(!advised, "advice: {line}"),
                _ => assert!(line.starts_with("   -> "), "what is this: {line}"),
            }
        }
    }

    /// The rest of the one line that begins so, and the advice if there is
    /// some.
    #[track_caller]
    fn line(&self, start: &str) -> (&str, Option<&str>) {
        let mut at = self.0.iter().enumerate().filter(|(_, line)| line.starts_with(start));
        let (at, line) = at.next().unwrap_or_else(|| panic!("no '{start}' in {:#?}", self.0));
        let advice = self.0.get(at + 1).and_then(|line| line.strip_prefix("   -> "));
        (&line[start.len()..], advice)
    }
}

/// As the kernel tells it elsewhere.
fn what_is_there_is_told(report: &Report) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let (kernel, _) =
        report.line(if release.starts_with("6.0") { "no kernel" } else { "ok kernel" });
    let kernel = kernel.strip_prefix(": Linux ").unwrap();
    assert!(release.starts_with(kernel), "{kernel} and {release}");
    let pipe = fs::read_to_string("/proc/sys/fs/pipe-max-size").unwrap();
    let told = report
        .0
        .iter()
        .any(|line| line.ends_with(&format!("longest pipe, in bytes: {}", pipe.trim())));
    assert!(told, "{:?}", report.0);
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let nofile = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft = nofile.split_whitespace().nth(3).unwrap();
    let open = report.0.iter().find(|line| line.contains("limit of open descriptors")).unwrap();
    assert!(open.contains(soft), "{open} and {nofile}");
}

fn what_a_filter_refuses_has_advice(command: &Path) {
    let cases = [
        ("setup=1", "a seccomp filter forbids io_uring (EPERM)"),
        ("setup=38", "a seccomp filter hides io_uring (ENOSYS)"),
        ("enter=1", "a seccomp filter forbids io_uring (EPERM)"),
    ];
    for (restrictions, reason) in cases {
        let report = Report::of(command, restrictions, None);
        let (told, advice) = report.line("no io_uring: ");
        assert_eq!(told, reason, "{restrictions}");
        assert!(advice.is_some_and(|it| it.contains("seccomp profile")), "{advice:?}");
        assert_eq!(report.line("ok seccomp: ").0, "filters system calls");
        assert!(!report.0.iter().any(|line| line.starts_with("ok io_uring")), "{:?}", report.0);
    }
}

fn small_limits_have_advice(command: &Path) {
    let report = Report::of(command, "nobody,memlock=65536,nofile=64", None);
    let (told, advice) = report.line("no limit of locked memory, in bytes: ");
    assert_eq!(told, "65536");
    assert!(advice.is_some_and(|it| it.contains("ulimit -l 16384")), "{advice:?}");
    let (told, advice) = report.line("no io_uring feature: ");
    assert_eq!(told, "no registered buffers");
    assert!(advice.is_some_and(|it| it.contains("ulimit -l")), "{advice:?}");
    let (told, advice) = report.line("no limit of open descriptors: ");
    assert_eq!(told, "64");
    assert!(advice.is_some_and(|it| it.contains("ulimit -n 2048")), "{advice:?}");
    report.line("ok io_uring: works");

    // A filter that leaves rings and takes what is done to them.
    let report = Report::of(command, "register=1", None);
    report.line("ok io_uring: works");
    let (told, advice) = report.line("no io_uring operations: without ");
    assert!(told.contains("statx"), "{told}");
    assert!(advice.is_some_and(|it| it.contains("io_uring_register")), "{advice:?}");
}

fn a_path_is_told_of(command: &Path, dir: &Dir) {
    for path in [dir.path(""), dir.path("file")] {
        let report = Report::of(command, "", Some(&path));
        report.line("ok file system: ");
        assert_eq!(report.0.iter().filter(|line| line.contains("(O_DIRECT)")).count(), 1);
        assert_eq!(report.0.iter().filter(|line| line.contains("(RWF_NOWAIT)")).count(), 1);
        assert_eq!(report.0.iter().filter(|line| line.contains("(IOPOLL)")).count(), 1);
    }
    let report = Report::of(command, "", Some(Path::new("/proc/self/status")));
    let (told, advice) = report.line("no unbuffered files (O_DIRECT): ");
    assert_eq!(told, "not on this file system");
    assert!(advice.is_some(), "{:?}", report.0);
}

fn a_path_that_is_not_there_is_an_error(command: &Path) {
    let output = Command::new(command).args(["doctor", "--path", "/nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told, "forebay: /nowhere: No such file or directory (os error 2)\n");
}
