//! The drainer with real threads: nothing is lost that is not counted, no
//! wake-up is lost, and whatever fails can be resumed.

mod common;

use std::{
    collections::BTreeMap,
    hint,
    io::{self, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use common::{FORMAT, dawdle, far, gated::Gated, message, names, payloads, watchdog, wire_of};
use forebay_std::{
    Drained, Drainer, FrameReader, NoLane, SENDERS_MAX, SendError, Sender, SenderError, Wait,
    WriteSink,
    forebay::{
        Ledger, Progress, Pump, Sink,
        checksum::Crc32,
        frame::{Plain, Prefixed},
    },
};

#[test]
fn many_senders_balance_to_the_message_and_keep_their_order() {
    const SENDERS: u32 = 8;
    const MESSAGES: u32 = 5_000;
    let _held = watchdog("many senders");
    let (reader, writer) = io::pipe().unwrap();
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(writer));
    // Small rings, so that many are refused.
    let senders: Vec<Sender> = (0..SENDERS).map(|_| drainer.sender(512).unwrap()).collect();

    let (received, sent, drained) = thread::scope(|threads| {
        let reader = threads.spawn(|| payloads(reader, FORMAT));
        let senders: Vec<_> = (0..)
            .zip(senders)
            .map(|(name, mut sender)| {
                threads.spawn(move || {
                    let mut refused = 0;
                    for number in 0..MESSAGES {
                        while let Err(error) = sender.send(&message(name, number)) {
                            assert!(matches!(error, SendError::Full { .. }), "{error}");
                            refused += 1;
                            thread::yield_now();
                        }
                    }
                    let ledger = sender.ledger();
                    assert_eq!((ledger.accepted, ledger.refused), (MESSAGES.into(), refused));
                    ledger
                })
            })
            .collect();
        drainer.run().unwrap();
        let drained = drainer.ledger();
        drop(drainer);
        let sent: Ledger = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
        (reader.join().unwrap(), sent, drained)
    });

    let ledger = sent + drained;
    assert!(ledger.balances(0), "{ledger}");
    assert_eq!(ledger.delivered, u64::from(SENDERS * MESSAGES));
    let mut next = BTreeMap::new();
    for payload in &received {
        let (sender, number) = names(payload);
        let next = next.entry(sender).or_insert(0);
        assert_eq!(number, *next, "of sender {sender}");
        *next += 1;
    }
    assert_eq!(next, (0..SENDERS).map(|sender| (sender, MESSAGES)).collect());
}

#[test]
fn while_the_sink_is_blocked_refusals_are_counted_and_nothing_else_is_lost() {
    let _held = watchdog("a blocked sink");
    let sink = Gated::default();
    let mut drainer = Drainer::new(FORMAT, sink.clone());
    let mut sender = drainer.sender(1 << 12).unwrap();
    let (accepted, ledger) = thread::scope(|threads| {
        let drainer = threads.spawn(|| {
            drainer.run().unwrap();
            drainer.ledger()
        });
        let (mut accepted, mut number) = (Vec::new(), 0);
        while sender.ledger().refused < 100 {
            match sender.send(&message(0, number)) {
                Ok(()) => accepted.push(message(0, number)),
                Err(SendError::Full { needed, free }) => assert!(needed > free),
                Err(error) => panic!("{error}"),
            }
            number += 1;
        }
        assert_eq!(sender.ledger().offered, u64::from(number));
        assert_eq!(sink.wire(), [], "the sink was blocked all along");
        sink.open();
        let sent = sender.ledger();
        drop(sender);
        (accepted, sent + drainer.join().unwrap())
    });
    assert!(ledger.balances(0), "{ledger}");
    assert_eq!((ledger.refused, ledger.delivered), (100, accepted.len() as u64));
    assert_eq!(sink.wire(), wire_of(&FORMAT, &accepted));
}

#[test]
fn a_deadline_ends_a_run_asleep_blocked_or_busy() {
    let _held = watchdog("a deadline");
    let sink = Gated::default();
    let mut drainer = Drainer::new(FORMAT, sink.clone());
    let mut sender = drainer.sender(1 << 10).unwrap();
    // Asleep.
    assert_eq!(drainer.run_until(Instant::now()).unwrap(), Drained::Deadline);
    assert_eq!(drainer.flush_until(Instant::now()).unwrap(), Drained::Idle);
    // Blocked.
    sender.send(b"kept").unwrap();
    let soon = || Instant::now() + Duration::from_millis(1);
    assert_eq!(drainer.run_until(soon()).unwrap(), Drained::Deadline);
    assert_eq!(drainer.flush_until(soon()).unwrap(), Drained::Deadline);
    assert_eq!((sender.ledger() + drainer.ledger()).in_flight(), 1);
    // A deadline that has passed allows one write still.
    sink.open();
    assert_eq!(drainer.run_until(Instant::now()).unwrap(), Drained::Deadline);
    assert_eq!(sink.wire(), wire_of(&FORMAT, &[b"kept"]));
    assert_eq!(drainer.flush_until(far()).unwrap(), Drained::Idle);
    drop(sender);
    assert_eq!(drainer.flush_until(far()).unwrap(), Drained::Finished);
    assert_eq!(drainer.run_until(Instant::now()).unwrap(), Drained::Finished);
}

/// Each message is awaited at the far end before the next is sent, so that the
/// drainer goes to sleep between them.
#[test]
fn no_wake_up_is_lost_between_single_messages() {
    const ROUNDS: u32 = 20_000;
    let _held = watchdog("single messages");
    let (reader, writer) = io::pipe().unwrap();
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(writer));
    let mut senders = [drainer.sender(512).unwrap(), drainer.sender(512).unwrap()];
    thread::scope(|threads| {
        let drainer = threads.spawn(|| {
            drainer.run().unwrap();
            drainer.ledger()
        });
        let mut frames = FrameReader::new(reader, FORMAT);
        for round in 0..ROUNDS {
            senders[round as usize % 2].send(&message(round % 2, round)).unwrap();
            loop {
                if let Some(frame) = frames.next_frame().unwrap() {
                    assert_eq!(names(frame.payload), (round % 2, round));
                    break;
                }
                assert!(frames.fill().unwrap());
            }
        }
        drop(senders);
        assert_eq!(drainer.join().unwrap().delivered, u64::from(ROUNDS));
    });
}

#[test]
fn a_sender_that_goes_finishes_the_run() {
    const ROUNDS: u64 = 2_000;
    let _held = watchdog("senders that go");
    for round in 0..ROUNDS {
        let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
        let senders = [drainer.sender(64).unwrap(), drainer.sender(64).unwrap()];
        thread::scope(|threads| {
            for mut sender in senders {
                threads.spawn(move || {
                    if round % 2 == 0 {
                        sender.send(b"last words").unwrap();
                    }
                });
            }
            drainer.run().unwrap();
        });
        assert_eq!(drainer.ledger().delivered, (round + 1) % 2 * 2);
    }
}

/// The last sender goes in the very moment in which the drainer, idle, decides
/// to sleep: not to be seen finished before and not to be rung for after.
#[test]
fn a_sender_that_goes_while_the_drainer_falls_asleep_finishes_the_run() {
    const ROUNDS: u32 = 40_000;
    struct Idle<'i> {
        idle: &'i AtomicU32,
        round: u32,
        random: u32,
    }
    impl Sink for Idle<'_> {
        type Error = io::Error;
        fn write(&mut self, _: &[&[u8]]) -> io::Result<Progress> {
            unreachable!("nothing is sent");
        }
    }
    impl Wait for Idle<'_> {
        fn wait(&mut self, _: Option<Instant>) -> io::Result<()> {
            unreachable!("this sink is never blocked");
        }
        fn flush(&mut self) -> io::Result<()> {
            self.idle.store(self.round, Ordering::Release);
            dawdle(&mut self.random);
            Ok(())
        }
    }
    let _held = watchdog("a sender that goes");
    let idle = AtomicU32::new(0);
    let (give, given) = mpsc::channel::<Sender>();
    thread::scope(|threads| {
        threads.spawn(|| {
            let mut random = 1;
            for (round, sender) in (1..).zip(given) {
                while idle.load(Ordering::Acquire) < round {
                    hint::spin_loop();
                }
                dawdle(&mut random);
                drop(sender);
            }
        });
        for round in 1..=ROUNDS {
            let mut drainer = Drainer::new(FORMAT, Idle { idle: &idle, round, random: !round });
            give.send(drainer.sender(64).unwrap()).unwrap();
            drainer.run().unwrap();
        }
        drop(give);
    });
    assert_eq!(idle.into_inner(), ROUNDS);
}

#[test]
fn a_sender_that_panics_leaves_whole_messages_and_finishes_the_run() {
    let _held = watchdog("a sender that panics");
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let mut sender = drainer.sender(1 << 10).unwrap();
    thread::scope(|threads| {
        let sending = threads.spawn(move || {
            sender.send(b"before").unwrap();
            sender.send_with(6, |room| {
                room[..3].copy_from_slice(b"hal");
                panic!("half written");
            })
        });
        drainer.run().unwrap();
        assert!(sending.join().is_err());
    });
    assert_eq!(drainer.sink().writer(), &wire_of(&FORMAT, &[b"before"]));
}

#[test]
fn a_sender_goes_on_after_a_panic_that_was_caught() {
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let mut sender = drainer.sender(1 << 10).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        sender.send_with(6, |room| {
            room.fill(0xFF);
            panic!("half written");
        })
    }));
    assert!(panicked.is_err());
    let ledger = sender.ledger();
    assert_eq!(ledger, Ledger::default(), "neither offered nor refused");
    sender
        .send_with(6, |room| {
            assert_eq!(room, [0; 6]);
            room.copy_from_slice(b"behind");
        })
        .unwrap();
    drop(sender);
    drainer.run().unwrap();
    assert_eq!(drainer.sink().writer(), &wire_of(&FORMAT, &[b"behind"]));
}

/// Takes so many bytes in all, then fails or panics.
struct Failing {
    room: usize,
    panics: bool,
    wire: Vec<u8>,
}

impl Failing {
    fn new(room: usize) -> Self {
        Self { room, panics: false, wire: Vec::new() }
    }
}

impl Sink for Failing {
    type Error = io::Error;

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        if self.room == 0 {
            assert!(!self.panics, "no room");
            return Err(ErrorKind::BrokenPipe.into());
        }
        let before = self.wire.len();
        for slice in slices {
            let taken = slice.len().min(self.room);
            self.wire.extend_from_slice(&slice[..taken]);
            self.room -= taken;
        }
        Ok(Progress::Wrote(self.wire.len() - before))
    }
}

impl Wait for Failing {
    fn wait(&mut self, _: Option<Instant>) -> io::Result<()> {
        unreachable!("this sink is never blocked");
    }
}

/// One copied, one lent, one copied.
const LONG: [u8; 40] = [7; 40];
const MESSAGES: [&[u8]; 4] = [b"one", &LONG, b"", b"three"];

fn with_messages<S: Sink<Error = io::Error> + Wait>(sink: S) -> (Drainer<Format, S>, Ledger) {
    let mut drainer = Drainer::with_pump(|pump| pump.borrow_from(LONG.len()), FORMAT, sink);
    let mut sender = drainer.sender(1 << 10).unwrap();
    for message in MESSAGES {
        sender.send(message).unwrap();
    }
    (drainer, sender.ledger())
}

type Format = Prefixed<Crc32>;

#[test]
fn after_an_error_in_any_place_the_same_stream_goes_on() {
    let wire = wire_of(&FORMAT, &MESSAGES);
    for room in 0..wire.len() {
        let (mut drainer, sent) = with_messages(Failing::new(room));
        assert_eq!(drainer.run().unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(drainer.sink().wire, wire[..room]);
        drainer.sink_mut().room = usize::MAX;
        drainer.run().unwrap();
        assert_eq!(drainer.sink().wire, wire);
        assert!((sent + drainer.ledger()).balances(0));
    }
}

#[test]
fn after_an_error_in_any_place_a_new_stream_begins_with_a_whole_frame() {
    let wire = wire_of(&FORMAT, &MESSAGES);
    let ends: Vec<usize> =
        (0..=MESSAGES.len()).map(|frames| wire_of(&FORMAT, &MESSAGES[..frames]).len()).collect();
    for room in 0..wire.len() {
        let (mut drainer, sent) = with_messages(Failing::new(room));
        drainer.run().unwrap_err();
        let whole = ends.iter().rposition(|&end| end <= room).unwrap();
        assert_eq!(drainer.ledger().delivered, whole as u64);
        *drainer.sink_mut() = Failing::new(usize::MAX);
        assert_eq!(drainer.rewind(), room - ends[whole]);
        drainer.run().unwrap();
        // The torn frame again, whole; nothing before it, all behind it.
        assert_eq!(payloads(&drainer.sink().wire[..], FORMAT), MESSAGES[whole..]);
        assert!((sent + drainer.ledger()).balances(0));
        assert_eq!(drainer.ledger().delivered, MESSAGES.len() as u64);
    }
}

#[test]
fn after_a_sink_that_panics_in_any_place_the_stream_goes_on() {
    let wire = wire_of(&FORMAT, &MESSAGES);
    for room in 0..wire.len() {
        let (mut drainer, sent) = with_messages(Failing { panics: true, ..Failing::new(room) });
        assert!(catch_unwind(AssertUnwindSafe(|| drainer.run())).is_err());
        drainer.sink_mut().room = usize::MAX;
        drainer.run().unwrap();
        assert_eq!(drainer.sink().wire, wire);
        assert!((sent + drainer.ledger()).balances(0));
    }
}

#[test]
fn a_run_goes_on_in_another_thread() {
    let _held = watchdog("another thread");
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let mut sender = drainer.sender(1 << 10).unwrap();
    // Asleep here, then asleep there.
    assert_eq!(drainer.run_until(Instant::now()).unwrap(), Drained::Deadline);
    thread::scope(|threads| {
        let drainer = threads.spawn(|| drainer.run());
        sender.send(b"message").unwrap();
        drop(sender);
        drainer.join().unwrap().unwrap();
    });
    assert_eq!(drainer.ledger().delivered, 1);
}

#[test]
fn senders_of_a_drainer_that_is_gone_are_refused() {
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let mut sender = drainer.sender(64).unwrap();
    let registrar = drainer.registrar();
    sender.send(b"in flight").unwrap();
    assert!(!sender.is_abandoned());
    drop(drainer);
    assert!(sender.is_abandoned());
    assert_eq!(sender.send(b"too late"), Err(SendError::Closed));
    assert_eq!(sender.send_group(&[b"too", b"late"]), Err(SendError::Closed));
    let ledger = sender.ledger();
    assert_eq!((ledger.offered, ledger.accepted, ledger.refused), (4, 1, 3));
    assert_eq!(registrar.snapshot().ledger, ledger);
    assert_eq!(ledger.in_flight(), 1);
    assert_eq!(registrar.sender(64).unwrap_err(), SenderError::Closed);
}

#[test]
fn a_message_that_is_too_long_is_refused_with_the_figures() {
    let mut drainer = Drainer::new(Plain, WriteSink::new(Vec::new()));
    let mut sender = drainer.sender(1 << 10).unwrap();
    let len_max = sender.message_len_max();
    sender.send(&vec![1; len_max]).unwrap();
    let len = len_max + 1;
    let error = sender.send_with(len, |_| panic!("not called")).unwrap_err();
    assert_eq!(error, SendError::TooLong { len, len_max });
    assert_eq!(sender.ledger().refused, 1);
}

#[test]
fn the_lane_of_a_sender_that_is_gone_is_free_when_its_messages_have_left() {
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let mut senders: Vec<Sender> = (0..SENDERS_MAX).map(|_| drainer.sender(64).unwrap()).collect();
    let no_lane = SenderError::NoLane(NoLane { lanes: SENDERS_MAX });
    assert_eq!(drainer.sender(64).unwrap_err(), no_lane);

    let mut gone = senders.swap_remove(SENDERS_MAX / 2);
    gone.send(b"still here").unwrap();
    drop(gone);
    assert_eq!(drainer.sender(64).unwrap_err(), no_lane);
    assert_eq!(drainer.flush_until(far()).unwrap(), Drained::Idle);
    senders.push(drainer.sender(64).unwrap());
    assert_eq!(drainer.sender(64).unwrap_err(), no_lane);

    for sender in &mut senders {
        sender.send(b"all of them").unwrap();
    }
    drop(senders);
    drainer.run().unwrap();
    assert_eq!(drainer.ledger().delivered, SENDERS_MAX as u64 + 1);
    assert_eq!(payloads(&drainer.sink().writer()[..], FORMAT).len(), SENDERS_MAX + 1);
}

#[test]
fn a_capacity_that_is_no_power_of_two_makes_no_sender() {
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let error = drainer.sender(1000).unwrap_err();
    assert!(matches!(error, SenderError::Capacity(_)));
    assert!(error.to_string().contains("1000"), "{error}");
    drainer.run().unwrap();
}

/// A record that no frame can carry is counted and passed over.
#[test]
fn a_message_over_the_formats_maximum_is_undeliverable_not_in_the_way() {
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let mut sender = drainer.sender(1 << 14).unwrap();
    sender.send(&[1; 4097]).unwrap();
    sender.send(b"behind").unwrap();
    let sent = sender.ledger();
    drop(sender);
    drainer.run().unwrap();
    let ledger = sent + drainer.ledger();
    assert_eq!((ledger.delivered, ledger.undeliverable), (1, 1));
    assert!(ledger.balances(0));
    assert_eq!(drainer.sink().writer(), &wire_of(&FORMAT, &[b"behind"]));
}

/// A pump whose limits are zero still moves.
#[test]
fn limits_of_zero_mean_one_frame_a_write() {
    let _held = watchdog("limits of zero");
    let configure = |pump: Pump<'static, _, _, SENDERS_MAX>| pump.frames_max(0).len_max(0);
    let mut drainer = Drainer::with_pump(configure, FORMAT, WriteSink::new(Vec::new()));
    let mut sender = drainer.sender(1 << 10).unwrap();
    sender.send(b"one").unwrap();
    sender.send(b"two").unwrap();
    drop(sender);
    drainer.run().unwrap();
    assert_eq!((drainer.counts().writes, drainer.ledger().delivered), (2, 2));
}

#[test]
fn drainer_and_senders_go_where_they_are_needed() {
    fn is_send<T: Send>(_: &T) {}
    let mut drainer = Drainer::new(FORMAT, Failing::new(0));
    is_send(&drainer);
    is_send(&drainer.sender(64).unwrap());

    // A sink that is borrowed drains as well as one that is owned.
    let mut sink = WriteSink::new(Vec::new());
    let mut drainer = Drainer::new(FORMAT, &mut sink);
    drainer.sender(64).unwrap().send(b"message").unwrap();
    drainer.run().unwrap();
    drop(drainer);
    assert_eq!(sink.into_inner(), wire_of(&FORMAT, &[b"message"]));
}

/// Messages that come while the sink writes are the next batch.
#[test]
fn what_gathers_during_one_write_leaves_in_the_next() {
    struct Slow(mpsc::Receiver<()>, mpsc::Sender<()>, WriteSink<Vec<u8>>);
    impl Sink for Slow {
        type Error = io::Error;
        fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
            self.1.send(()).unwrap();
            self.0.recv().unwrap();
            self.2.write(slices)
        }
    }
    impl Wait for Slow {
        fn wait(&mut self, _: Option<Instant>) -> io::Result<()> {
            unreachable!("this sink is never blocked");
        }
    }
    let _held = watchdog("a slow sink");
    let ((go, may_go), (at, is_at)) = (mpsc::channel(), mpsc::channel());
    let mut drainer = Drainer::new(FORMAT, Slow(may_go, at, WriteSink::new(Vec::new())));
    let mut sender = drainer.sender(1 << 16).unwrap();
    thread::scope(|threads| {
        let run = threads.spawn(|| {
            drainer.run().unwrap();
            drainer.counts()
        });
        sender.send(b"first").unwrap();
        is_at.recv().unwrap();
        for _ in 0..1000 {
            sender.send(b"gathers").unwrap();
        }
        drop(sender);
        go.send(()).unwrap();
        is_at.recv().unwrap();
        go.send(()).unwrap();
        assert_eq!(run.join().unwrap().writes, 2);
    });
    assert_eq!(drainer.ledger().delivered, 1001);
}
