//! A far end that reads and discards, and says how much it has had.

use std::{
    io::{self, Read},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

/// Bytes of one read.
const READ_LEN: usize = 64 * 1024;

/// The far end of a stream, on a thread of its own that ends with the
/// stream.
#[derive(Debug)]
pub struct FarEnd {
    arrived: Arc<AtomicU64>,
    /// Bytes that the near end has sent so far.
    sent: u64,
}

impl FarEnd {
    /// A new stream's near end, and its far end.
    ///
    /// # Errors
    ///
    /// What `socketpair(2)` and starting the thread report.
    pub fn new() -> io::Result<(UnixStream, Self)> {
        let (near, far) = UnixStream::pair()?;
        Ok((near, Self::of(far)?))
    }

    /// The far end of any stream.
    ///
    /// # Errors
    ///
    /// What starting the thread reports.
    pub fn of(mut far: impl Read + Send + 'static) -> io::Result<Self> {
        let arrived = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&arrived);
        thread::Builder::new().name("far end".into()).spawn(move || {
            let mut buffer = vec![0; READ_LEN];
            while let Ok(len @ 1..) = far.read(&mut buffer) {
                // Relaxed: the count is all that is exchanged.
                count.fetch_add(len as u64, Ordering::Relaxed);
            }
        })?;
        Ok(Self { arrived, sent: 0 })
    }

    /// Waits until `len` more bytes than at the last call have arrived, so
    /// that a round ends with the delivery of what was sent.
    pub fn wait(&mut self, len: u64) {
        self.sent += len;
        while self.arrived.load(Ordering::Relaxed) < self.sent {
            thread::yield_now();
        }
    }
}
