//! Sinks through a ring where rings, or what makes them cheaper, are really
//! refused: the conformance suite with what is left, and the reasons.
//!
//! Each case is this program again, without a test harness and so with one
//! thread, which gives its rights up.

#[path = "../../std-adapter/tests/common/mod.rs"]
mod common;

use std::{
    env, io,
    os::unix::net::UnixStream,
    process::{Command, Stdio},
};

use forebay::{Progress, Sink};
use forebay_linux::uring::{Config, RingSink, SinkSet, StreamSink};
use forebay_tests::{
    conformance::{Reader, conforms},
    restrict,
};

const CASE: &str = "FOREBAY_SINKS_CASE";
const RESTRICTIONS: &str = "FOREBAY_SINKS_RESTRICTIONS";

fn main() {
    let _watchdog = common::watchdog("restricted sinks");
    if let Ok(case) = env::var(CASE) {
        return child(&case);
    }
    if env::args().any(|word| word == "--list") {
        return;
    }
    // What is refused, and what is told of it. EPERM is 1, ENOSYS 38.
    run("stream", "setup=1", "by calls: io_uring is forbidden, by a seccomp filter");
    run("stream", "enter=38", "by calls: the kernel has no io_uring, or a seccomp filter");
    let mut count = 2;
    match SinkSet::new(&Config::new()) {
        Err(why) => println!("SKIPPED: {why}"),
        Ok(_) => {
            run("stream", "memlock=65536,nobody", "by a ring");
            run("set", "", "by a ring");
            let advice = "lack: no registered buffers: raise the limit of locked memory";
            run("set", "memlock=65536,nobody", advice);
            run("set", "register=1", "lack: no registered buffers: they are refused");
            let advice = "lack: no sends from registered buffers: needs Linux 6.18";
            run("set", "pwritev2=95", advice);
            count += 5;
        }
    }
    println!("sinks_restricted: {count} cases passed");
}

/// Runs a case, which prints a line that begins so.
fn run(case: &str, restrictions: &str, line: &str) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env(CASE, case).env(RESTRICTIONS, restrictions).stderr(Stdio::inherit());
    let output = command.output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let told = lines.lines().any(|told| told.starts_with(line));
    assert!(output.status.success() && told, "{case}, {restrictions}: {lines}");
    println!("{case}, {restrictions}: passed");
}

fn child(case: &str) {
    restrict::apply(&env::var(RESTRICTIONS).unwrap());
    let pair = || UnixStream::pair().unwrap();
    if case == "stream" {
        let fallback = StreamSink::new(pair().0).unwrap().fallback();
        match fallback {
            Some(why) => println!("by calls: {why}"),
            None => println!("by a ring"),
        }
        // Whichever it is, it is for streams.
        let pipe = StreamSink::new(io::pipe().unwrap().1).unwrap_err();
        assert_eq!(pipe.kind(), io::ErrorKind::InvalidInput);
        return conforms(|| {
            let (near, far) = pair();
            (StreamSink::new(near).unwrap(), Reader(far))
        });
    }
    let config = Config::new().queue_depth(8).registered_buffers(true);
    let set = SinkSet::new(&config).unwrap();
    println!("by a ring");
    for lack in set.lacks() {
        println!("lack: {lack}");
    }
    conforms(|| {
        let (near, far) = pair();
        (Submitted(set.add(near).unwrap(), set.clone()), Reader(far))
    });
}

/// What a set takes leaves when that is submitted.
struct Submitted(RingSink, SinkSet);

impl Sink for Submitted {
    type Error = io::Error;

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        match self.0.write(slices)? {
            Progress::Blocked => {
                self.1.submit(0, None)?;
                self.0.write(slices)
            }
            wrote => Ok(wrote),
        }
    }
}
