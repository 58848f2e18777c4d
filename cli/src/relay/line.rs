//! One device's line, which may come and go.

use std::{
    ffi::{OsStr, OsString},
    fmt, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::builder::{OsStringValueParser, TypedValueParser};
use forebay::decoder::DecoderCounts;
use forebay_std::FrameReader;
use rustix::io::Errno;

use super::serial;
use crate::{format::Codec, stdio::report, target};

/// The first and the longest pause between two attempts to open a line.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Where a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// `unix:PATH`, a stream socket that the device's side listens on.
    Unix(PathBuf),
    /// `serial:PATH`, a terminal device.
    Serial(PathBuf),
}

impl Address {
    /// For the command line.
    pub(super) fn parser() -> impl TypedValueParser<Value = Self> {
        OsStringValueParser::new().try_map(|text: OsString| Self::parse(&text))
    }

    fn parse(text: &OsStr) -> Result<Self, AddressError> {
        match target::split(text) {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(("serial", path)) if !path.is_empty() => Ok(Self::Serial(path.into())),
            _ => Err(AddressError(text.to_string_lossy().into_owned())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Serial(path) => write!(f, "serial:{}", path.display()),
        }
    }
}

/// An address that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AddressError(String);

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown line '{}', known are unix:PATH, serial:PATH", self.0)
    }
}

impl std::error::Error for AddressError {}

/// What a read of a line gave.
pub(super) enum Read {
    /// So many bytes.
    Bytes(usize),
    /// The device is gone.
    Gone,
}

/// A line, there or not.
pub(super) struct Line {
    address: Address,
    codec: Codec,
    baud: u32,
    state: State,
    /// The pause before the next attempt.
    pause: Duration,
    /// Why the last attempt failed, if it did, so that it is told once.
    absent: Option<io::ErrorKind>,
    /// Of the frames so far, without those of the reader in `state`.
    before: DecoderCounts,
    /// How often the device has been there.
    visits: u64,
}

enum State {
    Open { frames: FrameReader<Device, Codec>, since: Instant },
    Closed { due: Instant },
}

/// A descriptor that is read when it is readable.
struct Device {
    fd: OwnedFd,
    /// How many bytes the last read gave.
    len: usize,
    /// Why there will be no more.
    end: Option<Errno>,
}

impl io::Read for Device {
    /// A device that fails has ended, so that a frame which it has cut short is
    /// counted.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.len = match rustix::io::read(&self.fd, bytes) {
            Ok(len) => len,
            Err(error @ (Errno::AGAIN | Errno::INTR)) => return Err(error.into()),
            Err(error) => {
                self.end = Some(error);
                0
            }
        };
        Ok(self.len)
    }
}

impl Line {
    pub(super) fn new(address: Address, codec: Codec, baud: u32) -> Self {
        Self {
            address,
            codec,
            baud,
            state: State::Closed { due: Instant::now() },
            pause: PAUSE_MIN,
            absent: None,
            before: DecoderCounts::default(),
            visits: 0,
        }
    }

    /// The descriptor, if the device is there.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Open { frames, .. } => Some(frames.reader().fd.as_fd()),
            State::Closed { .. } => None,
        }
    }

    /// When the line is to be tried, if the device is not there.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Open { .. } => None,
            State::Closed { due } => Some(due),
        }
    }

    /// Whether the device has been there and is gone.
    pub(super) fn was_there(&self) -> bool {
        self.visits > 0 && self.fd().is_none()
    }

    pub(super) fn counts(&self) -> DecoderCounts {
        match &self.state {
            State::Open { frames, .. } => sum(self.before, frames.counts()),
            State::Closed { .. } => self.before,
        }
    }

    /// Tries to open the line if that is due.
    ///
    /// # Errors
    ///
    /// What opening reports, unless it says that nothing is there now.
    pub(super) fn open_if_due(&mut self, now: Instant) -> Result<(), OpenError> {
        if self.due().is_none_or(|due| due > now) {
            return Ok(());
        }
        let opened = match &self.address {
            Address::Unix(path) => connect(path),
            Address::Serial(path) => serial::open(path, self.baud),
        };
        match opened {
            Ok(fd) => {
                report!("{}: there", self.address);
                let frames = FrameReader::new(Device { fd, len: 0, end: None }, self.codec);
                self.state = State::Open { frames, since: now };
                self.absent = None;
                self.visits += 1;
            }
            Err(error) if is_absent(&error) => {
                if self.absent.replace(error.kind()) != Some(error.kind()) {
                    report!("{}: waiting: {error}", self.address);
                }
                self.close(now);
            }
            Err(error) => return Err(OpenError { address: self.address.clone(), error }),
        }
        Ok(())
    }

    /// Closes until the next attempt, each time for twice as long.
    fn close(&mut self, now: Instant) {
        self.state = State::Closed { due: now + self.pause };
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// Reads once, hands the payloads on and reports damage.
    pub(super) fn read(&mut self, mut take: impl FnMut(&[u8])) -> Read {
        let State::Open { frames, since } = &mut self.state else { return Read::Gone };
        let more = match frames.fill() {
            Ok(more) => more,
            // Nothing after all.
            Err(_) => return Read::Bytes(0),
        };
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => take(frame.payload),
                Ok(None) => break,
                Err(damage) => report!("{}: {damage}", self.address),
            }
        }
        if more {
            return Read::Bytes(frames.reader().len);
        }
        match frames.reader().end {
            None => report!("{}: gone", self.address),
            Some(error) => report!("{}: gone: {error}", self.address),
        }
        // A device that comes and goes is as good as none: that pauses too.
        if since.elapsed() >= PAUSE_MAX {
            self.pause = PAUSE_MIN;
        }
        self.before = self.counts();
        self.close(Instant::now());
        Read::Gone
    }
}

/// How many frames came, and what was damaged.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DecoderCounts { frames, damages, bytes_lost, .. } = self.counts();
        write!(
            f,
            "{}: messages {frames}, damages {damages}, bytes lost {bytes_lost}, visits {}",
            self.address, self.visits
        )
    }
}

/// A line that cannot be opened, and not because nothing is there.
#[derive(Debug)]
pub(super) struct OpenError {
    address: Address,
    error: io::Error,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.error)
    }
}

impl std::error::Error for OpenError {}

fn connect(path: &Path) -> io::Result<OwnedFd> {
    let stream = UnixStream::connect(path)?;
    stream.set_nonblocking(true)?;
    Ok(stream.into())
}

/// Whether an attempt failed because no device is there now: no file, nobody
/// who listens, a terminal whose device has been pulled.
fn is_absent(error: &io::Error) -> bool {
    let absent =
        [Errno::NOENT, Errno::CONNREFUSED, Errno::AGAIN, Errno::NXIO, Errno::NODEV, Errno::IO];
    absent.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn sum(a: DecoderCounts, b: DecoderCounts) -> DecoderCounts {
    DecoderCounts {
        frames: a.frames + b.frames,
        damages: a.damages + b.damages,
        bytes_lost: a.bytes_lost + b.bytes_lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_named_as_they_are_shown() {
        for text in ["unix:a:b", "serial:/dev/ttyUSB0"] {
            assert_eq!(Address::parse(text.as_ref()).unwrap().to_string(), text);
        }
        for text in ["", "unix", "unix:", "serial:", "tcp:host:1"] {
            assert_eq!(Address::parse(text.as_ref()), Err(AddressError(text.to_owned())));
        }
    }
}
