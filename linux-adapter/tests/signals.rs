//! Signals that are really delivered, to a child that writes or waits.
//!
//! The child is this program again, without a test harness and so with one
//! thread, which the signals are for. `signal-hook` restarts what it can
//! (`SA_RESTART`), so a write that has moved nothing goes on by itself; one
//! that has moved something comes back short, and `poll(2)` comes back
//! interrupted (`signal(7)`). `EINTR` from a write is in the test `strace`.

mod common;

use std::{
    env, io,
    io::{BufRead, BufReader, PipeReader, Read, Write},
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    sync::{Arc, atomic::AtomicBool},
};

use common::{FORMAT, messages, watchdog, wire_of};
use forebay_linux::{
    FdSink,
    uring::{Config, Context, Outcome, Way},
};
use forebay_std::{
    Drainer, Wait,
    forebay::{Progress, Sink},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pipe::fcntl_setpipe_size,
    process::{Pid, Signal, kill_process},
};
use signal_hook::consts::SIGUSR1;

const CASE: &str = "FOREBAY_SIGNALS_CASE";
/// More than a pipe takes at once.
const LONG: usize = 1 << 20;

fn main() {
    match env::var(CASE).as_deref() {
        Err(_) => {
            a_signal_makes_a_blocking_write_short();
            a_signal_ends_a_wait();
            a_stream_under_signals_is_whole();
            a_signal_does_not_end_a_wait_for_a_ring();
            println!("signals: 4 cases passed");
        }
        Ok(case) => child(case),
    }
}

/// Writes to its standard output, and says what came of it on its standard
/// error.
fn child(case: &str) {
    let caught = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGUSR1, caught).unwrap();
    let out = io::stdout();
    match case {
        "short" => {
            let mut sink = FdSink::new(out.as_fd()).unwrap();
            let Progress::Wrote(len) = sink.write(&[&vec![7; LONG]]).unwrap() else {
                panic!("blocked");
            };
            eprintln!("{len}");
        }
        "wait" => {
            let mut sink = FdSink::nonblocking(out.as_fd()).unwrap();
            while sink.write(&[&vec![7; LONG]]).unwrap() != Progress::Blocked {}
            eprintln!("full");
            sink.wait(None).unwrap();
            assert_eq!(sink.write(&[&vec![7; LONG]]).unwrap(), Progress::Blocked);
            eprintln!("{}", sink.counts().polls);
        }
        "stream" => {
            let mut drainer = Drainer::new(FORMAT, FdSink::new(out.as_fd()).unwrap());
            let mut sender = drainer.sender(1 << 23).unwrap();
            for message in messages(1000) {
                sender.send(&message).unwrap();
            }
            drop(sender);
            drainer.run().unwrap();
            assert_eq!(drainer.ledger().delivered, 1000);
            eprintln!("{}", drainer.counts().short);
        }
        "ring" => ring(),
        other => panic!("no case {other}"),
    }
}

/// Reads through a ring what the handler of the signal writes, until a signal
/// has met a wait.
fn ring() {
    let mut context = match Context::new(&Config::new().queue_depth(1).reads(Way::Ring)) {
        Ok(context) => context,
        Err(why) => return eprintln!("SKIPPED: {why}"),
    };
    let (far, near) = io::pipe().unwrap();
    signal_hook::low_level::pipe::register(SIGUSR1, near).unwrap();
    let file = context.adopt(far);
    eprintln!("ready");
    while context.counts().interrupted == 0 {
        let lease = context.lease().unwrap();
        let ticket = context.read(&file, lease, 1, 0).unwrap();
        // A call that has submitted something tells of that, not of the signal.
        context.submit().unwrap();
        let over = context.wait(None).unwrap().unwrap();
        assert_eq!(over.ticket, ticket);
        let Outcome::Moved(_, result) = over.outcome else { panic!("{over:?}") };
        assert_eq!(result, Ok(1));
    }
    eprintln!("interrupted");
}

struct Running {
    child: Child,
    out: PipeReader,
    says: BufReader<PipeReader>,
}

impl Running {
    fn start(case: &str) -> Self {
        let (out, child_out) = io::pipe().unwrap();
        // So small that a write of a whole batch is under way, with something
        // moved, as soon as there is something to read: a signal cuts it short.
        fcntl_setpipe_size(&out, 4096).unwrap();
        let (says, child_says) = io::pipe().unwrap();
        let child = Command::new(env::current_exe().unwrap())
            .env(CASE, case)
            .stdout(Stdio::from(child_out))
            .stderr(Stdio::from(child_says))
            .spawn()
            .unwrap();
        Self { child, out, says: BufReader::new(says) }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        line.trim().into()
    }

    fn signal(&self) {
        kill_process(Pid::from_child(&self.child), Signal::USR1).unwrap();
    }

    /// Sends signals until the child says something.
    fn signal_until_it_speaks(&mut self) -> String {
        // Between two signals the child gets a moment to speak.
        let moment = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        loop {
            self.signal();
            let mut says = [PollFd::new(self.says.get_ref(), PollFlags::IN)];
            if poll(&mut says, Some(&moment)).unwrap() > 0 {
                return self.line();
            }
        }
    }

    fn end(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.out.read_to_end(&mut rest).unwrap();
        let mut says = String::new();
        self.says.read_to_string(&mut says).unwrap();
        assert!(self.child.wait().unwrap().success(), "{says}");
        rest
    }
}

fn a_signal_makes_a_blocking_write_short() {
    let _held = watchdog("a blocking write");
    let mut running = Running::start("short");
    // The first byte: the child is in its write, and has moved something.
    running.out.read_exact(&mut [0]).unwrap();
    let len: usize = running.signal_until_it_speaks().parse().unwrap();
    assert!(len > 0 && len < LONG, "{len} bytes");
    assert_eq!(running.end().len() + 1, len, "as many have arrived");
}

fn a_signal_ends_a_wait() {
    let _held = watchdog("a wait");
    let mut running = Running::start("wait");
    assert_eq!(running.line(), "full");
    assert_eq!(running.signal_until_it_speaks(), "1");
    running.end();
}

fn a_stream_under_signals_is_whole() {
    let _held = watchdog("a stream");
    let mut running = Running::start("stream");
    let mut received = Vec::new();
    let mut room = [0; 1024];
    loop {
        let len = running.out.read(&mut room).unwrap();
        if len == 0 {
            break;
        }
        received.write_all(&room[..len]).unwrap();
        running.signal();
    }
    let short: u64 = running.line().parse().unwrap();
    assert!(short > 0, "no signal came in the middle of a write");
    running.end();
    assert!(received == wire_of(&FORMAT, &messages(1000)));
}

fn a_signal_does_not_end_a_wait_for_a_ring() {
    let _held = watchdog("a wait for a ring");
    let mut running = Running::start("ring");
    let line = running.line();
    if line.starts_with("SKIPPED: ") {
        println!("{line}");
    } else {
        assert_eq!(line, "ready");
        assert_eq!(running.signal_until_it_speaks(), "interrupted");
    }
    running.end();
}
