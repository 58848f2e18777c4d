//! What takes slices and says how many bytes went.
//!
//! The core has one sink of its own, [`EmbeddedIo`] (feature `embedded-io`);
//! the adapters `forebay-std` and `forebay-linux` have those for descriptors.

/// Takes the front of a list of slices, in one call to whatever is behind it.
///
/// ```
/// use forebay::{Progress, Sink};
///
/// /// A sink that counts.
/// #[derive(Default)]
/// struct Count(usize);
///
/// impl Sink for Count {
///     type Error = core::convert::Infallible;
///
///     fn write(&mut self, slices: &[&[u8]]) -> Result<Progress, Self::Error> {
///         let len = slices.iter().map(|slice| slice.len()).sum();
///         self.0 += len;
///         Ok(Progress::Wrote(len))
///     }
/// }
/// ```
pub trait Sink {
    /// What can go wrong.
    type Error;

    /// Takes bytes from the front of `slices`, which are not all empty, and
    /// says how many: any number up to all of them. Bytes that were taken are
    /// never given again; the others always are.
    ///
    /// # Errors
    ///
    /// What the thing behind the sink reports. Then no byte was taken.
    fn write(&mut self, slices: &[&[u8]]) -> Result<Progress, Self::Error>;
}

impl<S: Sink + ?Sized> Sink for &mut S {
    type Error = S::Error;

    fn write(&mut self, slices: &[&[u8]]) -> Result<Progress, Self::Error> {
        (**self).write(slices)
    }
}

/// What a sink did with the slices.
///
/// A short write and a blocked sink are progress, not errors:
///
/// ```
/// use std::io::{self, ErrorKind, Write};
///
/// use forebay::Progress;
///
/// fn progress(written: io::Result<usize>) -> io::Result<Progress> {
///     match written {
///         Ok(len) => Ok(Progress::Wrote(len)),
///         Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Progress::Blocked),
///         Err(error) => Err(error),
///     }
/// }
///
/// let mut short = &mut [0; 3][..];
/// assert_eq!(progress(short.write(b"four"))?, Progress::Wrote(3));
/// # Ok::<(), io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Progress {
    /// It took so many bytes from the front. Zero is a sink that will never
    /// take any: see [`Stuck`](crate::pump::Stuck).
    Wrote(usize),
    /// It takes none now; try again when it is writable.
    Blocked,
}

/// A sink over [`embedded_io::Write`], a UART for example.
///
/// Each call writes from the first slice alone, as such writers take one
/// slice; [`Pump::drive`](crate::Pump::drive) comes back for the rest. The
/// writer blocks where its `write` does.
///
/// ```
/// use forebay::sink::EmbeddedIo;
/// use forebay::{Progress, Sink};
///
/// let mut wire = [0; 8];
/// let mut sink = EmbeddedIo::new(&mut wire[..]);
/// assert_eq!(sink.write(&[b"ab", b"cd"]), Ok(Progress::Wrote(2)));
/// ```
#[cfg(feature = "embedded-io")]
#[derive(Debug)]
pub struct EmbeddedIo<W> {
    writer: W,
}

#[cfg(feature = "embedded-io")]
impl<W: embedded_io::Write> EmbeddedIo<W> {
    /// A sink that writes to `writer`.
    pub const fn new(writer: W) -> Self {
        Self { writer }
    }

    /// Borrows the writer, to flush or to mend it; what it was given is not
    /// flushed by a pump.
    ///
    /// ```
    /// # let mut wire = [0; 8];
    /// # let mut sink = forebay::sink::EmbeddedIo::new(&mut wire[..]);
    /// use embedded_io::Write;
    /// sink.writer_mut().flush()?;
    /// # Ok::<(), embedded_io::SliceWriteError>(())
    /// ```
    pub const fn writer_mut(&mut self) -> &mut W {
        &mut self.writer
    }

    /// Gives the writer back.
    pub fn into_inner(self) -> W {
        self.writer
    }
}

#[cfg(feature = "embedded-io")]
impl<W: embedded_io::Write> Sink for EmbeddedIo<W> {
    type Error = W::Error;

    fn write(&mut self, slices: &[&[u8]]) -> Result<Progress, Self::Error> {
        use embedded_io::Error as _;

        let Some(slice) = slices.iter().find(|slice| !slice.is_empty()) else {
            return Ok(Progress::Wrote(0));
        };
        loop {
            match self.writer.write(slice) {
                Ok(len) => return Ok(Progress::Wrote(len)),
                Err(error) if error.kind() == embedded_io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
