//! A daemon that does what the test says: the far end of the FIFO.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use forebay_linux::dlt::{Client, Endpoint, Id};
use forebay_std::forebay::{
    Decoder,
    frame::dlt::{Dlt, Message, UserRecord, Value},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{CWD, Mode, OFlags},
};

use crate::{PATIENCE, common::Scratch};

pub(crate) const APP: Id = Id::new("RUST");
pub(crate) const CONTEXT: Id = Id::new("RING");

/// What a client has sent, as the test compares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    App(String),
    Context { position: i32, level: i8, description: String },
    Log { counter: u8, text: String },
    Overflow(u32),
    ContextEnd,
    AppEnd,
}

pub(crate) struct Fake {
    scratch: Scratch,
    fifo: Option<File>,
    decoder: Decoder<Dlt, Vec<u8>>,
}

impl Fake {
    /// The directory alone: no daemon yet.
    pub(crate) fn absent() -> Self {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path("dltpipes")).unwrap();
        Self { scratch, fifo: None, decoder: decoder() }
    }

    /// With the FIFO, open for reading.
    pub(crate) fn new() -> Self {
        let mut fake = Self::absent();
        fake.make_fifo();
        fake.open();
        fake
    }

    fn path(&self) -> PathBuf {
        self.scratch.path("dlt")
    }

    /// Makes a FIFO, a new one where there was one.
    pub(crate) fn make_fifo(&mut self) {
        let _ = fs::remove_file(self.path());
        rustix::fs::mkfifoat(CWD, self.path(), Mode::RUSR | Mode::WUSR).unwrap();
    }

    pub(crate) fn open(&mut self) {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let fifo = OpenOptions::new().read(true).custom_flags(flags).open(self.path()).unwrap();
        self.fifo = Some(fifo);
    }

    /// As if killed: the FIFO stays, and what has been read in part is lost.
    pub(crate) fn die(&mut self) {
        self.fifo = None;
        self.decoder = decoder();
    }

    pub(crate) fn directory(&self) -> &Path {
        self.scratch.root()
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::Fifo(self.directory().to_owned())
    }

    pub(crate) fn client(&self, ring_len: usize) -> Client {
        let client = Client::builder(APP).description("a test").ring_len(ring_len);
        client.endpoint(self.endpoint()).start().unwrap()
    }

    /// Reads at most `len` bytes, when there are some.
    pub(crate) fn read(&mut self, len: usize) -> usize {
        let fifo = self.fifo.as_mut().unwrap();
        let timeout = Timespec::try_from(PATIENCE).unwrap();
        let ready = poll(&mut [PollFd::new(&*fifo, PollFlags::IN)], Some(&timeout)).unwrap();
        assert_eq!(ready, 1, "the client writes nothing");
        let free = self.decoder.free();
        let len = len.min(free.len());
        match fifo.read(&mut free[..len]) {
            Ok(len) => {
                self.decoder.received(len);
                len
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("{error}"),
        }
    }

    /// What has been read whole.
    pub(crate) fn seen(&mut self) -> Vec<Seen> {
        let mut all = Vec::new();
        while let Some(record) = self.record() {
            all.push(seen(&record));
        }
        all
    }

    /// The next record that has been read whole. A registration is answered.
    fn record(&mut self) -> Option<Vec<u8>> {
        let frame = match self.decoder.next_frame() {
            Ok(frame) => frame?,
            Err(damage) => panic!("{damage}"),
        };
        let record = frame.payload.to_vec();
        if let UserRecord::RegisterContext { position, .. } = UserRecord::parse(&record).unwrap() {
            self.answer(position);
        }
        Some(record)
    }

    /// Reads until `count` messages have come, whatever is in them.
    pub(crate) fn await_messages(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        loop {
            while let Some(record) = self.record() {
                if let UserRecord::Log(message) = UserRecord::parse(&record).unwrap() {
                    messages.push(message.to_vec());
                }
            }
            if messages.len() >= count {
                return messages;
            }
            self.read(usize::MAX);
        }
    }

    /// Answers a registration with the level that is the client's own.
    fn answer(&self, position: i32) {
        let mut out = [0; 32];
        let answer = UserRecord::LogLevel { level: 255, trace: 0, position };
        let len = answer.put(&mut out).unwrap();
        self.say(&out[..len]);
    }

    /// Reads until `count` records have come, and what came with them.
    pub(crate) fn await_seen(&mut self, count: usize) -> Vec<Seen> {
        let mut seen = self.seen();
        while seen.len() < count {
            self.read(usize::MAX);
            seen.extend(self.seen());
        }
        seen
    }

    /// Reads until a record is as `is_last` says.
    pub(crate) fn await_last(&mut self, is_last: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let mut seen = self.seen();
        while !seen.last().is_some_and(&is_last) {
            self.read(usize::MAX);
            seen.extend(self.seen());
        }
        seen
    }

    /// Writes to the FIFO as another process would.
    pub(crate) fn intrude(&self, bytes: &[u8]) {
        OpenOptions::new().write(true).open(self.path()).unwrap().write_all(bytes).unwrap();
    }

    /// Says something to the client, which has registered.
    pub(crate) fn say(&self, bytes: &[u8]) {
        let name = format!("dltpipes/dlt{}", std::process::id());
        let path = self.scratch.path(&name);
        OpenOptions::new().write(true).open(path).unwrap().write_all(bytes).unwrap();
    }
}

fn decoder() -> Decoder<Dlt, Vec<u8>> {
    Decoder::new(Dlt::user(65_535), vec![0; 1 << 18]).unwrap()
}

/// Reads a record; the client's are the only ones.
pub(crate) fn seen(bytes: &[u8]) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let own = std::process::id().cast_signed();
    match UserRecord::parse(bytes).unwrap() {
        UserRecord::RegisterApp { app: APP, pid, description } if pid == own => {
            Seen::App(text(description))
        }
        UserRecord::RegisterContext { app: APP, position, level, pid, description, .. }
            if pid == own =>
        {
            Seen::Context { position, level, description: text(description) }
        }
        UserRecord::Log(bytes) => {
            let message = Message::parse(bytes).unwrap();
            assert_eq!(message.len_bytes(), bytes.len());
            assert_eq!(message.header.session, Some(std::process::id()));
            let mut arguments = message.arguments();
            let value = arguments.next().unwrap().unwrap().value;
            let Value::Utf8(bytes) = value else { panic!("{value:?}") };
            assert!(arguments.rest().is_empty());
            Seen::Log { counter: message.header.counter, text: text(bytes) }
        }
        UserRecord::Overflow { lost, app: APP } => Seen::Overflow(lost),
        UserRecord::UnregisterContext { app: APP, pid, .. } if pid == own => Seen::ContextEnd,
        UserRecord::UnregisterApp { app: APP, pid } if pid == own => Seen::AppEnd,
        other => panic!("{other:?}"),
    }
}

/// The texts of the messages among these.
pub(crate) fn texts(seen: &[Seen]) -> Vec<&str> {
    seen.iter()
        .filter_map(|seen| match seen {
            Seen::Log { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

/// Long enough for anything that does not fail.
pub(crate) const LONG: Duration = PATIENCE;
