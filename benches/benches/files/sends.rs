//! Small sends to many connections, and batches to one.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    time::Duration,
};

use forebay::{Progress, Sink};
use forebay_benches::{
    far_end::FarEnd,
    rounds::{Group, Round, of},
};
use forebay_linux::{
    FdSink,
    uring::{Config, Context, Outcome, RingSink, SinkSet},
};
use forebay_std::Wait;

const CONNECTIONS: usize = 64;
const MESSAGE: [u8; 64] = [7; 64];
const TURNS: usize = 30;

fn connection(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    near.set_nodelay(true).unwrap();
    (near, listener.accept().unwrap().0)
}

/// A round of turns of one message for each connection; the far ends are
/// emptied between the turns, which is not timed.
fn round(far: &mut [TcpStream], mut turn: impl FnMut() -> f64) -> Round {
    let (mut elapsed, mut cpu) = (Duration::ZERO, Duration::ZERO);
    let mut calls = 0.0;
    for _ in 0..TURNS {
        let part = Round::timed(CONNECTIONS as u64, &mut turn);
        elapsed += part.elapsed;
        cpu += part.cpu;
        calls += part.calls;
        for far in far.iter_mut() {
            let mut message = [0; MESSAGE.len()];
            far.read_exact(&mut message).unwrap();
        }
    }
    Round { items: (TURNS * CONNECTIONS) as u64, calls, elapsed, cpu }
}

fn connections_of() -> (Vec<TcpStream>, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (0..CONNECTIONS).map(|_| connection(&listener)).unzip()
}

/// Members of a set, and their far ends.
struct Members {
    set: SinkSet,
    near: Vec<RingSink>,
    far: Vec<TcpStream>,
}

impl Members {
    fn new(config: &Config) -> Self {
        let (near, far) = connections_of();
        let set = SinkSet::new(&config.clone().queue_depth(128).buffer_len(4096)).unwrap();
        let near = near.into_iter().map(|near| set.add(near).unwrap()).collect();
        Self { set, near, far }
    }

    fn round(&mut self) -> Round {
        let Self { set, near, far } = self;
        round(far, || {
            let before = set.enters();
            for sink in &mut *near {
                assert_eq!(sink.write(&[&MESSAGE]).unwrap(), Progress::Blocked);
            }
            set.submit(CONNECTIONS, None).unwrap();
            for sink in &mut *near {
                assert_eq!(sink.write(&[&MESSAGE]).unwrap(), Progress::Wrote(MESSAGE.len()));
            }
            (set.enters() - before) as f64
        })
    }
}

const REGISTERED: Config = Config::new().registered_buffers(true);

pub(crate) fn run() {
    let (mut plain, mut plain_far) = connections_of();
    let (near, mut sink_far) = connections_of();
    let mut sinks: Vec<_> = near.into_iter().map(|near| FdSink::new(near).unwrap()).collect();
    let mut members = Members::new(&Config::new());
    let mut registered = Members::new(&REGISTERED);

    const WRITE: &str = "write";
    Group::new("64 B to each of 64 TCP connections")
        .peer(WRITE, move || {
            round(&mut plain_far, || {
                plain.iter_mut().for_each(|near| near.write_all(&MESSAGE).unwrap());
                CONNECTIONS as f64
            })
        })
        .ours("FdSink", &[], move || {
            round(&mut sink_far, || {
                for sink in &mut sinks {
                    assert_eq!(sink.write(&[&MESSAGE]).unwrap(), Progress::Wrote(MESSAGE.len()));
                }
                CONNECTIONS as f64
            })
        })
        .ours("SinkSet", &[of(1.0, WRITE)], move || members.round())
        .ours("SinkSet, memory registered", &[], move || registered.round())
        .run(Duration::from_secs(4));
    to_one("UNIX stream", || {
        let (near, far) = FarEnd::new().unwrap();
        (near.into(), far)
    });
    to_one("TCP connection", || {
        let (near, far) = FarEnd::tcp().unwrap();
        (near.into(), far)
    });
    without_copies();
}

const BATCH: [u8; 16 * 1024] = [7; 16 * 1024];
/// Batches of a round.
const BATCHES: u64 = 64;

/// Batches to one connection; a round ends with their arrival.
fn to_one(kind: &str, pair: impl Fn() -> (OwnedFd, FarEnd)) {
    let round = |far: &mut FarEnd, mut batch: Box<dyn FnMut() -> f64 + '_>| {
        Round::timed(BATCHES, || {
            let calls = (0..BATCHES).map(|_| batch()).sum();
            far.wait(BATCHES * BATCH.len() as u64);
            calls
        })
    };
    let (near, mut plain_far) = pair();
    let mut plain = File::from(near);
    let (near, mut sink_far) = pair();
    let mut sink = FdSink::new(near).unwrap();
    let member = |config: Config| {
        let (near, far) = pair();
        let set = SinkSet::new(&config.queue_depth(2)).unwrap();
        (set.add(near).unwrap(), set, far)
    };
    let by_set = |(mut near, set, mut far): (RingSink, SinkSet, FarEnd)| {
        move || {
            let batch = Box::new(|| {
                let before = set.enters();
                send(&mut near);
                (set.enters() - before) as f64
            });
            round(&mut far, batch)
        }
    };
    Group::new(format!("16 KiB batches to a {kind}"))
        .peer("write", || {
            let batch = Box::new(|| {
                plain.write_all(&BATCH).unwrap();
                1.0
            });
            round(&mut plain_far, batch)
        })
        .ours("FdSink", &[], || {
            let batch = Box::new(|| {
                let before = sink.counts();
                send(&mut sink);
                let after = sink.counts();
                (after.calls + after.polls - before.calls - before.polls) as f64
            });
            round(&mut sink_far, batch)
        })
        .ours("a set of one", &[], by_set(member(Config::new())))
        .ours("a set of one, memory registered", &[], by_set(member(REGISTERED)))
        .run(Duration::from_secs(3));
}

/// Sends a batch, and waits where that has to be.
fn send(sink: &mut (impl Sink<Error = io::Error> + Wait)) {
    let mut rest = &BATCH[..];
    while !rest.is_empty() {
        match sink.write(&[rest]).unwrap() {
            Progress::Wrote(len) => rest = &rest[len..],
            Progress::Blocked => sink.wait(None).unwrap(),
        }
    }
}

/// Sends of a context: copied, and of the pages themselves.
fn without_copies() {
    const LEN: usize = 64 * 1024;
    let contender = |config: Config, zero_copy: bool| {
        let (near, mut far) = FarEnd::tcp().unwrap();
        let mut context = Context::new(&config.queue_depth(4)).unwrap();
        let socket = context.adopt(near);
        move || {
            Round::timed(BATCHES, || {
                let before = context.counts().enters;
                let mut sent = 0;
                for _ in 0..BATCHES {
                    let lease = context.lease().unwrap();
                    let ticket = context.send(&socket, lease, 0..LEN, zero_copy).unwrap();
                    let Outcome::Moved(_, len) = context.complete(ticket).unwrap() else {
                        unreachable!("a send moves")
                    };
                    sent += len.unwrap() as u64;
                }
                far.wait(sent);
                (context.counts().enters - before) as f64
            })
        }
    };
    Group::new("64 KiB to a TCP connection, Context::send")
        .peer("copied", contender(Config::new(), false))
        .ours("zero-copy", &[], contender(Config::new(), true))
        .ours(
            "zero-copy, memory not registered",
            &[],
            contender(Config::new().registered_buffers(false), true),
        )
        .run(Duration::from_secs(3));
}
