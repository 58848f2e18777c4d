//! The real daemon, in a directory and on a port of its own, and a client of
//! it that receives.

use std::{
    fs,
    io::Read,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
};

use forebay_linux::dlt::{Builder, Client, Endpoint, Id};
use forebay_std::forebay::{
    Decoder,
    frame::dlt::{Dlt, Kind, Message, Value},
};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    await_that,
    common::Scratch,
    fake::{APP, LONG},
};

/// Whether the program is there; says so if not.
pub(crate) fn has(program: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|directory| directory.join(program).exists());
    if !found {
        println!("SKIPPED: no {program}");
    }
    found
}

/// A running `dlt-daemon`. It is killed with the test.
pub(crate) struct Daemon {
    child: Child,
    scratch: Scratch,
    pub(crate) port: u16,
}

impl Daemon {
    /// `None` where there is none to run.
    pub(crate) fn start() -> Option<Self> {
        if !has("dlt-daemon") {
            return None;
        }
        let scratch = Scratch::new();
        // Free a moment ago; a port can only be named.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = scratch.path("");
        let directory = directory.display();
        let conf = format!(
            "ECUId = ECU1\nLoggingMode = 3\nLoggingLevel = 6\nBindAddress = ::ffff:127.0.0.1\n\
             UDPConnectionSetup = 0\nControlSocketPath = {directory}/ctrl.sock\n\
             PersistanceStoragePath = {directory}\nRingbufferMinSize = 500000\n\
             RingbufferMaxSize = 10000000\nRingbufferStepSize = 500000\nTimeOutOnSend = 4\n"
        );
        fs::write(scratch.path("dlt.conf"), conf).unwrap();
        let child = Self::spawn(&scratch, port);
        let mut daemon = Self { child, scratch, port };
        daemon.await_port();
        Some(daemon)
    }

    fn spawn(scratch: &Scratch, port: u16) -> Child {
        Command::new("dlt-daemon")
            .arg("-c")
            .arg(scratch.path("dlt.conf"))
            .arg("-t")
            .arg(scratch.path(""))
            .args(["-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Waits until it listens. A connection to try that, and its end, would be
    /// a client to the daemon, which loses a message when it finds one gone.
    fn await_port(&mut self) {
        let port = self.port;
        await_that("the daemon listens", || {
            assert_eq!(self.child.try_wait().unwrap(), None, "the daemon has ended");
            ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|table| listens(table, port))
        });
    }

    /// The directory of its FIFO.
    pub(crate) fn directory(&self) -> &Path {
        self.scratch.root()
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.scratch.path(name)
    }

    pub(crate) fn builder(&self) -> Builder {
        Client::builder(APP).endpoint(Endpoint::Fifo(self.directory().to_owned()))
    }

    /// A client that is connected.
    pub(crate) fn client(&self, ring_len: usize) -> Client {
        let client = self.builder().ring_len(ring_len).start().unwrap();
        await_that("the client is connected", || client.is_connected());
        client
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// Starts it anew, in the same directory on the same port.
    pub(crate) fn restart(&mut self) {
        self.child = Self::spawn(&self.scratch, self.port);
        self.await_port();
    }

    /// Connects as a client, as soon as the daemon has taken note.
    pub(crate) fn witness(&self) -> Witness {
        Witness::new(self.port)
    }
}

/// Whether a socket of this port listens (proc(5)).
fn listens(table: &str, port: u16) -> bool {
    const LISTEN: &str = "0A";
    let port = format!(":{port:04X}");
    let table = fs::read_to_string(table).unwrap_or_default();
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().is_some_and(|local| local.ends_with(&port));
        local && fields.nth(1) == Some(LISTEN)
    })
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A message as a client of the daemon gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A text of one of the tests' contexts.
    Text { context: Id, counter: u8, text: String },
    /// A control message: its service and what follows.
    Control { service: u32, data: Vec<u8> },
}

/// Receives on a thread of its own until the daemon is gone.
pub(crate) struct Witness {
    messages: std::sync::mpsc::Receiver<Received>,
    stream: TcpStream,
    thread: Option<JoinHandle<()>>,
}

impl Witness {
    fn new(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut reader = stream.try_clone().unwrap();
        let (sender, messages) = std::sync::mpsc::channel();
        let (noticed, is_noticed) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let mut decoder = Decoder::new(Dlt::bare(65_535), vec![0; 1 << 20]).unwrap();
            // An error is an end, too: a daemon that is killed may reset.
            while let Ok(len @ 1..) = reader.read(decoder.free()) {
                decoder.received(len);
                loop {
                    match decoder.next_frame() {
                        Ok(Some(frame)) => {
                            let _ = noticed.send(());
                            if let Some(message) = received(frame.payload) {
                                let _ = sender.send(message);
                            }
                        }
                        Ok(None) => break,
                        Err(damage) => panic!("{damage}"),
                    }
                }
            }
        });
        // The daemon greets each client. What it gets before is not sent on at
        // once.
        is_noticed.recv_timeout(LONG).expect("a greeting");
        Self { messages, stream, thread: Some(thread) }
    }

    /// The next message.
    pub(crate) fn next(&self) -> Received {
        self.messages.recv_timeout(LONG).expect("another message")
    }

    /// The next `count` texts, with their contexts and counters.
    pub(crate) fn texts(&self, count: usize) -> Vec<(Id, u8, String)> {
        let mut texts = Vec::with_capacity(count);
        while texts.len() < count {
            if let Received::Text { context, counter, text } = self.next() {
                texts.push((context, counter, text));
            }
        }
        texts
    }

    /// All texts up to the end of the daemon.
    pub(crate) fn rest(mut self) -> Vec<String> {
        self.thread.take().unwrap().join().unwrap();
        let text = |received| match received {
            Received::Text { text, .. } => Some(text),
            Received::Control { .. } => None,
        };
        self.messages.iter().filter_map(text).collect()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn received(bytes: &[u8]) -> Option<Received> {
    let message = Message::parse(bytes).unwrap();
    assert_eq!(message.len_bytes(), bytes.len());
    let extended = message.header.extended?;
    if matches!(extended.kind, Kind::Control(_)) {
        let (service, data) = message.non_verbose().unwrap();
        return Some(Received::Control { service, data: data.to_vec() });
    }
    if extended.app != APP {
        return None; // The daemon's own.
    }
    let argument = message.arguments().next().unwrap().unwrap();
    let Value::Utf8(text) = argument.value else { panic!("{argument:?}") };
    let text = String::from_utf8(text.to_vec()).unwrap();
    Some(Received::Text { context: extended.context, counter: message.header.counter, text })
}
