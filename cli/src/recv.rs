//! `forebay recv`.

use std::{error::Error, io, os::fd::OwnedFd, process::ExitCode};

use forebay::frame::Reason;
use forebay_std::FrameReader;

use crate::{
    format::FormatArgs,
    interrupt,
    peer::{Direction, PeerArgs, Peers, Role, is_vanished},
    stdio::{FdReader, Output, StdioError, report},
    target::Target,
};

/// Receives messages and writes them to standard output
///
/// Payloads are written as they are, one after the other: what `forebay send`
/// read as lines comes out as those lines. Ends when the peer ends. Damage is
/// reported on standard error, as `offset N: reason` with the offset from the
/// peer's first byte, and costs only the damaged frames. The exit status is 0
/// when all was well, 1 when there was damage, 2 after an error.
///
/// SIGINT and SIGTERM end it as the end of the peer does: what has come is
/// written, the account is printed, and the signal ends the process. A second
/// one ends it at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where from: unix:PATH, tcp:HOST:PORT (port 0 for any), file:PATH, stdio:
    #[arg(long, value_name = "TARGET", value_parser = Target::parser())]
    from: Target,

    /// Connect to the peer, instead of waiting for it to connect
    #[arg(long)]
    connect: bool,

    /// Serve one peer after the other, and never end
    #[arg(long)]
    keep: bool,

    #[command(flatten)]
    peer: PeerArgs,

    #[command(flatten)]
    format: FormatArgs,

    /// Write the length before each message, 32 bits little-endian
    #[arg(long)]
    binary: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    Peers::require(&args.from, &[("--connect", args.connect), ("--keep", args.keep)])?;
    interrupt::watch()?;
    let role = if args.connect { Role::Connect } else { Role::Listen };
    let mut peers = Peers::new(args.from.clone(), Direction::In, role, args.peer)?;
    let mut output = Output::stdout()?;
    let mut damaged = false;
    loop {
        let received = receive(args, peers.next()?, &mut output)?;
        damaged |= received.damaged;
        let again = match received.end {
            End::Interrupted => false,
            End::Clean => args.keep,
            End::CutShort => args.keep || args.peer.retry,
            End::Failed(error) => {
                let again = (args.keep || args.peer.retry) && is_vanished(&error);
                let lost = peers.lost(error);
                if !again {
                    return Err(lost.into());
                }
                report!("{lost}");
                damaged = true;
                true
            }
        };
        if !again {
            return Ok(ExitCode::from(u8::from(damaged)));
        }
        report!("waiting for the next peer at {}", peers.target());
    }
}

/// How it went with one peer.
struct Received {
    damaged: bool,
    end: End,
}

enum End {
    /// By a signal.
    Interrupted,
    /// Behind a frame.
    Clean,
    /// Inside a frame.
    CutShort,
    /// With an error.
    Failed(io::Error),
}

/// Writes the payloads of one peer. Before it waits for more, all that there
/// is has been written.
fn receive(args: &Args, peer: OwnedFd, output: &mut Output) -> Result<Received, StdioError> {
    let mut frames = FrameReader::new(FdReader::new(peer), args.format.codec());
    let mut payload_bytes = 0;
    let mut end = End::Clean;
    loop {
        match frames.fill() {
            // Not the end of the peer, so not of its last frame.
            _ if interrupt::has_come() => {
                end = End::Interrupted;
                break;
            }
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                end = End::Failed(error);
                break;
            }
        }
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => {
                    payload_bytes += frame.payload.len() as u64;
                    put(frame.payload, args.binary, output.gathered());
                    output.flush_if_full()?;
                }
                Ok(None) => break,
                Err(damage) => {
                    if let Reason::Truncated { .. } = damage.reason {
                        end = End::CutShort;
                    }
                    report!("{damage}");
                }
            }
        }
        output.flush()?;
    }
    let counts = frames.counts();
    report!(
        "received: messages {}, bytes {payload_bytes}, damages {}, bytes lost {}",
        counts.frames,
        counts.damages,
        counts.bytes_lost
    );
    Ok(Received { damaged: counts.damages > 0, end })
}

fn put(payload: &[u8], binary: bool, out: &mut Vec<u8>) {
    if binary {
        // `FormatArgs` limits payloads to far less.
        #[allow(clippy::cast_possible_truncation)]
        out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    }
    out.extend_from_slice(payload);
}
