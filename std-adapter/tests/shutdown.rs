//! The end: what was accepted is delivered, or shown and counted, whatever
//! fails and wherever it runs.

mod common;

use std::{
    io::{self, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use common::{FORMAT, far, gated::Gated, message, payloads, watchdog, wire_of};
use forebay_std::{
    ChannelId, Drainer, End, SendError, SenderError, SharedSender, Shutdown, Wait, WriteSink,
    forebay::{
        Progress, Sink,
        frame::{Decode, Encode, EncodeError, Step},
        pump::Undelivered,
    },
};

/// The undelivered messages of each channel, taken out of their frames.
fn undelivered<F, S>(
    shutdown: &mut Shutdown<F, S>,
    format: &impl Decode,
) -> Vec<(ChannelId, Vec<u8>)>
where
    F: Encode,
    S: Sink<Error = io::Error> + Wait,
{
    let mut messages = Vec::new();
    shutdown.for_each_undelivered(|channel, left| match left {
        Undelivered::Message(message) => messages.push((channel, message.to_vec())),
        Undelivered::Frame(frame) => {
            let mut frame = frame.to_vec();
            let Step::Frame { payload, .. } = format.decode(&mut frame, 0) else {
                panic!("not a frame: {frame:?}");
            };
            messages.push((channel, frame[payload].to_vec()));
        }
    });
    messages
}

#[test]
fn what_was_accepted_is_delivered_though_its_senders_live() {
    let _held = watchdog("a clean shut-down");
    let drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new())).spawn().unwrap();
    let mut alone = drainer.sender(1 << 12).unwrap();
    let mut shared = drainer.channel().shared().unwrap();
    let registrar = drainer.registrar();
    for number in 0..100 {
        alone.send(&message(0, number)).unwrap();
        shared.send(&message(1, number)).unwrap();
    }
    let mut shutdown = drainer.shutdown(far());
    assert!(matches!(shutdown.end(), End::Delivered), "{}", shutdown.end());
    assert_eq!(shutdown.ledger().delivered, 200);
    assert!(shutdown.ledger().balances(0));
    assert_eq!(undelivered(&mut shutdown, &FORMAT), []);

    assert_eq!(alone.send(b"late"), Err(SendError::Closed));
    assert_eq!(shared.clone().send(b"late"), Err(SendError::Closed));
    assert_eq!(registrar.sender(64).unwrap_err(), SenderError::Closed);
    let ledger = shutdown.ledger();
    assert_eq!((ledger.refused, ledger.in_flight()), (2, 0));
    assert_eq!(payloads(&shutdown.into_sink().into_inner()[..], FORMAT).len(), 200);
}

/// A sink that is blocked for ever: the deadline ends it, asleep or awake.
#[test]
fn a_deadline_leaves_the_rest_and_shows_it() {
    let _held = watchdog("a deadline");
    for spawned in [false, true] {
        let sink = Gated::default();
        let mut drainer =
            Drainer::with_pump(|pump| pump.borrow_from(40).frames_max(3), FORMAT, sink.clone());
        let mut first = drainer.sender(1 << 10).unwrap();
        let mut second = drainer.sender(1 << 10).unwrap();
        let mut expected = Vec::new();
        let mut send = |sender: &mut forebay_std::Sender, message: &[u8]| {
            sender.send(message).unwrap();
            expected.push((sender.channel(), message.to_vec()));
        };
        // Some in the batch, one of them lent, the rest in the rings.
        for number in 0..4 {
            send(&mut first, &message(1, number));
            send(&mut first, &[1; 50]);
            send(&mut second, &message(2, number));
        }
        let deadline = Instant::now() + Duration::from_millis(10);
        let mut shutdown = if spawned {
            let drainer = drainer.spawn().unwrap();
            sink.until_blocked();
            drainer.shutdown(deadline)
        } else {
            drainer.shutdown(deadline)
        };
        assert!(matches!(shutdown.end(), End::Deadline), "{}", shutdown.end());
        let left = undelivered(&mut shutdown, &FORMAT);
        assert_eq!(undelivered(&mut shutdown, &FORMAT), left, "shown, not taken");
        let mut sorted = left.clone();
        sorted.sort_by_key(|(channel, _)| *channel);
        expected.sort_by_key(|(channel, _)| *channel);
        assert_eq!(sorted, expected);
        for counts in shutdown.channels() {
            let of = left.iter().filter(|(channel, _)| *channel == counts.channel);
            assert!(counts.ledger.balances(of.count() as u64));
        }
        assert_eq!(shutdown.ledger().in_flight(), 12);

        // All of it can still leave another way.
        sink.open();
        let mut drainer = shutdown.into_drainer();
        drainer.flush().unwrap();
        assert_eq!(drainer.ledger().delivered, 12);
        assert_eq!(payloads(&sink.wire()[..], FORMAT).len(), 12);
        assert_eq!(first.send(b"late"), Err(SendError::Closed));
    }
}

/// Takes so many bytes in all, then fails or panics.
#[derive(Clone)]
struct Failing {
    room: usize,
    panics: bool,
    /// The bytes that it took.
    taken: Arc<AtomicUsize>,
}

impl Sink for Failing {
    type Error = io::Error;

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        if self.room == 0 {
            if self.panics {
                // Without the hook, which would print each of them.
                std::panic::resume_unwind(Box::new("no room"));
            }
            return Err(ErrorKind::BrokenPipe.into());
        }
        let len = slices.iter().map(|slice| slice.len()).sum::<usize>().min(self.room);
        self.room -= len;
        self.taken.fetch_add(len, Ordering::Relaxed);
        Ok(Progress::Wrote(len))
    }
}

impl Wait for Failing {
    fn wait(&mut self, _: Option<Instant>) -> io::Result<()> {
        unreachable!("this sink is never blocked");
    }
}

/// A sink that fails or panics after any number of bytes, on the drainer's own
/// thread or on the caller's: what has not left whole is shown, and no sender
/// goes on into the void.
#[test]
fn after_a_failure_in_any_place_everything_is_delivered_or_shown() {
    const LONG: [u8; 40] = [7; 40];
    const MESSAGES: [&[u8]; 4] = [b"one", &LONG, b"two", b"three"];
    let _held = watchdog("failures");
    let ends: Vec<usize> =
        (0..=MESSAGES.len()).map(|count| wire_of(&FORMAT, &MESSAGES[..count]).len()).collect();
    for room in 0..ends[MESSAGES.len()] {
        for (panics, spawned) in [(false, false), (false, true), (true, true)] {
            let taken = Arc::default();
            let sink = Failing { room, panics, taken: Arc::clone(&taken) };
            let mut drainer = Drainer::with_pump(|pump| pump.borrow_from(LONG.len()), FORMAT, sink);
            let mut sender = drainer.sender(1 << 10).unwrap();
            MESSAGES.iter().for_each(|message| sender.send(message).unwrap());
            let mut shutdown = if spawned {
                let running = drainer.spawn().unwrap();
                let counters = running.counters();
                // Its thread ends though the sender lives.
                let shutdown = running.join();
                assert_eq!(counters.snapshot().ledger, shutdown.ledger());
                shutdown
            } else {
                drainer.shutdown(far())
            };
            match shutdown.end() {
                End::Failed(error) if !panics => assert_eq!(error.kind(), ErrorKind::BrokenPipe),
                End::Panicked(panic) if panics => {
                    assert_eq!(panic.downcast_ref(), Some(&"no room"));
                }
                end => panic!("{end}"),
            }
            assert_eq!(taken.load(Ordering::Relaxed), room);
            let whole = ends.iter().rposition(|end| *end <= room).unwrap();
            assert_eq!(shutdown.ledger().delivered, whole as u64);
            let left: Vec<_> =
                undelivered(&mut shutdown, &FORMAT).into_iter().map(|(_, left)| left).collect();
            assert_eq!(left, MESSAGES[whole..]);
            assert!(shutdown.ledger().balances(left.len() as u64));
            assert_eq!(sender.send(b"late"), Err(SendError::Closed));
        }
    }
}

#[test]
fn the_thread_ends_when_all_senders_are_gone() {
    const SENDERS: u32 = 5;
    let _held = watchdog("join");
    let drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new())).spawn().unwrap();
    thread::scope(|threads| {
        for name in 0..SENDERS {
            let registrar = drainer.registrar();
            threads.spawn(move || {
                let mut sender = registrar.sender(1 << 10).unwrap();
                (0..10).for_each(|number| sender.send(&message(name, number)).unwrap());
            });
        }
    });
    assert!(!drainer.is_ended(), "a sender may still be made");
    let shutdown = drainer.join();
    assert!(matches!(shutdown.end(), End::Delivered), "{}", shutdown.end());
    assert_eq!(shutdown.ledger().delivered, u64::from(10 * SENDERS));
    assert!(shutdown.ledger().balances(0));
}

/// A thread that dies in the middle of everything: what it sent is delivered,
/// what it was writing was never offered.
#[test]
fn a_sender_that_dies_takes_nothing_along() {
    let _held = watchdog("a sender that dies");
    let drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new())).spawn().unwrap();
    let mut alone = drainer.sender(1 << 10).unwrap();
    let shared = drainer.channel().capacity(1 << 10).shared().unwrap();
    thread::scope(|threads| {
        let mut clone = shared.clone();
        let dies = |sent: Result<(), SendError>| panic!("in send_with, and so not here: {sent:?}");
        let dying = [
            threads.spawn(move || {
                alone.send(b"before").unwrap();
                dies(alone.send_with(6, |_| std::panic::resume_unwind(Box::new(()))));
            }),
            threads.spawn(move || {
                clone.send(b"before").unwrap();
                dies(clone.send_with(6, |_| std::panic::resume_unwind(Box::new(()))));
            }),
        ];
        dying.into_iter().for_each(|thread| drop(thread.join().unwrap_err()));
    });
    // What comes behind the hole that the clone has left arrives.
    let mut shared = shared;
    shared.send(b"behind").unwrap();
    drop(shared);
    let shutdown = drainer.join();
    let ledger = shutdown.ledger();
    assert_eq!((ledger.offered, ledger.delivered), (3, 3));
    assert!(ledger.balances(0), "{ledger}");
}

/// Shut down from elsewhere while it sleeps, with the sender alive.
#[test]
fn a_drainer_that_sleeps_hears_that_it_is_to_end() {
    const ROUNDS: u32 = 500;
    let _held = watchdog("a drainer that sleeps");
    for _ in 0..ROUNDS {
        let drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new())).spawn().unwrap();
        let sender = drainer.sender(64).unwrap();
        let shutdown = drainer.shutdown(far());
        assert!(matches!(shutdown.end(), End::Delivered));
        drop(sender);
    }
}

/// The deadline of a shut-down that came too late, as the sink had failed
/// before it, is not that of whoever goes on.
#[test]
fn a_deadline_that_nobody_heard_of_ends_nothing_later() {
    let _held = watchdog("a deadline too late");
    let sink = Failing { room: 5, panics: false, taken: Arc::default() };
    let drainer = Drainer::with_pump(|pump| pump.frames_max(1), FORMAT, sink).spawn().unwrap();
    let mut sender = drainer.sender(1 << 10).unwrap();
    (0..4).for_each(|number| sender.send(&message(0, number)).unwrap());
    while !drainer.is_ended() {
        thread::yield_now();
    }
    let shutdown = drainer.shutdown(Instant::now());
    assert!(matches!(shutdown.end(), End::Failed(_)), "{}", shutdown.end());
    let mut drainer = shutdown.into_drainer();
    drainer.sink_mut().room = usize::MAX;
    drainer.flush().unwrap();
    assert_eq!(drainer.ledger().delivered, 4);
}

/// Clones that come and go all the time keep nobody from the end: a sink that
/// drops one whenever the drainer has nothing to do.
#[test]
fn clones_that_come_and_go_do_not_hold_up_the_end() {
    #[derive(Default)]
    struct Clones(Option<SharedSender>);
    impl Sink for Clones {
        type Error = io::Error;
        fn write(&mut self, _: &[&[u8]]) -> io::Result<Progress> {
            unreachable!("nothing is sent");
        }
    }
    impl Wait for Clones {
        fn wait(&mut self, _: Option<Instant>) -> io::Result<()> {
            unreachable!("this sink is never blocked");
        }
        fn flush(&mut self) -> io::Result<()> {
            drop(self.0.clone());
            Ok(())
        }
    }
    let mut drainer = Drainer::new(FORMAT, Clones::default());
    drainer.sink_mut().0 = Some(drainer.channel().shared().unwrap());
    let shutdown = drainer.shutdown(Instant::now() + Duration::from_secs(2));
    assert!(matches!(shutdown.end(), End::Delivered), "{}", shutdown.end());
}

/// A format that panics in some message, alone or in a group.
struct Picky;

impl Encode for Picky {
    fn frame_len_max(&self, payload_len: usize) -> usize {
        Encode::frame_len_max(&FORMAT, payload_len)
    }

    fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, EncodeError> {
        if payload == b"picked" {
            // Without the hook, which would print each of them.
            std::panic::resume_unwind(Box::new("not this one"));
        }
        FORMAT.encode(payload, out)
    }
}

/// The message that the format panics in, and all behind it, are still there.
#[test]
fn after_a_format_that_panics_everything_is_delivered_or_shown() {
    let _held = watchdog("a format that panics");
    for group in [false, true] {
        let mut drainer = Drainer::new(Picky, WriteSink::new(Vec::new()));
        let mut sender = drainer.sender(1 << 10).unwrap();
        let mut other = drainer.sender(1 << 10).unwrap();
        sender.send(b"before").unwrap();
        if group {
            sender.send_group(&[b"first", b"picked", b"last"]).unwrap();
        } else {
            sender.send(b"picked").unwrap();
        }
        sender.send(b"behind").unwrap();
        other.send(b"other").unwrap();
        let mut shutdown = drainer.spawn().unwrap().join();
        assert!(matches!(shutdown.end(), End::Panicked(_)), "{}", shutdown.end());
        let left = undelivered(&mut shutdown, &FORMAT);
        let of = |channel| {
            let left = left.iter().filter(move |(other, _)| *other == channel);
            left.map(|(_, message)| &message[..]).collect::<Vec<_>>()
        };
        let sent: &[&[u8]] = if group {
            &[b"before", b"first", b"picked", b"last", b"behind"]
        } else {
            &[b"before", b"picked", b"behind"]
        };
        assert_eq!(of(sender.channel()), sent);
        assert_eq!(of(other.channel()), [b"other"]);
        assert!(shutdown.ledger().balances(left.len() as u64), "{}", shutdown.ledger());

        // Again, and again nothing is lost.
        let mut drainer = shutdown.into_drainer();
        assert!(catch_unwind(AssertUnwindSafe(|| drainer.flush())).is_err());
        let mut again = Vec::new();
        drainer.for_each_undelivered(|channel, _| again.push(channel));
        assert_eq!(again.len(), left.len());
    }
}

/// Whoever is shown what is left and panics moves nothing.
#[test]
fn a_panic_while_the_rest_is_shown_loses_none_of_it() {
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let mut sender = drainer.sender(1 << 10).unwrap();
    (0..3).for_each(|number| sender.send(&message(0, number)).unwrap());
    let shown = catch_unwind(AssertUnwindSafe(|| {
        drainer.for_each_undelivered(|_, _| std::panic::resume_unwind(Box::new(())));
    }));
    assert!(shown.is_err());
    drainer.flush().unwrap();
    assert_eq!(drainer.ledger().delivered, 3);
}
