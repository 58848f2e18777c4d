//! Where the daemon listens, and how one connects.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, FileType, Mode, OFlags, fstat},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
    pipe::{fcntl_getpipe_size, fcntl_setpipe_size},
};

use crate::FdSink;

/// The size in bytes that the daemon's FIFO is grown to: room for the records
/// of several milliseconds, so that a write is rarely refused.
const FIFO_LEN: usize = 256 * 1024;

/// Where the daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The FIFO `dlt` in this directory, `/tmp` unless the daemon was told
    /// otherwise. The daemon answers through a FIFO that the client makes in
    /// `dltpipes` there.
    Fifo(PathBuf),
    /// A stream socket at this path, in both directions.
    Socket(PathBuf),
}

impl Endpoint {
    /// The FIFO where libdlt looks for it: `dlt` in `DLT_PIPE_DIR`, or in
    /// `/tmp`.
    #[must_use]
    pub fn default_fifo() -> Self {
        let directory = std::env::var_os("DLT_PIPE_DIR").filter(|path| !path.is_empty());
        Self::Fifo(directory.map_or_else(|| "/tmp".into(), PathBuf::from))
    }

    /// The path that is opened.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Fifo(directory) => directory.join("dlt"),
            Self::Socket(path) => path.clone(),
        }
    }

    /// Connects to the daemon, without waiting for it.
    pub(super) fn open(&self) -> io::Result<Line> {
        match self {
            Self::Fifo(_) => open_fifo(&self.path()),
            Self::Socket(path) => {
                // With a full backlog this is EAGAIN: it is tried again.
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
                connect(&socket, &SocketAddrUnix::new(path.as_path())?)?;
                Ok(Line { sink: FdSink::new(socket)?, inode: None, fifo_len: None })
            }
        }
    }
}

/// An open way to the daemon.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) sink: FdSink<OwnedFd>,
    /// Which FIFO it is.
    pub(super) inode: Option<(u64, u64)>,
    pub(super) fifo_len: Option<usize>,
}

fn open_fifo(path: &Path) -> io::Result<Line> {
    // Without a reader this is ENXIO.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fifo = fs::open(path, flags, Mode::empty())?;
    let stat = fstat(&fifo)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
        // A file there would take all and tell nobody.
        return Err(Errno::NXIO.into());
    }
    let before = fcntl_getpipe_size(&fifo)?;
    if before < FIFO_LEN {
        // A smaller one will do.
        let _ = fcntl_setpipe_size(&fifo, FIFO_LEN);
    }
    let fifo_len = Some(fcntl_getpipe_size(&fifo)?);
    Ok(Line { sink: FdSink::new(fifo)?, inode: Some((stat.st_dev, stat.st_ino)), fifo_len })
}

/// The FIFO on which the daemon answers one process.
#[derive(Debug)]
pub(super) struct OwnFifo {
    pub(super) fd: OwnedFd,
    path: PathBuf,
}

impl OwnFifo {
    /// Makes it anew, since the daemon may have made its directory anew.
    pub(super) fn make(directory: &Path) -> io::Result<Self> {
        let path = directory.join("dltpipes").join(format!("dlt{}", std::process::id()));
        match fs::unlink(&path) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP;
        fs::mkfifoat(fs::CWD, &path, mode)?;
        // For both, so that it has a writer at every time and never ends. The
        // directory may be anybody's: what is there now need not be what was
        // just made.
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = fs::open(&path, flags, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::Fifo {
            return Err(Errno::NXIO.into());
        }
        // The daemon may be of the group, whatever the umask is.
        fs::fchmod(&fd, mode)?;
        Ok(Self { fd, path })
    }
}

impl Drop for OwnFifo {
    fn drop(&mut self) {
        // Only what is still this one.
        let mine = fstat(&self.fd).map(|stat| (stat.st_dev, stat.st_ino));
        let there = fs::stat(&self.path).map(|stat| (stat.st_dev, stat.st_ino));
        if mine.is_ok() && mine == there {
            let _ = fs::unlink(&self.path);
        }
    }
}

/// Reads what there is, `None` when that is nothing for now. An end is an
/// error.
pub(super) fn read_some(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match rustix::io::read(&fd, &mut *buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => return Ok(Some(len)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
