//! `embedded-io` 0.7 over what implements 0.6.
//!
//! Some hardware crates are still at 0.6, whose errors need not be
//! `core::error::Error`. [`Io06`] carries their readers and writers across:
//!
//! ```
//! use forebay::io_06::Io06;
//! use forebay::sink::EmbeddedIo;
//! use forebay::{Progress, Sink};
//!
//! // A writer of 0.6; a UART of such a hardware crate in a firmware.
//! let mut wire = [0; 8];
//! let mut uart = &mut wire[..];
//! let mut sink = EmbeddedIo::new(Io06::new(&mut uart));
//! assert_eq!(sink.write(&[b"ab"]), Ok(Progress::Wrote(2)));
//! ```

use core::fmt;

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write, WriteReady};

/// A reader or writer of `embedded-io` 0.6 as one of 0.7.
#[derive(Clone, Copy, Debug)]
pub struct Io06<T> {
    inner: T,
}

impl<T> Io06<T> {
    /// Wraps `inner`.
    pub const fn new(inner: T) -> Self {
        Self { inner }
    }

    /// Gives back what was wrapped.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

/// An error of `embedded-io` 0.6 as one of 0.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Error06<E>(pub E);

impl<E: embedded_io_06::Error> fmt::Display for Error06<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl<E: embedded_io_06::Error> core::error::Error for Error06<E> {}

impl<E: embedded_io_06::Error> embedded_io::Error for Error06<E> {
    fn kind(&self) -> ErrorKind {
        use embedded_io_06::ErrorKind as Old;
        match self.0.kind() {
            Old::NotFound => ErrorKind::NotFound,
            Old::PermissionDenied => ErrorKind::PermissionDenied,
            Old::ConnectionRefused => ErrorKind::ConnectionRefused,
            Old::ConnectionReset => ErrorKind::ConnectionReset,
            Old::ConnectionAborted => ErrorKind::ConnectionAborted,
            Old::NotConnected => ErrorKind::NotConnected,
            Old::AddrInUse => ErrorKind::AddrInUse,
            Old::AddrNotAvailable => ErrorKind::AddrNotAvailable,
            Old::BrokenPipe => ErrorKind::BrokenPipe,
            Old::AlreadyExists => ErrorKind::AlreadyExists,
            Old::InvalidInput => ErrorKind::InvalidInput,
            Old::InvalidData => ErrorKind::InvalidData,
            Old::TimedOut => ErrorKind::TimedOut,
            Old::Interrupted => ErrorKind::Interrupted,
            Old::Unsupported => ErrorKind::Unsupported,
            Old::OutOfMemory => ErrorKind::OutOfMemory,
            Old::WriteZero => ErrorKind::WriteZero,
            _ => ErrorKind::Other,
        }
    }
}

impl<T: embedded_io_06::ErrorType> ErrorType for Io06<T> {
    type Error = Error06<T::Error>;
}

impl<T: embedded_io_06::Write> Write for Io06<T> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.inner.write(bytes).map_err(Error06)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.inner.flush().map_err(Error06)
    }
}

impl<T: embedded_io_06::WriteReady> WriteReady for Io06<T> {
    fn write_ready(&mut self) -> Result<bool, Self::Error> {
        self.inner.write_ready().map_err(Error06)
    }
}

impl<T: embedded_io_06::Read> Read for Io06<T> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Self::Error> {
        self.inner.read(bytes).map_err(Error06)
    }
}

impl<T: embedded_io_06::ReadReady> ReadReady for Io06<T> {
    fn read_ready(&mut self) -> Result<bool, Self::Error> {
        self.inner.read_ready().map_err(Error06)
    }
}

#[cfg(test)]
mod tests {
    use embedded_io::Error as _;
    use embedded_io_06::ErrorKind as Old;

    use super::*;

    /// The two enumerations have the same names.
    #[test]
    fn every_kind_keeps_its_name() {
        let kinds = [
            (Old::NotFound, ErrorKind::NotFound),
            (Old::PermissionDenied, ErrorKind::PermissionDenied),
            (Old::ConnectionRefused, ErrorKind::ConnectionRefused),
            (Old::ConnectionReset, ErrorKind::ConnectionReset),
            (Old::ConnectionAborted, ErrorKind::ConnectionAborted),
            (Old::NotConnected, ErrorKind::NotConnected),
            (Old::AddrInUse, ErrorKind::AddrInUse),
            (Old::AddrNotAvailable, ErrorKind::AddrNotAvailable),
            (Old::BrokenPipe, ErrorKind::BrokenPipe),
            (Old::AlreadyExists, ErrorKind::AlreadyExists),
            (Old::InvalidInput, ErrorKind::InvalidInput),
            (Old::InvalidData, ErrorKind::InvalidData),
            (Old::TimedOut, ErrorKind::TimedOut),
            (Old::Interrupted, ErrorKind::Interrupted),
            (Old::Unsupported, ErrorKind::Unsupported),
            (Old::OutOfMemory, ErrorKind::OutOfMemory),
            (Old::WriteZero, ErrorKind::WriteZero),
            (Old::Other, ErrorKind::Other),
        ];
        for (old, new) in kinds {
            assert_eq!(Error06(old).kind(), new);
        }
    }

    /// What is there at 0.6, and nothing of its own.
    struct Half {
        ready: bool,
        flushed: bool,
    }

    impl embedded_io_06::ErrorType for Half {
        type Error = Old;
    }

    impl embedded_io_06::Write for Half {
        fn write(&mut self, _bytes: &[u8]) -> Result<usize, Old> {
            Err(Old::WriteZero)
        }

        fn flush(&mut self) -> Result<(), Old> {
            if core::mem::replace(&mut self.flushed, true) { Err(Old::TimedOut) } else { Ok(()) }
        }
    }

    impl embedded_io_06::WriteReady for Half {
        fn write_ready(&mut self) -> Result<bool, Old> {
            Ok(self.ready)
        }
    }

    impl embedded_io_06::ReadReady for Half {
        fn read_ready(&mut self) -> Result<bool, Old> {
            Ok(!self.ready)
        }
    }

    #[test]
    fn readiness_and_flush_are_passed_on() {
        for ready in [false, true] {
            let mut half = Io06::new(Half { ready, flushed: false });
            assert_eq!((half.write_ready(), half.read_ready()), (Ok(ready), Ok(!ready)));
            assert_eq!(half.flush(), Ok(()));
            assert!(half.inner.flushed);
            assert_eq!(half.flush(), Err(Error06(Old::TimedOut)));
        }
    }
}
