//! System calls as strace counts them, beside what the tool says.

mod common;

use std::{fs, fs::File, process::Command, process::Stdio};

use common::{Dir, Running, Sent, read};

const MESSAGES: u32 = 200_000;

#[test]
fn a_message_of_64_bytes_costs_less_than_a_hundredth_of_a_call() {
    let traced = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    if !traced.is_ok_and(|status| status.success()) {
        println!("SKIPPED: strace is missing or may not trace");
        return;
    }
    for (kind, backend) in [("unix", "writev"), ("tcp", "writev"), ("unix", "uring")] {
        let dir = Dir::new();
        let target = match kind {
            "unix" => dir.target("unix", "socket"),
            _ => "tcp:127.0.0.1:0".to_owned(),
        };
        let mut line = vec![b'x'; 63];
        line.push(b'\n');
        fs::write(dir.path("in"), line.repeat(usize::try_from(MESSAGES).unwrap())).unwrap();

        let recv = ["recv", "--from", &target];
        let mut receiver = Running::spawn(&recv, Stdio::null(), Stdio::null());
        let at = receiver.await_line("listening on ");
        let output = Command::new("strace")
            .args([
                "-f",
                "-c",
                "-U",
                "calls,name",
                "-e",
                "trace=sendmsg,writev,write,sendto,io_uring_enter",
                "-o",
            ])
            .arg(dir.path("counts"))
            .args([env!("CARGO_BIN_EXE_forebay"), "send", "--to", &at, "--backend", backend])
            .stdin(File::open(dir.path("in")).unwrap())
            .output()
            .unwrap();
        if common::stderr(&output).starts_with("forebay: no io_uring: ") {
            println!("SKIPPED: {}", common::stderr(&output));
            continue;
        }
        assert!(output.status.success(), "{}", common::stderr(&output));
        assert!(receiver.end().0.success());

        let counts = String::from_utf8(read(&dir.path("counts"))).unwrap();
        let count = |call: &str| {
            let calls = counts.lines().find_map(|line| {
                let mut columns = line.split_whitespace();
                let calls = columns.next()?;
                (columns.next() == Some(call)).then_some(calls)
            });
            calls.map_or(0, |calls| calls.parse::<u64>().unwrap())
        };
        let sent = Sent::parse(common::stderr(&output));
        assert_eq!(sent.delivered, u64::from(MESSAGES));
        let (own, other) = if backend == "uring" {
            ("io_uring_enter", "sendmsg")
        } else {
            ("sendmsg", "io_uring_enter")
        };
        // A ring is tried once when it is made.
        let tried = u64::from(backend == "uring");
        assert_eq!((count(own), count(other)), (sent.calls + tried, 0), "{counts}");
        // Two, of nothing, of what watches for two signals.
        assert_eq!((count("writev"), count("sendto")), (0, 2), "{counts}");
        // Lines on standard error.
        assert!(count("write") <= 2, "{counts}");
        assert!(sent.calls * 100 <= u64::from(MESSAGES), "{} calls", sent.calls);
    }
}
