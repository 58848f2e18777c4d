//! Who sleeps by a bell, who rings it, and what may come of it. A wake-up that
//! is lost leaves a thread asleep for ever, which loom reports as a deadlock.
//!
//! What is rung for is stored and loaded Relaxed: the bell's fences alone must
//! do. A thread looks again each time it has woken, so every loop ends.

#![allow(dead_code, reason = "a twin runs one model")]

use std::sync::Arc;

use forebay_loom_tests::{explore, explore_within};
use loom::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
};

use super::{bell::Bell, room::Room};

/// For the models of more than one wake-up: without a bound they take minutes.
const PREEMPTIONS_MAX: Option<usize> = Some(2);

/// Sleeps until `has_work`; how often it came to sleep, and whether work was
/// there before that.
fn until(bell: &Bell, has_work: impl Fn() -> bool) -> (usize, bool) {
    let (mut sleeps, mut in_time) = (0, false);
    while !has_work() {
        bell.sleep(None, || {
            in_time = has_work();
            in_time
        });
        sleeps += 1;
    }
    (sleeps, in_time)
}

/// One makes work and rings, one sleeps until there is work.
pub(super) fn wakes() {
    explore(|| {
        let (bell, work) = (Arc::new(Bell::new()), Arc::new(AtomicBool::new(false)));
        let ringer = {
            let (bell, work) = (Arc::clone(&bell), Arc::clone(&work));
            thread::spawn(move || {
                work.store(true, Relaxed);
                bell.ring();
            })
        };
        let came = until(&bell, || work.load(Relaxed));
        ringer.join().unwrap();
        came
    })
    .expect(300, [(0, false), (1, false), (1, true), (2, false), (2, true)]);
}

/// Two pieces of work, one after the other.
pub(super) fn wakes_twice() {
    explore_within(PREEMPTIONS_MAX, || {
        let (bell, work) = (Arc::new(Bell::new()), Arc::new(AtomicUsize::new(0)));
        let ringer = {
            let (bell, work) = (Arc::clone(&bell), Arc::clone(&work));
            thread::spawn(move || {
                for piece in [1, 2] {
                    work.store(piece, Relaxed);
                    bell.ring();
                }
            })
        };
        let first = until(&bell, || work.load(Relaxed) >= 1).0;
        let second = until(&bell, || work.load(Relaxed) == 2).0;
        ringer.join().unwrap();
        (first > 0, second > 0)
    })
    .expect(400, [(false, false), (false, true), (true, false), (true, true)]);
}

/// Two ring for work of their own.
pub(super) fn two_ring() {
    explore_within(PREEMPTIONS_MAX, || {
        let bell = Arc::new(Bell::new());
        let work = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let ringers = work.each_ref().map(|work| {
            let (bell, work) = (Arc::clone(&bell), Arc::clone(work));
            thread::spawn(move || {
                work.store(true, Relaxed);
                bell.ring();
            })
        });
        let slept = until(&bell, || work.iter().all(|work| work.load(Relaxed))).0 > 0;
        ringers.into_iter().for_each(|ringer| ringer.join().unwrap());
        slept
    })
    .expect(2000, [false, true]);
}

/// A sender that waits until there is room; whether it came to sleep.
fn wait(room: &Room, bell: &Bell, has_room: impl Fn() -> bool) -> bool {
    let mut slept = false;
    while !has_room() {
        slept = true;
        room.wait(|| bell.sleep(None, &has_room));
    }
    slept
}

/// A sender waits for room, the drainer makes some.
pub(super) fn waits_for_room() {
    explore(|| {
        let (room, free) = (Arc::new(Room::default()), Arc::new(AtomicBool::new(false)));
        let bell = room.enter();
        let drainer = {
            let (room, free) = (Arc::clone(&room), Arc::clone(&free));
            thread::spawn(move || {
                free.store(true, Relaxed);
                room.made();
            })
        };
        let slept = wait(&room, &bell, || free.load(Relaxed));
        drainer.join().unwrap();
        room.leave(&bell);
        slept
    })
    .expect(1000, [false, true]);
}

/// Two senders wait for room of their own, which comes at once.
pub(super) fn two_wait_for_room() {
    explore_within(PREEMPTIONS_MAX, || {
        let (room, free) = (Arc::new(Room::default()), Arc::new(AtomicBool::new(false)));
        let (first, second) = (room.enter(), room.enter());
        let other = {
            let (room, free) = (Arc::clone(&room), Arc::clone(&free));
            thread::spawn(move || wait(&room, &second, || free.load(Relaxed)))
        };
        let drainer = {
            let (room, free) = (Arc::clone(&room), Arc::clone(&free));
            thread::spawn(move || {
                free.store(true, Relaxed);
                room.made();
            })
        };
        let slept = wait(&room, &first, || free.load(Relaxed));
        let other = other.join().unwrap();
        drainer.join().unwrap();
        (slept, other)
    })
    .expect(5000, [(false, false), (false, true), (true, false), (true, true)]);
}

/// A drainer that closes wakes whoever waits for room, though none came.
pub(super) fn closes() {
    explore(|| {
        let (room, closed) = (Arc::new(Room::default()), Arc::new(AtomicBool::new(false)));
        let bell = room.enter();
        let sender = {
            let (room, closed) = (Arc::clone(&room), Arc::clone(&closed));
            thread::spawn(move || wait(&room, &bell, || closed.load(Relaxed)))
        };
        closed.store(true, Relaxed);
        room.made();
        sender.join().unwrap()
    })
    .expect(250, [false, true]);
}

/// A sender and the drainer of a ring with room for one message: each sleeps
/// until the other has done its part. With so few preemptions the drainer
/// always sleeps.
pub(super) fn both_ways() {
    explore_within(PREEMPTIONS_MAX, || {
        let (bell, room) = (Arc::new(Bell::new()), Arc::new(Room::default()));
        let full = Arc::new(AtomicBool::new(false));
        let own = room.enter();
        let sender = {
            let (bell, room, full) = (Arc::clone(&bell), Arc::clone(&room), Arc::clone(&full));
            thread::spawn(move || {
                let mut waited = false;
                for _ in 0..2 {
                    waited |= wait(&room, &own, || !full.load(Relaxed));
                    full.store(true, Relaxed);
                    bell.ring();
                }
                waited
            })
        };
        let mut slept = false;
        for _ in 0..2 {
            slept |= until(&bell, || full.load(Relaxed)).0 > 0;
            full.store(false, Relaxed);
            room.made();
        }
        (slept, sender.join().unwrap())
    })
    .expect(600, [(true, false), (true, true)]);
}
