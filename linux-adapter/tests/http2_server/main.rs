//! The example `http2_server`, in this process and as a program, with real
//! clients and with clients that break the rules or mean harm.

#[path = "../common/mod.rs"]
mod common;
mod hostile;
mod program;
mod raw;
mod real;
mod rules;
#[path = "../../examples/http2_server/server/mod.rs"]
mod server;
mod strict;
mod units;
mod windows;

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixStream,
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::Duration,
};

use common::{Scratch, watchdog};
use server::{Config, Report};

/// A server, its directory, and the reports of its connections. It stops with
/// the test.
struct Server {
    address: SocketAddr,
    root: Scratch,
    reports: Receiver<Report>,
    _stop: UnixStream,
    _held: Sender<()>,
}

impl Server {
    fn start() -> Self {
        Self::with(|_| {})
    }

    /// One of the configuration that `configure` makes.
    fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let root = Scratch::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, reports) = mpsc::channel();
        let mut config = Config::new(root.path("."));
        configure(&mut config);
        let (_stop, stopped) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            let ended = move |report| {
                // The test may be over.
                let _ = sender.send(report);
            };
            server::serve(&listener, &config, stopped, ended).unwrap();
        });
        Self { address, root, reports, _stop, _held: watchdog("the HTTP/2 server") }
    }

    /// Makes a file of `len` bytes that are not all the same.
    fn file(&self, name: &str, len: usize) -> Vec<u8> {
        let mut word = len as u64 ^ 0x9E37_79B9_7F4A_7C15;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            word.to_le_bytes()
        })
        .flatten()
        .take(len)
        .collect();
        fs::write(self.root.path(name), &bytes).unwrap();
        bytes
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// The report of the next connection that ends.
    fn report(&self) -> Report {
        self.reports.recv_timeout(Duration::from_secs(60)).expect("a connection has not ended")
    }
}
