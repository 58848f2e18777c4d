//! What has corrupted memory or lost completions elsewhere, tried on the
//! kernel that runs this.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::{
    io::{Errno, pread},
    io_uring::{IoringSetupFlags, IoringSqFlags},
};

use super::{
    arena::{Arena, Lease},
    config::{Config, SetupError},
    driver::{Driver, Request, leaked},
    file::{File, OpenOptions},
    kernel::{Kernel, Real, Setup},
    op::{self, Bytes, Target},
    queue::Completion,
    ring::Ring,
    setup,
    slots::Ticket,
};

const WITHIN: Duration = Duration::from_secs(10);

/// A file that is removed in the end.
struct Path(PathBuf);

impl Path {
    fn new(len: usize) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("forebay-hazards-{}-{number}", std::process::id());
        // Beside this program: `/tmp` may be in memory.
        let here = std::env::current_exe().unwrap();
        let path = here.parent().unwrap().join(name);
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(&vec![0x11; len]).unwrap();
        file.sync_all().unwrap();
        Self(path)
    }

    fn direct(&self) -> Option<File> {
        match OpenOptions::read_only().direct().open(&self.0) {
            Ok(fd) => Some(File::new(fd, true, None)),
            Err(errno) => {
                println!("SKIPPED: no O_DIRECT here: {errno}");
                None
            }
        }
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn driver(config: &Config, arena: &Arc<Arena>) -> Option<Driver<Real>> {
    match setup::driver(config, Arc::clone(arena)) {
        Ok((driver, _)) => Some(driver),
        Err(why @ SetupError::Ring(_)) => {
            println!("SKIPPED: {why}");
            None
        }
        Err(why) => panic!("{why}"),
    }
}

fn read(file: &File, lease: Lease, len: usize, offset: u64) -> Request {
    Request::Read { file: file.clone(), lease, start: 0, end: len, offset }
}

/// Waits for a ticket.
fn complete(driver: &mut Driver<Real>, ticket: Ticket) -> (Request, Result<u32, Errno>) {
    let begin = Instant::now();
    loop {
        if let Some(done) = driver.take(ticket) {
            return (done.request, done.result);
        }
        assert!(begin.elapsed() < WITHIN, "no completion");
        match driver.enter(1, Some(WITHIN)) {
            Ok(()) | Err(Errno::INTR | Errno::AGAIN | Errno::BUSY) => {}
            Err(errno) => panic!("{errno}"),
        }
        driver.reap(|_, _| {});
    }
}

/// Paints all free buffers, lets the disk work, and counts the bytes that have
/// changed.
fn overwritten(arena: &Arc<Arena>, file: &File, scratch: &mut Lease) -> usize {
    let mut leases: Vec<Lease> = std::iter::from_fn(|| arena.lease()).collect();
    leases.iter_mut().for_each(|lease| lease.fill(0xAA));
    // A read behind theirs on the same disk, twice, takes longer than those
    // that were under way.
    for offset in [0, 65536] {
        pread(file, &mut scratch[..65536], offset).unwrap();
    }
    leases.iter().flat_map(|lease| lease.iter()).filter(|byte| **byte != 0xAA).count()
}

const READS: u16 = 16;
const LEN: usize = 65536;

/// 200 rounds of 16 reads of 64 KiB with `O_DIRECT`, ended by `end`, after which
/// nobody may write to their buffers: goal 1.
fn no_byte_changes_after(end: impl Fn(Driver<Real>, &[Ticket])) {
    let path = Path::new(usize::from(READS) * LEN);
    let Some(file) = path.direct() else { return };
    let aside = Arc::new(Arena::new(1, LEN, None).unwrap());
    let mut scratch = aside.lease().unwrap();
    let (mut operations, mut changed) = (0, 0);
    for round in 0..200 {
        let arena = Arc::new(Arena::new(READS.into(), LEN, None).unwrap());
        let config = Config::new().queue_depth(16).registered_buffers(round % 2 == 0);
        // A disk that others keep busy is waited for.
        let config = config.close_within(WITHIN);
        let Some(mut driver) = driver(&config, &arena) else { return };
        let mut tickets = vec![];
        for index in 0..u64::from(READS) {
            let request = read(&file, arena.lease().unwrap(), LEN, index * LEN as u64);
            tickets.extend(driver.start([request]).unwrap());
        }
        driver.submit().unwrap();
        operations += driver.under_way();
        end(driver, &tickets);
        assert_eq!(arena.free(), READS.into(), "a buffer is missing");
        changed += overwritten(&arena, &file, &mut scratch);
    }
    assert!(operations >= 3000, "{operations} operations were under way");
    assert_eq!(changed, 0, "bytes overwritten after the end");
}

#[test]
fn memory_is_still_after_a_drop() {
    no_byte_changes_after(|driver, _| drop(driver));
}

#[test]
fn memory_is_still_after_a_cancel() {
    no_byte_changes_after(|mut driver, tickets| {
        for ticket in tickets {
            driver.cancel(*ticket);
        }
        for ticket in tickets {
            let (request, result) = complete(&mut driver, *ticket);
            assert!(matches!(result, Ok(_) | Err(Errno::CANCELED)), "{result:?}");
            drop(request);
        }
    });
}

#[test]
fn memory_is_still_after_its_operation_was_forgotten() {
    no_byte_changes_after(|mut driver, tickets| {
        let arena = Arc::clone(driver.arena());
        tickets.iter().for_each(|ticket| drop(driver.orphan(*ticket)));
        while arena.free() < READS.into() {
            driver.enter(1, Some(WITHIN)).unwrap();
            driver.reap(|_, _| {});
        }
    });
}

/// A ring for one thread refuses the others: nothing can be cancelled from
/// there, so the memory stays, and is counted.
#[test]
fn a_single_issuer_ring_in_another_thread_leaks_and_does_not_free() {
    let arena = Arc::new(Arena::new(1, 4096, None).unwrap());
    let Some(mut driver) = driver(&Config::new(), &arena) else { return };
    if !driver.has(IoringSetupFlags::SINGLE_ISSUER) {
        println!("SKIPPED: this kernel knows no single-issuer rings");
        return;
    }
    let (reader, mut writer) = std::io::pipe().unwrap();
    let pipe = File::from(std::os::fd::OwnedFd::from(reader));
    driver.start([read(&pipe, arena.lease().unwrap(), 9, u64::MAX)]).unwrap();
    driver.submit().unwrap();
    let before = leaked();
    std::thread::spawn(move || {
        assert_eq!(driver.enter(1, None), Err(Errno::EXIST));
        drop(driver);
    })
    .join()
    .unwrap();
    assert!(leaked() > before);
    assert_eq!(arena.free(), 0, "the buffer is the kernel's for ever");
    assert!(Arc::strong_count(&arena) > 1);
    writer.write_all(b"late").unwrap();
}

/// More completions than places are kept by the kernel and fetched.
#[test]
fn a_completion_queue_that_runs_over_loses_nothing() {
    const MANY: u16 = 200;
    let arena = Arc::new(Arena::new(MANY.into(), 4096, None).unwrap());
    let setup = Setup { entries: 1, ..Setup::default() };
    let kernel = match Real::new(&setup) {
        Ok(kernel) => kernel,
        Err(errno) => {
            println!("SKIPPED: no ring: {errno}");
            return;
        }
    };
    let mut driver = Driver::new(kernel, MANY, Arc::clone(&arena), WITHIN).unwrap();
    let zero = File::from(fs::File::open("/dev/zero").unwrap());
    let mut tickets = vec![];
    for _ in 0..MANY {
        tickets.extend(driver.start([read(&zero, arena.lease().unwrap(), 9, 0)]).unwrap());
    }
    driver.submit().unwrap();
    assert!(driver.kernel().queues().flags().contains(IoringSqFlags::CQ_OVERFLOW));
    for ticket in tickets {
        assert_eq!(complete(&mut driver, ticket).1, Ok(9));
    }
    assert!(driver.counts().1.overflows > 0);
}

/// The polling thread takes entries when it likes: a queue that is full waits
/// for it, and one that sleeps is woken.
#[test]
fn a_polling_thread_takes_all_and_is_woken() {
    let arena = Arc::new(Arena::new(64, 4096, None).unwrap());
    let zero = File::from(fs::File::open("/dev/zero").unwrap());
    let flags = IoringSetupFlags::SQPOLL;
    let setup = Setup { entries: 2, flags, sqpoll_idle_millis: 1, ..Setup::default() };
    let kernel = match Real::new(&setup) {
        Ok(kernel) => kernel,
        Err(errno) => {
            println!("SKIPPED: no polling thread: {errno}");
            return;
        }
    };
    let mut driver = Driver::new(kernel, 64, Arc::clone(&arena), WITHIN).unwrap();
    let mut all = 0;
    for round in 0..20 {
        let mut tickets = vec![];
        while let Some(lease) = arena.lease() {
            match driver.start([read(&zero, lease, 9, 0)]) {
                Ok(started) => tickets.extend(started),
                Err(refused) => drop(refused),
            }
            if tickets.len() == 64 {
                break;
            }
        }
        all += tickets.len();
        for ticket in tickets {
            assert_eq!(complete(&mut driver, ticket).1, Ok(9));
        }
        if round % 4 == 0 {
            // Until it sleeps.
            while !driver.kernel().queues().flags().contains(IoringSqFlags::NEED_WAKEUP) {
                std::thread::yield_now();
            }
        }
    }
    assert!(all >= 20 * 64, "{all} reads");
    assert_eq!(driver.counts().0.stray, 0);
}

/// An entry that names memory that is not registered is refused by the kernel.
#[test]
fn a_wrong_registered_buffer_is_an_error() {
    let arena = Arc::new(Arena::new(2, 4096, None).unwrap());
    let mut kernel = match Real::new(&Setup { entries: 8, ..Setup::default() }) {
        Ok(kernel) => kernel,
        Err(errno) => {
            println!("SKIPPED: no ring: {errno}");
            return;
        }
    };
    let (base, len) = arena.memory();
    kernel.register(super::kernel::Register::Buffer(base, len)).unwrap();
    let mut ring = Ring::new(kernel);
    let zero = fs::File::open("/dev/zero").unwrap();
    let fd = Target::Descriptor(std::os::fd::AsRawFd::as_raw_fd(&zero));
    let end = u32::try_from(len).unwrap();
    let other = Box::new([0u8; 64]);
    let outside = std::ptr::NonNull::from(&*other).cast();
    let bytes = |at, len| Bytes { at, len, registered: true };
    for (bytes, index, expected) in [
        (bytes(base, end), 0, i32::try_from(len).unwrap()),
        (bytes(base, end + 1), 0, -Errno::FAULT.raw_os_error()),
        (bytes(outside, 64), 0, -Errno::FAULT.raw_os_error()),
        (bytes(base, end), 7, -Errno::FAULT.raw_os_error()),
    ] {
        let mut entry = op::read(fd, bytes, 0, 77);
        entry.buf.buf_index = index;
        push(&mut ring, entry);
        ring.enter(1, Some(WITHIN)).unwrap();
        let said = ring.pop();
        assert_eq!(said, Some(Completion { user_data: 77, result: expected, flags: 0 }));
    }
    assert!(other.iter().all(|byte| *byte == 0));
}

#[allow(unsafe_code)]
fn push(ring: &mut Ring<Real>, entry: rustix::io_uring::io_uring_sqe) {
    // SAFETY: the memory and the file of the test above live until it ends,
    // and each entry is completed before.
    unsafe { ring.queues().push(entry) };
}

/// What cannot be asked for, as the depth is at most 4096 and there is one
/// registered buffer.
#[test]
fn the_kernel_has_limits_of_its_own() {
    for (entries, fits) in [(4096, true), (32768, true), (32769, false)] {
        // Four completions an entry are too many from 32768 on.
        let setup = Setup { entries, ..Setup::default() };
        match Real::new(&setup) {
            Ok(_) => assert!(fits && entries == 4096, "{entries}"),
            Err(Errno::INVAL) => assert!(entries >= 32768, "{entries}"),
            Err(errno) => {
                println!("SKIPPED: no ring: {errno}");
                return;
            }
        }
    }
}

/// A driver with a read under way that ends when something is written.
fn endless(config: &Config) -> Option<(Driver<Real>, Ticket, std::io::PipeWriter, Arc<Arena>)> {
    let arena = Arc::new(Arena::new(1, 4096, None).unwrap());
    let mut driver = driver(config, &arena)?;
    let (reader, writer) = std::io::pipe().unwrap();
    let pipe = File::from(std::os::fd::OwnedFd::from(reader));
    let [ticket] = driver.start([read(&pipe, arena.lease().unwrap(), 9, u64::MAX)]).unwrap();
    driver.submit().unwrap();
    Some((driver, ticket, writer, arena))
}

/// A time that the clock does not reach is one without end.
#[test]
fn a_close_that_may_take_for_ever_ends_all() {
    let config = Config::new().close_within(Duration::MAX);
    let Some((driver, _, _writer, arena)) = endless(&config) else { return };
    drop(driver);
    assert_eq!(arena.free(), 1);
}

/// The state of a thread, `proc_pid_stat(5)`.
fn state(thread: rustix::thread::Pid) -> char {
    let path = format!("/proc/self/task/{}/stat", thread.as_raw_nonzero());
    let stat = fs::read_to_string(path).unwrap();
    stat.rsplit_once(')').unwrap().1.trim().chars().next().unwrap()
}

/// The kernel adds the time to its clock's, which must not run over.
#[test]
fn a_wait_of_any_length_waits() {
    let Some((mut driver, ticket, mut writer, _arena)) = endless(&Config::new()) else { return };
    let this = rustix::thread::gettid();
    let over = Arc::new(AtomicU32::new(0));
    let told = Arc::clone(&over);
    let other = std::thread::spawn(move || {
        while state(this) != 'S' && told.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        writer.write_all(b"late").unwrap();
    });
    driver.enter(1, Some(Duration::MAX)).unwrap();
    over.store(1, Ordering::Relaxed);
    driver.reap(|_, _| {});
    let done = driver.take(ticket);
    other.join().unwrap();
    assert_eq!(done.expect("the wait has ended too early").result, Ok(4));
}

/// A child has a copy of the memory, and the same ring.
#[test]
#[allow(unsafe_code)]
fn the_end_of_a_forked_copy_ends_nothing_here() {
    use std::os::unix::process::CommandExt;
    for single_issuer in [true, false] {
        let mut config = Config::new();
        config.single_issuer = single_issuer;
        let Some((mut driver, ticket, mut writer, _arena)) = endless(&config) else { return };
        let copy = (&raw mut driver).expose_provenance();
        let mut child = std::process::Command::new("true");
        let end = move || {
            let copy = std::ptr::with_exposed_provenance_mut::<Driver<Real>>(copy);
            // SAFETY: in the child it is a copy that nobody else uses.
            unsafe { (*copy).cancel(ticket) };
            // SAFETY: as above, and the child becomes another program.
            unsafe { copy.drop_in_place() };
            Ok(())
        };
        // SAFETY: the closure frees memory, which the C library allows behind
        // its own `fork`.
        unsafe { child.pre_exec(end) };
        assert!(child.status().unwrap().success());
        writer.write_all(b"still").unwrap();
        assert_eq!(complete(&mut driver, ticket).1, Ok(5), "single issuer: {single_issuer}");
    }
}
