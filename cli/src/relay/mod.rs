//! `forebay relay`.

mod line;
mod serial;

use std::{error::Error, process::ExitCode, time::Instant};

use line::{Address, Line, Read};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::{
    format::{FormatArgs, Name},
    interrupt,
    messages::READ_LEN,
    outlet::{Outlet, Plan},
    peer::{Direction, PeerArgs, PeerError, Peers, Role},
    stdio::report,
    target::Target,
    way::{Backend, BackendArgs},
};

/// Carries the frames of many device lines to one peer
///
/// Each line's frames are verified and their payloads sent on, in the line's
/// order, framed anew. Damage is reported on standard error and costs only the
/// damaged frames. A line that is not there, or no more, is tried again, at
/// least once a second. Lines take turns, one read each. The exit status, with
/// --once, is 0 when all was well, 1 when there was damage; 2 after an error.
///
/// SIGINT and SIGTERM end it: what has been read is delivered, unless the
/// peer takes nothing for a second, the account is printed, and the signal ends
/// the process. A second one ends it at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A device's line: unix:PATH, serial:PATH; may be given many times
    #[arg(long, value_name = "LINE", required = true, value_parser = Address::parser())]
    from: Vec<Address>,

    /// Where to: unix:PATH, tcp:HOST:PORT, file:PATH (emptied first), stdio:
    #[arg(long, value_name = "TARGET", value_parser = Target::parser())]
    to: Target,

    /// Wait for the peer to connect, instead of connecting to it
    #[arg(long)]
    listen: bool,

    /// How the devices frame
    #[arg(long, value_name = "FORMAT", default_value = "cobs-crc16")]
    line_format: Name,

    /// Bits a second of serial lines
    #[arg(long, value_name = "RATE", default_value_t = 115_200)]
    baud: u32,

    /// End when every line has been there and is gone
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    way: BackendArgs,

    #[command(flatten)]
    peer: PeerArgs,

    #[command(flatten)]
    format: FormatArgs,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let uring = args.way.backend == Backend::Uring;
    Peers::require(&args.to, &[("--listen", args.listen), ("--backend uring", uring)])?;
    interrupt::watch()?;
    let role = if args.listen { Role::Listen } else { Role::Connect };
    let peers = Peers::new(args.to.clone(), Direction::Out, role, args.peer)?;
    let mut relay = Relay::new(args, peers)?;
    let result = relay.run();
    let damaged = relay.summary();
    result?;
    Ok(ExitCode::from(u8::from(damaged)))
}

/// Lines and outlet.
///
/// One thread: it waits for the lines, reads each one that has something once,
/// puts the payloads into the ring, and flushes the ring before it waits again.
/// So a peer that is slow holds all lines back, and no line another.
struct Relay<'a> {
    args: &'a Args,
    lines: Vec<Line>,
    outlet: Outlet,
    /// Bytes of the lines whose payloads may be in the ring.
    unflushed: usize,
}

impl<'a> Relay<'a> {
    fn new(args: &'a Args, peers: Peers) -> Result<Self, Box<dyn Error>> {
        let len_max = args.format.payload_len_max();
        let codec = args.format.codec();
        let plan = Plan {
            codec,
            backend: args.way.backend,
            batch_len: forebay::frame::Encode::frame_len_max(&codec, len_max) + READ_LEN,
            ring_capacity: ring_capacity(len_max),
            retry: args.peer.retry,
            sndbuf: None,
        };
        let line_codec = args.line_format.codec(len_max);
        let lines = args.from.iter().map(|from| Line::new(from.clone(), line_codec, args.baud));
        Ok(Self { args, lines: lines.collect(), outlet: Outlet::new(peers, plan)?, unflushed: 0 })
    }

    fn run(&mut self) -> Result<(), Box<dyn Error>> {
        loop {
            let now = Instant::now();
            for line in &mut self.lines {
                line.open_if_due(now)?;
            }
            if interrupt::has_come() {
                return Ok(());
            }
            if self.args.once && self.lines.iter().all(Line::was_there) {
                return Ok(());
            }
            for index in self.ready()? {
                self.read(index)?;
            }
            self.flush()?;
        }
    }

    /// Waits until a line has something, or may be tried again; those lines
    /// that have.
    fn ready(&self) -> Result<Vec<usize>, Errno> {
        let due = self.lines.iter().filter_map(Line::due).min();
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let open = || self.lines.iter().enumerate().filter_map(|(at, line)| Some((at, line.fd()?)));
        let mut fds: Vec<_> =
            open().map(|(_, fd)| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        fds.extend(interrupt::watched());
        match poll(&mut fds, left.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
        let ready = open().zip(&fds).filter(|(_, polled)| !polled.revents().is_empty());
        Ok(ready.map(|((at, _), _)| at).collect())
    }

    /// Reads a line once and takes what came.
    fn read(&mut self, index: usize) -> Result<(), Box<dyn Error>> {
        let line = &mut self.lines[index];
        let outlet = &mut self.outlet;
        let read = line.read(|payload| {
            if let Err(error) = outlet.send(payload) {
                report!("a message of {} bytes refused: {error}", payload.len());
            }
        });
        if let Read::Bytes(len) = read {
            self.unflushed += len;
        }
        // So much is left that the next line's read has room.
        if self.unflushed >= READ_LEN {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PeerError> {
        self.unflushed = 0;
        self.outlet.flush()
    }

    /// Says how it went; whether there was damage or loss.
    fn summary(&self) -> bool {
        for line in &self.lines {
            report!("{line}");
        }
        let ledger = self.outlet.ledger();
        report!("{}", self.outlet.summary(&ledger));
        ledger.refused > 0 || self.lines.iter().any(|line| line.counts().damages > 0)
    }
}

/// A ring that never refuses: it is flushed when the payloads of one read may
/// be in it, and takes those of another; a payload of one byte takes four on
/// the line and eight in the ring; and a record may be as long as half of it.
fn ring_capacity(payload_len_max: usize) -> usize {
    let read_len = 2 * READ_LEN + payload_len_max;
    (8 * read_len).next_power_of_two().min(forebay::ring::CAPACITY_MAX)
}
