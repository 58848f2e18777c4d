//! Small sends to many connections.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use forebay::{Progress, Sink};
use forebay_benches::rounds::{Group, Round, of};
use forebay_linux::{
    FdSink,
    uring::{Config, SinkSet},
};

const CONNECTIONS: usize = 64;
const MESSAGE: [u8; 64] = [7; 64];
const TURNS: usize = 30;

fn connections() -> Vec<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = |_| {
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        near.set_nodelay(true).unwrap();
        (near, listener.accept().unwrap().0)
    };
    (0..CONNECTIONS).map(connect).collect()
}

/// A round of turns of one message for each connection; the far ends are
/// emptied between the turns, which is not timed.
fn round(far: &mut [TcpStream], mut turn: impl FnMut() -> f64) -> Round {
    let mut elapsed = Duration::ZERO;
    let mut calls = 0.0;
    for _ in 0..TURNS {
        let start = Instant::now();
        calls += turn();
        elapsed += start.elapsed();
        for far in far.iter_mut() {
            let mut message = [0; MESSAGE.len()];
            far.read_exact(&mut message).unwrap();
        }
    }
    Round { items: (TURNS * CONNECTIONS) as u64, calls, elapsed, cpu: Duration::ZERO }
}

fn connections_of() -> (Vec<TcpStream>, Vec<TcpStream>) {
    connections().into_iter().unzip()
}

pub(crate) fn run() {
    let (mut plain, mut plain_far) = connections_of();
    let (near, mut sink_far) = connections_of();
    let mut sinks: Vec<_> = near.into_iter().map(|near| FdSink::new(near).unwrap()).collect();
    let (near, mut set_far) = connections_of();
    let set = SinkSet::new(&Config::new().queue_depth(128).buffer_len(4096)).unwrap();
    let mut members: Vec<_> = near.into_iter().map(|near| set.add(near).unwrap()).collect();

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
        .ours("SinkSet", &[of(1.0, WRITE)], move || {
            round(&mut set_far, || {
                let before = set.enters();
                for sink in &mut members {
                    assert_eq!(sink.write(&[&MESSAGE]).unwrap(), Progress::Blocked);
                }
                set.submit(CONNECTIONS, None).unwrap();
                for sink in &mut members {
                    assert_eq!(sink.write(&[&MESSAGE]).unwrap(), Progress::Wrote(MESSAGE.len()));
                }
                (set.enters() - before) as f64
            })
        })
        .run(Duration::from_secs(4));
}
