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
use forebay_std::file::{
    Backend, Block, Completion, Config, Counts, Done, File, Lease, Operation, Rejected, Threads,
    Ticket,
};
use forebay_tests::files::{conforms, conforms_unbuffered};

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
}

#[test]
fn one_thread_conforms() {
    let _watchdog = watchdog("threads");
    let dir = Dir::new("thread");
    conforms(&dir.0, |config| Threads::new(config).unwrap().threads_max(1));
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

    fn depth(&self) -> usize {
        self.inner.depth()
    }

    fn in_flight(&self) -> usize {
        self.inner.in_flight()
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
            conforms(&dir.0, |config| {
                let mut config = *config;
                if let Fault::TooDeep = fault {
                    config.buffers = Some(config.buffer_count());
                    config.queue_depth += 1;
                }
                let inner =
                    Threads::new(&config).or_else(|_| Threads::new(&Config::default())).unwrap();
                Wrong { inner, fault, asked: HashMap::new(), swapped: None, held: Vec::new() }
            });
        };
        let result = catch_unwind(AssertUnwindSafe(suite));
        assert!(result.is_err(), "{fault:?} conforms");
    }
}
