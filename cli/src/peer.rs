//! The peers at a target, one after the other.

use std::{
    error::Error,
    fmt,
    fs::OpenOptions,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    time::{Duration, Instant},
};

use rustix::{
    event::PollFlags,
    io::{Errno, ioctl_fionbio},
    net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt},
};

use crate::{
    interrupt::{self, Waited},
    listener::Listener,
    stdio::{self, report},
    target::Target,
};

/// The first and the longest pause between two attempts to connect.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Who opens the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Connect,
    Listen,
}

/// Which way the frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Out,
    In,
}

/// How peers are awaited.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct PeerArgs {
    /// When the peer vanishes, go on with the next one instead of ending with
    /// an error
    #[arg(long)]
    pub(crate) retry: bool,

    /// Give up when no peer has appeared for so long; without it, never
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u32>,
}

/// Finds the peers at a target.
#[derive(Debug)]
pub(crate) struct Peers {
    target: Target,
    direction: Direction,
    listener: Option<Listener>,
    wait: Option<Duration>,
    /// When the last peer came.
    met: Option<Instant>,
    /// The pause before the next attempt to connect.
    pause: Duration,
}

impl Peers {
    /// Says that `flags`, those of them that are set, need a target that peers
    /// come to.
    pub(crate) fn require(
        target: &Target,
        flags: &[(&'static str, bool)],
    ) -> Result<(), PeerError> {
        let set = flags.iter().find(|(_, set)| *set);
        match (target, set) {
            (Target::File(_) | Target::Stdio, Some((flag, _))) => {
                Err(PeerError::NoPeers { target: target.to_string(), flag })
            }
            _ => Ok(()),
        }
    }

    /// Begins to listen, if that is the role; connecting is left to
    /// [`next`](Peers::next).
    pub(crate) fn new(
        target: Target,
        direction: Direction,
        role: Role,
        args: PeerArgs,
    ) -> Result<Self, PeerError> {
        Self::require(&target, &[("--retry", args.retry), ("--wait", args.wait.is_some())])?;
        let failed = |error| PeerError::Listen { target: target.to_string(), error };
        let listener = match (&target, role) {
            (Target::Unix(path), Role::Listen) => Some(Listener::unix(path).map_err(failed)?),
            (Target::Tcp(address), Role::Listen) => Some(Listener::tcp(address).map_err(failed)?),
            _ => None,
        };
        if let Some(listener) = &listener {
            report!("listening on {listener}");
        }
        let wait = args.wait.map(|seconds| Duration::from_secs(seconds.into()));
        Ok(Self { target, direction, listener, wait, met: None, pause: PAUSE_MIN })
    }

    /// Where the peers are.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Awaits the next peer.
    pub(crate) fn next(&mut self) -> Result<OwnedFd, PeerError> {
        let deadline = self.wait.map(|wait| Instant::now() + wait);
        let peer = match (&self.listener, &self.target) {
            (Some(listener), _) => self.accept(listener, deadline)?,
            (None, Target::Unix(_) | Target::Tcp(_)) => self.connect(deadline)?,
            (None, Target::File(path)) => open(path, self.direction).map_err(|e| self.lost(e))?,
            (None, Target::Stdio) => match self.direction {
                Direction::Out => stdio::stdout(),
                Direction::In => stdio::stdin(),
            }
            .map_err(|error| self.lost(error))?,
        };
        self.met = Some(Instant::now());
        Ok(peer)
    }

    /// The error that ended the work with a peer.
    pub(crate) fn lost(&self, error: io::Error) -> PeerError {
        PeerError::Lost { target: self.target.to_string(), error }
    }

    fn accept(&self, listener: &Listener, deadline: Option<Instant>) -> Result<OwnedFd, PeerError> {
        match listener.accept(deadline) {
            Ok(Ok(peer)) => Ok(peer),
            Ok(Err(Waited::Interrupted)) => Err(PeerError::Interrupted),
            Ok(Err(_)) => Err(self.gave_up(None)),
            Err(error) => Err(PeerError::Listen { target: self.target.to_string(), error }),
        }
    }

    /// Connects, and tries again while there is nobody.
    fn connect(&mut self, deadline: Option<Instant>) -> Result<OwnedFd, PeerError> {
        let mut told = false;
        // A peer that comes and goes is as good as none: that pauses too.
        match self.met {
            Some(met) if met.elapsed() < PAUSE_MAX => self.back_off(deadline)?,
            _ => self.pause = PAUSE_MIN,
        }
        loop {
            let error = match self.attempt(deadline) {
                Ok(peer) => return Ok(peer),
                Err(error) => error,
            };
            if interrupt::has_come() {
                return Err(PeerError::Interrupted);
            }
            let passing = is_absent(&error) || self.met.is_some() && is_vanished(&error);
            if !passing {
                return Err(PeerError::Connect { target: self.target.to_string(), error });
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(self.gave_up(Some(error)));
            }
            if !told {
                report!("waiting for {}: {error}", self.target);
                told = true;
            }
            self.back_off(deadline)?;
        }
    }

    fn attempt(&self, deadline: Option<Instant>) -> io::Result<OwnedFd> {
        match &self.target {
            Target::Unix(path) => UnixStream::connect(path).map(OwnedFd::from),
            Target::Tcp(address) => connect_tcp(address, deadline),
            Target::File(_) | Target::Stdio => Err(ErrorKind::Unsupported.into()),
        }
    }

    /// Pauses, each time for twice as long, but not past the deadline.
    fn back_off(&mut self, deadline: Option<Instant>) -> Result<(), PeerError> {
        let pause = Instant::now() + self.pause;
        let until = deadline.map_or(pause, |deadline| deadline.min(pause));
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        match interrupt::wait(None, PollFlags::empty(), Some(until)) {
            Ok(Waited::Interrupted) => Err(PeerError::Interrupted),
            Ok(_) => Ok(()),
            Err(error) => Err(self.lost(error)),
        }
    }

    fn gave_up(&self, last: Option<io::Error>) -> PeerError {
        let waited = self.wait.unwrap_or_default();
        PeerError::GaveUp { target: self.target.to_string(), waited, last }
    }
}

/// Whether a connection failed because nobody listens there yet.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

/// Whether an error says that a peer is gone, rather than that something is
/// wrong here.
pub(crate) fn is_vanished(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::TimedOut
    )
}

fn open(path: &Path, direction: Direction) -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    match direction {
        Direction::Out => options.write(true).create(true).truncate(true),
        Direction::In => options.read(true),
    };
    options.open(path).map(OwnedFd::from)
}

fn connect_tcp(address: &str, deadline: Option<Instant>) -> io::Result<OwnedFd> {
    let mut last = io::Error::from(ErrorKind::NotFound);
    for address in address.to_socket_addrs()? {
        match connect_to(address, deadline) {
            // A port of one's own range that nobody listens on may be given to
            // the very socket that connects to it.
            Ok(stream) if stream.local_addr()? == address => {
                last = ErrorKind::ConnectionRefused.into();
            }
            Ok(stream) => {
                // What waits is batched here already.
                stream.set_nodelay(true)?;
                return Ok(stream.into());
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Connects until `deadline`, or until a signal comes.
fn connect_to(address: SocketAddr, deadline: Option<Instant>) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::INPROGRESS) => {
            match interrupt::wait(Some(socket.as_fd()), PollFlags::OUT, deadline)? {
                Waited::Ready => sockopt::socket_error(&socket)??,
                Waited::Deadline => return Err(ErrorKind::TimedOut.into()),
                Waited::Interrupted => return Err(ErrorKind::Interrupted.into()),
            }
        }
        Err(error) => return Err(error.into()),
    }
    ioctl_fionbio(&socket, false)?;
    Ok(socket.into())
}

/// Why there is no peer, or no more.
#[derive(Debug)]
pub(crate) enum PeerError {
    /// The target is nothing that peers come to.
    NoPeers { target: String, flag: &'static str },
    /// Listening failed.
    Listen { target: String, error: io::Error },
    /// Connecting failed.
    Connect { target: String, error: io::Error },
    /// Nobody came in time.
    GaveUp { target: String, waited: Duration, last: Option<io::Error> },
    /// A signal came first.
    Interrupted,
    /// What there was cannot be written to or read from, or no more.
    Lost { target: String, error: io::Error },
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPeers { target, flag } => {
                write!(f, "{flag} needs a unix: or tcp: target, not {target}")
            }
            Self::Listen { target, error } => write!(f, "cannot listen on {target}: {error}"),
            Self::Connect { target, error } => write!(f, "cannot connect to {target}: {error}"),
            Self::GaveUp { target, waited, last } => {
                write!(f, "no peer at {target} for {} seconds", waited.as_secs())?;
                last.as_ref().map_or(Ok(()), |last| write!(f, ": {last}"))
            }
            Self::Interrupted => write!(f, "interrupted"),
            Self::Lost { target, error } => write!(f, "{target}: {error}"),
        }
    }
}

impl Error for PeerError {}
