//! What is large and need not be copied, batches that wait for full segments,
//! and datagrams: each beside what one would do by hand.
//!
//! The file is in the page cache; a round ends when the far end has read all.

#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    fs::File,
    hint::black_box,
    io::{self, Write},
    net::TcpStream,
    os::{
        fd::AsFd,
        unix::{
            fs::FileExt,
            net::{UnixDatagram, UnixStream},
        },
    },
    time::Duration,
};

use forebay::{Progress, Sink, frame::Plain};
use forebay_benches::{
    far_end::FarEnd,
    rounds::{Group, Round},
};
use forebay_linux::{
    FdSink,
    datagram::{DatagramSink, Each},
    send_file,
    uring::{self, Outcome},
};
use forebay_std::{Drainer, Wait};
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{MemfdFlags, memfd_create},
    pipe::{SpliceFlags, fcntl_setpipe_size, splice},
};

const FILE_LEN: usize = 16 << 20;
/// Bytes of a round.
const ROUND_LEN: usize = 8 << 20;
const BUDGET: Duration = Duration::from_secs(3);
const BY_HAND: &str = "pread and write";

fn main() {
    for len in [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20] {
        files::<UnixStream>("UNIX", FarEnd::new, len);
        files::<TcpStream>("TCP", FarEnd::tcp, len);
        memory(len);
    }
    bursts();
    datagrams();
}

/// A file of memory.
fn file() -> File {
    let file = File::from(memfd_create("bench", MemfdFlags::CLOEXEC).unwrap());
    file.write_all_at(&vec![7; FILE_LEN], 0).unwrap();
    file
}

/// Pieces of a file, of `len` bytes each.
fn files<S: AsFd + Write>(kind: &str, ends: impl Fn() -> io::Result<(S, FarEnd)>, len: usize) {
    let file = file();
    let pieces = ROUND_LEN / len;
    let offsets = move || (0..pieces).map(move |piece| ((piece * len) % FILE_LEN) as u64);

    let (mut hand, mut hand_far) = ends().unwrap();
    let mut buffer = vec![0; len];
    let (mut written, mut written_far) = ends().unwrap();
    let memory = vec![7; len];
    let (sent, mut sent_far) = ends().unwrap();
    let (spliced, mut spliced_far) = ends().unwrap();
    let (pipe_out, pipe_in) = io::pipe().unwrap();
    let pipe_len = fcntl_setpipe_size(&pipe_in, len.max(4096)).unwrap();
    let round = |far: &mut FarEnd, mut piece: Box<dyn FnMut(u64) -> u32 + '_>| {
        Round::timed(pieces as u64, || {
            let calls: u32 = offsets().map(&mut *piece).sum();
            far.wait(ROUND_LEN as u64);
            f64::from(calls)
        })
    };

    Group::new(format!("{len} B of a file into a {kind} stream"))
        .peer(BY_HAND, || {
            round(
                &mut hand_far,
                Box::new(|at| {
                    file.read_exact_at(&mut buffer, at).unwrap();
                    hand.write_all(&buffer).unwrap();
                    2
                }),
            )
        })
        .peer("splice through a pipe", || {
            round(
                &mut spliced_far,
                Box::new(|at| {
                    let (mut at, end, mut calls) = (at, at + len as u64, 0);
                    while at < end {
                        let most = pipe_len.min(usize::try_from(end - at).unwrap());
                        let mut left = splice(
                            &file,
                            Some(&mut at),
                            &pipe_in,
                            None,
                            most,
                            SpliceFlags::empty(),
                        )
                        .unwrap();
                        calls += 1;
                        while left > 0 {
                            let flags = SpliceFlags::empty();
                            left -= splice(&pipe_out, None, &spliced, None, left, flags).unwrap();
                            calls += 1;
                        }
                    }
                    calls
                }),
            )
        })
        .bound("write of what is in memory", || {
            round(
                &mut written_far,
                Box::new(|_| {
                    written.write_all(black_box(&memory)).unwrap();
                    1
                }),
            )
        })
        .ours("send_file", &[], || {
            round(
                &mut sent_far,
                Box::new(|at| {
                    let (mut range, mut calls) = (at..at + len as u64, 0);
                    while !range.is_empty() {
                        send_file(&sent, &file, &mut range).unwrap();
                        calls += 1;
                    }
                    calls
                }),
            )
        })
        .run(BUDGET);
}

/// Pieces of `len` bytes that are in memory, into TCP.
fn memory(len: usize) {
    let pieces = ROUND_LEN / len;
    let (mut written, mut written_far) = FarEnd::tcp().unwrap();
    let memory = vec![7; len];
    let group = Group::new(format!("{len} B of memory into a TCP stream")).peer("write", || {
        Round::timed(pieces as u64, || {
            (0..pieces).for_each(|_| written.write_all(black_box(&memory)).unwrap());
            written_far.wait(ROUND_LEN as u64);
            pieces as f64
        })
    });
    let by_ring = |mut ring: Ring| {
        move || {
            Round::timed(pieces as u64, || {
                let calls: u32 = (0..pieces).map(|_| ring.send()).sum();
                ring.far.wait(ROUND_LEN as u64);
                f64::from(calls)
            })
        }
    };
    let (Some(copying), Some(zero_copy)) = (Ring::new(len, false), Ring::new(len, true)) else {
        return group.run(BUDGET);
    };
    group
        .ours("Context::send", &[], by_ring(copying))
        .ours("Context::send, zero copy", &[], by_ring(zero_copy))
        .run(BUDGET);
}

/// `send` or `send_zc` by io_uring, where there is one.
struct Ring {
    context: uring::Context,
    socket: uring::File,
    far: FarEnd,
    len: usize,
    zero_copy: bool,
}

impl Ring {
    fn new(len: usize, zero_copy: bool) -> Option<Self> {
        let config = uring::Config::new().queue_depth(1).buffer_len(len);
        let mut context = uring::Context::new(&config).ok()?;
        let (near, far) = FarEnd::tcp().unwrap();
        let socket = context.adopt(near);
        Some(Self { context, socket, far, len, zero_copy })
    }

    /// One piece, until it has gone, or until the network has let go of it; how
    /// many system calls.
    fn send(&mut self) -> u32 {
        let (mut start, mut calls) = (0, 0);
        while start < self.len {
            let lease = self.context.lease().unwrap();
            self.context.send(&self.socket, lease, start..self.len, self.zero_copy).unwrap();
            let over = self.context.wait(None).unwrap().unwrap();
            let Outcome::Moved(_, result) = over.outcome else { unreachable!("{over:?}") };
            start += result.unwrap();
            calls += 1;
        }
        calls
    }
}

/// Short batches one behind the other, as of a drainer with a short buffer.
fn bursts() {
    const WRITES: usize = 16;
    const BATCH: [u8; 1000] = [7; 1000];
    const BURSTS: usize = 300;
    let (plain, mut plain_far) = FarEnd::tcp().unwrap();
    let (corked, mut corked_far) = FarEnd::tcp().unwrap();
    let mut plain = FdSink::new(plain).unwrap();
    let mut corked = FdSink::new(corked).unwrap().cork().unwrap();
    let round = |sink: &mut FdSink<TcpStream>, far: &mut FarEnd, flushes: usize| {
        Round::timed((BURSTS * WRITES) as u64, || {
            let before = sink.counts();
            for _ in 0..BURSTS {
                for _ in 0..WRITES {
                    while sink.write(&[&BATCH]).unwrap() == Progress::Blocked {
                        sink.wait(None).unwrap();
                    }
                }
                sink.flush().unwrap();
                far.wait((WRITES * BATCH.len()) as u64);
            }
            let counts = sink.counts();
            let calls = counts.calls + counts.polls - before.calls - before.polls;
            calls as f64 + (BURSTS * flushes) as f64
        })
    };
    Group::new("bursts of 16 batches of 1000 B into TCP, no delay")
        .peer("FdSink", || round(&mut plain, &mut plain_far, 0))
        .ours("FdSink, corked", &[], || round(&mut corked, &mut corked_far, 1))
        .run(BUDGET);
}

fn datagrams() {
    const COUNT: usize = 5000;
    const MESSAGE: [u8; 64] = [7; 64];
    let (mut hand, mut hand_far) = FarEnd::datagrams().unwrap();
    let (near, mut far) = FarEnd::datagrams().unwrap();
    let ender = near.try_clone().unwrap();
    let mut drainer = Drainer::new(Each::new(Plain, 1000), DatagramSink::new(near));
    let mut sender = drainer.sender(1 << 20).unwrap();
    Group::new("datagrams of 64 B into a UNIX socket")
        .peer("send", || {
            Round::timed(COUNT as u64, || {
                (0..COUNT).for_each(|_| send_blocking(&mut hand, black_box(&MESSAGE)));
                hand_far.wait(COUNT as u64);
                COUNT as f64
            })
        })
        .ours("ring, Drainer, DatagramSink", &[], || {
            Round::timed(COUNT as u64, || {
                let before = drainer.sink().counts();
                (0..COUNT).for_each(|_| sender.send(black_box(&MESSAGE)).unwrap());
                drainer.flush().unwrap();
                far.wait(COUNT as u64);
                let counts = drainer.sink().counts();
                (counts.calls + counts.polls - before.calls - before.polls) as f64
            })
        })
        .run(BUDGET);
    // The ends of the threads.
    send_blocking(&mut hand, b"");
    let mut ender = ender;
    send_blocking(&mut ender, b"");
}

fn send_blocking(socket: &mut UnixDatagram, bytes: &[u8]) {
    while let Err(error) = socket.send(bytes) {
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        poll(&mut [PollFd::new(&*socket, PollFlags::OUT)], None).unwrap();
    }
}
