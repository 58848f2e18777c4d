//! Everything at once, by seeds: channels of all policies that come and go,
//! senders that stall, clone, panic and leave, a sink that goes short, blocks,
//! fails and panics, and an end at any time. Whatever happens, the ledger
//! balances to the message.

mod common;

use std::{
    collections::BTreeMap,
    hint,
    io::{self, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use common::{FORMAT, far, watchdog};
use forebay_std::{
    Drained, Drainer, FrameReader, Policy, Registrar, SendError, Sender, SenderError, Wait,
    forebay::{
        Ledger, Progress, Sink,
        checksum::Crc32,
        frame::{Prefixed, Reason},
        ring::{Many, One},
    },
};

const THREADS: u64 = 3;
/// What each thread does.
const STEPS: u32 = 400;
/// The longest message; the heads of all are alike.
const LEN_MAX: usize = 60;
const HEAD_LEN: usize = 12;
/// In place of a sender's name, in reports of losses.
const REPORT: u32 = u32::MAX;

/// A sequence of numbers that its seed determines (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        // The first numbers of small seeds are small.
        for _ in 0..8 {
            random.below(1);
        }
        random
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn size(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap()
    }

    /// Stalls, now and then.
    fn stall(&mut self) {
        match self.below(16) {
            0 => (0..self.below(20)).for_each(|_| thread::yield_now()),
            1 => (0..self.below(2000)).for_each(|_| hint::spin_loop()),
            _ => {}
        }
    }
}

/// Takes what it likes of each write.
struct Moody {
    random: Random,
    /// Fails and panics no more.
    calm: bool,
    wire: Vec<u8>,
}

impl Sink for Moody {
    type Error = io::Error;

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        self.random.stall();
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        let len = match self.random.below(32) {
            0..4 => 1 + self.random.size(len),
            4..6 => return Ok(Progress::Blocked),
            6 if !self.calm => return Err(ErrorKind::Other.into()),
            7 if !self.calm => resume_unwind(Box::new("moody")),
            _ => len,
        };
        self.wire.extend(slices.iter().copied().flatten().take(len));
        Ok(Progress::Wrote(len))
    }
}

impl Wait for Moody {
    fn wait(&mut self, _: Option<Instant>) -> io::Result<()> {
        thread::yield_now();
        if self.random.one_in(8) { Err(ErrorKind::Other.into()) } else { Ok(()) }
    }
}

/// A sender of either kind, which numbers its messages.
struct Named {
    name: u32,
    next: u32,
    sender: Kind,
}

enum Kind {
    Alone(Sender<One>),
    Shared(Sender<Many>),
}

/// Calls the same method of either kind.
macro_rules! either {
    ($named:expr, $sender:ident => $call:expr) => {
        match &mut $named.sender {
            Kind::Alone($sender) => $call,
            Kind::Shared($sender) => $call,
        }
    };
}

impl Named {
    /// The sender, the number, and how many of the group are to follow.
    fn message(&mut self, left: u32, len: usize) -> Vec<u8> {
        let mut message = vec![0; len.max(HEAD_LEN)];
        for (place, word) in message.chunks_exact_mut(4).zip([self.name, self.next, left]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        self.next += 1;
        message
    }

    fn send(&mut self, random: &mut Random) {
        let sent = match random.below(8) {
            0 => {
                let count = 1 + u32::try_from(random.below(4)).unwrap();
                let group: Vec<Vec<u8>> =
                    (0..count).rev().map(|left| self.message(left, random.size(20))).collect();
                let group: Vec<&[u8]> = group.iter().map(Vec::as_slice).collect();
                either!(self, sender => sender.send_group(&group))
            }
            1 => {
                let len = HEAD_LEN + random.size(LEN_MAX);
                let panics = catch_unwind(AssertUnwindSafe(
                    || either!(self, sender => sender.send_with(len, |_| resume_unwind(Box::new(())))),
                ));
                // Refused before it was called.
                panics.unwrap_or(Ok(()))
            }
            _ => {
                let message = self.message(0, random.size(LEN_MAX));
                either!(self, sender => sender.send_with(message.len(), |room| {
                    random.stall();
                    room.copy_from_slice(&message);
                }))
            }
        };
        match sent {
            Err(SendError::TooLong { len, len_max }) => assert!(len > len_max),
            Err(error @ (SendError::Full { .. } | SendError::Busy { .. })) => {
                // Either says so for itself; no waiting sender says it.
                assert!(error.to_string().contains("bytes needed"));
            }
            _ => {}
        }
    }

    fn ledger(&mut self) -> Ledger {
        either!(self, sender => sender.ledger())
    }
}

/// What the senders of a round share.
struct Round {
    names: AtomicU32,
    /// Threads that still send.
    active: AtomicUsize,
}

impl Round {
    fn named(&self, sender: Kind) -> Named {
        Named { name: self.names.fetch_add(1, Ordering::Relaxed), next: 0, sender }
    }

    /// A channel of any kind; none when there is no lane or no drainer.
    fn channel(&self, registrar: &Registrar, random: &mut Random) -> Option<Named> {
        let policy = match random.below(4) {
            0 => Policy::Overwrite,
            1 => Policy::Wait(Duration::from_micros(random.below(2000))),
            2 => Policy::Wait(Duration::MAX),
            _ => Policy::Refuse,
        };
        let mut channel = registrar
            .channel()
            .capacity(64 << random.below(4))
            .policy(policy)
            .priority(u8::try_from(random.below(3)).unwrap());
        if random.one_in(3) {
            channel = channel.report(|losses, out| {
                out[..4].copy_from_slice(&REPORT.to_le_bytes());
                out[4..12].copy_from_slice(&losses.total().to_le_bytes());
                HEAD_LEN
            });
        }
        let made = if random.one_in(2) {
            channel.sender().map(Kind::Alone)
        } else {
            channel.shared().map(Kind::Shared)
        };
        match made {
            Ok(sender) => Some(self.named(sender)),
            Err(SenderError::NoLane(_) | SenderError::Closed) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Does anything with some senders; what they have counted together.
    fn send(&self, registrar: &Registrar, mut random: Random) -> Ledger {
        let mut senders: Vec<Named> = Vec::new();
        let mut sum = Ledger::default();
        for _ in 0..STEPS {
            random.stall();
            let at = random.size(senders.len().max(1));
            match (random.below(40), senders.get_mut(at)) {
                (0, _) | (_, None) => senders.extend(self.channel(registrar, &mut random)),
                (1, Some(_)) => sum = sum + senders.swap_remove(at).ledger(),
                (2, Some(Named { sender: Kind::Shared(shared), .. })) => {
                    let clone = Kind::Shared(shared.clone());
                    senders.push(self.named(clone));
                }
                (_, Some(sender)) => sender.send(&mut random),
            }
        }
        self.active.fetch_sub(1, Ordering::Release);
        // Told the drainer by their leave.
        sum + senders.into_iter().map(|mut sender| sender.ledger()).sum()
    }
}

/// Drains in pieces of any length, through whatever the sink does, until the
/// senders are through or, now and then, before that.
fn drain<S>(drainer: &mut Drainer<Prefixed<Crc32>, S>, round: &Round, random: &mut Random)
where
    S: Sink<Error = io::Error> + Wait,
{
    let early = random.one_in(2);
    while round.active.load(Ordering::Acquire) > 0 {
        let deadline = Instant::now() + Duration::from_micros(random.below(300));
        // What fails or panics goes on as it was.
        let drained = catch_unwind(AssertUnwindSafe(|| match random.below(8) {
            0 => drainer.flush_until(deadline),
            1 => {
                let _counts = drainer.channels();
                Ok(Drained::Idle)
            }
            2 => {
                drainer.for_each_undelivered(|_, _| {});
                Ok(Drained::Idle)
            }
            _ => drainer.run_until(deadline),
        }));
        drop(drained);
        if early && random.one_in(40) {
            return;
        }
    }
}

/// The payloads of a stream that may end within a frame.
fn whole(wire: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = FrameReader::new(wire, FORMAT);
    let mut payloads = Vec::new();
    while frames.fill().unwrap() {
        loop {
            match frames.next_frame() {
                Ok(Some(frame)) => payloads.push(frame.payload.to_vec()),
                Ok(None) => break,
                Err(damage) => {
                    assert!(matches!(damage.reason, Reason::Truncated { .. }), "{damage}");
                    return payloads;
                }
            }
        }
    }
    payloads
}

/// The messages of a stream are whole, in each sender's order, and groups are
/// side by side; how many there are, and how many reports.
fn check(wire: &[u8]) -> (u64, u64) {
    let (mut messages, mut reports) = (0, 0);
    let mut next = BTreeMap::new();
    let mut within: Option<[u32; 3]> = None;
    for payload in whole(wire) {
        let word = |at: usize| u32::from_le_bytes(payload[at..at + 4].try_into().unwrap());
        let [name, number, left] = [word(0), word(4), word(8)];
        if let Some(expected) = within {
            assert_eq!([name, number, left], expected, "within a group");
        }
        if name == REPORT {
            reports += 1;
            continue;
        }
        let next = next.entry(name).or_insert(0);
        assert!(number >= *next, "of sender {name}: {number} behind {next}");
        *next = number + 1;
        messages += 1;
        within = (left > 0).then(|| [name, number + 1, left - 1]);
    }
    (messages, reports)
}

fn round(seed: u64) {
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let sink = Moody { random: Random::new(!seed), calm: false, wire: Vec::new() };
    let limits = (random.size(200), 1 + random.size(20), 1 + random.size(500));
    let mut drainer = Drainer::with_pump(
        |pump| pump.borrow_from(limits.0).frames_max(limits.1).len_max(limits.2),
        FORMAT,
        sink,
    );
    let counters = drainer.counters();
    let registrar = drainer.registrar();
    let round = Round {
        names: AtomicU32::new(0),
        active: AtomicUsize::new(usize::try_from(THREADS).unwrap()),
    };
    let (sent, mut shutdown) = thread::scope(|threads| {
        let round = &round;
        let sending: Vec<_> = (0..THREADS)
            .map(|thread| {
                let registrar = registrar.clone();
                let random = Random::new(seed << 8 | thread);
                threads.spawn(move || round.send(&registrar, random))
            })
            .collect();
        drop(registrar);
        drain(&mut drainer, round, &mut random);
        // The end, in time or not, as often as the sink takes to come to it.
        let mut end = if random.one_in(2) { far() } else { Instant::now() };
        let shutdown = loop {
            drainer.close();
            let flushed = catch_unwind(AssertUnwindSafe(|| drainer.flush_until(end)));
            match flushed {
                Ok(Ok(_)) => {
                    drainer.sink_mut().calm = true;
                    break drainer.shutdown(Instant::now());
                }
                // A sink that never recovers is given up.
                _ if random.one_in(20) => end = Instant::now(),
                _ => {}
            }
        };
        let sent: Ledger = sending.into_iter().map(|thread| thread.join().unwrap()).sum();
        (sent, shutdown)
    });

    let mut left = 0;
    shutdown.for_each_undelivered(|_, _| left += 1);
    let snapshot = counters.snapshot();
    let ledger = snapshot.ledger;
    assert!(ledger.balances(left), "seed {seed}: {ledger}, {left} left");
    assert_eq!(
        (ledger.offered, ledger.accepted, ledger.refused, ledger.busy, ledger.overwritten),
        (sent.offered, sent.accepted, sent.refused, sent.busy, sent.overwritten),
        "seed {seed}: what the senders know"
    );
    let (messages, reports) = check(&shutdown.sink().wire);
    assert_eq!((messages, reports), (ledger.delivered, snapshot.reports), "seed {seed}");
}

#[test]
fn the_ledger_balances_whatever_happens() {
    let _held = watchdog("the stress of the drainer");
    (0..60).for_each(round);
}

#[test]
#[ignore = "minutes; by command"]
fn the_ledger_balances_for_many_seeds() {
    for seed in 60..20_000 {
        let _held = watchdog("the stress of the drainer");
        round(seed);
    }
}
