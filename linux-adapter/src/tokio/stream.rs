//! Pipes and sockets without a ring: what waits for another program waits in
//! the runtime's own poller, and holds no thread.

use std::{
    io::{IoSlice, IoSliceMut},
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, ReadWriteFlags, preadv2, pwritev2},
    net::{SendFlags, send},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    runtime::Handle,
};

use super::threads::count;
use crate::uring::{
    File,
    driver::{Done, Request},
    plain::{OWN_POSITION, retry},
};

/// Does what may wait for another program. Gives back what is for a thread: what
/// waits for a disk, and what is ready and cannot be asked not to wait.
///
/// # Panics
///
/// As `AsyncFd::new`, when it has to wait in a runtime without I/O.
pub(super) async fn run(mut request: Request) -> Result<Done, Request> {
    let Some((file, interest)) = waits_for(&request) else { return Err(request) };
    let file = file.clone();
    match attempt(&mut request) {
        Err(Errno::AGAIN) => {}
        Err(errno) if has_no_nowait(errno) => {}
        result => return Ok(done(request, result)),
    }
    let Some(fd) = register(&file, interest) else { return Err(request) };
    loop {
        let Ok(mut ready) = fd.ready(interest).await else { return Err(request) };
        match attempt(&mut request) {
            Err(Errno::AGAIN) => ready.clear_ready(),
            Err(errno) if has_no_nowait(errno) => return Err(request),
            result => return Ok(done(request, result)),
        }
    }
}

fn done(request: Request, result: Result<u32, Errno>) -> Done {
    Done { request, result, opened: None, status: None }
}

/// What a request may wait for, other than a disk.
fn waits_for(request: &Request) -> Option<(&File, Interest)> {
    match request {
        Request::Read { file, offset: OWN_POSITION, .. } => Some((file, Interest::READABLE)),
        Request::Write { file, offset: OWN_POSITION, .. }
        | Request::Send { file, .. }
        | Request::Writable { file, .. } => Some((file, Interest::WRITABLE)),
        _ => None,
    }
}

/// A descriptor of its own in the poller, which takes each but once; none of a
/// file, for which nobody can wait so.
fn register(file: &File, interest: Interest) -> Option<AsyncFd<OwnedFd>> {
    Handle::try_current().ok()?;
    let fd = file.as_fd().try_clone_to_owned().ok()?;
    #[allow(deprecated, reason = "from tokio 1.54 on; an `OwnedFd` is always the same")]
    AsyncFd::with_interest(fd, interest).ok()
}

/// Does a request if it need not wait.
fn attempt(request: &mut Request) -> Result<u32, Errno> {
    const NOWAIT: ReadWriteFlags = ReadWriteFlags::NOWAIT;
    match request {
        Request::Read { file, lease, start, end, .. } => retry(|| {
            let into = &mut [IoSliceMut::new(&mut lease[*start..*end])];
            preadv2(&*file, into, OWN_POSITION, NOWAIT)
        })
        .map(count),
        Request::Write { file, lease, start, end, .. } => retry(|| {
            let from = &[IoSlice::new(&lease[*start..*end])];
            pwritev2(&*file, from, OWN_POSITION, NOWAIT)
        })
        .map(count),
        Request::Send { file, lease, start, end, .. } => {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            retry(|| send(&*file, &lease[*start..*end], flags)).map(count)
        }
        Request::Writable { file, .. } => {
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            let writable = &mut [PollFd::new(&*file, PollFlags::OUT)];
            match retry(|| poll(writable, Some(&now)))? {
                0 => Err(Errno::AGAIN),
                _ => Ok(0),
            }
        }
        _ => Err(Errno::OPNOTSUPP),
    }
}

/// Whether a kind of file, or a kernel, cannot be asked not to wait.
fn has_no_nowait(errno: Errno) -> bool {
    matches!(errno, Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Read, Write},
        os::unix::net::UnixStream,
        sync::Arc,
    };

    use tokio::{runtime::Builder, task::JoinSet};

    use super::super::threads::Threads;
    use crate::uring::{File, arena::Arena, driver::Request};

    /// More than there are threads.
    const SOCKETS: u32 = 16;

    /// A socket that takes no more, and how many bytes it has taken.
    fn full() -> (UnixStream, UnixStream, usize) {
        let (mut near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut len = 0;
        loop {
            match near.write(&[7; 4096]) {
                Ok(more) => len += more,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    near.set_nonblocking(false).unwrap();
                    return (near, far, len);
                }
            }
        }
    }

    /// Waits for sockets that take bytes, and sends, hold no thread: files go
    /// on, and the waits end when their sockets do take some.
    #[test]
    fn waits_for_sockets_hold_no_thread() {
        let arena = Arc::new(Arena::new(2 * SOCKETS, 4096, None).unwrap());
        let threads = Arc::new(Threads::new());
        let runtime = Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let mut waits = JoinSet::new();
            let mut far_ends = vec![];
            for _ in 0..SOCKETS {
                let (near, far, len) = full();
                far_ends.push((far, len));
                let file = File::from(std::os::fd::OwnedFd::from(near));
                let lease = arena.lease().unwrap();
                let (threads, writable) =
                    (Arc::clone(&threads), Request::Writable { file: file.clone(), lease });
                let lease = arena.lease().unwrap();
                let send = Request::Send { file, lease, start: 5, end: 9, zero_copy: false };
                waits.spawn(async move {
                    assert_eq!(threads.run(writable).await.result, Ok(0));
                    threads.run(send).await.result
                });
            }
            let mut files = JoinSet::new();
            for _ in 0..SOCKETS {
                let threads = Arc::clone(&threads);
                let file = File::from(std::fs::File::open("/proc/self/exe").unwrap());
                files.spawn(async move {
                    threads.run(Request::Status { file, known: None }).await.result
                });
            }
            while let Some(result) = files.join_next().await {
                assert_eq!(result.unwrap(), Ok(0));
            }
            assert!(waits.try_join_next().is_none(), "no socket takes anything");
            for (far, len) in &mut far_ends {
                far.read_exact(&mut vec![0; *len]).unwrap();
            }
            while let Some(result) = waits.join_next().await {
                assert_eq!(result.unwrap(), Ok(4));
            }
            for (far, _) in &mut far_ends {
                far.read_exact(&mut [0; 4]).unwrap();
            }
        });
        assert_eq!(threads.operations(), u64::from(SOCKETS), "but for the files");
    }
}
