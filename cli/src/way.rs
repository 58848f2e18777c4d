//! Which way bytes leave: through io_uring, or by plain calls.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Instant,
};

use forebay::{Progress, Sink};
use forebay_linux::{
    FdSink,
    file::{NoBackend, Refusal},
    uring::{RingSink, StreamSink},
};
use forebay_std::Wait;

use crate::{peer::Peers, stdio::report, target::Target};

/// What sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Backend {
    Auto,
    Uring,
    Writev,
}

/// The choice on the command line.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct BackendArgs {
    /// What sends: io_uring, plain calls (sendmsg to a socket, writev to
    /// others), or io_uring where it can be had
    // One connection is served faster by plain calls, see `benches/README.md`.
    #[arg(long, value_enum, default_value_t = Backend::Writev)]
    pub(crate) backend: Backend,
}

/// A sink for one peer after the other.
#[derive(Debug)]
pub(crate) enum Way {
    Ring(RingSink),
    Calls(FdSink<OwnedFd>),
}

impl Way {
    /// The way that `backend` demands, or the next best, which is told.
    pub(crate) fn new(
        backend: Backend,
        peers: &Peers,
        peer: OwnedFd,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let lost = |error| peers.lost(error);
        let is_stream = matches!(peers.target(), Target::Unix(_) | Target::Tcp(_));
        if backend == Backend::Writev || !is_stream {
            if backend == Backend::Auto {
                report!("no io_uring, so writev: {} is no socket", peers.target());
            }
            return Ok(Self::Calls(FdSink::new(peer).map_err(lost)?));
        }
        match StreamSink::new(peer).map_err(lost)? {
            StreamSink::Ring(sink) => Ok(Self::Ring(sink)),
            StreamSink::Plain(_, why) if backend == Backend::Uring => {
                Err(NoBackend::NoUring(why.into()).into())
            }
            StreamSink::Plain(sink, why) => {
                report!("no io_uring, so writev: {}", Refusal::from(why));
                Ok(Self::Calls(sink))
            }
        }
    }

    /// Goes on with another peer.
    pub(crate) fn replace(&mut self, peer: OwnedFd) -> io::Result<()> {
        match self {
            Self::Ring(sink) => sink.replace(peer),
            Self::Calls(sink) => sink.replace(peer).map(drop),
        }
    }

    /// System calls so far.
    pub(crate) fn calls(&self) -> u64 {
        match self {
            Self::Ring(sink) => sink.enters(),
            Self::Calls(sink) => sink.counts().calls,
        }
    }
}

impl AsFd for Way {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Ring(sink) => sink.as_fd(),
            Self::Calls(sink) => sink.fd().as_fd(),
        }
    }
}

impl Sink for Way {
    type Error = io::Error;

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        match self {
            Self::Ring(sink) => sink.write(slices),
            Self::Calls(sink) => sink.write(slices),
        }
    }
}

impl Wait for Way {
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        match self {
            Self::Ring(sink) => sink.wait(deadline),
            Self::Calls(sink) => sink.wait(deadline),
        }
    }
}
