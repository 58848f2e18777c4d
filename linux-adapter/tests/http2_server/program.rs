//! The server as the program that it is.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    sync::mpsc,
};

use forebay_std::forebay::frame::http2::{ErrorCode, Frame, Kind, Setting};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    common::{Scratch, example, watchdog},
    raw::{Raw, get, raw_frame},
    real::{run, text},
};

/// The program, which is killed with the test.
struct Program {
    child: Child,
    address: SocketAddr,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
    _held: mpsc::Sender<()>,
}

impl Program {
    /// Starts it in a directory, by `sh -c` with what is to be done before.
    fn start(root: &Path, before: &str) -> Option<Self> {
        let program = example("http2_server")?;
        let mut child = Command::new("sh")
            .args(["-c", &format!("{before} exec \"$0\" \"$@\"")])
            .args([&program, root])
            .arg("127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on ").expect("the address").trim();
        let address = address.parse().unwrap();
        Some(Self { child, address, stdout, stderr, _held: watchdog("the HTTP/2 program") })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Ends it; what it has written, unless that has been read.
    fn stop(mut self, signal: Signal) -> (String, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.stdout.read_to_string(&mut stdout).unwrap();
        self.stderr.read_to_string(&mut stderr).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{stderr}");
        (stdout, stderr)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_program_serves_curl_and_ends_when_it_is_told_to() {
    let root = Scratch::new();
    let body: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(root.path("file"), &body).unwrap();
    for signal in [Signal::TERM, Signal::INT] {
        let Some(program) = Program::start(&root.path("."), "") else { return };
        let url = program.url("file");
        let args = ["-sS", "--http2-prior-knowledge", "--max-time", "60", &url];
        let Some(output) = run("curl", &args) else { return };
        assert!(output.status.success() && output.stdout == body, "{}", text(&output.stderr));
        let (stdout, stderr) = program.stop(signal);
        assert_eq!(stdout, "");
        assert!(stderr.starts_with("1 requests, "), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn the_program_says_what_it_cannot_do() {
    let Some(program) = example("http2_server") else { return };
    let output = Command::new(&program).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), "usage: http2_server DIRECTORY [ADDRESS:PORT]\n");
    let output = Command::new(&program).args(["/nowhere/at/all", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("http2_server: No such file"), "{output:?}");
}

/// A response that is under way when the signal comes is finished, and nothing
/// new is begun.
#[test]
fn what_is_under_way_is_finished() {
    let root = Scratch::new();
    let body = vec![5; 100_000];
    fs::write(root.path("file"), &body).unwrap();
    let Some(program) = Program::start(&root.path("."), "") else { return };
    let mut raw = Raw::to(program.address, &[Setting::InitialWindowSize(0)]);
    raw.send(&get(1, "/file"));
    raw.find(|came| came.head.kind == Kind::HEADERS);
    kill_process(Pid::from_child(&program.child), Signal::TERM).unwrap();
    let goaway = raw.find(|came| came.head.kind == Kind::GOAWAY);
    let Frame::GoAway { last_stream, code, .. } = goaway.frame() else { unreachable!() };
    assert_eq!((last_stream.map(|it| it.number()), code), (Some(1), ErrorCode::NO_ERROR));
    raw.send(&get(3, "/file"));
    let refused = raw.find(|came| came.head.kind == Kind::RST_STREAM);
    let Frame::RstStream { stream, code } = refused.frame() else { unreachable!() };
    assert_eq!((stream.number(), code), (3, ErrorCode::REFUSED_STREAM));
    raw.send(&raw_frame(8, 0, 0, b"\0\x10\0\0"));
    raw.send(&raw_frame(8, 0, 1, b"\0\x10\0\0"));
    assert!(raw.response(1).1 == body);
    assert!(raw.next().is_none(), "the connection ends");
    let (_, stderr) = program.stop(Signal::TERM);
    assert!(stderr.starts_with("1 requests, "), "{stderr}");
}

/// Descriptors that are all in use are no reason to say that a file is not
/// there, nor to try without a pause.
#[test]
fn a_want_of_descriptors_is_told_as_one() {
    let root = Scratch::new();
    fs::write(root.path("file"), vec![5; 100_000]).unwrap();
    let Some(mut program) = Program::start(&root.path("."), "ulimit -n 40;") else { return };
    let mut raw = Raw::to(program.address, &[Setting::InitialWindowSize(0)]);
    // Each keeps its file open.
    let requests: Vec<u8> = (0..60).flat_map(|number| get(2 * number + 1, "/file")).collect();
    raw.send(&requests);
    let (mut served, mut refused) = (0, 0);
    while served + refused < 60 {
        let came = raw.find(|came| came.head.kind == Kind::HEADERS);
        let Frame::Headers { fragment, .. } = came.frame() else { unreachable!() };
        match fragment {
            [0x88, ..] => served += 1,
            // A literal of the name `:status`.
            [8, 3, b'5', b'0', b'3', ..] => refused += 1,
            other => panic!("{}", other.escape_ascii()),
        }
    }
    assert!(served > 10 && refused > 10, "{served} and {refused}");
    // Somebody else finds no descriptor left, and waits.
    let waiting = std::net::TcpStream::connect(program.address).unwrap();
    let mut line = String::new();
    program.stderr.read_line(&mut line).unwrap();
    assert!(line.starts_with("accept: "), "{line}");
    for _ in 0..100 {
        raw.ping();
    }
    // Room again.
    drop((raw, waiting));
    let mut raw = Raw::to(program.address, &[]);
    raw.send(&get(1, "/file"));
    assert_eq!(raw.find(|came| came.head.kind == Kind::HEADERS).head.stream, 1);
    drop(raw);
    let (_, stderr) = program.stop(Signal::TERM);
    let tries = stderr.lines().filter(|line| line.starts_with("accept: ")).count();
    assert!(tries < 50, "{tries} tries");
}
