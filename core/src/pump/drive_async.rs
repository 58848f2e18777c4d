//! Driving a pump over an `embedded_io_async` writer.

use embedded_io_async::{Error as _, ErrorKind, Write};

use super::{Drive, DriveError, Pump};
use crate::{frame::Encode, sink::Progress};

impl<F, B, const LANES: usize, const SLICES: usize> Pump<'_, F, B, LANES, SLICES>
where
    F: Encode,
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    /// Fills, writes the first slice once, waiting until the writer takes some
    /// of it, and takes the answer.
    ///
    /// [`Drive::Idle`] is answered at once: waiting for records is the
    /// caller's, who knows what its producers signal. A writer is never
    /// [`Drive::Blocked`]; it waits instead.
    ///
    /// # Cancellation
    ///
    /// Nothing is awaited between the writer's answer and the counting of its
    /// bytes, so a future that is dropped has counted each byte that the writer
    /// said it took, and the next call goes on behind them. Whether a dropped
    /// `write` took bytes without saying so is the writer's to document; from
    /// one that is safe to cancel, as `embedded_io_async` advises, the peer
    /// gets every byte once.
    ///
    /// # Errors
    ///
    /// As [`drive`](Pump::drive); interrupted writes are repeated.
    ///
    /// ```
    /// use core::future::Future;
    /// use core::pin::pin;
    /// use core::task::{Context, Poll, Waker};
    ///
    /// use forebay::{Pump, frame::Prefixed, pump::Drive, ring::Ring};
    ///
    /// let mut ring = Ring::<64>::new();
    /// let (mut producer, consumer) = ring.split();
    /// let mut pump: Pump<_, _, 1, 1> = Pump::new(Prefixed::flatstream(16), [0; 64]);
    /// pump.add(consumer).unwrap();
    /// producer.push(b"abc")?;
    ///
    /// let mut wire = [0; 16];
    /// let mut writer = &mut wire[..];
    /// let driven = pin!(pump.drive_async(&mut writer)).poll(&mut Context::from_waker(Waker::noop()));
    /// assert_eq!(driven, Poll::Ready(Ok(Drive::Moved { bytes: 7, frames: 1 })));
    /// assert_eq!(wire[..7], *b"\x03\0\0\0abc");
    /// # Ok::<(), forebay::ring::ReserveError>(())
    /// ```
    pub async fn drive_async<W: Write>(
        &mut self,
        mut writer: W,
    ) -> Result<Drive, DriveError<W::Error>> {
        let progress = loop {
            let slices = self.fill();
            let Some(slice) = slices.first() else { return Ok(Drive::Idle) };
            match writer.write(slice).await {
                Ok(len) => break Ok(Progress::Wrote(len)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.answered(progress)
    }
}
