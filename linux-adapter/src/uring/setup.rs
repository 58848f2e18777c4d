//! From a configuration to a ring: each feature is tried, and left out with a
//! reason where the kernel refuses it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    io_uring::{IoringEnterFlags, IoringOp, IoringSetupFlags},
};

use super::{
    arena::Arena,
    config::{Config, Degraded, Feature, SetupError},
    driver::{Driver, Request},
    file::{File, OpenOptions},
    kernel::{Kernel, Real, Setup},
};

/// How long a probe of a polled device may take.
const PROBE_WITHIN: Duration = Duration::from_millis(250);

/// A driver as near to `config` as this machine allows, and what it lacks.
pub(crate) fn driver(
    config: &Config,
    arena: Arc<Arena>,
) -> Result<(Driver<Real>, Vec<Degraded>), SetupError> {
    let depth = config.depth()?;
    let mut lacks = Vec::new();
    let mut flags = IoringSetupFlags::empty();
    if let Some(probe) = &config.iopoll {
        match polls(probe) {
            Ok(()) => flags |= IoringSetupFlags::IOPOLL,
            Err(errno) => lacks.push(Degraded { feature: Feature::IoPoll, errno }),
        }
    }
    let kernel = ring(config, u32::from(depth), flags, &mut lacks).map_err(SetupError::Ring)?;
    if !(kernel.knows(IoringOp::Openat) && kernel.knows(IoringOp::Statx)) {
        lacks.push(Degraded { feature: Feature::OpenAndStatus, errno: Errno::NOSYS });
    }
    let mut driver =
        Driver::new(kernel, depth, arena, config.close_within).map_err(SetupError::Buffers)?;
    if config.registered_buffers
        && let Err(errno) = driver.register_buffers()
    {
        lacks.push(Degraded { feature: Feature::RegisteredBuffers, errno });
    }
    if config.registered_files > 0
        && let Err(errno) = driver.register_files(config.registered_files as usize)
    {
        lacks.push(Degraded { feature: Feature::RegisteredFiles, errno });
    }
    Ok((driver, lacks))
}

/// A ring with `flags` and as many of the others as the kernel takes.
fn ring(
    config: &Config,
    entries: u32,
    flags: IoringSetupFlags,
    lacks: &mut Vec<Degraded>,
) -> Result<Real, Errno> {
    use IoringSetupFlags as F;
    let mut optional: Vec<(Feature, F)> = vec![(Feature::SubmitAll, F::SUBMIT_ALL)];
    let mut setup = Setup { entries, flags, ..Setup::default() };
    if let Some(poll) = config.sqpoll {
        optional.push((Feature::SqPoll, F::SQPOLL));
        setup.sqpoll_idle_millis = u32::try_from(poll.idle.as_millis()).unwrap_or(u32::MAX);
        if let Some(cpu) = poll.cpu {
            optional.push((Feature::SqPollCpu, F::SQ_AFF));
            setup.sqpoll_cpu = cpu;
        }
    } else {
        optional.push((Feature::CooperativeTaskRun, F::COOP_TASKRUN | F::TASKRUN_FLAG));
        if config.single_issuer {
            optional.push((Feature::SingleIssuer, F::SINGLE_ISSUER | F::DEFER_TASKRUN));
        }
    }
    // A ring that threads share is told at once: they wait for its descriptor
    // and need not make calls.
    if !config.single_issuer {
        optional.retain(|(feature, _)| *feature != Feature::CooperativeTaskRun);
    }
    // The newest goes first, as what an older kernel does not know.
    loop {
        setup.flags = optional.iter().fold(flags, |all, (_, flag)| all | *flag);
        match Real::new(&setup) {
            // A filter may leave the making of rings and take their use.
            Ok(mut kernel) => {
                kernel.enter(0, 0, IoringEnterFlags::empty(), None)?;
                return Ok(kernel);
            }
            Err(errno) => {
                // Nothing optional is behind these.
                if matches!(errno, Errno::NOSYS | Errno::MFILE | Errno::NFILE) {
                    return Err(errno);
                }
                let (feature, _) = optional.pop().ok_or(errno)?;
                lacks.push(Degraded { feature, errno });
            }
        }
    }
}

/// Whether the device of the file at `path` can be polled.
fn polls(path: &std::path::Path) -> Result<(), Errno> {
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
        driver.enter(0, None)?;
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
    let name = rustix::system::uname();
    let broken = name.release().to_str().is_ok_and(nowait_is_broken);
    // A version is no error of the kernel's.
    let errno = Errno::NOTSUP;
    if broken { Err(Degraded { feature: Feature::CachedReads, errno }) } else { Ok(()) }
}

fn nowait_is_broken(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let major = numbers.next().and_then(|number| number.parse().ok());
    let minor = numbers.next().and_then(|number| number.parse().ok());
    // Before 4.14 there is no RWF_NOWAIT, which its first call finds out.
    matches!((major, minor), (Some(5u32), Some(9 | 10u32)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_with_a_broken_nowait_are_known() {
        for (release, broken) in [
            ("5.8.18", false),
            ("5.9.0-rc1", true),
            ("5.10.0-21-amd64", true),
            ("5.11", false),
            ("5.100.1", false),
            ("6.10.3", false),
            ("6.9", false),
            ("something else", false),
        ] {
            assert_eq!(nowait_is_broken(release), broken, "{release}");
        }
    }
}
