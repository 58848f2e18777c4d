//! A far end that reads and discards, and says how much it has had.

use std::{
    io::{self, Read},
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixDatagram, UnixStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use forebay_linux::datagram::DatagramReader;

/// Bytes of one read.
const READ_LEN: usize = 64 * 1024;

/// The far end of a socket, on a thread of its own that ends with the
/// connection.
#[derive(Debug)]
pub struct FarEnd {
    arrived: Arc<AtomicU64>,
    /// Bytes or datagrams that the near end has sent so far.
    sent: u64,
}

impl FarEnd {
    /// A new stream's near end, and its far end.
    ///
    /// # Errors
    ///
    /// What `socketpair(2)` reports.
    pub fn new() -> io::Result<(UnixStream, Self)> {
        let (near, far) = UnixStream::pair()?;
        Ok((near, Self::of_stream(far)?))
    }

    /// As [`new`](FarEnd::new), of a TCP connection over the loopback device,
    /// whose near end does not wait for more to send.
    ///
    /// # Errors
    ///
    /// What the system reports.
    pub fn tcp() -> io::Result<(TcpStream, Self)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let near = TcpStream::connect(listener.local_addr()?)?;
        near.set_nodelay(true)?;
        Ok((near, Self::of_stream(listener.accept()?.0)?))
    }

    /// As [`new`](FarEnd::new), of a pair of UNIX datagram sockets. Datagrams
    /// are counted, in place of bytes; the loss of the peer is not told, so its
    /// thread ends with an empty one.
    ///
    /// # Errors
    ///
    /// What `socketpair(2)` reports.
    pub fn datagrams() -> io::Result<(UnixDatagram, Self)> {
        let (near, far) = UnixDatagram::pair()?;
        let mut datagrams = DatagramReader::new(far, READ_LEN / 64);
        let read = move || {
            let all = datagrams.fill()?;
            while let Some(datagram) = datagrams.next_datagram() {
                if datagram.is_ok_and(<[u8]>::is_empty) {
                    return Ok(0);
                }
            }
            Ok(all)
        };
        Ok((near, Self::of(read)?))
    }

    fn of_stream(mut far: impl Read + Send + 'static) -> io::Result<Self> {
        let mut buffer = vec![0; READ_LEN];
        Self::of(move || far.read(&mut buffer))
    }

    /// Counts what `read` gives until that is nothing.
    fn of(mut read: impl FnMut() -> io::Result<usize> + Send + 'static) -> io::Result<Self> {
        let arrived = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&arrived);
        thread::Builder::new().name("far end".into()).spawn(move || {
            while let Ok(len @ 1..) = read() {
                // Relaxed: the count is all that is exchanged.
                count.fetch_add(len as u64, Ordering::Relaxed);
            }
        })?;
        Ok(Self { arrived, sent: 0 })
    }

    /// Waits until `len` more bytes, or datagrams, than at the last call have arrived, so
    /// that a round ends with the delivery of what was sent.
    pub fn wait(&mut self, len: u64) {
        self.sent += len;
        while self.arrived.load(Ordering::Relaxed) < self.sent {
            thread::yield_now();
        }
    }
}
