//! Sockets that peers connect to.

use std::{
    fmt, fs,
    io::{self, ErrorKind},
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::FileTypeExt,
            net::{UnixDatagram, UnixListener},
        },
    },
    path::{Path, PathBuf},
    time::Instant,
};

use rustix::event::PollFlags;

use crate::interrupt::{self, Waited};

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Unix { listener: UnixListener, path: PathBuf },
    Tcp(TcpListener),
}

impl Listener {
    pub(crate) fn unix(path: &Path) -> io::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && is_stale(path) => {
                fs::remove_file(path)?;
                UnixListener::bind(path)?
            }
            result => result?,
        };
        Ok(Self::Unix { listener, path: path.to_owned() })
    }

    pub(crate) fn tcp(address: &str) -> io::Result<Self> {
        TcpListener::bind(address).map(Self::Tcp)
    }

    /// Accepts a connection, or says why there was none.
    pub(crate) fn accept(&self, deadline: Option<Instant>) -> io::Result<Result<OwnedFd, Waited>> {
        let fd = match self {
            Self::Unix { listener, .. } => listener.as_fd(),
            Self::Tcp(listener) => listener.as_fd(),
        };
        match interrupt::wait(Some(fd), PollFlags::IN, deadline)? {
            Waited::Ready => {}
            none => return Ok(Err(none)),
        }
        Ok(Ok(match self {
            Self::Unix { listener, .. } => listener.accept()?.0.into(),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                // What waits is batched here already.
                stream.set_nodelay(true)?;
                stream.into()
            }
        }))
    }
}

/// Whether a socket has outlived its process as a file. A datagram socket asks,
/// so that a stream listener that is alive sees no connection: it answers
/// `EPROTOTYPE` (`unix(7)`).
fn is_stale(path: &Path) -> bool {
    // Of other files the answer is the same as of a stale socket.
    if !path.symlink_metadata().is_ok_and(|file| file.file_type().is_socket()) {
        return false;
    }
    let answer = UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    answer.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// A socket's file goes with its listener.
impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix { path, .. } = self {
            let _ = fs::remove_file(path);
        }
    }
}

/// The address as it was bound, with the port that the system chose for 0.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => write!(f, "tcp:{address}"),
                Err(error) => write!(f, "tcp: ({error})"),
            },
        }
    }
}
