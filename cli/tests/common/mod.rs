//! Runs the real binary.
#![allow(dead_code)] // No test uses all of it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};

/// The names of all formats.
pub(crate) const FORMATS: [&str; 7] = [
    "prefixed",
    "cobs-crc16",
    "cobs-crc32",
    "flatstream",
    "flatstream-crc16",
    "flatstream-crc32",
    "flatstream-xxh3",
];

/// A test that waits longer than this for something has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `forebay` command with these arguments.
pub(crate) fn forebay<A: AsRef<str>>(args: &[A]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    command.args(args.iter().map(AsRef::as_ref));
    command
}

/// Runs `forebay` on `input` to its end.
pub(crate) fn run<A: AsRef<str>>(args: &[A], input: &[u8]) -> Output {
    let mut child = forebay(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _watch = watch(&child);
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|threads| {
        threads.spawn(move || {
            // It may end without reading all of it.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    })
}

/// Kills a process that runs for too long, so that a test which waits for it
/// fails instead of hanging. The answer is to be kept while it may run.
pub(crate) fn watch(child: &Child) -> Sender<()> {
    let pid = Pid::from_child(child);
    let (kept, gone) = channel();
    thread::spawn(move || {
        if gone.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    kept
}

/// Standard error as text.
pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// A directory that goes with the test.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("forebay-cli-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A target in the directory: `unix:...` or `file:...`.
    pub(crate) fn target(&self, kind: &str, name: &str) -> String {
        format!("{kind}:{}", self.path(name).display())
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Waits until `condition` holds, without a guess of how long that takes.
pub(crate) fn await_that(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} until {what}");
        thread::yield_now();
    }
}

/// A `forebay` that runs. It is killed with the test.
pub(crate) struct Running {
    pub(crate) child: Child,
    stderr: BufReader<ChildStderr>,
    told: String,
    _watch: Sender<()>,
}

impl Running {
    pub(crate) fn spawn<A: AsRef<str>>(args: &[A], stdin: Stdio, stdout: Stdio) -> Self {
        let mut child =
            forebay(args).stdin(stdin).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let watch = watch(&child);
        Self { child, stderr, told: String::new(), _watch: watch }
    }

    /// Waits until standard error has a line that begins with `start`, and
    /// returns the rest of it.
    pub(crate) fn await_line(&mut self, start: &str) -> String {
        loop {
            let mut line = String::new();
            let len = self.stderr.read_line(&mut line).unwrap();
            assert!(len > 0, "no line '{start}...' in:\n{}", self.told);
            self.told.push_str(&line);
            if let Some(rest) = line.strip_prefix(start) {
                return rest.trim_end().to_owned();
            }
        }
    }

    /// Waits for the end; the exit status and all of standard error.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        self.stderr.read_to_string(&mut self.told).unwrap();
        let status = self.child.wait().unwrap();
        (status, std::mem::take(&mut self.told))
    }

    /// Sends a signal to the process, if it has not ended and been awaited.
    pub(crate) fn signal(&self, signal: Signal) {
        match kill_process(Pid::from_child(&self.child), signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// The state in `/proc/PID/stat` (proc(5)): R, S, T, ...
    pub(crate) fn state(&self) -> char {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, behind_name) = stat.rsplit_once(") ").unwrap();
        behind_name.chars().next().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The figures of a ledger line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) offered: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) delivered: u64,
    pub(crate) in_flight: u64,
    pub(crate) bytes: u64,
    pub(crate) calls: u64,
}

impl Sent {
    /// Reads the last line of that kind on standard error.
    pub(crate) fn parse(stderr: &str) -> Self {
        let line = stderr.lines().rfind(|line| line.starts_with("sent: ")).expect(stderr);
        let figures: Vec<u64> = line
            .split(|c: char| !c.is_ascii_digit())
            .filter(|digits| !digits.is_empty())
            .map(|digits| digits.parse().unwrap())
            .collect();
        let [offered, accepted, refused, delivered, in_flight, bytes, calls] = figures[..] else {
            panic!("{line}")
        };
        let sent = Self { offered, accepted, refused, delivered, in_flight, bytes, calls };
        assert_eq!(
            line,
            format!(
                "sent: offered {offered}, accepted {accepted}, refused {refused}, \
                 delivered {delivered}, in flight {in_flight}; \
                 {bytes} bytes in {calls} system calls"
            )
        );
        assert_eq!(offered, accepted + refused, "{line}");
        assert_eq!(accepted, delivered + in_flight, "{line}");
        sent
    }
}

/// Log lines of varying length, the same each time, at least `len` bytes.
pub(crate) fn log(len: usize) -> Vec<u8> {
    const LEVELS: [&str; 4] = ["DEBUG", "INFO", "WARN", "ERROR"];
    let mut log = Vec::with_capacity(len + 1024);
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut number = 0_u64;
    while log.len() < len {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let level = LEVELS[(random >> 60) as usize % LEVELS.len()];
        let (second, micro) = (number / 1000 % 86_400, random % 1_000_000);
        write!(log, "2025-11-21T{second:05}.{micro:06}Z {level} worker[{}]: ", random % 97)
            .unwrap();
        let path = "/api/v1/accounts/".repeat((random >> 20) as usize % 12);
        writeln!(log, "request {number} took {micro} us path={path}").unwrap();
        number += 1;
    }
    log
}

/// How many lines `bytes` has.
pub(crate) fn lines(bytes: &[u8]) -> u64 {
    bytes.split_inclusive(|&byte| byte == b'\n').count() as u64
}

/// Asserts equality without printing megabytes.
pub(crate) fn assert_same(left: &[u8], right: &[u8]) {
    if left != right {
        let at = left.iter().zip(right).take_while(|(left, right)| left == right).count();
        panic!("{} bytes and {} bytes differ from byte {at} on", left.len(), right.len());
    }
}

/// A file's bytes.
pub(crate) fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}
