//! SIGINT and SIGTERM end the work, not the account of it: what has been read
//! is delivered and told, and then the process ends by the signal.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag, low_level,
};

/// How long a peer may take what has been read before the signal.
const GRACE: Duration = Duration::from_secs(1);

/// The signals are the process's, and so is this.
static WATCH: OnceLock<Watch> = OnceLock::new();

struct Watch {
    /// Readable once a signal has come.
    came: UnixStream,
    /// Which one, or 0.
    signal: Arc<AtomicUsize>,
    /// Until when what is under way may go on; set by the first who asks.
    until: OnceLock<Instant>,
}

/// From now on the first signal is for [`wait`] and [`has_come`], and a second
/// one ends the process at once.
pub(crate) fn watch() -> io::Result<()> {
    let (came, tell) = UnixStream::pair()?;
    let second = Arc::new(AtomicBool::new(false));
    let signal = Arc::new(AtomicUsize::new(0));
    for number in [SIGINT, SIGTERM] {
        // In this order: before the first has set it, and after.
        flag::register_conditional_default(number, Arc::clone(&second))?;
        flag::register(number, Arc::clone(&second))?;
        // Both numbers are positive.
        flag::register_usize(number, Arc::clone(&signal), usize::try_from(number).unwrap_or(0))?;
        low_level::pipe::register(number, tell.try_clone()?)?;
    }
    // Once is enough.
    let _ = WATCH.set(Watch { came, signal, until: OnceLock::new() });
    Ok(())
}

/// Whether a signal has come that is watched for.
pub(crate) fn has_come() -> bool {
    // SeqCst, as the handler's store: nothing else hangs on it.
    WATCH.get().is_some_and(|watch| watch.signal.load(Ordering::SeqCst) != 0)
}

/// Whether it came so long ago that nothing more is waited for.
pub(crate) fn is_over() -> bool {
    has_come()
        && WATCH.get().is_some_and(|watch| {
            Instant::now() >= *watch.until.get_or_init(|| Instant::now() + GRACE)
        })
}

/// What a wait ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Ready,
    Deadline,
    Interrupted,
}

/// Waits until `fd` is ready for `what`, or has an error, until `deadline`, or
/// until a signal comes.
pub(crate) fn wait(
    fd: Option<BorrowedFd<'_>>,
    what: PollFlags,
    deadline: Option<Instant>,
) -> io::Result<Waited> {
    let mut fds: Vec<_> = watched().into_iter().collect();
    fds.extend(fd.map(|fd| PollFd::from_borrowed_fd(fd, what)));
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, left.as_ref()) {
            _ if has_come() => return Ok(Waited::Interrupted),
            Ok(0) => return Ok(Waited::Deadline),
            Ok(_) => return Ok(Waited::Ready),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// What becomes readable when a signal comes, for a poll of other descriptors;
/// nothing when none is watched for.
pub(crate) fn watched<'p>() -> Option<PollFd<'p>> {
    let watch = WATCH.get()?;
    Some(PollFd::from_borrowed_fd(watch.came.as_fd(), PollFlags::IN))
}

/// Ends the process by the signal that has come, if one has.
pub(crate) fn end() {
    if let Some(watch) = WATCH.get()
        && let Ok(number @ 1..) = i32::try_from(watch.signal.load(Ordering::SeqCst))
    {
        // It has its default here, and that ends the process.
        let _ = low_level::emulate_default_handler(number);
    }
}
