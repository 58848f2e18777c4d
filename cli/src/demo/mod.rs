//! `forebay demo`: the whole path on this machine, beside what one would
//! write by hand.
//!
//! Producers on threads -> rings -> CRC frames -> one vectored write a batch
//! into a socket -> a decoder that verifies every payload and its order.

mod contenders;
mod message;
mod table;
mod wire;

use std::{
    error::Error,
    fmt,
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use crate::stdio::report;
use contenders::Outcome;
use wire::Socket;

/// Sends messages from threads through rings to a decoder, and compares
///
/// Without flags it runs a few seconds. The exit status is 0 when every message
/// arrived as it was, 1 when one did not, 2 after an error.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Bytes of each message.
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    size: usize,
    /// Threads that produce, each into a ring of its own.
    #[arg(long, default_value_t = 2, value_name = "N")]
    producers: usize,
    /// Messages in all; without it, as many as the time allows.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// The most messages in one write; without it, what the batch holds.
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// How long each contender may send.
    #[arg(long, default_value_t = 1.5, value_name = "SECONDS")]
    seconds: f64,
    /// What the messages cross.
    #[arg(long, value_enum, default_value_t = Socket::Unix)]
    socket: Socket,
}

/// The bounds that every contender keeps to.
#[derive(Clone, Copy, Debug)]
struct Load {
    size: usize,
    producers: usize,
    /// Messages in all.
    count: Option<u64>,
    duration: Duration,
    batch: Option<usize>,
    socket: Socket,
}

/// A flag that makes no sense.
#[derive(Debug)]
enum BadFlag {
    Size { size: usize },
    Producers { producers: usize },
    Count,
    Batch,
    Seconds { seconds: f64 },
}

impl fmt::Display for BadFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (message::LEN_MIN, message::LEN_MAX);
        match self {
            Self::Size { size } => {
                write!(f, "--size {size}: a message has {least} to {most} bytes")
            }
            Self::Producers { producers } => {
                write!(f, "--producers {producers}: 1 to {}", forebay_std::SENDERS_MAX)
            }
            Self::Count => write!(f, "--count 0: at least one message"),
            Self::Batch => write!(f, "--batch 0: a batch has at least one message"),
            Self::Seconds { seconds } => {
                write!(f, "--seconds {seconds}: more than 0, at most 3600")
            }
        }
    }
}

impl Error for BadFlag {}

impl Args {
    fn load(&self) -> Result<Load, BadFlag> {
        let Self { size, producers, seconds, .. } = *self;
        if !(message::LEN_MIN..=message::LEN_MAX).contains(&size) {
            return Err(BadFlag::Size { size });
        }
        if !(1..=forebay_std::SENDERS_MAX).contains(&producers) {
            return Err(BadFlag::Producers { producers });
        }
        if self.count == Some(0) {
            return Err(BadFlag::Count);
        }
        if self.batch == Some(0) {
            return Err(BadFlag::Batch);
        }
        if !(seconds > 0.0 && seconds <= 3600.0) {
            return Err(BadFlag::Seconds { seconds });
        }
        Ok(Load {
            size,
            producers,
            count: self.count,
            duration: Duration::from_secs_f64(seconds),
            batch: self.batch,
            socket: self.socket,
        })
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let load = args.load()?;
    report!(
        "{} producer(s), {}-byte messages with CRC-32, {} socket",
        load.producers,
        load.size,
        load.socket
    );
    let mut progress = Progress::new();
    let outcomes = [
        contenders::forebay(&load, &mut progress)?,
        contenders::write_each(&load, &mut progress)?,
        contenders::buf_writer(&load, &mut progress)?,
    ];
    progress.end();
    table::print(&mut io::stdout().lock(), &outcomes)?;
    let lost = outcomes.iter().filter(|outcome| !outcome.is_whole()).count();
    Ok(if lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line that is written again and again on a terminal, and not at all
/// elsewhere.
struct Progress {
    live: bool,
}

impl Progress {
    fn new() -> Self {
        Self { live: io::stderr().is_terminal() }
    }

    fn show(&mut self, outcome: &Outcome) {
        if self.live {
            // A terminal that has gone does not concern the demonstration.
            let _ = write!(
                io::stderr(),
                "\r{:<18} {:>12.0} messages/s  {:>8.5} syscalls/message  {:>10} refused ",
                outcome.name,
                outcome.rate(),
                outcome.calls_per_message(),
                outcome.ledger.refused,
            );
        }
    }

    fn end(&mut self) {
        if self.live {
            let _ = writeln!(io::stderr());
        }
    }
}
