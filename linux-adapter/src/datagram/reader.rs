//! Many datagrams with one `recvmmsg(2)`.
#![allow(unsafe_code)]

use std::{
    error::Error,
    fmt, io, mem,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    ptr,
};

use heapless::Vec;

use super::DATAGRAMS_MAX;

/// Bytes for datagrams, unless one of them needs more.
const ROOM_LEN: usize = 1 << 20;

/// Receives datagrams, up to 64 with a system call. To be used as
/// [`FrameReader`](forebay_std::FrameReader) is: fill, then take datagrams until
/// there is none.
///
/// Who has sent a datagram is not told.
///
/// ```
/// use std::net::UdpSocket;
///
/// use forebay_linux::datagram::{DatagramReader, Truncated};
///
/// let (near, far) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// near.connect(far.local_addr()?)?;
/// near.send(b"fits")?;
/// near.send(b"does not")?;
///
/// let mut datagrams = DatagramReader::new(far, 5);
/// let mut received = Vec::new();
/// while received.len() < 2 {
///     datagrams.fill()?;
///     while let Some(datagram) = datagrams.next_datagram() {
///         received.push(datagram.map(<[u8]>::to_vec));
///     }
/// }
/// assert_eq!(received, [Ok(b"fits".to_vec()), Err(Truncated { len: 8, len_max: 5 })]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct DatagramReader<Fd> {
    fd: Fd,
    /// Bytes of the room for one datagram.
    each: usize,
    len_max: usize,
    room: Box<[u8]>,
    /// How long the received ones are, as they were sent.
    lens: Vec<usize, DATAGRAMS_MAX>,
    /// Of these, how many have been taken.
    taken: usize,
    calls: u64,
}

/// A datagram that is longer than the reader takes; the rest of it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// Its bytes.
    pub len: usize,
    /// The most that are taken.
    pub len_max: usize,
}

impl fmt::Display for Truncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a datagram of {} bytes is over the maximum of {}", self.len, self.len_max)
    }
}

impl Error for Truncated {}

impl<Fd: AsFd> DatagramReader<Fd> {
    /// Receives datagrams of at most `len_max` bytes from `fd`: as many at a
    /// time as fit into a mebibyte, at most 64 and at least one.
    pub fn new(fd: Fd, len_max: usize) -> Self {
        let each = len_max.max(1);
        let count = (ROOM_LEN / each).clamp(1, DATAGRAMS_MAX);
        let room = vec![0; each.saturating_mul(count)].into_boxed_slice();
        Self { fd, each, len_max, room, lens: Vec::new(), taken: 0, calls: 0 }
    }

    /// Receives what there is, and waits for the first one if the socket
    /// blocks; how many came. Those of an earlier call are gone.
    ///
    /// # Errors
    ///
    /// What `recvmmsg(2)` reports: `WouldBlock` when there is none and the
    /// socket does not block. An interruption by a signal is not reported.
    pub fn fill(&mut self) -> io::Result<usize> {
        self.lens.clear();
        self.taken = 0;
        loop {
            self.calls += 1;
            match receive(self.fd.as_fd(), &mut self.room, self.each, &mut self.lens) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map(|()| self.lens.len()),
            }
        }
    }

    /// Takes the next datagram, or `None` when more must be received.
    ///
    /// # Errors
    ///
    /// [`Truncated`] for one that is too long.
    pub fn next_datagram(&mut self) -> Option<Result<&[u8], Truncated>> {
        let len = *self.lens.get(self.taken)?;
        let begin = self.taken * self.each;
        self.taken += 1;
        if len > self.len_max {
            return Some(Err(Truncated { len, len_max: self.len_max }));
        }
        self.room.get(begin..begin + len).map(Ok)
    }

    /// Calls of `recvmmsg` so far.
    pub const fn calls(&self) -> u64 {
        self.calls
    }

    /// Borrows the socket.
    pub const fn fd(&self) -> &Fd {
        &self.fd
    }
}

/// Receives into chunks of `each` bytes, and says how long the datagrams were.
fn receive(
    fd: BorrowedFd<'_>,
    room: &mut [u8],
    each: usize,
    lens: &mut Vec<usize, DATAGRAMS_MAX>,
) -> io::Result<()> {
    let mut places: Vec<libc::iovec, DATAGRAMS_MAX> = room
        .chunks_exact_mut(each)
        .take(DATAGRAMS_MAX)
        .map(|chunk| libc::iovec { iov_base: chunk.as_mut_ptr().cast(), iov_len: each })
        .collect();
    // SAFETY: zeros are null pointers and lengths of nothing, in any layout.
    let nothing: libc::mmsghdr = unsafe { mem::zeroed() };
    let mut headers = [nothing; DATAGRAMS_MAX];
    for (header, place) in headers.iter_mut().zip(&mut places) {
        header.msg_hdr.msg_iov = place;
        header.msg_hdr.msg_iovlen = 1;
    }
    let flags = libc::MSG_TRUNC | libc::MSG_WAITFORONE | libc::MSG_CMSG_CLOEXEC;
    // The C libraries differ in the types of both, and the count is at most 64.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let (count, flags) = (places.len() as libc::c_uint, flags as _);
    // SAFETY: the first `count` headers name a place each, and a place is a
    // chunk of `room` that is its own; all live until the call is back, and
    // nobody else looks at them before.
    let received = unsafe {
        libc::recvmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count, flags, ptr::null_mut())
    };
    let Ok(received) = usize::try_from(received) else { return Err(io::Error::last_os_error()) };
    // The kernel says how long they were, also if there was no room for it.
    lens.extend(headers.iter().take(received).map(|header| header.msg_len as usize));
    Ok(())
}
