//! A directory that is served for as long as a test takes.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    restrict,
    tftp_server::server::{Config, Server, Shared},
};

/// A server on a thread of its own, in a directory that goes with it.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    directory: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _watchdog: mpsc::Sender<()>,
}

impl Served {
    /// Serves a new directory, `root` in it, by the configuration that
    /// `configure` makes.
    pub(crate) fn new(configure: impl FnOnce(&mut Config)) -> Self {
        Self::restricted("", configure)
    }

    /// As [`new`](Served::new), without the rights that [`restrict`] takes away
    /// by these words.
    pub(crate) fn restricted(words: &'static str, configure: impl FnOnce(&mut Config)) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory =
            std::env::temp_dir().join(format!("forebay-tftp-{}-{count}", process::id()));
        fs::create_dir_all(directory.join("root")).unwrap();
        let mut config = Config::new(directory.join("root"));
        config.timeout = Duration::from_millis(200);
        config.tries_max = 50;
        configure(&mut config);
        let (stop, stopped) = oneshot::channel::<()>();
        let (bound, address) = mpsc::channel();
        let thread = thread::spawn(move || {
            restrict::apply(words);
            runtime().block_on(async {
                let server = Server::bind(([127, 0, 0, 1], 0).into(), config).await.unwrap();
                bound.send((server.local_addr().unwrap(), server.shared())).unwrap();
                tokio::select! {
                    result = server.run() => result.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        let (address, shared) = address.recv().unwrap();
        let (stop, thread) = (Some(stop), Some(thread));
        Self { address, shared, directory, stop, thread, _watchdog: watchdog() }
    }

    /// A file of the directory that is served.
    pub(crate) fn root(&self, name: &str) -> PathBuf {
        self.directory.join("root").join(name)
    }

    /// A file beside that directory.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Puts a file into the directory that is served.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.root(name), bytes).unwrap();
    }

    /// The names of the files that are served.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root("")).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        let joined = self.thread.take().map(JoinHandle::join);
        let _ = fs::remove_dir_all(&self.directory);
        if !thread::panicking() {
            joined.unwrap().unwrap();
        }
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()
        .unwrap()
}

/// Ends the process when a test hangs.
fn watchdog() -> mpsc::Sender<()> {
    let (held, dropped) = mpsc::channel::<()>();
    thread::spawn(move || {
        if dropped.recv_timeout(Duration::from_secs(120)) == Err(RecvTimeoutError::Timeout) {
            eprintln!("a test of tftp has taken two minutes");
            process::abort();
        }
    });
    held
}

/// Asserts equality without printing megabytes.
#[track_caller]
pub(crate) fn assert_same(left: &[u8], right: &[u8], what: &str) {
    if left != right {
        let at = left.iter().zip(right).take_while(|(left, right)| left == right).count();
        let (left, right) = (left.len(), right.len());
        panic!("{what}: {left} bytes and {right} bytes differ from byte {at} on");
    }
}
