//! What the kernel offers to rings, found out by asking it: for those who make
//! rings, and for who only wants to know (`crate::probe`).
//!
//! # Implementation
//!
//! A ring is asked for with all that is wanted. Where that is refused, flags
//! are left out until there is one, those of the newest kernels first, and then
//! each that was left out is tried again: only what really is refused is
//! missing in the end.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    io::{Errno, pwritev2},
    io_uring::{IoringEnterFlags, IoringOp, IoringSetupFlags},
};

use super::{
    arena::Arena,
    config::{Degraded, Feature, SqPoll},
    driver::{Driver, Request},
    file::{File, OpenOptions},
    kernel::{Kernel, Real, Setup},
};
use crate::{
    fd_sink::{NOSIGNAL, OWN_POSITION},
    probe::Kernel as Version,
};

/// How long a probe of a polled device may take.
const PROBE_WITHIN: Duration = Duration::from_millis(250);

/// The operations that are used here.
pub(crate) const OPERATIONS: [(&str, IoringOp); 11] = [
    ("read", IoringOp::Read),
    ("write", IoringOp::Write),
    ("read fixed", IoringOp::ReadFixed),
    ("write fixed", IoringOp::WriteFixed),
    ("fsync", IoringOp::Fsync),
    ("openat", IoringOp::Openat),
    ("statx", IoringOp::Statx),
    ("send", IoringOp::Send),
    ("poll", IoringOp::PollAdd),
    ("async cancel", IoringOp::AsyncCancel),
    ("send zero-copy", IoringOp::SendZc),
];

/// What a ring is to be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// Entries of the submission queue.
    pub(crate) entries: u32,
    /// What the ring is of no use without.
    pub(crate) flags: IoringSetupFlags,
    /// A polling thread.
    pub(crate) sqpoll: Option<SqPoll>,
    /// Whether one thread alone uses it.
    pub(crate) single_issuer: bool,
}

impl Wanted {
    /// What it can do without, the newest last.
    fn optional(&self) -> Vec<(Feature, IoringSetupFlags)> {
        use IoringSetupFlags as F;
        let mut optional = Vec::new();
        if let Some(poll) = self.sqpoll {
            optional.push((Feature::SqPoll, F::SQPOLL));
            if poll.cpu.is_some() {
                optional.push((Feature::SqPollCpu, F::SQ_AFF));
            }
        }
        optional.push((Feature::SubmitAll, F::SUBMIT_ALL));
        // A ring that threads share is told at once: they wait for its
        // descriptor and need not make calls.
        if self.sqpoll.is_none() && self.single_issuer {
            optional.push((Feature::CooperativeTaskRun, F::COOP_TASKRUN | F::TASKRUN_FLAG));
            optional.push((Feature::SingleIssuer, F::SINGLE_ISSUER | F::DEFER_TASKRUN));
        }
        optional
    }

    fn setup(&self) -> Setup {
        let idle = self.sqpoll.map_or(0, |poll| poll.idle.as_millis());
        Setup {
            entries: self.entries,
            flags: self.flags,
            sqpoll_cpu: self.sqpoll.and_then(|poll| poll.cpu).unwrap_or(0),
            sqpoll_idle_millis: u32::try_from(idle).unwrap_or(u32::MAX),
        }
    }
}

/// The ring that the kernel gives, and what it lacks of what was wanted.
pub(crate) fn ring(wanted: &Wanted) -> Result<(Real, Vec<Degraded>), Errno> {
    best(wanted, |setup| {
        let mut kernel = Real::new(setup)?;
        // A filter may leave the making of rings and take their use.
        kernel.enter(0, 0, IoringEnterFlags::empty(), None)?;
        Ok(kernel)
    })
}

/// The same of whatever `make` makes.
fn best<K>(
    wanted: &Wanted,
    mut make: impl FnMut(&Setup) -> Result<K, Errno>,
) -> Result<(K, Vec<Degraded>), Errno> {
    let mut setup = wanted.setup();
    let mut optional = wanted.optional();
    let mut left_out = Vec::new();
    let mut made = loop {
        setup.flags = optional.iter().fold(wanted.flags, |all, (_, flag)| all | *flag);
        match make(&setup) {
            Ok(made) => break made,
            // Nothing optional is behind these.
            Err(errno @ (Errno::NOSYS | Errno::MFILE | Errno::NFILE)) => return Err(errno),
            Err(errno) => left_out.push((optional.pop().ok_or(errno)?, errno)),
        }
    };
    let mut lacks = Vec::new();
    // The last one is to blame, as without it there is a ring; of those before
    // it nobody knows.
    for ((feature, flag), errno) in left_out.into_iter().rev() {
        let again = Setup { flags: setup.flags | flag, ..setup };
        let tried = if lacks.is_empty() { Err(errno) } else { make(&again) };
        match tried {
            Ok(better) => (made, setup) = (better, again),
            Err(errno) => lacks.push(Degraded { feature, errno }),
        }
    }
    Ok((made, lacks))
}

/// Whether the kernel reads and writes by its own operations, as all from Linux
/// 5.6 on do; a ring is of no use without.
///
/// A filter may forbid to ask: such a kernel is taken to be new enough.
pub(crate) fn transfers(kernel: &Real) -> Result<(), Errno> {
    let known = kernel.knows(IoringOp::Read) && kernel.knows(IoringOp::Write);
    // That of an older kernel, which cannot be asked.
    let cannot_say = kernel.probed().is_err_and(|errno| errno != Errno::INVAL);
    if known || cannot_say { Ok(()) } else { Err(Errno::NOSYS) }
}

/// Whether opens and questions for metadata can go by the ring.
pub(crate) fn opens(kernel: &Real) -> Result<(), Degraded> {
    if kernel.knows(IoringOp::Openat) && kernel.knows(IoringOp::Statx) {
        return Ok(());
    }
    let errno = kernel.probed().err().unwrap_or(Errno::NOSYS);
    Err(Degraded { feature: Feature::OpenAndStatus, errno })
}

/// Whether a write can do without SIGPIPE (`RWF_NOSIGNAL`), as a send from
/// registered memory has to: to the kernel it is a write.
pub(crate) fn quiet_writes() -> Result<(), Errno> {
    let (_reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let byte = [std::io::IoSlice::new(&[0])];
    pwritev2(&writer, &byte, OWN_POSITION, NOSIGNAL).map(drop)
}

/// Whether the device of the file at `path` can be polled for completions.
pub(crate) fn polls(path: &Path) -> Result<(), Errno> {
    let file = OpenOptions::read_only().direct().open(path)?;
    let file = File::new(file, true, None);
    let arena = Arc::new(Arena::new(1, 64 * 1024, None)?);
    let setup = Setup { entries: 1, flags: IoringSetupFlags::IOPOLL, ..Setup::default() };
    let mut driver = Driver::new(Real::new(&setup)?, 1, Arc::clone(&arena), PROBE_WITHIN)?;
    let lease = arena.lease().ok_or(Errno::NOMEM)?;
    let end = file.alignment().map_or(4096, |alignment| alignment.offset as usize);
    let request = Request::Read { file, lease, start: 0, end, offset: 0 };
    let Ok([ticket]) = driver.start([request]) else { return Err(Errno::NOMEM) };
    let begin = Instant::now();
    // Without waiting in the kernel, where a device that is never done would
    // be polled for ever.
    loop {
        match driver.enter(0, None) {
            Ok(()) | Err(Errno::INTR | Errno::AGAIN | Errno::BUSY) => {}
            Err(errno) => return Err(errno),
        }
        driver.reap(|_, _| {});
        if let Some(done) = driver.take(ticket) {
            return done.result.map(drop);
        }
        if begin.elapsed() > PROBE_WITHIN {
            return Err(Errno::TIMEDOUT);
        }
    }
}

/// Whether this kernel reads from the page cache with `RWF_NOWAIT` rightly:
/// 5.9 and 5.10 return what is not there.
pub(crate) fn cached_reads() -> Result<(), Degraded> {
    // A version is no error of the kernel's.
    let degraded = Degraded { feature: Feature::CachedReads, errno: Errno::NOTSUP };
    if nowait_is_broken(Version::running()) { Err(degraded) } else { Ok(()) }
}

const fn nowait_is_broken(kernel: Version) -> bool {
    // Before 4.14 there is no RWF_NOWAIT, which its first call finds out.
    matches!(kernel, Version { major: 5, minor: 9 | 10 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use IoringSetupFlags as F;

    /// What a kernel gives that knows `known` and has processors up to `cpu`.
    fn given(wanted: &Wanted, known: F, cpu: u32) -> (F, Vec<Feature>) {
        let make = |setup: &Setup| {
            let cpu_is_there = !setup.flags.contains(F::SQ_AFF) || setup.sqpoll_cpu <= cpu;
            let whole = !setup.flags.contains(F::SQ_AFF) || setup.flags.contains(F::SQPOLL);
            let known = known.contains(setup.flags);
            if known && whole && cpu_is_there { Ok(setup.flags) } else { Err(Errno::INVAL) }
        };
        let (flags, lacks) = best(wanted, make).unwrap();
        (flags, lacks.into_iter().map(|lack| lack.feature).collect())
    }

    /// Only what is refused is left out, whatever was tried before it.
    #[test]
    fn each_kernel_gives_what_it_has() {
        let first = F::IOPOLL | F::SQPOLL | F::SQ_AFF | F::CQSIZE;
        let v5_18 = first | F::SUBMIT_ALL;
        let v5_19 = v5_18 | F::COOP_TASKRUN | F::TASKRUN_FLAG;
        let v6_1 = v5_19 | F::SINGLE_ISSUER | F::DEFER_TASKRUN;
        let one = Wanted { single_issuer: true, ..Wanted::default() };
        use Feature::{CooperativeTaskRun, SingleIssuer, SqPollCpu, SubmitAll};
        for (known, flags, lacks) in [
            (v6_1, v6_1 - first, vec![]),
            (v5_19, v5_19 - first, vec![SingleIssuer]),
            (v5_18, F::SUBMIT_ALL, vec![CooperativeTaskRun, SingleIssuer]),
            (first, F::empty(), vec![SubmitAll, CooperativeTaskRun, SingleIssuer]),
        ] {
            assert_eq!(given(&one, known, 0), (flags, lacks));
        }
        let poll = |cpu| Some(SqPoll { cpu: Some(cpu), idle: Duration::ZERO });
        let polled = Wanted { sqpoll: poll(1), ..Wanted::default() };
        for (known, cpu, flags, lacks) in [
            (v6_1, 1, F::SQPOLL | F::SQ_AFF | F::SUBMIT_ALL, vec![]),
            (v6_1, 0, F::SQPOLL | F::SUBMIT_ALL, vec![SqPollCpu]),
            // A kernel that only lacks what came later keeps its thread.
            (first, 1, F::SQPOLL | F::SQ_AFF, vec![SubmitAll]),
            (first, 0, F::SQPOLL, vec![SqPollCpu, SubmitAll]),
            (F::SUBMIT_ALL, 1, F::SUBMIT_ALL, vec![Feature::SqPoll, SqPollCpu]),
        ] {
            assert_eq!(given(&polled, known, cpu), (flags, lacks));
        }
        // What nothing can be done without.
        let polls = Wanted { flags: F::IOPOLL, ..one };
        assert_eq!(best(&polls, |_| Err::<(), _>(Errno::PERM)).unwrap_err(), Errno::PERM);
        assert_eq!(given(&polls, first, 0).0, F::IOPOLL);
    }

    /// An error that no flag is to blame for ends the search.
    #[test]
    fn what_no_flag_is_to_blame_for_is_not_asked_again() {
        for errno in [Errno::NOSYS, Errno::MFILE, Errno::NFILE] {
            let mut asked = 0;
            let made = best(&Wanted { single_issuer: true, ..Wanted::default() }, |_| {
                asked += 1;
                Err::<(), _>(errno)
            });
            assert_eq!((made.unwrap_err(), asked), (errno, 1));
        }
    }

    #[test]
    fn kernels_with_a_broken_nowait_are_known() {
        for (major, minor, broken) in [
            (5, 8, false),
            (5, 9, true),
            (5, 10, true),
            (5, 11, false),
            (6, 10, false),
            (0, 0, false),
        ] {
            assert_eq!(nowait_is_broken(Version { major, minor }), broken, "{major}.{minor}");
        }
    }
}
