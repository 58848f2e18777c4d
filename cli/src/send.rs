//! `forebay send`.

use std::{error::Error, process::ExitCode};

use forebay::{Ledger, frame::Encode, ring::CAPACITY_MAX};

use crate::{
    format::{Codec, FormatArgs},
    interrupt,
    messages::{Cut, Item, Messages, READ_LEN},
    outlet::{Outlet, Plan},
    peer::{Direction, PeerArgs, Peers, Role},
    stdio::{FdReader, StdioError, report},
    target::Target,
    way::{Backend, BackendArgs},
};

/// Sends standard input, each line as one message
///
/// A line is sent with its newline, so that `forebay recv` writes exactly what
/// was read here. At the end a line on standard error says what became of the
/// messages: `delivered` are those that the kernel has taken whole, `in
/// flight` those that could not be delivered. The exit status is 0 when every
/// message was delivered, 1 when some were refused, 2 after an error.
///
/// SIGINT and SIGTERM end the input: what has been read is delivered, unless the
/// peer takes nothing for a second, the account is printed, and the signal ends
/// the process. A second one ends it at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to: unix:PATH, tcp:HOST:PORT, file:PATH (emptied first), stdio:
    #[arg(long, value_name = "TARGET", value_parser = Target::parser())]
    to: Target,

    /// Wait for the peer to connect, instead of connecting to it
    #[arg(long)]
    listen: bool,

    #[command(flatten)]
    way: BackendArgs,

    #[command(flatten)]
    peer: PeerArgs,

    #[command(flatten)]
    format: FormatArgs,

    /// Read messages with their length before them, 32 bits little-endian,
    /// instead of lines
    #[arg(long)]
    binary: bool,

    /// Ask for a socket send buffer of so many bytes
    #[arg(long, value_name = "BYTES")]
    sndbuf: Option<usize>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    let uring = args.way.backend == Backend::Uring;
    let sockets = [
        ("--listen", args.listen),
        ("--sndbuf", args.sndbuf.is_some()),
        ("--backend uring", uring),
    ];
    Peers::require(&args.to, &sockets)?;
    interrupt::watch()?;
    let role = if args.listen { Role::Listen } else { Role::Connect };
    let peers = Peers::new(args.to.clone(), Direction::Out, role, args.peer)?;
    let mut sending = Sending::new(args, peers)?;
    let result = sending.run();
    report!("{}", sending.outlet.summary(&sending.ledger()));
    result?;
    Ok(ExitCode::from(u8::from(sending.ledger().refused > 0)))
}

/// Input and outlet.
///
/// One thread: it reads, puts the messages of that one read into the ring,
/// and flushes the ring before it reads again. So nothing that was accepted
/// waits for the input, and a peer that is slow holds the input back.
struct Sending<'a> {
    args: &'a Args,
    messages: Messages<FdReader>,
    outlet: Outlet,
    /// Messages refused before the ring.
    passed_over: u64,
}

impl<'a> Sending<'a> {
    fn new(args: &'a Args, peers: Peers) -> Result<Self, Box<dyn Error>> {
        let payload_len_max = args.format.payload_len_max();
        let cut = if args.binary { Cut::Binary } else { Cut::Lines };
        let messages = Messages::new(FdReader::stdin()?, cut, payload_len_max);
        let codec = args.format.codec();
        let plan = Plan {
            codec,
            backend: args.way.backend,
            batch_len: batch_len(&codec, payload_len_max),
            ring_capacity: ring_capacity(payload_len_max),
            retry: args.peer.retry,
            sndbuf: args.sndbuf,
        };
        Ok(Self { args, messages, outlet: Outlet::new(peers, plan)?, passed_over: 0 })
    }

    fn run(&mut self) -> Result<(), Box<dyn Error>> {
        while self.messages.fill().map_err(StdioError::Input)? {
            while let Some(item) = self.messages.next() {
                let refused = match item {
                    Item::Message(message) => match self.outlet.send(message) {
                        Ok(()) => continue,
                        Err(error) => error.to_string(),
                    },
                    Item::TooLong { len } => {
                        self.passed_over += 1;
                        let len_max = self.args.format.payload_len_max();
                        format!("{len} bytes, the longest payload is {len_max}")
                    }
                    Item::Truncated { received, needed } => {
                        self.passed_over += 1;
                        format!("the input ends after {received} of its {needed} bytes")
                    }
                };
                let what = if self.args.binary { "message" } else { "line" };
                report!("{what} {} refused: {refused}", self.messages.number());
            }
            self.outlet.flush()?;
        }
        Ok(())
    }

    fn ledger(&self) -> Ledger {
        let passed_over = self.passed_over;
        let passed_over =
            Ledger { offered: passed_over, refused: passed_over, ..Ledger::default() };
        passed_over + self.outlet.ledger()
    }
}

/// Room for the messages of one read, framed; and for the longest frame of a
/// format that cannot lend its payload from the ring.
fn batch_len(codec: &Codec, payload_len_max: usize) -> usize {
    /// What the batch keeps beside a frame, and a margin.
    const BESIDE: usize = 64;
    let lends = !matches!(codec.envelope(&[], &mut [0; BESIDE]), Ok(None));
    let longest = if lends { 0 } else { Encode::frame_len_max(codec, payload_len_max) + BESIDE };
    longest.max(2 * READ_LEN)
}

/// A ring that never refuses: it is empty before each read, a message takes
/// at most 8 bytes of it for each byte read, but for one that began in earlier
/// reads, and a record may be as long as half of it.
fn ring_capacity(payload_len_max: usize) -> usize {
    (8 * READ_LEN + 2 * (payload_len_max + 8)).next_power_of_two().min(CAPACITY_MAX)
}
