//! The end of a drainer, and what becomes of messages, channels and waiting
//! senders that meet it.

#![allow(dead_code, reason = "a twin runs one model")]

use std::time::{Duration, Instant};

use forebay::frame::Plain;
use forebay_loom_tests::explore_within;
use loom::thread;

use super::{
    drain::{Drainer, End, Policy, SendError, Sender, SenderError, Shutdown},
    wire::{Wire, drainer},
};

/// Without a bound these models take minutes.
const PREEMPTIONS_MAX: Option<usize> = Some(2);

/// The drainer's thread.
fn run(mut drainer: Drainer<Plain, Wire>) -> Shutdown<Plain, Wire> {
    let end = drainer.run_to_end();
    Shutdown::new(drainer, End::from(end))
}

/// That no model lives to see.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// How many messages are shown as undelivered, which is to be all.
fn left(mut shutdown: Shutdown<Plain, Wire>) -> u64 {
    assert!(matches!(shutdown.end(), End::Delivered), "{}", shutdown.end());
    let mut left = 0;
    shutdown.for_each_undelivered(|_, _| left += 1);
    let ledger = shutdown.ledger();
    assert!(ledger.balances(left), "{ledger}, {left} left");
    left
}

/// A message is sent while the drainer is asked to end: it is refused,
/// delivered, or accepted behind the last look and shown.
pub(super) fn is_heard() {
    explore_within(PREEMPTIONS_MAX, || {
        let drainer = drainer();
        let registrar = drainer.registrar();
        let mut sender = registrar.sender(16).unwrap();
        let running = thread::spawn(move || run(drainer));
        let sending = thread::spawn(move || {
            let sent = sender.send(b"m");
            (sender, sent)
        });
        registrar.shared.ask_to_end(far());
        let (_sender, sent) = sending.join().unwrap();
        let left = left(running.join().unwrap());
        (sent.is_ok(), left)
    })
    .expect(800, [(false, 0), (true, 0), (true, 1)]);
}

/// A channel is made, and used, while the drainer is shut down by its owner.
/// What was sent through it is delivered or shown.
pub(super) fn meets_new_channels() {
    explore_within(PREEMPTIONS_MAX, || {
        let drainer = drainer();
        let registrar = drainer.registrar();
        let making = thread::spawn(move || {
            let mut sender = registrar.sender(16).ok()?;
            let sent = sender.send(b"m").is_ok();
            Some((sender, sent))
        });
        let shutdown = drainer.shutdown(far());
        let made = making.join().unwrap();
        let left = left(shutdown);
        (made.map(|(_, sent)| sent), left)
    })
    .expect(250, [(None, 0), (Some(false), 0), (Some(true), 0), (Some(true), 1)]);
}

/// A channel that was made before, and what was sent through it, is delivered.
pub(super) fn delivers_what_came_before() {
    explore_within(PREEMPTIONS_MAX, || {
        let drainer = drainer();
        let registrar = drainer.registrar();
        let counters = drainer.counters();
        let running = thread::spawn(move || run(drainer));
        let mut sender = registrar.sender(16).unwrap();
        sender.send(b"m").unwrap();
        registrar.shared.ask_to_end(far());
        assert_eq!(left(running.join().unwrap()), 0, "a message was left behind");
        counters.snapshot().wake_ups
    })
    .expect(3000, 0..=3);
}

/// A sender whose ring is full.
fn full(drainer: &mut Drainer<Plain, Wire>) -> Sender {
    let channel = drainer.channel().capacity(16).policy(Policy::Wait(Duration::MAX));
    let mut sender = channel.sender().unwrap();
    (0..2).for_each(|_| sender.send(b"full").unwrap());
    sender
}

/// Waits for room that never comes.
fn wait(mut sender: Sender) {
    assert_eq!(sender.send(b"late"), Err(SendError::Closed));
}

/// Whoever waits for room when the drainer is closed is refused.
pub(super) fn wakes_who_waits() {
    explore_within(PREEMPTIONS_MAX, || {
        let mut drainer = drainer();
        let sender = full(&mut drainer);
        let waiting = thread::spawn(move || wait(sender));
        drainer.close();
        waiting.join().unwrap();
    })
    .expect(10, [()]);
}

/// Whoever waits for room when the drainer is dropped is refused.
pub(super) fn hangs_up_on_who_waits() {
    explore_within(PREEMPTIONS_MAX, || {
        let mut drainer = drainer();
        let sender = full(&mut drainer);
        let waiting = thread::spawn(move || wait(sender));
        drop(drainer);
        waiting.join().unwrap();
    })
    .expect(10, [()]);
}

/// A channel that is made while the drainer is dropped is refused, or knows
/// that nobody reads its ring.
pub(super) fn hangs_up_on_new_channels() {
    explore_within(PREEMPTIONS_MAX, || {
        let drainer = drainer();
        let registrar = drainer.registrar();
        let making = thread::spawn(move || registrar.sender(16));
        drop(drainer);
        match making.join().unwrap() {
            Ok(sender) => {
                assert!(sender.is_abandoned(), "sent into the void");
                true
            }
            Err(error) => {
                assert_eq!(error, SenderError::Closed);
                false
            }
        }
    })
    .expect(10, [false, true]);
}
