//! The suite of file backends against threads, and against backends that are
//! wrong.

#[path = "../../std-adapter/tests/common/mod.rs"]
mod common;

use std::{
    collections::HashMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

use common::watchdog;
use forebay_linux::{
    file::{Auto, Uring},
    uring::{self, Feature, Way},
};
use forebay_std::file::{
    Backend, Block, Completion, Config, Counts, Done, File, Lease, Operation, Rejected, Tally,
    Threads, Ticket,
};
use forebay_tests::files::{conforms, conforms_unbuffered, conforms_waiting};

/// A directory on the disk that the project is built on, gone with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let name = format!("files-{name}-{}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn threads_conform() {
    let _watchdog = watchdog("threads");
    let dir = Dir::new("threads");
    conforms(&dir.0, |config| Threads::new(config).unwrap());
    let direct = rustix::fs::OFlags::DIRECT.bits();
    conforms_unbuffered(&dir.0, direct, |config| Threads::new(config).unwrap());
    conforms_waiting(&dir.0, |config| Threads::new(config).unwrap());
}

#[test]
fn one_thread_conforms() {
    let _watchdog = watchdog("threads");
    let dir = Dir::new("thread");
    conforms(&dir.0, |config| Threads::new(config).unwrap().threads_max(1));
    conforms_waiting(&dir.0, |config| Threads::new(config).unwrap().threads_max(1));
}

/// One ring's operations, if there is one here; else a line that says why.
fn has_uring() -> bool {
    match Uring::new(&Config::default()) {
        Ok(_) => true,
        Err(refusal) => {
            println!("SKIPPED: io_uring: {refusal}; {}", refusal.advice());
            false
        }
    }
}

#[test]
fn uring_conforms() {
    if !has_uring() {
        return;
    }
    let _watchdog = watchdog("io_uring");
    let dir = Dir::new("uring");
    conforms(&dir.0, |config| Uring::new(config).unwrap());
    let direct = rustix::fs::OFlags::DIRECT.bits();
    conforms_unbuffered(&dir.0, direct, |config| Uring::new(config).unwrap());
}

/// Through the ring also what plain calls would do faster.
#[test]
fn a_ring_for_everything_conforms() {
    if !has_uring() {
        return;
    }
    let _watchdog = watchdog("io_uring for everything");
    let dir = Dir::new("ring");
    for registered in [true, false] {
        conforms(&dir.0, |config| {
            let number = |value: usize| u32::try_from(value).unwrap();
            let config = uring::Config::new()
                .queue_depth(number(config.queue_depth))
                .buffers(number(config.buffer_count()))
                .buffer_len(config.buffer_len)
                .registered_buffers(registered)
                .reads(Way::Ring)
                .writes(Way::Ring);
            Uring::over(&config).unwrap()
        });
    }
}

#[test]
fn uring_with_a_polling_thread_conforms() {
    if !has_uring() {
        return;
    }
    let _watchdog = watchdog("io_uring with a polling thread");
    let dir = Dir::new("sqpoll");
    conforms(&dir.0, |config| {
        let sqpoll = Config { sqpoll: true, sqpoll_cpu: Some(0), ..*config };
        let files = Uring::new(&Config { registered_buffers: false, ..sqpoll }).unwrap();
        // Given to all since Linux 5.11.
        let lacks = files.lacks().iter().any(|lack| lack.feature == Feature::SqPoll);
        assert!(!lacks, "{:?}", files.lacks());
        files
    });
    // There is no such processor, which costs that wish alone.
    let nowhere = Config { sqpoll: true, sqpoll_cpu: Some(100_000), ..Config::default() };
    let lacks = Uring::new(&nowhere).unwrap().lacks().to_vec();
    let lacks: Vec<_> = lacks.iter().map(|lack| lack.feature).collect();
    assert!(lacks.contains(&Feature::SqPollCpu), "{lacks:?}");
    assert!(!lacks.contains(&Feature::SqPoll), "{lacks:?}");
}

#[test]
fn the_choice_conforms() {
    let _watchdog = watchdog("the choice");
    let dir = Dir::new("auto");
    for enabled in [true, false] {
        conforms(&dir.0, |config| Auto::new(&Config { enabled, ..*config }).unwrap());
    }
}

/// A way in which a backend can be wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    HidesShort,
    LosesErrno,
    LosesError,
    LosesLease,
    OffByOne,
    FromTheStart,
    SwapsTickets,
    TooDeep,
    CancelsAll,
    HoldsLeases,
    CountsNothing,
}

/// Threads, with one fault.
struct Wrong {
    inner: Threads,
    fault: Fault,
    /// How many bytes were asked for.
    asked: HashMap<Ticket, usize>,
    swapped: Option<Ticket>,
    held: Vec<Lease>,
}

impl Backend for Wrong {
    type File = File;
    type Lease = Lease;

    fn name(&self) -> &'static str {
        "wrong"
    }

    fn tally(&self) -> &Tally {
        self.inner.tally()
    }

    fn counts(&self) -> Counts {
        if let Fault::CountsNothing = self.fault { Counts::default() } else { self.inner.counts() }
    }

    fn attach(&mut self, file: std::fs::File) -> io::Result<File> {
        self.inner.attach(file)
    }

    fn lease(&mut self) -> Option<Lease> {
        self.inner.lease()
    }

    fn submit(
        &mut self,
        mut operation: Operation<File, Lease>,
    ) -> Result<Ticket, Rejected<File, Lease>> {
        let asked = operation.asked();
        if let Operation::Read { range, offset, .. } | Operation::Write { range, offset, .. } =
            &mut operation
        {
            match self.fault {
                Fault::OffByOne => *offset += u64::from(*offset > 0),
                Fault::FromTheStart if range.end > range.start => *range = 0..range.len(),
                _ => {}
            }
        }
        let ticket = self.inner.submit(operation)?;
        self.asked.insert(ticket, asked);
        Ok(ticket)
    }

    fn cancel(&mut self, ticket: Ticket) -> bool {
        self.inner.cancel(ticket) || matches!(self.fault, Fault::CancelsAll)
    }

    fn reap(&mut self, block: Block) -> io::Result<Option<Completion<File, Lease>>> {
        let Some(mut completion) = self.inner.reap(block)? else { return Ok(None) };
        let asked = self.asked.remove(&completion.ticket).unwrap();
        match (self.fault, &mut completion.result) {
            (Fault::HidesShort, Ok(Done::Moved(len))) => *len = asked,
            (Fault::LosesErrno, Err(error)) => *error = io::Error::other("it failed"),
            (Fault::LosesError, result @ Err(_)) if asked > 0 => *result = Ok(Done::Moved(asked)),
            (Fault::LosesLease, _) => completion.lease = None,
            (Fault::HoldsLeases, _) => self.held.extend(completion.lease.take()),
            (Fault::SwapsTickets, _) => {
                let swapped = self.swapped.replace(completion.ticket);
                completion.ticket = swapped.unwrap_or(completion.ticket);
            }
            _ => {}
        }
        Ok(Some(completion))
    }
}

/// The suite sees each fault.
#[test]
fn wrong_backends_do_not_conform() {
    let _watchdog = watchdog("wrong file backends");
    let faults = [
        Fault::HidesShort,
        Fault::LosesErrno,
        Fault::LosesError,
        Fault::LosesLease,
        Fault::OffByOne,
        Fault::FromTheStart,
        Fault::SwapsTickets,
        Fault::TooDeep,
        Fault::CancelsAll,
        Fault::HoldsLeases,
        Fault::CountsNothing,
    ];
    for fault in faults {
        let dir = Dir::new("wrong");
        let suite = || {
            let make = |config: &Config| {
                let mut config = *config;
                if let Fault::TooDeep = fault {
                    config.buffers = Some(config.buffer_count());
                    config.queue_depth += 1;
                }
                let inner =
                    Threads::new(&config).or_else(|_| Threads::new(&Config::default())).unwrap();
                Wrong { inner, fault, asked: HashMap::new(), swapped: None, held: Vec::new() }
            };
            conforms(&dir.0, make);
            conforms_waiting(&dir.0, make);
        };
        let result = catch_unwind(AssertUnwindSafe(suite));
        assert!(result.is_err(), "{fault:?} conforms");
    }
}
