//! What the messages cross: two connected descriptors of this process.

use std::{
    fmt, io,
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Socket {
    /// A UNIX stream socket.
    Unix,
    /// TCP over the loopback interface.
    Tcp,
    /// A pipe.
    Pipe,
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unix => "unix",
            Self::Tcp => "tcp",
            Self::Pipe => "pipe",
        })
    }
}

/// The two ends of a wire.
pub(super) struct Wire {
    pub(super) near: OwnedFd,
    pub(super) far: OwnedFd,
}

impl Wire {
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        let (near, far) = match socket {
            Socket::Unix => {
                let (near, far) = UnixStream::pair()?;
                (near.into(), far.into())
            }
            Socket::Tcp => {
                let listener = TcpListener::bind(("127.0.0.1", 0))?;
                let near = TcpStream::connect(listener.local_addr()?)?;
                (near.into(), listener.accept()?.0.into())
            }
            Socket::Pipe => {
                let (far, near) = io::pipe()?;
                (near.into(), far.into())
            }
        };
        Ok(Self { near, far })
    }
}
