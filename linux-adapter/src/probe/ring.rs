//! What the kernel's io_uring has.

use std::{path::Path, time::Duration};

use forebay_std::file::Config;
use rustix::io::Errno;

use crate::{
    file::{Refusal, Uring},
    uring::{
        Degraded, Feature, SetupError,
        config::SqPoll,
        offer::{self, OPERATIONS, Wanted},
    },
};

/// What the kernel's io_uring has, for this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// What a file backend goes without, and why.
    pub lacks: Vec<Degraded>,
    /// The operations that are used here, each with whether it is there.
    pub operations: [(&'static str, bool); OPERATIONS.len()],
    /// Whether a thread of the kernel can look for submissions (`SQPOLL`), or
    /// the error of asking.
    pub sqpoll: Result<(), Errno>,
}

impl Ring {
    /// Looks, by making rings.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn look() -> Result<Self, Refusal> {
        let lacks = Uring::new(&Config::default())?.lacks().to_vec();
        let idle = Duration::ZERO;
        let wanted =
            Wanted { entries: 1, sqpoll: Some(SqPoll { cpu: None, idle }), ..Wanted::default() };
        let (kernel, missing) = offer::ring(&wanted).map_err(SetupError::Ring)?;
        let sqpoll = missing.iter().find(|lack| lack.feature == Feature::SqPoll);
        Ok(Self {
            lacks,
            operations: OPERATIONS.map(|(name, op)| (name, kernel.knows(op))),
            sqpoll: sqpoll.map_or(Ok(()), |lack| Err(lack.errno)),
        })
    }

    /// Whether the device of the file at `path` can be polled for completions
    /// (`IOPOLL`), by reading from it; the error if it cannot.
    ///
    /// # Errors
    ///
    /// That of the kernel, `ETIMEDOUT` if the read did not end.
    pub fn polls(path: &Path) -> Result<(), Errno> {
        offer::polls(path)
    }
}
