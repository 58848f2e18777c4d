//! What becomes of messages for which there is no room: every loss is a
//! number, whatever the policy.

mod common;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use common::{FORMAT, gated::Gated, message, names, payloads, watchdog};
use forebay_std::{
    Drained, Drainer, Policy, SendError, Sender, Wait, WriteSink,
    forebay::{Ledger, Progress, Sink, frame::Plain},
};

const HOUR: Duration = Duration::from_secs(3600);
/// More than any wait here takes; a wake-up that is lost ends as a refusal.
const SOME_TIME: Duration = Duration::from_secs(20);

/// Fills the ring of a sender whose drainer does not run; how many messages
/// that took.
fn fill<M>(sender: &mut Sender<M>) -> u32 {
    (0..).find(|number| sender.send(&message(0, *number)).is_err()).unwrap()
}

#[test]
fn a_sender_that_waits_is_woken_when_there_is_room() {
    const MESSAGES: u32 = 20_000;
    const SENDERS: u32 = 3;
    let _held = watchdog("senders that wait");
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    // So small that they wait most of the time.
    let alone: Vec<Sender> = (1..SENDERS)
        .map(|_| drainer.channel().capacity(64).policy(Policy::Wait(HOUR)).sender().unwrap())
        .collect();
    let shared = drainer.channel().capacity(64).policy(Policy::Wait(HOUR)).shared().unwrap();

    fn send<M>(mut sender: Sender<M>, name: u32, messages: u32) -> Ledger {
        (0..messages).for_each(|number| sender.send(&message(name, number)).unwrap());
        sender.ledger()
    }
    let sent: Ledger = thread::scope(|threads| {
        let mut sending: Vec<_> = (0..)
            .zip(alone)
            .map(|(name, sender)| threads.spawn(move || send(sender, name, MESSAGES)))
            .collect();
        for name in [SENDERS - 1, SENDERS] {
            let sender = shared.clone();
            sending.push(threads.spawn(move || send(sender, name, MESSAGES)));
        }
        drop(shared);
        drainer.run().unwrap();
        sending.into_iter().map(|thread| thread.join().unwrap()).sum()
    });

    let ledger = sent + drainer.ledger();
    assert!(ledger.balances(0), "{ledger}");
    assert_eq!((ledger.refused, ledger.delivered), (0, u64::from(MESSAGES * (SENDERS + 1))));
    assert_eq!(drainer.counters().snapshot().ledger, ledger);
    let mut next = [0; SENDERS as usize + 1];
    for payload in payloads(&drainer.sink().writer()[..], FORMAT) {
        let (name, number) = names(&payload);
        assert_eq!(number, next[name as usize], "of sender {name}");
        next[name as usize] += 1;
    }
}

/// Room that comes only with a lent message's leaving, and only then.
#[test]
fn a_sender_that_waits_is_woken_when_a_lent_message_has_left() {
    let _held = watchdog("a lent message");
    let sink = Gated::default();
    let mut drainer = Drainer::with_pump(|pump| pump.borrow_from(16), Plain, sink.clone());
    let channel = drainer.channel().capacity(128).policy(Policy::Wait(HOUR));
    let mut sender = channel.sender().unwrap();
    let len = sender.message_len_max();
    sender.send(&vec![1; len]).unwrap();
    sender.send(&vec![2; len]).unwrap();
    thread::scope(|threads| {
        threads.spawn(|| drainer.run().unwrap());
        sink.until_blocked();
        let sending = threads.spawn(move || sender.send(&vec![3; len]));
        sink.open();
        sending.join().unwrap().unwrap();
    });
    assert_eq!(sink.wire().len(), 3 * len);
}

/// Room that comes with the write at which the drainer's time is over.
#[test]
fn a_sender_that_waits_is_woken_when_the_time_is_over() {
    const ROUNDS: u32 = 200;
    let _held = watchdog("the time is over");
    for _ in 0..ROUNDS {
        let mut drainer =
            Drainer::with_pump(|pump| pump.borrow_from(16), Plain, WriteSink::new(Vec::new()));
        let channel = drainer.channel().capacity(64).policy(Policy::Wait(SOME_TIME));
        let mut sender = channel.sender().unwrap();
        let len = sender.message_len_max();
        sender.send(&vec![1; len]).unwrap();
        sender.send(&vec![2; len]).unwrap();
        thread::scope(|threads| {
            let sending = threads.spawn(move || sender.send(&vec![3; len]));
            // For the sender to sleep first, most of the time.
            (0..20).for_each(|_| thread::yield_now());
            assert_eq!(drainer.flush_until(Instant::now()).unwrap(), Drained::Deadline);
            sending.join().unwrap().unwrap();
        });
    }
}

/// Room that others have taken, and give up by a panic while one waits for it.
/// The others live and send nothing more.
#[test]
fn a_sender_that_waits_is_woken_when_others_panic() {
    const ROUNDS: u32 = 200;
    let _held = watchdog("others that panic");
    for _ in 0..ROUNDS {
        let mut drainer = Drainer::new(Plain, WriteSink::new(Vec::new()));
        let channel = drainer.channel().capacity(64).policy(Policy::Wait(SOME_TIME));
        let mut waits = channel.shared().unwrap();
        let len = waits.message_len_max();
        // Half of the ring each, and it is full.
        let (taken, is_taken) = mpsc::channel();
        let panicked = Barrier::new(3);
        thread::scope(|threads| {
            for mut sender in [waits.clone(), waits.clone()] {
                let (taken, panicked) = (taken.clone(), &panicked);
                threads.spawn(move || {
                    let sent = catch_unwind(AssertUnwindSafe(|| {
                        sender.send_with(len, |_| {
                            taken.send(()).unwrap();
                            // For the other to sleep first, most of the time,
                            // and the drainer.
                            (0..100).for_each(|_| thread::yield_now());
                            std::panic::resume_unwind(Box::new(()));
                        })
                    }));
                    assert!(sent.is_err());
                    panicked.wait();
                });
            }
            threads.spawn(|| drainer.run().unwrap());
            (0..2).for_each(|_| is_taken.recv().unwrap());
            let sent = waits.send(&vec![3; len]);
            panicked.wait();
            sent.unwrap();
            drop(waits);
        });
        assert_eq!(drainer.ledger().delivered, 1);
    }
}

/// What is in the batch takes no room in the ring, however long the write takes.
#[test]
fn a_sender_that_waits_is_woken_while_a_write_is_under_way() {
    const ROUNDS: u32 = 200;
    /// Each write ends when the test says so.
    struct Slow(mpsc::Receiver<()>);
    impl Sink for Slow {
        type Error = io::Error;
        fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
            self.0.recv().unwrap();
            Ok(Progress::Wrote(slices.iter().map(|slice| slice.len()).sum()))
        }
    }
    impl Wait for Slow {
        fn wait(&mut self, _: Option<Instant>) -> io::Result<()> {
            unreachable!("this sink is never blocked");
        }
    }
    let _held = watchdog("a slow write");
    for _ in 0..ROUNDS {
        let (go, may_go) = mpsc::channel();
        let mut drainer = Drainer::new(Plain, Slow(may_go));
        let channel = drainer.channel().capacity(64).policy(Policy::Wait(HOUR));
        let mut sender = channel.sender().unwrap();
        let len = sender.message_len_max();
        sender.send(&vec![0; len]).unwrap();
        sender.send(&vec![0; len]).unwrap();
        thread::scope(|threads| {
            let sending = threads.spawn(move || sender.send(&vec![0; len]).unwrap());
            // For the sender to get there first, most of the time.
            thread::yield_now();
            let run = threads.spawn(|| drainer.run().unwrap());
            sending.join().unwrap();
            go.send(()).unwrap();
            let _ = go.send(());
            run.join().unwrap();
        });
        assert_eq!(drainer.ledger().delivered, 3);
    }
}

#[test]
fn a_sender_that_waits_in_vain_is_refused_with_the_figures() {
    let limit = Duration::from_millis(5);
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let mut sender = drainer.channel().capacity(64).policy(Policy::Wait(limit)).sender().unwrap();
    let accepted = fill(&mut sender);
    // This very thread drains.
    let error = sender.send(&message(0, 0)).unwrap_err();
    let SendError::TimedOut { needed, free, waited } = error else { panic!("{error}") };
    assert!(needed > free && waited >= limit, "{error}");
    let text = error.to_string();
    assert!(text.ends_with(&format!(" of waiting: {needed} bytes needed, {free} free")), "{text}");
    assert!(matches!(sender.send_group(&[b"a", b"b"]), Err(SendError::TimedOut { .. })));
    let len = sender.message_len_max() + 1;
    let too_long = sender.send(&vec![0; len]).unwrap_err();
    assert!(matches!(too_long, SendError::TooLong { .. }), "nothing to wait for");

    let ledger = sender.ledger();
    assert_eq!((ledger.accepted, ledger.refused), (accepted.into(), 1 + 1 + 2 + 1));
    drainer.flush().unwrap();
    sender.send(&message(0, accepted)).unwrap();
    drainer.flush().unwrap();
    assert!((sender.ledger() + drainer.ledger()).balances(0));
}

#[test]
fn no_wait_at_all_is_a_refusal() {
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let policy = Policy::Wait(Duration::ZERO);
    let mut sender = drainer.channel().capacity(64).policy(policy).sender().unwrap();
    fill(&mut sender);
    let begin = Instant::now();
    let waited = match sender.send(b"no room") {
        Err(SendError::TimedOut { waited, .. }) => waited,
        other => panic!("{other:?}"),
    };
    assert!(waited <= begin.elapsed());
}

/// A limit that is past the end of the clock.
#[test]
fn senders_that_wait_are_refused_when_the_drainer_goes() {
    let _held = watchdog("a drainer that goes");
    for closes_first in [false, true] {
        let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
        let channel = |drainer: &mut Drainer<_, _>| {
            drainer.channel().capacity(64).policy(Policy::Wait(Duration::MAX))
        };
        let alone = channel(&mut drainer).sender().unwrap();
        let shared = channel(&mut drainer).shared().unwrap();
        let (full, is_full) = mpsc::channel();
        fn wait<M>(mut sender: Sender<M>, full: &mpsc::Sender<()>) -> (u32, Ledger) {
            let len = sender.message_len_max();
            (0..2).for_each(|_| sender.send(&vec![0; len]).unwrap());
            full.send(()).unwrap();
            let error = sender.send_with(len, |_| panic!("not called")).unwrap_err();
            assert_eq!(error, SendError::Closed);
            (2, sender.ledger())
        }
        thread::scope(|threads| {
            let full = &full;
            let waiting = [
                threads.spawn(move || wait(alone, full)),
                threads.spawn(move || wait(shared, full)),
            ];
            (0..2).for_each(|_| is_full.recv().unwrap());
            let counters = drainer.counters();
            if closes_first {
                drainer.close();
            } else {
                drop(drainer);
            }
            let mut sum = Ledger::default();
            for waiting in waiting {
                let (accepted, ledger) = waiting.join().unwrap();
                assert_eq!((ledger.accepted, ledger.refused), (accepted.into(), 1));
                sum = sum + ledger;
            }
            assert_eq!(counters.snapshot().ledger, sum);
        });
    }
}

/// What panics while it has just been given room is nobody's loss.
#[test]
fn a_panic_of_a_sender_that_waited_takes_nothing_along() {
    let _held = watchdog("a panic after a wait");
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let channel = drainer.channel().capacity(64).policy(Policy::Wait(HOUR));
    let mut sender = channel.shared().unwrap();
    let len = sender.message_len_max();
    sender.send(&vec![1; len]).unwrap();
    sender.send(&vec![2; len]).unwrap();
    thread::scope(|threads| {
        let sending = threads.spawn(move || {
            let sent = catch_unwind(AssertUnwindSafe(|| {
                sender.send_with(len, |_| panic!("written by nobody"))
            }));
            assert!(sent.is_err());
            sender.send(b"behind").unwrap();
            sender.ledger()
        });
        drainer.run().unwrap();
        let ledger = sending.join().unwrap() + drainer.ledger();
        assert_eq!((ledger.offered, ledger.delivered), (3, 3));
        assert!(ledger.balances(0));
    });
}

/// Room that was given up is room again, though the drainer sleeps: nothing
/// has been sent.
#[test]
fn room_that_panics_have_taken_is_given_back() {
    const ROUNDS: u32 = 2_000;
    let _held = watchdog("room that panics have taken");
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let channel = drainer.channel().capacity(64).policy(Policy::Wait(HOUR));
    let mut sender = channel.shared().unwrap();
    let len = sender.message_len_max();
    thread::scope(|threads| {
        threads.spawn(|| drainer.run().unwrap());
        for _ in 0..ROUNDS {
            // The hook would print each of them.
            let sent = catch_unwind(AssertUnwindSafe(|| {
                sender.send_with(len, |_| std::panic::resume_unwind(Box::new(())))
            }));
            assert!(sent.is_err(), "there is room, sooner or later");
        }
        sender.send(b"at last").unwrap();
        drop(sender);
    });
    assert_eq!(drainer.ledger().delivered, 1);
}

#[test]
fn the_newest_messages_are_kept_where_the_oldest_give_way() {
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let counters = drainer.counters();
    let channel = drainer.channel().capacity(256).policy(Policy::Overwrite);
    let mut sender = channel.sender().unwrap();
    for number in 0..1000 {
        sender.send(&message(0, number)).unwrap();
    }
    let ledger = sender.ledger();
    assert_eq!((ledger.accepted, ledger.refused), (1000, 0));
    assert_eq!(counters.snapshot().ledger, ledger);
    drainer.flush().unwrap();
    let received = payloads(&drainer.sink().writer()[..], FORMAT);
    let first = 1000 - u32::try_from(received.len()).unwrap();
    assert!(first < 1000);
    for (payload, number) in received.iter().zip(first..) {
        assert_eq!(names(payload), (0, number));
    }
    assert_eq!(ledger.overwritten, u64::from(first));
    assert!((ledger + drainer.ledger()).balances(0));
}

/// Several write over each other's messages while the drainer takes them.
#[test]
fn overwriting_balances_to_the_message() {
    const MESSAGES: u32 = 20_000;
    let _held = watchdog("overwriting");
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let counters = drainer.counters();
    let alone = drainer.channel().capacity(256).policy(Policy::Overwrite).sender().unwrap();
    let shared = drainer.channel().capacity(256).policy(Policy::Overwrite).shared().unwrap();
    fn send<M>(mut sender: Sender<M>, name: u32) -> Ledger {
        for number in 0..MESSAGES {
            match sender.send(&message(name, number)) {
                Ok(()) | Err(SendError::Busy { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        sender.ledger()
    }
    let sent: Ledger = thread::scope(|threads| {
        let other = shared.clone();
        let sending = [
            threads.spawn(move || send(alone, 0)),
            threads.spawn(move || send(shared, 1)),
            threads.spawn(move || send(other, 2)),
        ];
        drainer.run().unwrap();
        sending.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let ledger = sent + drainer.ledger();
    assert!(ledger.balances(0), "{ledger}");
    assert_eq!(ledger.offered, u64::from(3 * MESSAGES));
    assert_eq!(ledger.refused, ledger.busy);
    assert_eq!(counters.snapshot().ledger, ledger);
    let received = payloads(&drainer.sink().writer()[..], FORMAT);
    assert_eq!(received.len() as u64, ledger.delivered);
    let mut next = [0; 3];
    for payload in received {
        let (name, number) = names(&payload);
        assert!(number >= next[name as usize], "sender {name} is out of order");
        next[name as usize] = number + 1;
    }
}

/// A message that is being written from where it lies is not overwritten.
#[test]
fn what_is_lent_is_not_overwritten() {
    let _held = watchdog("a lent message");
    let sink = Gated::default();
    let mut drainer = Drainer::with_pump(|pump| pump.borrow_from(16), Plain, sink.clone());
    let channel = drainer.channel().capacity(128).policy(Policy::Overwrite);
    let mut sender = channel.sender().unwrap();
    let first = vec![1; sender.message_len_max()];
    sender.send(&first).unwrap();
    thread::scope(|threads| {
        let run = threads.spawn(|| drainer.run().unwrap());
        sink.until_blocked();
        let error = (0..100).find_map(|_| sender.send(&[2; 8]).err()).unwrap();
        assert!(matches!(error, SendError::Busy { needed, free } if needed > free), "{error}");
        let ledger = sender.ledger();
        assert_eq!((ledger.overwritten, ledger.refused, ledger.busy), (0, 1, 1));
        sink.open();
        drop(sender);
        run.join().unwrap();
    });
    assert!(sink.wire().starts_with(&first));
}

/// A panic in the very message that has overwritten others.
#[test]
fn what_a_panic_has_overwritten_is_counted() {
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let counters = drainer.counters();
    let channel = drainer.channel().capacity(64).policy(Policy::Overwrite);
    let mut sender = channel.sender().unwrap();
    let len = sender.message_len_max();
    sender.send(&vec![1; len]).unwrap();
    sender.send(&vec![2; len]).unwrap();
    let sent = catch_unwind(AssertUnwindSafe(|| sender.send_with(len, |_| panic!("no message"))));
    assert!(sent.is_err());
    assert_eq!(sender.ledger().overwritten, 1);
    drop(sender);
    drainer.run().unwrap();
    let ledger = counters.snapshot().ledger;
    assert_eq!((ledger.accepted, ledger.overwritten, ledger.delivered), (2, 1, 1));
    assert!(ledger.balances(0), "{ledger}");
}

/// All policies at once, through a sink that takes little at a time, until the
/// drainer is shut down in the middle of it.
#[test]
fn everything_balances_when_it_is_shut_down_in_the_middle() {
    let _held = watchdog("shut down in the middle");
    for round in 0..20 {
        let sink = Gated::short(100 + round);
        sink.open();
        let drainer = Drainer::new(FORMAT, sink.clone()).spawn().unwrap();
        let policies = [Policy::Refuse, Policy::Overwrite, Policy::Wait(HOUR)];
        let senders: Vec<_> = policies
            .map(|policy| {
                let channel = || drainer.channel().capacity(256).policy(policy);
                (channel().sender().unwrap(), channel().priority(1).shared().unwrap())
            })
            .into();
        let ended = AtomicBool::new(false);
        let (ended, counters) = (&ended, drainer.counters());
        let (mut shutdown, sent) = thread::scope(|threads| {
            fn send<M>(mut sender: Sender<M>, ended: &AtomicBool) -> (Sender<M>, Ledger) {
                let mut number = 0;
                while !ended.load(Ordering::Acquire) {
                    let _ = sender.send(&message(0, number));
                    number += 1;
                }
                let ledger = sender.ledger();
                (sender, ledger)
            }
            let mut sending = Vec::new();
            let mut sharing = Vec::new();
            for (alone, shared) in senders {
                sending.push(threads.spawn(move || send(alone, ended)));
                sharing.push(threads.spawn(move || send(shared, ended)));
            }
            while counters.snapshot().ledger.delivered < 1000 {
                thread::yield_now();
            }
            if round % 2 == 0 {
                sink.close();
            }
            let deadline =
                Instant::now() + Duration::from_millis(if round % 2 == 0 { 1 } else { 500 });
            let shutdown = drainer.shutdown(deadline);
            ended.store(true, Ordering::Release);
            let sending = sending.into_iter().map(|thread| thread.join().unwrap().1);
            let sharing = sharing.into_iter().map(|thread| thread.join().unwrap().1);
            (shutdown, sending.chain(sharing).sum::<Ledger>())
        });
        let mut left = 0;
        shutdown.for_each_undelivered(|_, _| left += 1);
        let ledger = shutdown.ledger();
        assert!(ledger.balances(left), "round {round}: {ledger}, {left} left");
        let channels: Ledger = shutdown.channels().iter().map(|channel| channel.ledger).sum();
        assert_eq!(channels.in_flight(), left);
        assert_eq!(
            (ledger.offered, ledger.accepted, ledger.refused, ledger.overwritten),
            (sent.offered, sent.accepted, sent.refused, sent.overwritten)
        );
        assert!(ledger.refused > 0 && ledger.delivered >= 1000);
    }
}
