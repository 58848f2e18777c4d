//! The server as the program that it is, with io_uring and without.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    common::{Scratch, example, watchdog},
    random::Random,
    requests::Raw,
    restrict,
    served::assert_same,
};

/// The program, which is killed with the test.
struct Program {
    child: Child,
    address: SocketAddr,
    /// What does the work.
    how: String,
    stdout: BufReader<ChildStdout>,
    _held: mpsc::Sender<()>,
}

impl Program {
    /// Starts it in a directory without the rights that `words` take away.
    fn start(root: &Path, words: &'static str) -> Option<Self> {
        let mut command = Command::new(example("tftp_server")?);
        command.arg(root).args(["127.0.0.1:0", "--write"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // What a thread has given up, its children have.
        let spawned = thread::spawn(move || {
            restrict::apply(words);
            command.spawn()
        });
        let mut child = spawned.join().unwrap().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let (address, how) = line
            .strip_prefix("listening on ")
            .and_then(|rest| rest.split_once(", "))
            .expect("the address");
        let (address, how) = (address.parse().unwrap(), how.trim().to_owned());
        Some(Self { child, address, how, stdout, _held: watchdog("the TFTP program") })
    }

    /// Ends it; what it says then.
    fn stop(mut self, signal: Signal) -> String {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let mut told = String::new();
        self.stdout.read_to_string(&mut told).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{told}");
        told
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn curl(args: &[&str]) -> bool {
    let output = Command::new("curl").args(["-sS", "--max-time", "60"]).args(args).output();
    match output {
        Ok(output) => {
            assert!(output.status.success(), "{args:?}: {output:?}");
            true
        }
        Err(error) => {
            println!("SKIPPED: the client curl is not here: {error}");
            false
        }
    }
}

#[test]
fn the_program_serves_curl_and_ends_when_it_is_told_to() {
    let bytes = Random(11).bytes(300_000);
    for (words, how, signal) in [
        ("", "files by ", Signal::TERM),
        ("setup=1", "files by threads: ", Signal::INT),
        ("setup=38", "files by threads: ", Signal::TERM),
    ] {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path("root")).unwrap();
        let root = |name: &str| scratch.path("root").join(name);
        fs::write(root("file"), &bytes).unwrap();
        let Some(program) = Program::start(&root(""), words) else { return };
        assert!(program.how.starts_with(how), "{words}: {}", program.how);
        println!("{words}: {}", program.how);
        let url = |name: &str| format!("tftp://{}/{name}", program.address);
        let local = scratch.path("local");
        if !curl(&["-o", local.to_str().unwrap(), &url("file")]) {
            return;
        }
        assert_same(&fs::read(&local).unwrap(), &bytes, "read");
        curl(&["-T", local.to_str().unwrap(), &url("copy")]);
        assert_same(&fs::read(root("copy")).unwrap(), &bytes, "written");

        // A write that has begun, and of which nothing is left.
        let raw = Raw::new();
        raw.send(program.address, b"\0\x02begun\0octet\0");
        let (answer, transfer) = raw.receive();
        assert_eq!(answer, b"\0\x04\0\0");
        raw.send(transfer, &[&b"\0\x03\0\x01"[..], &[7; 512]].concat());
        assert_eq!(raw.receive().0, b"\0\x04\0\x01");
        assert_eq!(fs::read_dir(root("")).unwrap().count(), 3);
        let told = program.stop(signal);
        assert!(told.starts_with("transfers: done "), "{told}");
        let mut names: Vec<_> = fs::read_dir(root(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["copy", "file"]);
    }
}

#[test]
fn the_program_says_what_it_cannot_do() {
    let Some(program) = example("tftp_server") else { return };
    for (args, told) in [
        (&[][..], "usage: tftp_server DIRECTORY"),
        (&["/tmp", "--what"], "usage: tftp_server DIRECTORY"),
        (&["/nowhere/at/all", "127.0.0.1:0"], "NotFound"),
        (&["/tmp", "nowhere"], "AddrParseError"),
    ] {
        let output = Command::new(&program).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(told), "{args:?}: {stderr}");
    }
}
