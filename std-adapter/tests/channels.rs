//! Channels of one drainer: made at any time from any thread, served by
//! priority, with groups that stay together.

mod common;

use std::{
    collections::BTreeMap,
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Instant,
};

use common::{FORMAT, far, gated::Gated, message, names, payloads, watchdog};
use forebay_std::{
    ChannelId, Drained, Drainer, NoLane, SENDERS_MAX, Sender, SenderError, WriteSink,
    forebay::{
        Ledger,
        frame::{Encode, Plain, Prefixed},
    },
};

/// Threads come, make a sender of their own, send and go, many more than there
/// are lanes.
#[test]
fn senders_come_and_go_while_it_runs() {
    const THREADS: u32 = 4;
    const SENDERS: u32 = 500;
    const MESSAGES: u32 = 20;
    let _held = watchdog("senders that come and go");
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let registrar = drainer.registrar();
    let counters = drainer.counters();
    thread::scope(|threads| {
        for thread in 0..THREADS {
            let registrar = registrar.clone();
            threads.spawn(move || {
                for sender in 0..SENDERS {
                    let name = thread * SENDERS + sender;
                    let mut sender = loop {
                        match registrar.sender(1 << 10) {
                            Ok(sender) => break sender,
                            // Those before have not all left yet.
                            Err(SenderError::NoLane(NoLane { lanes: SENDERS_MAX })) => {
                                thread::yield_now();
                            }
                            Err(error) => panic!("{error}"),
                        }
                    };
                    let send = |number| sender.send(&message(name, number)).unwrap();
                    (0..MESSAGES).for_each(send);
                }
            });
        }
        drop(registrar);
        drainer.run().unwrap();
    });
    let ledger = counters.snapshot().ledger;
    assert!(ledger.balances(0), "{ledger}");
    assert_eq!(ledger.delivered, u64::from(THREADS * SENDERS * MESSAGES));
    assert_eq!(drainer.ledger().delivered, ledger.delivered);
    let mut next = BTreeMap::new();
    for payload in payloads(&drainer.sink().writer()[..], FORMAT) {
        let (name, number) = names(&payload);
        let next = next.entry(name).or_insert(0);
        assert_eq!(number, *next, "of sender {name}");
        *next += 1;
    }
    assert!(next.into_values().eq((0..THREADS * SENDERS).map(|_| MESSAGES)));
    assert_eq!(drainer.channels(), []);
}

/// A registrar that goes, or makes its last sender, in the very moment in
/// which the drainer looks whether it is finished.
#[test]
fn a_registrar_that_goes_is_the_end_but_not_of_its_senders() {
    const ROUNDS: u64 = 3_000;
    let _held = watchdog("a registrar that goes");
    for round in 0..ROUNDS {
        let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
        let registrar = drainer.registrar();
        let begin = Barrier::new(2);
        let begin = &begin;
        thread::scope(|threads| {
            threads.spawn(move || {
                begin.wait();
                if round % 2 == 0 {
                    let mut sender = registrar.sender(64).unwrap();
                    drop(registrar);
                    sender.send(b"last words").unwrap();
                }
            });
            begin.wait();
            drainer.run().unwrap();
        });
        assert_eq!(drainer.ledger().delivered, (round + 1) % 2);
    }
}

#[test]
fn lanes_run_out_and_come_back() {
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let registrar = drainer.registrar();
    let mut senders: Vec<Sender> =
        (0..SENDERS_MAX).map(|_| registrar.sender(64).unwrap()).collect();
    let no_lane = SenderError::NoLane(NoLane { lanes: SENDERS_MAX });
    assert_eq!(registrar.sender(64).unwrap_err(), no_lane);
    assert_eq!(drainer.sender(64).unwrap_err(), no_lane);
    assert!(no_lane.to_string().contains("64"));
    // One with nothing to say, one with something: both free with a flush.
    let mut gone = senders.split_off(SENDERS_MAX - 2);
    gone[0].send(b"still here").unwrap();
    drop(gone);
    assert_eq!(drainer.flush_until(far()).unwrap(), Drained::Idle);
    senders.push(registrar.sender(64).unwrap());
    senders.push(drainer.sender(64).unwrap());
    assert_eq!(registrar.sender(64).unwrap_err(), no_lane);
    let ids: Vec<ChannelId> = senders.iter().map(Sender::channel).collect();
    assert!(ids.is_sorted_by(|one, other| one < other), "a name is used once: {ids:?}");
    let channels = drainer.channels();
    assert_eq!(channels.len(), SENDERS_MAX);
    assert!(channels.iter().all(|counts| ids.contains(&counts.channel)));
}

/// Lanes whose last messages left without a write: one that no frame can carry,
/// and an empty one that is its own frame.
#[test]
fn lanes_that_end_without_a_write_come_back() {
    fn comes_back<F: Encode>(format: F, last: &[u8]) {
        let mut drainer = Drainer::new(format, WriteSink::new(Vec::new()));
        let registrar = drainer.registrar();
        let mut senders: Vec<Sender> =
            (0..SENDERS_MAX).map(|_| registrar.sender(64).unwrap()).collect();
        drainer.flush().unwrap();
        senders.swap_remove(7).send(last).unwrap();
        drainer.flush().unwrap();
        assert_eq!(drainer.counts().writes, 0);
        registrar.sender(64).unwrap();
    }
    comes_back(Prefixed::flatstream(8), &[0; 9]);
    comes_back(Plain, b"");
}

/// A lane whose last message left with the write at which the time was over.
#[test]
fn a_lane_that_ends_with_the_deadline_comes_back() {
    let mut drainer = Drainer::new(Plain, WriteSink::new(Vec::new()));
    let registrar = drainer.registrar();
    let senders: Vec<Sender> = (0..SENDERS_MAX).map(|_| registrar.sender(64).unwrap()).collect();
    drainer.flush().unwrap();
    for mut sender in senders {
        sender.send(b"last").unwrap();
    }
    assert_eq!(drainer.run_until(Instant::now()).unwrap(), Drained::Deadline);
    registrar.sender(64).unwrap();
}

/// What a finished channel has counted is not lost with it.
#[test]
fn finished_channels_stay_in_the_counts() {
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let counters = drainer.counters();
    for round in 1..=200 {
        let mut sender = drainer.sender(64).unwrap();
        sender.send(b"message").unwrap();
        sender.send(&[0; 64]).unwrap_err();
        drop(sender);
        drainer.flush().unwrap();
        let ledger = counters.snapshot().ledger;
        assert_eq!((ledger.offered, ledger.refused, ledger.delivered), (2 * round, round, round));
        assert!(ledger.balances(0));
    }
}

#[test]
fn clones_share_a_channel_and_count_for_themselves() {
    const CLONES: u32 = 6;
    const MESSAGES: u32 = 2_000;
    let _held = watchdog("clones");
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(Vec::new()));
    let counters = drainer.counters();
    let mut first = drainer.channel().capacity(1 << 10).shared().unwrap();
    first.send(&message(CLONES, 0)).unwrap();
    let sent: Ledger = thread::scope(|threads| {
        let sending: Vec<_> = (0..CLONES)
            .map(|name| {
                let mut sender = first.clone();
                assert_eq!(sender.ledger(), Ledger::default());
                assert_eq!(sender.channel(), first.channel());
                threads.spawn(move || {
                    for number in 0..MESSAGES {
                        while sender.send(&message(name, number)).is_err() {
                            thread::yield_now();
                        }
                    }
                    sender.ledger()
                })
            })
            .collect();
        let own = first.ledger();
        drop(first);
        drainer.run().unwrap();
        own + sending.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let ledger = sent + drainer.ledger();
    assert!(ledger.balances(0), "{ledger}");
    assert_eq!(ledger.delivered, u64::from(CLONES * MESSAGES + 1));
    assert_eq!(counters.snapshot().ledger, ledger);
    let mut next = [0; CLONES as usize + 1];
    for payload in payloads(&drainer.sink().writer()[..], FORMAT) {
        let (name, number) = names(&payload);
        assert_eq!(number, next[name as usize], "of clone {name}");
        next[name as usize] += 1;
    }
}

#[test]
fn higher_priorities_leave_first() {
    let mut drainer = Drainer::new(Plain, WriteSink::new(Vec::new()));
    let mut senders: Vec<Sender> = [1, 0, 7, 1]
        .map(|priority| drainer.channel().capacity(64).priority(priority).sender().unwrap())
        .into();
    for text in [b"1 ", b"2 "] {
        for (sender, name) in senders.iter_mut().zip([b"b", b"d", b"a", b"c"]) {
            sender.send(&[&name[..], text].concat()).unwrap();
        }
    }
    let channels = drainer.channels();
    assert_eq!(channels.iter().map(|counts| counts.priority).collect::<Vec<_>>(), [1, 0, 7, 1]);
    drainer.flush().unwrap();
    assert_eq!(drainer.sink().writer(), b"a1 a2 b1 b2 c1 c2 d1 d2 ");
}

/// Groups of several threads through a sink that takes a few bytes at a time:
/// nothing comes between the messages of one, and all or none are accepted.
#[test]
fn groups_stay_together() {
    const SENDERS: u32 = 3;
    const GROUPS: u32 = 600;
    let _held = watchdog("groups");
    for (write_len_max, frames_max) in [(7, usize::MAX), (64, 5), (usize::MAX, 2)] {
        let sink = Gated::short(write_len_max);
        sink.open();
        let mut drainer =
            Drainer::with_pump(|pump| pump.frames_max(frames_max), FORMAT, sink.clone());
        let counters = drainer.counters();
        let shared = drainer.channel().capacity(1 << 10).shared().unwrap();
        let alone = drainer.channel().capacity(1 << 10).priority(1).sender().unwrap();
        let refused = AtomicU32::new(0);
        fn send<M>(mut sender: Sender<M>, name: u32, refused: &AtomicU32) {
            for group in 0..GROUPS {
                // The sender, the group, and how many are to follow.
                let messages: Vec<[u8; 8]> =
                    (0..=group % 4).rev().map(|left| message(name, group << 8 | left)).collect();
                let messages: Vec<&[u8]> = messages.iter().map(|one| &one[..]).collect();
                while sender.send_group(&messages).is_err() {
                    refused.fetch_add(u32::try_from(messages.len()).unwrap(), Ordering::Relaxed);
                    thread::yield_now();
                }
            }
        }
        thread::scope(|threads| {
            let refused = &refused;
            let other = shared.clone();
            threads.spawn(move || send(shared, 0, refused));
            threads.spawn(move || send(other, 1, refused));
            threads.spawn(move || send(alone, 2, refused));
            drainer.run().unwrap();
        });
        let mut next_group = [0; SENDERS as usize];
        let mut within: Option<(u32, u32)> = None;
        for payload in payloads(&sink.wire()[..], FORMAT) {
            let (name, number) = names(&payload);
            let (group, left) = (number >> 8, number & 0xFF);
            match within {
                Some(expected) => assert_eq!((name, number), expected, "within a group"),
                None => {
                    assert_eq!(group, next_group[name as usize], "of sender {name}");
                    assert_eq!(left, group % 4, "the first of its group");
                    next_group[name as usize] += 1;
                }
            }
            within = (left > 0).then(|| (name, number - 1));
        }
        assert_eq!(next_group, [GROUPS; SENDERS as usize]);
        let ledger = counters.snapshot().ledger;
        assert!(ledger.balances(0), "{ledger}");
        assert_eq!(ledger.refused, u64::from(refused.into_inner()));
    }
}
