//! What the kernel's io_uring has.

use std::path::Path;

use forebay_std::file::Config;
use rustix::{
    io::Errno,
    io_uring::{IoringOp, IoringSetupFlags},
};

use crate::{
    file::{Refusal, Uring},
    uring::{
        Context, Degraded, Feature,
        kernel::{Kernel as _, Real, Setup},
    },
};

/// What the kernel's io_uring has, for this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// What a file backend goes without, and why.
    pub lacks: Vec<Degraded>,
    /// The operations that are used here, each with whether it is there.
    pub operations: [(&'static str, bool); 9],
    /// Whether a thread of the kernel can look for submissions (`SQPOLL`), or
    /// the error of asking.
    pub sqpoll: Result<(), Errno>,
}

const OPERATIONS: [(&str, IoringOp); 9] = [
    ("read", IoringOp::Read),
    ("write", IoringOp::Write),
    ("read fixed", IoringOp::ReadFixed),
    ("write fixed", IoringOp::WriteFixed),
    ("fsync", IoringOp::Fsync),
    ("openat", IoringOp::Openat),
    ("statx", IoringOp::Statx),
    ("async cancel", IoringOp::AsyncCancel),
    ("send zero-copy", IoringOp::SendZc),
];

impl Ring {
    /// Looks, by making rings.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn look() -> Result<Self, Refusal> {
        let uring = Uring::new(&Config::default())?;
        let lacks = uring.lacks().to_vec();
        drop(uring);
        let setup = |flags| Real::new(&Setup { entries: 1, flags, ..Setup::default() });
        let plain = setup(IoringSetupFlags::empty());
        let knows = |op| plain.as_ref().is_ok_and(|ring| ring.knows(op));
        Ok(Self {
            lacks,
            operations: OPERATIONS.map(|(name, op)| (name, knows(op))),
            sqpoll: setup(IoringSetupFlags::SQPOLL).map(drop),
        })
    }

    /// Whether the device of the file at `path` can be polled for completions
    /// (`IOPOLL`), by reading from it; the error if it cannot.
    ///
    /// # Errors
    ///
    /// That of the kernel, `ETIMEDOUT` if the read did not end.
    pub fn polls(path: &Path) -> Result<(), Errno> {
        let config = crate::uring::Config::new().queue_depth(1).iopoll(path);
        let lacks = match Context::new(&config) {
            Ok(context) => context.lacks().to_vec(),
            Err(crate::uring::SetupError::Ring(errno)) => return Err(errno),
            Err(_) => return Err(Errno::NOMEM),
        };
        match lacks.iter().find(|lack| lack.feature == Feature::IoPoll) {
            Some(lack) => Err(lack.errno),
            None => Ok(()),
        }
    }
}
