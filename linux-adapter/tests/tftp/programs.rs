//! curl, tftp-hpa and atftp as clients. Some of them exit with 0 whatever
//! happened, so files are compared.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{
    line::{Faults, Line},
    random::Random,
    served::{Served, assert_same},
    tftp_server::paths::Writes,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Curl,
    TftpHpa,
    Atftp,
}

impl Program {
    const ALL: [Self; 3] = [Self::Curl, Self::TftpHpa, Self::Atftp];

    fn command(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::TftpHpa => "tftp",
            Self::Atftp => "atftp",
        }
    }

    /// Whether it is there; says so if it is not.
    fn is_there(self) -> bool {
        let asked = Command::new(self.command())
            .arg(if self == Self::Curl { "--version" } else { "-V" })
            .stdin(Stdio::null())
            .output();
        if let Err(error) = &asked {
            println!("SKIPPED: the client {} is not here: {error}", self.command());
        }
        asked.is_ok()
    }

    /// Runs it. Options are those of TFTP, for those that send any.
    fn run(self, port: u16, way: Way<'_>, remote: &str, options: &[(&str, usize)]) -> Output {
        let mut command = Command::new("timeout");
        command.args(["60", self.command()]).stdin(Stdio::null());
        let path = |local: &Path| local.to_str().unwrap().to_owned();
        match self {
            Self::Curl => {
                command.args(["--silent", "--show-error"]);
                for (name, value) in options {
                    command.arg(format!("--tftp-{name}"));
                    command.args((*name != "no-options").then(|| value.to_string()));
                }
                match way {
                    Way::Get(local) => command.args(["-o".into(), path(local)]),
                    Way::GetText(local) => command.args(["-B", "-o", &path(local)]),
                    Way::Put(local) => command.args(["-T".into(), path(local)]),
                };
                command.arg(format!("tftp://127.0.0.1:{port}/{remote}"));
            }
            Self::TftpHpa => {
                let (mode, words) = match way {
                    Way::Get(local) => ("binary", ["get".into(), remote.into(), path(local)]),
                    Way::GetText(local) => ("ascii", ["get".into(), remote.into(), path(local)]),
                    Way::Put(local) => ("binary", ["put".into(), path(local), remote.into()]),
                };
                command.args(["-m", mode, "127.0.0.1", &port.to_string(), "-c"]).args(words);
            }
            Self::Atftp => {
                for (name, value) in options.iter().filter(|(name, _)| *name != "no-options") {
                    command.args(["--option".to_owned(), format!("{name} {value}")]);
                }
                match way {
                    Way::Get(local) => command.args(["-g", "-r", remote, "-l", &path(local)]),
                    Way::GetText(local) => {
                        let mode = ["--option", "mode netascii", "-g", "-r", remote, "-l"];
                        command.args(mode).arg(local)
                    }
                    Way::Put(local) => command.args(["-p", "-l", &path(local), "-r", remote]),
                };
                command.args(["127.0.0.1", &port.to_string()]);
            }
        }
        command.output().unwrap()
    }
}

#[derive(Clone, Copy, Debug)]
enum Way<'p> {
    Get(&'p Path),
    GetText(&'p Path),
    Put(&'p Path),
}

/// Reads a file that is served and writes it again, by a program.
fn there_and_back(
    served: &Served,
    port: u16,
    program: Program,
    name: &str,
    options: &[(&str, usize)],
) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let what = format!("{program:?} {name} {options:?}");
    let bytes = fs::read(served.root(name)).unwrap();
    let local = served.beside(&format!("local-{count}"));
    let output = program.run(port, Way::Get(&local), name, options);
    // An empty file need not be made.
    let read = fs::read(&local).unwrap_or_default();
    assert_same(&read, &bytes, &format!("{what}: {output:?}"));
    fs::write(&local, &bytes).unwrap();
    let remote = format!("copy-{count}");
    let output = program.run(port, Way::Put(&local), &remote, options);
    let written = fs::read(served.root(&remote))
        .unwrap_or_else(|error| panic!("{what}: {error}, {output:?}, {:?}", served.shared.counts));
    assert_same(&written, &bytes, &what);
}

fn writable() -> Served {
    Served::new(|config| {
        config.writes = Writes::New;
        config.timeout = std::time::Duration::from_secs(1);
    })
}

#[test]
fn short_files_and_options() {
    let served = writable();
    let lens = [0, 511, 512, 513];
    for len in lens {
        served.put(&format!("of-{len}"), &Random(len as u64).bytes(len));
    }
    served.put("middling", &Random(1).bytes(150_000));
    for program in Program::ALL.into_iter().filter(|program| program.is_there()) {
        for len in lens {
            there_and_back(&served, served.address.port(), program, &format!("of-{len}"), &[]);
        }
        for block_len in [8, 1428, 65_464] {
            let options = [("blksize", block_len)];
            if program != Program::TftpHpa {
                there_and_back(&served, served.address.port(), program, "middling", &options);
            }
        }
        for window in [1, 2, 8, 64] {
            let options = [("windowsize", window), ("blksize", 1024)];
            if program == Program::Atftp {
                there_and_back(&served, served.address.port(), program, "middling", &options);
            }
        }
    }
    assert!(served.names().iter().all(|name| !name.starts_with('.')));
}

/// Block numbers go round: 71,680 blocks of 512 bytes.
#[test]
fn a_long_file() {
    let served = writable();
    served.put("long", &Random(9).bytes(35 << 20));
    for program in Program::ALL.into_iter().filter(|program| program.is_there()) {
        there_and_back(&served, served.address.port(), program, "long", &[]);
    }
    if Program::Atftp.is_there() {
        let options = [("windowsize", 64), ("blksize", 512)];
        there_and_back(&served, served.address.port(), Program::Atftp, "long", &options);
    }
}

#[test]
fn text_arrives_as_text() {
    let served = writable();
    served.put("text", b"one\ntwo\r\n\rthree\n");
    for program in [Program::Curl, Program::TftpHpa] {
        if !program.is_there() {
            continue;
        }
        let local = served.beside("text");
        let output = program.run(served.address.port(), Way::GetText(&local), "text", &[]);
        // curl gives the line's bytes, tftp-hpa the file's.
        let expected: &[u8] = match program {
            Program::Curl => b"one\r\ntwo\r\0\r\n\r\0three\r\n",
            _ => b"one\ntwo\r\n\rthree\n",
        };
        assert_same(&fs::read(&local).unwrap(), expected, &format!("{program:?}: {output:?}"));
    }
}

#[test]
fn a_missing_file_is_told() {
    let served = writable();
    if Program::Curl.is_there() {
        let local = served.beside("nothing");
        let output = Program::Curl.run(served.address.port(), Way::Get(&local), "absent", &[]);
        // CURLE_TFTP_NOTFOUND.
        assert_eq!(output.status.code(), Some(68), "{output:?}");
        served.put("there", b"there");
        fs::write(&local, "other").unwrap();
        let output = Program::Curl.run(served.address.port(), Way::Put(&local), "there", &[]);
        // CURLE_REMOTE_FILE_EXISTS.
        assert_eq!(output.status.code(), Some(73), "{output:?}");
    }
    if Program::Atftp.is_there() {
        let local = served.beside("nothing");
        let output = Program::Atftp.run(served.address.port(), Way::Get(&local), "absent", &[]);
        assert_eq!(output.status.code(), Some(255), "{output:?}");
    }
}

/// Doubled packets, and one that is lost, as these clients wait for seconds
/// until they send something again.
#[test]
fn a_bad_line() {
    let served = Served::new(|config| {
        config.writes = Writes::New;
        config.tries_max = 100;
    });
    served.put("file", &Random(5).bytes(30_000));
    let faults = Faults { lost: 0, doubled: 20, late: 0, fourth: true };
    for (program, seed) in Program::ALL.into_iter().zip(0x7F7_0100..) {
        if !program.is_there() {
            continue;
        }
        let line = Line::new(served.address, faults, seed);
        // curl asks the server to wait for long if it may.
        there_and_back(&served, line.address.port(), program, "file", &[("no-options", 0)]);
        let happened = line.happened();
        println!("{program:?}: {happened:?}");
        assert!(happened.lost == 2 && happened.doubled > 10, "{program:?}: {happened:?}");
    }
}
