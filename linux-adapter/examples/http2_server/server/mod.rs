//! An HTTP/2 server of files: one thread a connection, `poll(2)` in each.
//!
//! What is bounded: connections ([`Config::connections_max`]), streams of each
//! ([`streams::STREAMS_MAX`]), a header list ([`fields::LIST_LEN_MAX`]), what
//! waits in memory for a slow reader (a chunk a stream, [`streams::CHUNK_LEN`]),
//! what is received and not yet used (the windows that are granted), frames
//! that answer a peer's (the queue's own limit), requests that are reset, and
//! the time in which nothing whole moves ([`Config::idle_max`]).

mod connection;
pub(crate) mod fields;
pub(crate) mod files;
pub(crate) mod hpack;
mod streams;

use std::{
    fmt, io,
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use forebay_std::forebay::frame::http2::ErrorCode;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

use self::{connection::Connection, files::Root};

/// How long connections have to finish what has begun when the server stops.
const STOPPING_MAX: Duration = Duration::from_secs(10);
/// A pause after an error that will be the same at once, such as the want of
/// descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a server serves.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The directory whose files it serves.
    pub(crate) root: PathBuf,
    /// The most connections at a time; more are closed as they come.
    pub(crate) connections_max: usize,
    /// A connection on which nothing whole moves for so long is ended.
    pub(crate) idle_max: Duration,
}

impl Config {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        let idle_max = Duration::from_secs(30);
        Self { root: root.into(), connections_max: 256, idle_max }
    }
}

/// How a connection went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Requests whose header sections were whole.
    pub(crate) requests: u64,
    /// Frames that left.
    pub(crate) frames: u64,
    /// Bytes that left.
    pub(crate) bytes: u64,
    /// System calls that wrote, those that would have blocked among them.
    pub(crate) writes: u64,
    /// Those that would have blocked.
    pub(crate) blocked: u64,
    /// The code and the text of the GOAWAY that ended it.
    pub(crate) goaway: Option<(ErrorCode, String)>,
    /// The error of the socket that ended it.
    pub(crate) error: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, frames, bytes, writes, blocked, .. } = self;
        write!(f, "{requests} requests, {frames} frames, {bytes} bytes, {writes} writes")?;
        write!(f, ", {blocked} blocked")?;
        if let Some((code, text)) = &self.goaway {
            write!(f, ", GOAWAY {code}: {text}")?;
        }
        if let Some(error) = &self.error {
            write!(f, ", {error}")?;
        }
        Ok(())
    }
}

/// Accepts connections until `stop` is readable or closed at its other end, and
/// lets them finish then; `ended` is told of each that has ended.
pub(crate) fn serve(
    listener: &TcpListener,
    config: &Config,
    stop: UnixStream,
    ended: impl Fn(Report) + Clone + Send + 'static,
) -> io::Result<()> {
    let root = Arc::new(Root::open(&config.root)?);
    let stop = Arc::new(stop);
    let connections = Arc::new(Connections::default());
    listener.set_nonblocking(true)?;
    while await_peer(listener, &stop)? {
        let socket = match listener.accept() {
            Ok((socket, _)) => socket,
            // It has gone again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => {
                eprintln!("accept: {error}");
                thread::sleep(ACCEPT_PAUSE);
                continue;
            }
        };
        let place = Place::take(&connections);
        if *connections.count() > config.connections_max {
            continue;
        }
        let (root, ended, stop) = (Arc::clone(&root), ended.clone(), Arc::clone(&stop));
        let idle_max = config.idle_max;
        let spawned = thread::Builder::new().name("connection".into()).spawn(move || {
            let _place = place;
            ended(run(socket, root, idle_max, stop));
        });
        if let Err(error) = spawned {
            eprintln!("thread: {error}");
        }
    }
    connections.await_none(STOPPING_MAX);
    Ok(())
}

/// Waits for a connection; `false` when the server is to stop.
fn await_peer(listener: &TcpListener, stop: &UnixStream) -> io::Result<bool> {
    let mut polled = [PollFd::new(listener, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
    match poll(&mut polled, None) {
        Ok(_) | Err(Errno::INTR) => Ok(polled[1].revents().is_empty()),
        Err(error) => Err(error.into()),
    }
}

fn run(socket: TcpStream, root: Arc<Root>, idle_max: Duration, stop: Arc<UnixStream>) -> Report {
    match Connection::new(socket, root, idle_max, stop) {
        Ok(connection) => connection.run(),
        Err(error) => Report { error: Some(error.to_string()), ..Report::default() },
    }
}

/// How many connections there are.
#[derive(Default)]
struct Connections {
    count: Mutex<usize>,
    ended: Condvar,
}

impl Connections {
    /// A number, which a panic leaves whole.
    fn count(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn await_none(&self, timeout: Duration) {
        // Whoever is left then is cut off.
        let _ = self.ended.wait_timeout_while(self.count(), timeout, |count| *count > 0);
    }
}

/// A connection counted, until it is dropped.
struct Place(Arc<Connections>);

impl Place {
    fn take(connections: &Arc<Connections>) -> Self {
        *connections.count() += 1;
        Self(Arc::clone(connections))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.0.count() -= 1;
        self.0.ended.notify_all();
    }
}
