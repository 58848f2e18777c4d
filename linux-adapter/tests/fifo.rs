//! One FIFO, many writing processes: with batches of at most `PIPE_BUF` bytes
//! their frames never mix.

mod common;

use std::{
    collections::BTreeMap,
    env,
    fs::OpenOptions,
    io::{ErrorKind, Read},
    os::unix::fs::OpenOptionsExt,
    process::{Command, Stdio},
    thread,
};

use common::{FORMAT, Scratch, watchdog};
use forebay_linux::{FdSink, PIPE_BUF};
use forebay_std::{Drainer, FrameReader, SendError};
use rustix::{fs::OFlags, pipe::fcntl_setpipe_size};

const FIFO: &str = "FOREBAY_FIFO";
const WRITER: &str = "FOREBAY_FIFO_WRITER";
const PROCESSES: u32 = 3;
/// Senders of each process, of which two share a drainer.
const SENDERS: u32 = 4;
const MESSAGES: u32 = 2_000;
/// With head and tail of a frame no longer than `PIPE_BUF`.
const PAYLOAD_LEN_MAX: u32 = 4000;

/// The payload of a sender's message: its names, and as many bytes more as
/// follow from these.
fn payload(sender: u32, number: u32) -> Vec<u8> {
    let len = (sender * 7919 + number * 104_729) % PAYLOAD_LEN_MAX;
    // Mostly short ones.
    let len = if number.is_multiple_of(5) { len } else { len % 100 };
    let mut payload = common::message(sender, number).to_vec();
    payload.resize(payload.len().max(len as usize), sender.to_le_bytes()[0]);
    payload
}

/// Run by the test below, in several processes.
#[test]
#[ignore = "a part of another test"]
fn writer() {
    let (path, process) = (env::var(FIFO).unwrap(), env::var(WRITER).unwrap());
    let first: u32 = process.parse::<u32>().unwrap() * SENDERS;
    thread::scope(|threads| {
        for pair in 0..SENDERS / 2 {
            let fifo = OpenOptions::new()
                .write(true)
                .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
                .open(&path)
                .unwrap();
            let sink = FdSink::new(fifo).unwrap();
            let mut drainer = Drainer::with_pump(|pump| pump.len_max(PIPE_BUF), FORMAT, sink);
            for sender in [first + 2 * pair, first + 2 * pair + 1] {
                let mut producer = drainer.sender(1 << 14).unwrap();
                threads.spawn(move || {
                    for number in 0..MESSAGES {
                        while let Err(error) = producer.send(&payload(sender, number)) {
                            assert!(matches!(error, SendError::Full { .. }), "{error}");
                            thread::yield_now();
                        }
                    }
                });
            }
            threads.spawn(move || {
                drainer.run().unwrap();
                assert_eq!(drainer.ledger().delivered, u64::from(2 * MESSAGES));
                // All or nothing (`pipe(7)`).
                assert_eq!(drainer.counts().short, 0);
                assert!(drainer.counts().writes > 0);
            });
        }
    });
}

#[test]
fn frames_of_many_processes_do_not_mix() {
    let _held = watchdog("a shared FIFO");
    let scratch = Scratch::new();
    let path = scratch.fifo("fifo");
    // For both, so that the FIFO has an end at every time.
    let fifo = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    // Little room, so that the writers are blocked again and again.
    fcntl_setpipe_size(&fifo, 2 * PIPE_BUF).unwrap();
    let children: Vec<_> = (0..PROCESSES)
        .map(|process| {
            Command::new(env::current_exe().unwrap())
                .args(["--exact", "writer", "--ignored"])
                .env(FIFO, &path)
                .env(WRITER, process.to_string())
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();

    let mut next = BTreeMap::new();
    let mut left = PROCESSES * SENDERS * MESSAGES;
    let mut frames = FrameReader::new(&fifo, FORMAT);
    while left > 0 {
        assert!(frames.fill().unwrap());
        while let Some(frame) = frames.next_frame().unwrap() {
            let (sender, number) = common::names(&frame.payload[..8]);
            let next = next.entry(sender).or_insert(0);
            assert_eq!(number, *next, "of sender {sender}");
            assert!(frame.payload == payload(sender, number));
            *next += 1;
            left -= 1;
        }
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(next, (0..PROCESSES * SENDERS).map(|sender| (sender, MESSAGES)).collect());
    rustix::io::ioctl_fionbio(&fifo, true).unwrap();
    assert_eq!((&fifo).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "nothing more");
}
