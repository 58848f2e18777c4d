//! `Bell`: no wake-up is lost, and one thread at a time sleeps by it.

mod common;

use std::{
    hint,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

use common::{dawdle, watchdog};
use forebay_std::Bell;

/// Two threads hand a number to and fro; each waits by a bell of its own for
/// its turn. One lost wake-up and neither moves again.
#[test]
fn no_wake_up_is_lost() {
    const TURNS: u32 = 100_000;
    let _held = watchdog("two threads by two bells");
    let number = AtomicU32::new(0);
    let bells = [Bell::new(), Bell::new()];
    thread::scope(|threads| {
        for me in [0, 1] {
            let (number, bells) = (&number, &bells);
            threads.spawn(move || {
                for turn in (me..TURNS).step_by(2) {
                    while number.load(Ordering::Acquire) != turn {
                        let mine = || number.load(Ordering::Acquire) == turn;
                        bells[me as usize].sleep(None, mine);
                    }
                    number.store(turn + 1, Ordering::Release);
                    bells[1 - me as usize].ring();
                }
            });
        }
    });
    assert_eq!(number.into_inner(), TURNS);
}

/// The sleeper falls asleep in the very moment in which the ringer makes work:
/// both are awake when a round begins and each dawdles for a while of its own.
/// Without the fences each can miss the other.
#[test]
fn no_wake_up_is_lost_in_the_moment_of_falling_asleep() {
    const ROUNDS: u32 = 100_000;
    let _held = watchdog("falling asleep");
    let (bell, begun, made) = (Bell::new(), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|threads| {
        threads.spawn(|| {
            let mut random = 1;
            for round in 1..=ROUNDS {
                while begun.load(Ordering::Acquire) < round {
                    hint::spin_loop();
                }
                dawdle(&mut random);
                made.store(round, Ordering::Release);
                bell.ring();
            }
        });
        let mut random = 2;
        for round in 1..=ROUNDS {
            begun.store(round, Ordering::Release);
            dawdle(&mut random);
            while made.load(Ordering::Acquire) < round {
                bell.sleep(None, || made.load(Ordering::Acquire) == round);
            }
        }
    });
    assert_eq!(made.into_inner(), ROUNDS);
}

/// Several ring at the same time, about work of their own.
#[test]
fn no_wake_up_of_several_ringers_is_lost() {
    const RINGERS: u32 = 3;
    const ROUNDS: u32 = 5_000;
    let _held = watchdog("several ringers");
    let bell = Bell::new();
    let (made, taken) = ([const { AtomicU32::new(0) }; RINGERS as usize], AtomicU32::new(0));
    thread::scope(|threads| {
        for made in &made {
            let (bell, taken) = (&bell, &taken);
            threads.spawn(move || {
                for round in 1..=ROUNDS {
                    made.store(round, Ordering::Release);
                    bell.ring();
                    // The next round's work is for a sleeper that sleeps again.
                    while taken.load(Ordering::Acquire) < round {
                        thread::yield_now();
                    }
                }
            });
        }
        for round in 1..=ROUNDS {
            let all = || made.iter().all(|made| made.load(Ordering::Acquire) == round);
            while !all() {
                bell.sleep(None, all);
            }
            taken.store(round, Ordering::Release);
        }
    });
    assert_eq!(taken.into_inner(), ROUNDS);
}

/// A token that something else has left ends one sleep at once and no more.
#[test]
fn a_token_left_over_is_a_spurious_wake_up() {
    let _held = watchdog("a token left over");
    let (bell, number) = (Bell::new(), AtomicU32::new(0));
    thread::current().unpark();
    bell.sleep(None, || false);
    thread::scope(|threads| {
        threads.spawn(|| {
            number.store(1, Ordering::Release);
            bell.ring();
        });
        while number.load(Ordering::Acquire) == 0 {
            bell.sleep(None, || number.load(Ordering::Acquire) == 1);
        }
    });
}

#[test]
fn threads_may_sleep_by_it_one_after_the_other() {
    let bell = Bell::new();
    let mut looked = 0;
    bell.sleep(Some(Instant::now()), || {
        looked += 1;
        false
    });
    let there = thread::scope(|threads| {
        let there = threads.spawn(|| bell.sleep(Some(Instant::now()), || false));
        there.join()
    });
    assert!(there.is_ok());
    bell.sleep(None, || {
        looked += 1;
        true
    });
    assert_eq!(looked, 2);
}

#[test]
fn two_that_sleep_at_once_are_a_programmers_error() {
    let _held = watchdog("two sleepers");
    let bell = Bell::new();
    let (asleep, is_asleep) = mpsc::channel();
    let rung = AtomicU32::new(0);
    thread::scope(|threads| {
        threads.spawn(|| {
            while rung.load(Ordering::Acquire) == 0 {
                bell.sleep(None, || {
                    let _ = asleep.send(());
                    rung.load(Ordering::Acquire) == 1
                });
            }
        });
        is_asleep.recv().unwrap();
        let second = catch_unwind(AssertUnwindSafe(|| bell.sleep(None, || true)));
        let message = *second.unwrap_err().downcast::<&str>().unwrap();
        assert_eq!(message, "one thread sleeps by a bell, not two");
        // The first is woken all the same.
        rung.store(1, Ordering::Release);
        bell.ring();
    });
}

#[test]
fn a_panic_while_it_looks_for_work_ends_the_sleep() {
    let bell = Bell::new();
    let looked = catch_unwind(AssertUnwindSafe(|| bell.sleep(None, || panic!("no work"))));
    assert!(looked.is_err());
    thread::scope(|threads| {
        let there = threads.spawn(|| bell.sleep(None, || true));
        assert!(there.join().is_ok());
    });
}
