//! The choice between io_uring and threads where io_uring is really refused,
//! and the suite of file backends on what is chosen, with the rights that are
//! left.
//!
//! Each case is this program again, without a test harness and so with one
//! thread, which gives its rights up.

#[path = "../../std-adapter/tests/common/mod.rs"]
mod common;

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio, exit},
    thread,
};

use forebay_linux::file::{Auto, NoBackend, Refusal, Uring};
use forebay_std::file::{Backend, Config, Threads};
use forebay_tests::{
    files::{conforms, conforms_waiting, full_disk},
    restrict,
};
use rustix::process::getuid;

const CASE: &str = "FOREBAY_FILES_CASE";
const RESTRICTIONS: &str = "FOREBAY_FILES_RESTRICTIONS";
/// Operation not permitted, function not implemented (`errno(3)`).
const EPERM: &str = "1";
const ENOSYS: &str = "38";

fn main() {
    let _watchdog = common::watchdog("restricted file backends");
    if let Ok(case) = env::var(CASE) {
        return child(&case);
    }
    // Whoever lists tests is told of none, as there is no harness.
    if env::args().any(|word| word == "--list") {
        return;
    }
    let mut count = 0;
    let mut passed = |name: &str| {
        println!("{name}: passed");
        count += 1;
    };
    let uring = match Uring::new(&Config::default()) {
        Ok(_) => true,
        Err(refusal) => {
            println!("SKIPPED: io_uring: {refusal}; {}", refusal.advice());
            false
        }
    };

    // What is refused by a filter, with the reason that is told.
    let by_filter = [
        (format!("setup={EPERM},nobody"), "a seccomp filter forbids io_uring (EPERM)"),
        (format!("setup={ENOSYS}"), "a seccomp filter hides io_uring (ENOSYS)"),
        // There is a ring then, of no use.
        (format!("enter={EPERM}"), "a seccomp filter forbids io_uring (EPERM)"),
        (format!("enter={ENOSYS}"), "a seccomp filter hides io_uring (ENOSYS)"),
    ];
    for (restrictions, reason) in &by_filter {
        run("suite", restrictions, &format!("threads: {reason}"));
        passed(restrictions);
    }
    // The last descriptor is missing; a suite would have none for its files.
    run("choice", "nofile=3", "threads: no descriptor is left (EMFILE), with a limit of 3");
    passed("nofile=3");
    // No thread can be started, so what threads would do is done at once.
    let reason = format!("threads: {}", by_filter[0].1);
    run("alone", &format!("setup={EPERM},nproc=1,nobody"), &reason);
    passed("nproc=1");
    run("not enabled", "", "threads: it is not enabled");
    passed("not enabled");
    if uring {
        run("suite", "nobody", "io_uring");
        passed("nobody");
        // Nothing can be registered, nor can the kernel be asked what it has.
        run("suite", &format!("register={EPERM}"), "io_uring");
        passed("register");
        memlock();
        passed("memlock=65536");
        passed_if(sysctl_for_the_unprivileged(), "io_uring_disabled=1", &mut passed);
        passed_if(sysctl_for_all(), "io_uring_disabled=2", &mut passed);
    }
    passed_if(disk_that_is_full(), "a full disk", &mut passed);
    file_length_limit();
    passed("a limit of a file's length");
    println!("files_restricted: {count} cases passed");
}

fn passed_if(ran: bool, name: &str, passed: &mut dyn FnMut(&str)) {
    if ran {
        passed(name);
    }
}

// ------------------------------------------------------------- the children

/// Gives rights up and does the case in the current directory; tells which
/// backend it has, and why.
fn child(case: &str) {
    if case == "sysctl" {
        // The suite is not run while all are refused.
        println!("ready");
        std::io::stdin().read_line(&mut String::new()).unwrap();
    }
    restrict::apply(&env::var(RESTRICTIONS).unwrap());
    let dir = Path::new(".");
    let enabled = case != "not enabled";
    let make = |config: &Config| Auto::new(&Config { enabled, ..*config }).unwrap();
    // Of a ring so deep that it does not fit the limit of locked memory.
    let queue_depth = if case == "deep" { 4096 } else { Config::default().queue_depth };
    let config = Config { enabled, queue_depth, buffers: Some(128), ..Config::default() };
    let chosen = Auto::new(&config).unwrap();
    without_fallback(&config, chosen.reason());
    match chosen.reason() {
        Some(reason) => println!("chosen: {}: {reason}", chosen.name()),
        None => println!("chosen: {}", chosen.name()),
    }
    for lack in chosen.lacks() {
        println!("lack: {lack}");
    }
    match case {
        "suite" | "not enabled" => {
            let threads = chosen.reason().is_some();
            drop(chosen);
            conforms(dir, make);
            if threads {
                conforms_waiting(dir, make);
            }
        }
        "alone" => {
            drop(chosen);
            conforms(dir, make);
            assert!(thread::Builder::new().spawn(|| ()).is_err(), "a thread can be started");
        }
        "choice" | "deep" | "sysctl" => {}
        "full" => {
            let capacity = 1 << 20;
            full_disk(dir, capacity, |config| Threads::new(config).unwrap());
            if chosen.reason().is_none() {
                full_disk(dir, capacity, make);
            }
        }
        other => panic!("no case {other}"),
    }
    println!("end");
}

/// Without the fallback the reason is the error.
fn without_fallback(config: &Config, reason: Option<Refusal>) {
    let strict = Auto::new(&Config { fallback: false, ..*config });
    match (config.enabled, reason) {
        (true, Some(reason)) => {
            let error = strict.unwrap_err();
            assert_eq!(error, NoBackend::NoUring(reason));
            assert!(error.to_string().contains(reason.advice()), "{error}");
        }
        _ => assert_eq!(strict.unwrap().reason(), reason),
    }
}

// --------------------------------------------------------------- the parent

/// A directory that everybody may write to, gone with the case.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let path = env::temp_dir().join(format!("forebay-restricted-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// This program again, in `dir`.
fn again(mut command: Command, dir: &Dir, case: &str, restrictions: &str) -> Command {
    command.current_dir(&dir.0).env(CASE, case).env(RESTRICTIONS, restrictions);
    command
}

fn this() -> PathBuf {
    env::current_exe().unwrap()
}

/// Runs a case to its end; the lines that it printed.
fn output(mut command: Command) -> Vec<String> {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    let lines: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(Into::into).collect();
    if !output.status.success() || lines.last().is_none_or(|line| line != "end") {
        println!("{}", lines.join("\n"));
        println!("{command:?}: {}", output.status);
        exit(1);
    }
    lines
}

fn run(case: &str, restrictions: &str, chosen: &str) -> Vec<String> {
    let dir = Dir::new();
    let lines = output(again(Command::new(this()), &dir, case, restrictions));
    assert!(lines.contains(&format!("chosen: {chosen}")), "{restrictions}: {lines:?}");
    lines
}

/// A user whose limit of locked memory is that of old systems: a ring that is
/// small enough works, without registered buffers, and a deep one does not.
fn memlock() {
    let lines = run("suite", "memlock=65536,nobody", "io_uring");
    let deep = "threads: no memory (ENOMEM), with a limit of locked memory of 65536";
    run("deep", "memlock=65536,nobody", deep);
    let lack = |line: &String| line.starts_with("lack: no registered buffers: raise the limit");
    assert!(lines.iter().any(lack), "{lines:?}");
}

const SYSCTL: &str = "/proc/sys/kernel/io_uring_disabled";

/// `kernel.io_uring_disabled`, put back at the end.
struct Disabled(String);

impl Disabled {
    /// `None` where it cannot be set.
    fn set(level: &str) -> Option<Self> {
        let before = fs::read_to_string(SYSCTL).ok()?;
        let set = Self(before);
        as_root(&format!("echo {level} > {SYSCTL}"))?;
        Some(set)
    }
}

impl Drop for Disabled {
    fn drop(&mut self) {
        as_root(&format!("echo {} > {SYSCTL}", self.0.trim()));
    }
}

/// Runs a line of shell as root, if that can be.
fn as_root(script: &str) -> Option<()> {
    let mut command = if getuid().is_root() {
        Command::new("sh")
    } else {
        let mut command = Command::new("sudo");
        command.args(["-n", "sh"]);
        command
    };
    let status = command.args(["-c", script]).stderr(Stdio::null()).status().ok()?;
    status.success().then_some(())
}

/// Refused to who is not privileged, which leaves other programs of root in
/// peace; the whole suite.
fn sysctl_for_the_unprivileged() -> bool {
    let Some(_disabled) = Disabled::set("1") else {
        println!("SKIPPED: {SYSCTL} cannot be set to 1");
        return false;
    };
    run("suite", "nobody", "threads: kernel.io_uring_disabled is 1 (EPERM)");
    true
}

/// Refused to all, and so only for as long as the choice takes.
fn sysctl_for_all() -> bool {
    let dir = Dir::new();
    let mut child = again(Command::new(this()), &dir, "sysctl", "")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut go, mut lines) = talk(&mut child);
    assert_eq!(lines.next(), Some("ready".into()));
    let disabled = Disabled::set("2");
    go.write_all(b"go\n").unwrap();
    let chosen = lines.next().unwrap();
    let was_set = disabled.is_some();
    drop(disabled);
    assert!(child.wait().unwrap().success());
    if was_set {
        assert_eq!(chosen, "chosen: threads: kernel.io_uring_disabled is 2 (EPERM)");
    } else {
        println!("SKIPPED: {SYSCTL} cannot be set to 2");
    }
    was_set
}

fn talk(child: &mut Child) -> (ChildStdin, impl Iterator<Item = String> + use<>) {
    let stdin = child.stdin.take().unwrap();
    let stdout: ChildStdout = child.stdout.take().unwrap();
    (stdin, BufReader::new(stdout).lines().map(Result::unwrap))
}

/// A file system of a mebibyte, in a mount namespace of the case's own.
fn disk_that_is_full() -> bool {
    let mount = "mount -t tmpfs -o size=1m none . && cd \"$PWD\" && exec \"$0\"";
    let ways: [&[&str]; 3] = [
        &["unshare", "--mount"],
        &["unshare", "--mount", "--map-root-user"],
        &["sudo", "-n", "--preserve-env", "unshare", "--mount"],
    ];
    for way in ways {
        let dir = Dir::new();
        let probe = Command::new(way[0])
            .args(&way[1..])
            .args(["sh", "-c", "mount -t tmpfs -o size=1m none ."])
            .current_dir(&dir.0)
            .stderr(Stdio::null())
            .status();
        if !probe.is_ok_and(|status| status.success()) {
            continue;
        }
        let mut command = Command::new(way[0]);
        command.args(&way[1..]).args(["sh", "-c", mount]).arg(this());
        output(again(command, &dir, "full", ""));
        let left = fs::read_dir(&dir.0).unwrap().count();
        assert_eq!(left, 0, "the files were on the disk of others");
        return true;
    }
    println!("SKIPPED: no file system could be mounted");
    false
}

/// As a disk that is full, for any user: writes are cut, and then refused.
fn file_length_limit() {
    let dir = Dir::new();
    // In blocks of a kibibyte; the signal is ignored, which lasts.
    let script = "trap '' XFSZ; ulimit -f 1000; exec \"$0\"";
    let mut command = Command::new("bash");
    command.args(["-c", script]).arg(this());
    output(again(command, &dir, "full", ""));
}
