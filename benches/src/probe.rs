//! How far apart two cores are just now.

use std::{
    hint::spin_loop,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Instant,
};

use rustix::thread::{CpuSet, sched_setaffinity};

/// Round trips of one probe.
const TRIPS: u32 = 2000;
/// From so many nanoseconds one way, cores are called far.
const FAR_FROM: f64 = 150.0;

/// Lets the calling thread run on the processor of this number alone, where
/// there is one.
pub fn pin(cpu: usize) {
    let mut cpus = CpuSet::new();
    cpus.set(cpu);
    // Where it is not allowed the threads run wherever the kernel puts them.
    let _ = sched_setaffinity(None, &cpus);
}

/// Bounces a cache line between processors 0 and 1; `"near"` or `"far"`.
///
/// A host that moves virtual processors changes the answer from one moment to
/// the next, and with it every figure of a ring by a factor: rounds of
/// different classes are never compared.
#[must_use]
pub fn cores() -> &'static str {
    if one_way_nanos() < FAR_FROM { "near" } else { "far" }
}

/// Waits for `ball` to come to `value`, at first without giving way.
fn catch(ball: &AtomicU32, value: u32) {
    let mut spins = 0;
    while ball.load(Ordering::Acquire) != value {
        spins += 1;
        if spins < 10_000 { spin_loop() } else { thread::yield_now() }
    }
}

fn one_way_nanos() -> f64 {
    let ball = AtomicU32::new(0);
    thread::scope(|threads| {
        threads.spawn(|| {
            pin(1);
            for trip in 0..TRIPS {
                catch(&ball, 2 * trip + 1);
                ball.store(2 * trip + 2, Ordering::Release);
            }
        });
        let thrower = threads.spawn(|| {
            pin(0);
            let mut best = f64::MAX;
            // The best of ten parts: a part in which a thread was not running
            // says nothing of the cores.
            for part in 0..10 {
                let start = Instant::now();
                for trip in part * (TRIPS / 10)..(part + 1) * (TRIPS / 10) {
                    ball.store(2 * trip + 1, Ordering::Release);
                    catch(&ball, 2 * trip + 2);
                }
                let one_way = start.elapsed().as_secs_f64() * 1e9 / f64::from(TRIPS / 10 * 2);
                best = best.min(one_way);
            }
            best
        });
        thrower.join().unwrap_or(f64::MAX)
    })
}
