//! A peer that is gone is an error in a program that has not ignored SIGPIPE:
//! sockets on every kernel, pipes since Linux 6.18.
//!
//! Rust's runtime ignores SIGPIPE before `main`, so this program does without
//! it; each case runs in a child of its own.

#![no_main]

use std::{
    env, io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::{net::UnixStream, process::ExitStatusExt},
    process::{Command, ExitStatus},
};

use forebay_linux::{
    FdSink,
    uring::{Config, RingSink, SinkSet},
};
use forebay_std::forebay::{Progress, Sink};
use rustix::{io::Errno, system::uname};

const CASE: &str = "FOREBAY_SIGPIPE_CASE";
const SIGPIPE: i32 = 13;

#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    let Ok(case) = env::var(CASE) else {
        every_case();
        return 0;
    };
    match case.as_str() {
        "no sink" => {
            let (reader, writer) = io::pipe().unwrap();
            drop(reader);
            let _ = rustix::io::write(&writer, b"to nobody");
        }
        "unix" => {
            let (near, far) = UnixStream::pair().unwrap();
            drop(far);
            broken(&mut FdSink::new(near).unwrap());
        }
        "tcp" => {
            let (near, _listener) = tcp();
            broken(&mut FdSink::new(near).unwrap());
        }
        "ring" | "registered" => {
            let config = Config::new().queue_depth(4).registered_buffers(case == "registered");
            let set = match SinkSet::new(&config) {
                Ok(set) => set,
                Err(why) => {
                    println!("SKIPPED: {why}");
                    return 0;
                }
            };
            for lack in set.lacks() {
                println!("SKIPPED: {lack}");
            }
            let (near, far) = UnixStream::pair().unwrap();
            drop(far);
            broken(&mut Submitted(set.add(near).unwrap(), set.clone()));
            let (near, _listener) = tcp();
            broken(&mut Submitted(set.add(near).unwrap(), set));
        }
        "pipe" => {
            let (reader, writer) = io::pipe().unwrap();
            let mut sink = FdSink::new(writer).unwrap();
            assert_eq!(sink.write(&[b"to somebody"]).unwrap(), Progress::Wrote(11));
            assert!(!sink.raises_sigpipe());
            drop(reader);
            broken(&mut sink);
        }
        other => panic!("no case {other}"),
    }
    0
}

/// A connection that is shut down for writes, and its listener.
fn tcp() -> (TcpStream, TcpListener) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    near.shutdown(std::net::Shutdown::Write).unwrap();
    (near, listener)
}

/// A sink whose writes are submitted and waited for.
struct Submitted(RingSink, SinkSet);

impl Sink for Submitted {
    type Error = io::Error;

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        self.0.write(slices)?;
        self.1.submit(1, None)?;
        self.0.write(slices)
    }
}

fn broken(sink: &mut impl Sink<Error = io::Error>) {
    for _ in 0..3 {
        let error = sink.write(&[b"to nobody"]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::PIPE.raw_os_error()));
    }
}

fn every_case() {
    let run = |case: &str| -> ExitStatus {
        Command::new(env::current_exe().unwrap()).env(CASE, case).status().unwrap()
    };
    assert_eq!(run("no sink").signal(), Some(SIGPIPE), "the signal is at its default");
    for case in ["unix", "tcp", "ring", "registered"] {
        assert!(run(case).success(), "{case}");
    }
    if release() < (6, 18) {
        println!("SKIPPED: a pipe raises SIGPIPE before Linux 6.18");
    } else {
        assert!(run("pipe").success(), "pipe");
    }
    println!("sigpipe: no socket and no pipe of a sink raises it");
}

/// The kernel's release.
fn release() -> (u32, u32) {
    let name = uname();
    let mut numbers =
        name.release().to_str().unwrap().split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
