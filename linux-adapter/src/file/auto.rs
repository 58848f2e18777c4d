//! The choice between io_uring and threads.

use std::{
    error::Error,
    fmt, fs, io,
    ops::{Deref, DerefMut},
};

use forebay_std::file::{
    self, Backend, BadConfig, Block, Completion, Config, Operation, Rejected, Tally, Threads,
    Ticket, Why,
};

use super::{Refusal, Uring};
use crate::uring::{self, Degraded};

/// A file backend: io_uring if it works here, else threads, with the reason.
///
/// That is found out when it is made, and never again.
#[derive(Debug)]
pub struct Auto(Kind);

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there are few of them")]
enum Kind {
    Uring(Uring),
    Threads(Threads, Refusal),
}

/// A file of [`Auto`]; clones share it, and the last one closes it.
#[derive(Clone, Debug)]
pub struct AutoFile(FileKind);

#[derive(Clone, Debug)]
enum FileKind {
    Uring(uring::File),
    Threads(file::File),
}

/// Bytes that [`Auto`] lends; dropping it gives them back.
#[derive(Debug)]
pub struct AutoLease(LeaseKind);

#[derive(Debug)]
enum LeaseKind {
    Uring(uring::Lease),
    Threads(file::Lease),
}

/// Why there is no backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoBackend {
    /// An option is wrong.
    Config(BadConfig),
    /// There is no io_uring, and nothing else was wanted
    /// ([`fallback`](Config::fallback)).
    NoUring(Refusal),
}

impl fmt::Display for NoBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::NoUring(refusal) => write!(f, "no io_uring: {refusal}; {}", refusal.advice()),
        }
    }
}

impl Error for NoBackend {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::NoUring(refusal) => Some(refusal),
        }
    }
}

impl From<BadConfig> for NoBackend {
    fn from(error: BadConfig) -> Self {
        Self::Config(error)
    }
}

impl Auto {
    /// Chooses.
    ///
    /// # Errors
    ///
    /// If an option is wrong, or there is no io_uring and no
    /// [`fallback`](Config::fallback) from it.
    pub fn new(config: &Config) -> Result<Self, NoBackend> {
        config.check()?;
        let refusal = if config.enabled {
            match Uring::new(config) {
                Ok(uring) => return Ok(Self(Kind::Uring(uring))),
                Err(refusal) if config.fallback => refusal,
                Err(refusal) => return Err(NoBackend::NoUring(refusal)),
            }
        } else {
            Refusal::NotEnabled
        };
        Ok(Self(Kind::Threads(Threads::new(config)?, refusal)))
    }

    /// Why these are threads; `None` if it is io_uring.
    #[must_use]
    pub fn reason(&self) -> Option<Refusal> {
        match &self.0 {
            Kind::Uring(_) => None,
            Kind::Threads(_, refusal) => Some(*refusal),
        }
    }

    /// What was configured or is usual of io_uring and is missing here, with
    /// the reasons; nothing for threads.
    #[must_use]
    pub fn lacks(&self) -> &[Degraded] {
        match &self.0 {
            Kind::Uring(uring) => uring.lacks(),
            Kind::Threads(..) => &[],
        }
    }
}

impl Deref for AutoLease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            LeaseKind::Uring(lease) => lease,
            LeaseKind::Threads(lease) => lease,
        }
    }
}

impl DerefMut for AutoLease {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            LeaseKind::Uring(lease) => lease,
            LeaseKind::Threads(lease) => lease,
        }
    }
}

/// Submits to `backend` by way of `map`, and puts what it rejects back.
macro_rules! submit {
    ($backend:ident, $operation:ident, $kind:ident) => {{
        let known = $operation.file().is_none_or(|it| matches!(it.0, FileKind::$kind(_)))
            && $operation.lease().is_none_or(|it| matches!(it.0, LeaseKind::$kind(_)));
        if !known {
            return Err(Rejected { operation: $operation, why: Why::Foreign });
        }
        let operation = $operation.map(
            |file| match file.0 {
                FileKind::$kind(file) => file,
                _ => unreachable!("known"),
            },
            |lease| match lease.0 {
                LeaseKind::$kind(lease) => lease,
                _ => unreachable!("known"),
            },
        );
        $backend.submit(operation).map_err(|Rejected { operation, why }| {
            let file = |file| AutoFile(FileKind::$kind(file));
            let lease = |lease| AutoLease(LeaseKind::$kind(lease));
            Rejected { operation: operation.map(file, lease), why }
        })
    }};
}

fn completed<F, L>(
    completion: Completion<F, L>,
    to_file: impl FnOnce(F) -> FileKind,
    to_lease: impl FnOnce(L) -> LeaseKind,
) -> Completion<AutoFile, AutoLease> {
    let Completion { ticket, result, lease } = completion;
    Completion {
        ticket,
        result: result.map(|done| done.map(|file| AutoFile(to_file(file)))),
        lease: lease.map(|lease| AutoLease(to_lease(lease))),
    }
}

impl Backend for Auto {
    type File = AutoFile;
    type Lease = AutoLease;

    fn name(&self) -> &'static str {
        match &self.0 {
            Kind::Uring(uring) => uring.name(),
            Kind::Threads(threads, _) => threads.name(),
        }
    }

    fn tally(&self) -> &Tally {
        match &self.0 {
            Kind::Uring(uring) => uring.tally(),
            Kind::Threads(threads, _) => threads.tally(),
        }
    }

    fn attach(&mut self, file: fs::File) -> io::Result<AutoFile> {
        Ok(AutoFile(match &mut self.0 {
            Kind::Uring(uring) => FileKind::Uring(uring.attach(file)?),
            Kind::Threads(threads, _) => FileKind::Threads(threads.attach(file)?),
        }))
    }

    fn lease(&mut self) -> Option<AutoLease> {
        Some(AutoLease(match &mut self.0 {
            Kind::Uring(uring) => LeaseKind::Uring(uring.lease()?),
            Kind::Threads(threads, _) => LeaseKind::Threads(threads.lease()?),
        }))
    }

    fn submit(
        &mut self,
        operation: Operation<AutoFile, AutoLease>,
    ) -> Result<Ticket, Rejected<AutoFile, AutoLease>> {
        match &mut self.0 {
            Kind::Uring(uring) => submit!(uring, operation, Uring),
            Kind::Threads(threads, _) => submit!(threads, operation, Threads),
        }
    }

    fn cancel(&mut self, ticket: Ticket) -> bool {
        match &mut self.0 {
            Kind::Uring(uring) => uring.cancel(ticket),
            Kind::Threads(threads, _) => threads.cancel(ticket),
        }
    }

    fn reap(&mut self, block: Block) -> io::Result<Option<Completion<AutoFile, AutoLease>>> {
        Ok(match &mut self.0 {
            Kind::Uring(uring) => {
                uring.reap(block)?.map(|it| completed(it, FileKind::Uring, LeaseKind::Uring))
            }
            Kind::Threads(threads, _) => {
                threads.reap(block)?.map(|it| completed(it, FileKind::Threads, LeaseKind::Threads))
            }
        })
    }
}
