//! One message every millisecond through a drainer that sleeps between them,
//! and as many as go: adaptive batches beside fixed ones, and beside what the
//! same hand-over takes by hand: a thread that is unparked and writes.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation, clippy::print_stdout)]

use std::{
    env,
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use forebay_benches::rounds::quartiles;
use forebay_linux::FdSink;
use forebay_std::{Config, Drainer, End, Snapshot, forebay::frame::Plain};

const MESSAGE_LEN: usize = 64;
/// Fixed batches that the adaptive one is set beside.
const FRAMES_MAX: [usize; 7] = [1, 4, 8, 16, 32, 64, usize::MAX];
const CADENCE: Duration = Duration::from_millis(1);

/// How much is done.
struct Effort {
    rounds: usize,
    /// Messages of a round, one every millisecond.
    messages: usize,
    /// How long a round of full load takes.
    load: Duration,
}

/// What a contender did in all rounds.
#[derive(Default)]
struct Times {
    /// Of each message in microseconds.
    latencies: Vec<f64>,
    /// Messages a second, of each round.
    rates: Vec<f64>,
    calls_a_message: Vec<f64>,
}

fn main() {
    let is_bench = env::args().any(|arg| arg == "--bench");
    let effort = if is_bench {
        Effort { rounds: 10, messages: 150, load: Duration::from_millis(200) }
    } else {
        Effort { rounds: 1, messages: 2, load: Duration::from_millis(1) }
    };
    let mut park = Times::default();
    let mut direct = Times::default();
    let mut by_hand = Times::default();
    let mut drained: Vec<Times> = FRAMES_MAX.iter().map(|_| Times::default()).collect();
    // All take turns, round by round: the machine is not the same all along.
    for round in 0..effort.rounds {
        park.latencies.extend(park_ping(effort.messages));
        direct.latencies.extend(direct_write(effort.messages));
        by_hand.latencies.extend(unpark_and_write(effort.messages));
        for place in 0..FRAMES_MAX.len() {
            let place = (round + place) % FRAMES_MAX.len();
            let (frames_max, times) = (FRAMES_MAX[place], &mut drained[place]);
            times.latencies.extend(one_by_one(frames_max, effort.messages));
            let (rate, snapshot) = full_load(frames_max, effort.load);
            times.rates.push(rate);
            let calls = snapshot.system_calls() as f64 / snapshot.ledger.delivered as f64;
            times.calls_a_message.push(calls);
        }
    }

    println!(
        "\none message of {MESSAGE_LEN} B every {CADENCE:?} ({} of each), and full load",
        effort.rounds * effort.messages
    );
    println!(
        "  {:<28}{:>9}{:>9}{:>9}{:>8}{:>12}{:>10}",
        "", "p50 us", "p99", "p99.9", "ratio", "Mmsg/s", "syscalls"
    );
    let base = percentile(&mut by_hand.latencies, 0.5);
    row("  wake-up by unpark", park, base);
    row("  write, no other thread", direct, base);
    row("  wake-up and write by hand", by_hand, base);
    for (frames_max, times) in FRAMES_MAX.into_iter().zip(drained) {
        match frames_max {
            usize::MAX => row("> adaptive", times, base),
            frames_max => row(&format!("  batches of {frames_max} at most"), times, base),
        }
    }
}

fn row(name: &str, mut times: Times, base: f64) {
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| percentile(&mut times.latencies, part));
    print!("{name:<30}{p50:>9.1}{p99:>9.1}{p999:>9.1}{:>8.2}", p50 / base);
    if times.rates.is_empty() {
        println!("{:>12}{:>10}", "-", "-");
    } else {
        let [_, rate, _] = quartiles(times.rates);
        let [_, calls, _] = quartiles(times.calls_a_message);
        println!("{:>12.2}{calls:>10.4}", rate / 1e6);
    }
}

fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part).round() as usize]
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

/// Sends at the cadence; `send` is given the number of the message.
fn paced(messages: usize, mut send: impl FnMut(usize)) {
    for number in 0..messages {
        thread::sleep(CADENCE);
        send(number);
    }
}

/// A thread that is parked, and what it is given: when, in nanoseconds.
struct Parked {
    given: Arc<AtomicU64>,
    thread: JoinHandle<Vec<f64>>,
}

impl Parked {
    /// Spawns it; it hands what it is given to `take`, of which the result is
    /// the thread's.
    fn spawn(mut take: impl FnMut(u64) -> Option<f64> + Send + 'static) -> Self {
        let given = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&given);
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::spawn(move || {
            ready.send(()).unwrap();
            let mut latencies = Vec::new();
            let mut last = 0;
            loop {
                thread::park();
                let at = seen.load(Ordering::Acquire);
                if at == u64::MAX {
                    return latencies;
                }
                // Two that come while it does not run are one.
                if at != last {
                    last = at;
                    latencies.extend(take(at));
                }
            }
        });
        is_ready.recv().unwrap();
        Self { given, thread }
    }

    fn give(&self, at: u64) {
        self.given.store(at, Ordering::Release);
        self.thread.thread().unpark();
    }

    fn end(self) -> Vec<f64> {
        thread::sleep(CADENCE);
        self.give(u64::MAX);
        self.thread.join().unwrap()
    }
}

fn nanos(begin: Instant) -> u64 {
    begin.elapsed().as_nanos() as u64
}

/// From unpark to the other thread's running: the least that any hand-over to
/// a thread that sleeps takes.
fn park_ping(messages: usize) -> Vec<f64> {
    let begin = Instant::now();
    let parked = Parked::spawn(move |at| Some(micros(begin + Duration::from_nanos(at))));
    paced(messages, |_| parked.give(nanos(begin)));
    parked.end()
}

/// From unpark to the read at the far end of what the other thread writes then:
/// the least that any hand-over to a thread that writes takes.
fn unpark_and_write(messages: usize) -> Vec<f64> {
    let (mut near, far) = UnixStream::pair().unwrap();
    let begin = Instant::now();
    let receiver = thread::spawn(move || receive(far, begin));
    let parked = Parked::spawn(move |at| {
        near.write_all(&message(at)).unwrap();
        None
    });
    paced(messages, |_| parked.give(nanos(begin)));
    parked.end();
    receiver.join().unwrap()
}

/// Reads messages that say when they were sent, until the stream ends.
fn receive(mut far: UnixStream, begin: Instant) -> Vec<f64> {
    let mut message = [0; MESSAGE_LEN];
    let mut latencies = Vec::new();
    while far.read_exact(&mut message).is_ok() {
        let at = u64::from_le_bytes(message[..8].try_into().unwrap());
        latencies.push(micros(begin + Duration::from_nanos(at)));
    }
    latencies
}

fn message(at: u64) -> [u8; MESSAGE_LEN] {
    let mut message = [0; MESSAGE_LEN];
    message[..8].copy_from_slice(&at.to_le_bytes());
    message
}

/// From the write of the sending thread itself to the read at the far end.
fn direct_write(messages: usize) -> Vec<f64> {
    let (mut near, far) = UnixStream::pair().unwrap();
    let begin = Instant::now();
    let receiver = thread::spawn(move || receive(far, begin));
    paced(messages, |_| near.write_all(&message(nanos(begin))).unwrap());
    drop(near);
    receiver.join().unwrap()
}

fn drainer(frames_max: usize, near: UnixStream) -> Drainer<Plain, FdSink<UnixStream>> {
    let config = Config::new().frames_max(frames_max).unwrap();
    Drainer::with_config(&config, Plain, FdSink::new(near).unwrap())
}

/// From `send` to the read at the far end, with the drainer asleep between.
fn one_by_one(frames_max: usize, messages: usize) -> Vec<f64> {
    let (near, far) = UnixStream::pair().unwrap();
    let begin = Instant::now();
    let receiver = thread::spawn(move || receive(far, begin));
    let running = drainer(frames_max, near).spawn().unwrap();
    let mut sender = running.sender(1 << 16).unwrap();
    paced(messages, |_| sender.send(&message(nanos(begin))).unwrap());
    drop(sender);
    drop(running.join());
    let latencies = receiver.join().unwrap();
    assert_eq!(latencies.len(), messages);
    latencies
}

/// Messages a second that arrive while a sender does nothing else.
fn full_load(frames_max: usize, load: Duration) -> (f64, Snapshot) {
    let (near, mut far) = UnixStream::pair().unwrap();
    let receiver = thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(1..) = far.read(&mut buffer) {}
    });
    let running = drainer(frames_max, near).spawn().unwrap();
    let mut sender = running.sender(1 << 16).unwrap();
    let message = [7; MESSAGE_LEN];
    let ended = Arc::new(AtomicBool::new(false));
    let (end, begin) = (Arc::clone(&ended), Instant::now());
    let sending = thread::spawn(move || {
        while !end.load(Ordering::Relaxed) {
            if sender.send(&message).is_err() {
                thread::yield_now();
            }
        }
    });
    thread::sleep(load);
    ended.store(true, Ordering::Relaxed);
    sending.join().unwrap();
    let shutdown = running.join();
    assert!(matches!(shutdown.end(), End::Delivered), "{}", shutdown.end());
    let snapshot = shutdown.snapshot();
    drop(shutdown); // ends the stream
    receiver.join().unwrap();
    (snapshot.ledger.delivered as f64 / begin.elapsed().as_secs_f64(), snapshot)
}
