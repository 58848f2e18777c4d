//! DLT records into a FIFO whose far end only reads: forebay's client beside
//! C libdlt and beside `writev` by hand.
//!
//! Every contender has a FIFO of its own. The far end counts bytes, and all
//! records are of one length, so it knows how many have arrived. forebay's time
//! ends when the last one has; that of libdlt, which may lose some, when its
//! last call has returned.

#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use forebay_benches::rounds::{Group, Round, of};
use forebay_linux::dlt::{Client, Context, Endpoint, Id, Level};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};

/// With it a record has 103 bytes: 8 of its head, 26 of headers, 4 and 2 of
/// the argument, and its zero.
const TEXT: &str = "a text of sixty-two bytes, as log lines of devices often are..";
const RECORD_LEN: u64 = 103;
/// Messages of a round.
const MESSAGES: u64 = 40_000;
const LIBDLT: &str = "C libdlt";

/// A directory as the daemon makes it, gone with the bench.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("forebay-dlt-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("dltpipes")).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Reads and counts, on a thread of its own.
struct FarEnd {
    bytes: Arc<AtomicU64>,
}

impl FarEnd {
    fn of_fifo(directory: &Path) -> Self {
        let path = directory.join("dlt");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        // For both, so that it never ends.
        let fifo = rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).unwrap();
        Self::reading(fifo)
    }

    fn reading(fd: OwnedFd) -> Self {
        let bytes = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&bytes);
        thread::spawn(move || {
            let mut file = fs::File::from(fd);
            let mut buffer = vec![0; 256 * 1024];
            while let Ok(len @ 1..) = file.read(&mut buffer) {
                // Relaxed: the count is all that is exchanged.
                count.fetch_add(len as u64, Ordering::Relaxed);
            }
        });
        Self { bytes }
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Waits until so many bytes have arrived.
    fn wait(&self, bytes: u64) {
        while self.bytes() < bytes {
            thread::yield_now();
        }
    }

    /// Waits until nothing has arrived for a while; the bytes.
    fn settled(&self) -> u64 {
        let (mut bytes, mut since) = (self.bytes(), Instant::now());
        while since.elapsed() < Duration::from_millis(200) {
            if self.bytes() != bytes {
                (bytes, since) = (self.bytes(), Instant::now());
            }
            thread::yield_now();
        }
        bytes
    }
}

/// forebay's client, whose far end has seen its registration.
struct Ours {
    client: Client,
    context: Context,
    far: FarEnd,
}

impl Ours {
    fn new(endpoint: Endpoint, far: impl FnOnce() -> FarEnd) -> Self {
        let builder = Client::builder(Id::new("RUST")).endpoint(endpoint);
        let client = builder.ring_len(1 << 20).start().unwrap();
        let context = client.context(Id::new("RING"), "");
        let far = far();
        while !client.is_connected() {
            thread::yield_now();
        }
        far.settled();
        Self { client, context, far }
    }

    /// A round: a message that is refused is sent again.
    fn round(&mut self) -> Round {
        let begin = self.far.bytes();
        let calls = self.client.counts().calls();
        Round::timed(MESSAGES, || {
            for _ in 0..MESSAGES {
                while self.context.log(Level::Info, TEXT).is_err() {
                    thread::yield_now();
                }
            }
            // Reports of what was refused at first come between.
            self.far.wait(begin + MESSAGES * RECORD_LEN);
            (self.client.counts().calls() - calls) as f64
        })
    }
}

/// libdlt in a process of its own.
struct Libdlt {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    far: FarEnd,
    sent: u64,
    failed: u64,
    arrived: u64,
    _directory: Directory,
}

impl Libdlt {
    /// `None` where it cannot be built.
    fn new() -> Option<Self> {
        let directory = Directory::new("libdlt");
        let program = directory.0.join("send");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/libdlt/send.c");
        let built =
            Command::new("cc").args(["-O2", "-o"]).arg(&program).args([source, "-ldlt"]).output();
        if !built.as_ref().is_ok_and(|built| built.status.success()) {
            println!("SKIPPED: C libdlt does not build: {built:?}");
            return None;
        }
        let far = FarEnd::of_fifo(&directory.0);
        let mut child = Command::new(&program)
            .arg(TEXT)
            .env("DLT_PIPE_DIR", &directory.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sent, failed, arrived) = (0, 0, 0);
        let libdlt =
            Self { child, stdin, stdout, far, sent, failed, arrived, _directory: directory };
        libdlt.far.wait(1);
        libdlt.far.settled();
        Some(libdlt)
    }

    fn round(&mut self) -> Round {
        let before = self.far.settled();
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(format!("{MESSAGES}\n").as_bytes()).unwrap();
        let mut line = String::new();
        while !line.starts_with("took ") {
            line.clear();
            assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "libdlt has ended");
        }
        let (nanos, failed) = line["took ".len()..].trim().split_once(' ').unwrap();
        let elapsed = Duration::from_nanos(nanos.parse().unwrap());
        self.sent += MESSAGES;
        self.failed += failed.parse::<u64>().unwrap();
        self.arrived += (self.far.settled() - before) / RECORD_LEN;
        Round { items: MESSAGES, calls: f64::NAN, elapsed, cpu: Duration::ZERO }
    }
}

impl Drop for Libdlt {
    fn drop(&mut self) {
        let Self { sent, failed, arrived, .. } = self;
        println!("{LIBDLT}: {sent} sent, {failed} of them refused, {arrived} arrived");
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Records that are ready, so many in each write: no transport can be faster.
fn by_hand(records: u64) -> impl FnMut() -> Round {
    let directory = Directory::new(&format!("hand-{records}"));
    let far = FarEnd::of_fifo(&directory.0);
    let mut fifo = fs::OpenOptions::new().write(true).open(directory.0.join("dlt")).unwrap();
    let bytes = vec![0; usize::try_from(records * RECORD_LEN).unwrap()];
    let mut sent = 0;
    move || {
        let _ = &directory;
        let writes = MESSAGES / records;
        Round::timed(writes * records, || {
            for _ in 0..writes {
                fifo.write_all(&bytes).unwrap();
                sent += bytes.len() as u64;
            }
            far.wait(sent);
            writes as f64
        })
    }
}

fn main() -> io::Result<()> {
    let directory = Directory::new("ours");
    let far = FarEnd::of_fifo(&directory.0);
    let mut fifo = Ours::new(Endpoint::Fifo(directory.0.clone()), || far);

    let path = directory.0.join("socket");
    let listener = UnixListener::bind(&path)?;
    let accept = || FarEnd::reading(listener.accept().unwrap().0.into());
    let mut socket = Ours::new(Endpoint::Socket(path), accept);

    let mut libdlt = Libdlt::new();
    let mut group = Group::new("DLT, records of 103 B");
    let mut goals = Vec::new();
    if let Some(libdlt) = &mut libdlt {
        group = group.peer(LIBDLT, || libdlt.round());
        goals.push(of(0.1, LIBDLT));
    }
    group
        .bound("write by hand, 1 record", by_hand(1))
        .bound("write by hand, 39 records", by_hand(39))
        .ours("Client, FIFO", &goals, || fifo.round())
        .ours("Client, socket", &goals, || socket.round())
        .run(Duration::from_secs(15));
    drop(libdlt);
    for (name, ours) in [("FIFO", &fifo), ("socket", &socket)] {
        let ledger = ours.client.counts().ledger;
        let arrived = ours.far.settled() / RECORD_LEN;
        println!("Client, {name}: {ledger}; about {arrived} arrived");
    }
    Ok(())
}
