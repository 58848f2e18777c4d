//! The driver on the fake kernel: random operations, and ends at every moment.

use std::{
    collections::HashMap, ffi::CString, io::Read, os::fd::OwnedFd, rc::Rc, sync::Arc, task::Waker,
    time::Duration,
};

use proptest::prelude::*;
use rustix::{io::Errno, io_uring::IoringOp};

use super::{Fake, Random, Shared, World, pattern};
use crate::uring::{
    arena::Arena,
    driver::{Done, Driver, Request, leaked},
    file::{File, OpenOptions},
    slots::{Kind, Ticket},
};

/// A driver, its world, and what the test expects of it.
struct Run {
    driver: Driver<Fake>,
    world: Shared,
    arena: Arc<Arena>,
    file: File,
    random: Random,
    /// Tickets whose completions have not been taken.
    open: Vec<Ticket>,
    /// What the buffer of a write held.
    sent: HashMap<u64, u8>,
    /// The write before a sync that is linked to it.
    links: HashMap<u64, u64>,
    taken: usize,
}

const BUFFER: usize = 4096;

fn descriptor() -> File {
    let (reader, _writer) = std::io::pipe().unwrap();
    File::new(OwnedFd::from(reader), false, None)
}

impl Run {
    fn new(seed: u64, tweak: impl FnOnce(&mut World)) -> Self {
        let mut random = Random::new(seed ^ 0x5EED);
        let depth = u16::try_from(1 + random.below(7)).unwrap();
        let world = World::new(seed);
        tweak(&mut world.borrow_mut());
        let entries = u32::from(depth).next_power_of_two();
        // A completion queue that is too short by far, in some runs.
        let completions = if random.one_in(3) { 1 } else { entries * 4 };
        let fake = Fake::new(entries, completions, &world);
        let fake = if random.one_in(4) { fake.poll_thread() } else { fake };
        let arena = Arc::new(Arena::new(u32::from(depth) + 2, BUFFER, None).unwrap());
        let within = Duration::from_millis(if world.borrow().deaf { 1 } else { 10_000 });
        let mut driver = Driver::new(fake, depth, Arc::clone(&arena), within).unwrap();
        if random.one_in(2) {
            driver.register_buffers().unwrap();
        }
        Self {
            driver,
            world,
            arena,
            file: descriptor(),
            random,
            open: vec![],
            sent: HashMap::new(),
            links: HashMap::new(),
            taken: 0,
        }
    }

    /// A request of a random kind, if there is a buffer for it.
    fn request(&mut self, byte: u8) -> Option<Request> {
        let file = self.file.clone();
        Some(match self.random.below(6) {
            0 | 1 => {
                let lease = self.arena.lease()?;
                let start = self.random.below(8);
                Request::Read { file, lease, start, end: start + 64, offset: 0 }
            }
            2 => {
                let mut lease = self.arena.lease()?;
                lease[..64].fill(byte);
                Request::Write { file, lease, start: 0, end: 64, offset: 0 }
            }
            3 => {
                let mut lease = self.arena.lease()?;
                lease[..64].fill(byte);
                let zero_copy = self.random.one_in(2);
                Request::Send { file, lease, start: 0, end: 64, zero_copy }
            }
            4 => {
                let path = CString::new(format!("path-{byte}")).unwrap();
                Request::Open { path, options: OpenOptions::read_only() }
            }
            _ if self.random.one_in(2) => Request::Status { file, known: None },
            _ => Request::Sync { file, data_only: true },
        })
    }

    fn start(&mut self) {
        let byte = self.random.below(256).to_le_bytes()[0];
        let Some(request) = self.request(byte) else { return };
        let sends = matches!(request, Request::Write { .. } | Request::Send { .. });
        if let Ok([ticket]) = self.driver.start([request]) {
            if sends {
                self.sent.insert(ticket.user_data(Kind::Operation), byte);
            }
            self.open.push(ticket);
        }
    }

    fn start_linked(&mut self) {
        let Some(lease) = self.arena.lease() else { return };
        let file = self.file.clone();
        let write = Request::Write { file: file.clone(), lease, start: 0, end: 64, offset: 0 };
        let sync = Request::Sync { file, data_only: true };
        if let Ok(tickets) = self.driver.start([write, sync]) {
            let [write, sync] = tickets.map(|ticket| ticket.user_data(Kind::Operation));
            self.links.insert(sync, write);
            self.open.extend(tickets);
        }
    }

    fn any(&mut self) -> Option<usize> {
        let count = self.open.len();
        (count > 0).then(|| self.random.below(count))
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0..=2 => self.start(),
            3 => self.start_linked(),
            4 => {
                if let Some(index) = self.any() {
                    let ticket = self.open[index];
                    self.driver.cancel(ticket);
                    let _ = self.driver.slots().wake(ticket, Some(Waker::noop().clone()));
                }
            }
            5 => {
                if let Some(index) = self.any() {
                    let ticket = self.open.swap_remove(index);
                    drop(self.driver.orphan(ticket));
                    assert!(self.driver.take(ticket).is_none(), "an orphan has come back");
                }
            }
            6 | 7 => {
                let want = self.random.below(2).min(self.driver.under_way());
                let _ = self.driver.enter(u32::try_from(want).unwrap(), None);
            }
            _ => self.reap(),
        }
        self.driver.slots().invariants();
    }

    fn reap(&mut self) {
        let mut over = vec![];
        self.driver.reap(|ticket, _| over.push(ticket));
        for ticket in over {
            assert!(self.open.contains(&ticket), "{ticket:?} is nobody's");
        }
        self.take();
    }

    /// Takes what is over, and looks whether it is what the kernel said.
    fn take(&mut self) {
        let open = std::mem::take(&mut self.open);
        for ticket in open {
            match self.driver.take(ticket) {
                None => self.open.push(ticket),
                Some(done) => {
                    assert!(self.driver.take(ticket).is_none(), "a completion taken twice");
                    self.check(ticket, done);
                }
            }
        }
    }

    fn check(&mut self, ticket: Ticket, done: Done) {
        self.taken += 1;
        let data = ticket.user_data(Kind::Operation);
        let said = self.world.borrow().said.get(&data).copied();
        let said = said.unwrap_or(-Errno::CANCELED.raw_os_error());
        match done.result {
            Ok(count) => assert_eq!(said, i32::try_from(count).unwrap()),
            Err(errno) => assert_eq!(said, -errno.raw_os_error()),
        }
        match (&done.request, done.result) {
            (Request::Read { lease, start, .. }, Ok(count)) => {
                let read = &lease[*start..*start + count as usize];
                assert!(read.iter().all(|byte| *byte == pattern(data)), "another read's bytes");
            }
            (Request::Write { .. } | Request::Send { .. }, Ok(_)) => {
                if let Some(byte) = self.sent.get(&data) {
                    let written = &self.world.borrow().written[&data];
                    assert!(written.iter().all(|it| it == byte), "another write's bytes");
                }
            }
            (Request::Sync { .. }, Ok(_)) => {
                if let Some(write) = self.links.get(&data) {
                    let wrote = self.world.borrow().said.get(write).copied();
                    assert_eq!(wrote, Some(64), "a sync behind a write that is not whole");
                }
            }
            (Request::Open { .. }, result) => assert_eq!(done.opened.is_some(), result.is_ok()),
            (Request::Status { .. }, Ok(_)) => {
                let expected = u64::from_ne_bytes([pattern(data); 8]);
                assert_eq!(done.status.unwrap().stx_size, expected);
            }
            _ => {}
        }
    }

    /// Every descriptor that was opened has been closed.
    fn assert_closed(world: &Shared) {
        for reader in &mut world.borrow_mut().opened {
            assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        }
    }
}

/// Random steps, then an end with whatever is under way.
fn run_to_the_end(seed: u64, steps: usize, tweak: impl FnOnce(&mut World)) -> usize {
    let before = leaked();
    let mut run = Run::new(seed, tweak);
    for _ in 0..steps {
        run.step();
    }
    let by_drop = run.random.one_in(2);
    let Run { mut driver, world, arena, file, taken, .. } = run;
    let deaf = world.borrow().deaf;
    if by_drop {
        drop(driver);
    } else {
        let left = driver.close(Duration::from_millis(if deaf { 1 } else { 10_000 }));
        assert!(deaf || left == 0, "{left} leaked");
        assert!(driver.start([Request::Sync { file, data_only: true }]).is_err());
        assert_eq!(driver.close(Duration::ZERO), 0, "a second close does nothing");
        drop(driver);
    }
    if deaf {
        // Another run may count at the same time.
        assert!(leaked() - before >= world.borrow().under_way.len() as u64);
    } else {
        assert_eq!(arena.free(), arena.count() as usize, "a buffer is missing");
        assert!(!world.borrow().registered, "memory stays registered");
        Run::assert_closed(&world);
    }
    drop(arena);
    world.borrow_mut().strike();
    let overflows = world.borrow().overflows;
    assert_eq!(Rc::strong_count(&world), 1);
    taken + overflows
}

const SEEDS: u64 = if cfg!(miri) { 5 } else { 600 };

#[test]
fn random_operations_come_back_once_and_an_end_is_an_end() {
    let sum: usize = (0..SEEDS).map(|seed| run_to_the_end(seed, 60, |_| {})).sum();
    assert!(sum as u64 > SEEDS, "{sum} completions taken in {SEEDS} runs");
}

#[test]
fn operations_that_end_only_when_cancelled_are_cancelled() {
    for seed in 0..SEEDS {
        run_to_the_end(seed, 40, |world| world.stuck = true);
        run_to_the_end(seed, 40, |world| (world.stuck, world.old) = (true, true));
    }
}

/// What a kernel does not let go of is never freed.
#[test]
fn operations_that_never_end_are_leaked_and_counted() {
    for seed in 0..SEEDS / 5 {
        run_to_the_end(seed, 40, |world| (world.stuck, world.deaf) = (true, true));
    }
}

/// An error of `enter` is not "not submitted".
#[test]
fn an_error_after_entries_were_taken_loses_nothing() {
    for seed in 0..SEEDS {
        let mut run = Run::new(seed, |_| {});
        run.start();
        let errored = run.driver.enter(0, None).is_err();
        let under_way = run.driver.under_way();
        assert_eq!(under_way, run.open.len());
        for _ in 0..200 {
            let _ = run.driver.enter(u32::from(run.driver.under_way() > 0), None);
            run.reap();
        }
        assert!(run.open.is_empty(), "after an error ({errored}) an operation never ended");
    }
}

/// A late or repeated completion meets nobody.
#[test]
fn a_completion_of_an_old_ticket_is_stray() {
    let mut run = Run::new(1, |world| world.stuck = true);
    let lease = run.arena.lease().unwrap();
    let file = run.file.clone();
    let read = |lease| Request::Read { file: file.clone(), lease, start: 0, end: 9, offset: 0 };
    let [old] = run.driver.start([read(lease)]).unwrap();
    let slots = run.driver.slots();
    slots.submitted(1);
    let data = old.user_data(Kind::Operation);
    slots.complete(data, 9, false);
    let (request, _) = slots.take(old).unwrap();
    drop(request);

    let lease = run.arena.lease().unwrap();
    let [new] = run.driver.start([read(lease)]).unwrap();
    assert_eq!(new.index(), old.index(), "the slot is used again");
    let slots = run.driver.slots();
    use crate::uring::slots::Event;
    assert!(matches!(slots.complete(data, 5, false), Event::Stray));
    assert!(matches!(slots.complete(0, 5, false), Event::Stray));
    assert!(matches!(slots.complete(u64::MAX, 5, false), Event::Stray));
    assert!(matches!(slots.complete(data | 0xFFFF, 5, false), Event::Stray));
    assert!(slots.take(old).is_none() && slots.orphan(old).is_none());
    assert!(slots.is_under_way(new));
    assert!(slots.wake(old, Some(Waker::noop().clone())).is_some(), "it has not been kept");
    assert!(!slots.wakes(old, Waker::noop()));
    // The kernel of this test has one operation, which it has not taken.
    run.world.borrow_mut().under_way.clear();
}

/// Of two completions the second is the end; the result is the first's.
#[test]
fn a_send_without_copies_holds_its_buffer_until_the_notice() {
    let mut run = Run::new(3, |_| {});
    let lease = run.arena.lease().unwrap();
    let free = run.arena.free();
    let request =
        Request::Send { file: run.file.clone(), lease, start: 0, end: 9, zero_copy: true };
    let [ticket] = run.driver.start([request]).unwrap();
    let data = ticket.user_data(Kind::Operation);
    let slots = run.driver.slots();
    slots.submitted(1);
    assert!(matches!(slots.complete(data, 9, true), crate::uring::slots::Event::More));
    assert!(run.driver.take(ticket).is_none());
    drop(run.driver.orphan(ticket));
    assert_eq!(run.arena.free(), free, "the buffer is still the kernel's");
    let slots = run.driver.slots();
    let event = slots.complete(data, 0, false);
    assert!(matches!(event, crate::uring::slots::Event::Orphan(_, 9)), "{event:?}");
    drop(event);
    assert_eq!(run.arena.free(), free + 1);
}

/// Panics when it is dropped, as another program's waker may.
struct Bomb;

impl std::task::Wake for Bomb {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "in the middle of an end");
    }
}

/// Whatever the end of a driver is interrupted by, memory that the kernel may
/// still use is not freed.
#[test]
fn an_end_that_unwinds_frees_nothing_under_way() {
    let world = World::new(1);
    (world.borrow_mut().stuck, world.borrow_mut().deaf) = (true, true);
    let arena = Arc::new(Arena::new(3, BUFFER, None).unwrap());
    let fake = Fake::new(4, 16, &world);
    let mut driver = Driver::new(fake, 3, Arc::clone(&arena), Duration::from_secs(1)).unwrap();
    for _ in 0..3 {
        let (file, lease) = (descriptor(), arena.lease().unwrap());
        let read = Request::Read { file, lease, start: 0, end: 64, offset: 0 };
        let [ticket] = driver.start([read]).unwrap();
        assert!(driver.slots().wake(ticket, Some(Waker::from(Arc::new(Bomb)))).is_none());
    }
    while world.borrow().under_way.len() < 3 {
        let _ = driver.submit();
    }
    // The first one that is over sets the bomb off.
    world.borrow_mut().cancel_one();
    let end = std::panic::AssertUnwindSafe(|| drop(driver));
    assert!(std::panic::catch_unwind(end).is_err());
    assert!(arena.free() <= 1, "{} buffers are free", arena.free());
    drop(arena);
    world.borrow_mut().strike();
}

#[test]
fn the_fake_kernel_does_what_it_is_for() {
    let mut short = 0;
    let mut overflows = 0;
    let mut errors = 0;
    for seed in 0..SEEDS {
        let mut run = Run::new(seed, |_| {});
        (0..60).for_each(|_| run.step());
        let world = run.world.borrow();
        overflows += world.overflows;
        short += world.said.values().filter(|said| (1..64).contains(*said)).count();
        errors += world.said.values().filter(|said| **said < 0).count();
    }
    assert!(short > 5 && overflows > 5 && errors > 5, "{short} {overflows} {errors}");
    assert_ne!(IoringOp::Read as u8, IoringOp::ReadFixed as u8);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 300 }) })]

    #[test]
    fn any_length_of_run_ends(seed: u64, steps in 0usize..200, old: bool) {
        run_to_the_end(seed, steps, |world| world.old = old);
    }
}
