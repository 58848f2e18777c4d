//! h2load against three servers of the same files without TLS: the example
//! `http2_server`, nghttpd, and one of the `h2` crate on one tokio thread.
//!
//! What is timed is h2load's own "finished in". The servers share the machine
//! with it. The `h2` server answers from memory, the others read the file.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

#[allow(dead_code, reason = "a part is for its tests")]
#[path = "../../linux-adapter/examples/http2_server/server/mod.rs"]
mod server;

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use bytes::Bytes;
use forebay_benches::rounds::{Group, Round};
use server::Report;

/// A load: how many requests, connections, streams of each.
struct Load {
    len: usize,
    requests: u64,
    options: &'static [&'static str],
}

const LOADS: [Load; 3] = [
    Load { len: 100, requests: 4_000, options: &["-c", "4", "-m", "32"] },
    Load { len: 10_000, requests: 2_000, options: &["-c", "4", "-m", "32"] },
    Load { len: 1 << 20, requests: 100, options: &["-c", "2", "-m", "4", "-w", "24", "-W", "26"] },
];

fn main() {
    if let Err(error) = Command::new("h2load").arg("--version").stdout(Stdio::null()).status() {
        println!("SKIPPED: h2load cannot be run: {error}");
        return;
    }
    let root = std::env::temp_dir().join(format!("forebay-bench-http2-{}", std::process::id()));
    fs::create_dir(&root).unwrap();
    for load in &LOADS {
        fs::write(root.join(load.len.to_string()), vec![b'x'; load.len]).unwrap();
    }
    let (ours, reports) = example(&root);
    let nghttpd = Nghttpd::start(&root);
    let h2 = h2_server();
    for load in &LOADS {
        let mut group = Group::new(format!("HTTP/2, responses of {} B", load.len))
            .peer("h2, one thread, from memory", || h2load(h2, load, None));
        if let Some(nghttpd) = &nghttpd {
            group = group.peer("nghttpd", || h2load(nghttpd.address, load, None));
        }
        group
            .ours("example http2_server", &[], || h2load(ours, load, Some(&reports)))
            .run(Duration::from_secs(8));
    }
    drop(nghttpd);
    fs::remove_dir_all(root).unwrap();
}

/// One run of h2load, all of whose requests are to succeed.
fn h2load(address: SocketAddr, load: &Load, reports: Option<&Receiver<Report>>) -> Round {
    let output = Command::new("h2load")
        .args(["-n", &load.requests.to_string()])
        .args(load.options)
        .arg(format!("http://{address}/{}", load.len))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains(&format!(" {} succeeded, 0 failed", load.requests)), "{told}");
    let elapsed = told.split("finished in ").nth(1).and_then(|rest| rest.split(',').next());
    let elapsed = duration(elapsed.unwrap());
    // Each connection has ended by now, or is about to.
    let calls = reports.map_or(f64::NAN, |reports| {
        let connections: usize = load.options[1].parse().unwrap();
        reports.iter().take(connections).map(|report| report.writes as f64).sum()
    });
    Round { items: load.requests, calls, elapsed, cpu: Duration::ZERO }
}

/// A time as h2load prints it: `1.02s`, `34.5ms`, `678us`.
fn duration(text: &str) -> Duration {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let unit = match &text[digits.len()..] {
        "s" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        other => panic!("the unit '{other}' of {text}"),
    };
    Duration::from_secs_f64(digits.parse::<f64>().unwrap() * unit)
}

fn example(root: &Path) -> (SocketAddr, Receiver<Report>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = server::Config::new(root);
    let (sender, reports) = mpsc::channel();
    thread::spawn(move || {
        let (_never, stop) = UnixStream::pair().unwrap();
        // At the end of the bench nobody listens.
        let ended = move |report| drop(sender.send(report));
        server::serve(&listener, &config, stop, ended).unwrap();
    });
    (address, reports)
}

/// Ended when it is dropped.
struct Nghttpd {
    child: Child,
    address: SocketAddr,
}

impl Nghttpd {
    /// `None`, with the words that say so, where there is none.
    fn start(root: &Path) -> Option<Self> {
        // It takes no port 0; this one was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let port = address.port().to_string();
        let spawned = Command::new("nghttpd")
            .args(["--no-tls", "-a", "127.0.0.1", "-d"])
            .arg(root)
            .arg(&port)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match spawned {
            Ok(child) => {
                let started = Self { child, address };
                while TcpStream::connect(address).is_err() {
                    thread::yield_now();
                }
                Some(started)
            }
            Err(error) => {
                println!("SKIPPED: nghttpd cannot be run: {error}");
                None
            }
        }
    }
}

impl Drop for Nghttpd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn h2_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                socket.set_nodelay(true).unwrap();
                tokio::spawn(h2_connection(socket));
            }
        });
    });
    address
}

async fn h2_connection(socket: tokio::net::TcpStream) {
    let bodies: Vec<_> = LOADS
        .iter()
        .map(|load| (format!("/{}", load.len), Bytes::from(vec![b'x'; load.len])))
        .collect();
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let body = bodies.iter().find(|(path, _)| *path == request.uri().path()).unwrap().1.clone();
        let response = http::Response::builder()
            .header("content-type", "application/octet-stream")
            .header("content-length", body.len())
            .body(())
            .unwrap();
        let mut stream = respond.send_response(response, false).unwrap();
        stream.send_data(body, true).unwrap();
    }
}
