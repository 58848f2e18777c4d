//! An HTTP/2 server of files: one thread a connection, `poll(2)` in each.
//!
//! What is bounded: connections ([`CONNECTIONS_MAX`]), streams of each
//! ([`streams::STREAMS_MAX`]), a header list ([`fields::LIST_LEN_MAX`]), what
//! waits in memory for a slow reader (a chunk a stream, [`streams::CHUNK_LEN`]),
//! what is received and not yet used (the windows that are granted), frames
//! that answer a peer's (the queue's own limit).

mod connection;
pub(crate) mod fields;
pub(crate) mod files;
pub(crate) mod hpack;
mod streams;

use std::{
    fmt, io,
    net::TcpListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use forebay_std::forebay::frame::http2::ErrorCode;

use self::{connection::Connection, files::Root};

/// The most connections at a time; more are closed as they come.
const CONNECTIONS_MAX: usize = 256;

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

/// Accepts connections for ever; `ended` is told of each that has ended.
pub(crate) fn serve(
    listener: &TcpListener,
    root: &Path,
    ended: impl Fn(Report) + Clone + Send + 'static,
) -> io::Result<()> {
    let root = Arc::new(Root::open(root)?);
    let connections = Arc::new(AtomicUsize::new(0));
    loop {
        let socket = match listener.accept() {
            Ok((socket, _)) => socket,
            // The peer of one connection, or the want of descriptors now.
            Err(error) => {
                eprintln!("accept: {error}");
                continue;
            }
        };
        let place = Place::take(&connections);
        if place.count > CONNECTIONS_MAX {
            continue;
        }
        let (root, ended) = (Arc::clone(&root), ended.clone());
        let spawned = thread::Builder::new().name("connection".into()).spawn(move || {
            let _place = place;
            match Connection::new(socket, root) {
                Ok(connection) => ended(connection.run()),
                Err(error) => {
                    ended(Report { error: Some(error.to_string()), ..Report::default() });
                }
            }
        });
        if let Err(error) = spawned {
            eprintln!("thread: {error}");
        }
    }
}

/// A connection counted, until it is dropped.
struct Place {
    connections: Arc<AtomicUsize>,
    count: usize,
}

impl Place {
    fn take(connections: &Arc<AtomicUsize>) -> Self {
        // Relaxed: a number that orders nothing.
        let count = connections.fetch_add(1, Ordering::Relaxed) + 1;
        Self { connections: Arc::clone(connections), count }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Relaxed: as above.
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
