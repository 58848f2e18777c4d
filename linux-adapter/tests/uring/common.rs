//! Contexts, and outcomes that are expected.

#[path = "../common/directory.rs"]
mod directory;

use std::path::Path;

use forebay_linux::uring::{
    Config, Context, File, Lease, OpenOptions, Outcome, SetupError, Ticket,
};
use rustix::io::Errno;

pub(crate) use self::directory::{Directory, bytes};

/// A context, or `None` and a mark in the log where there is no io_uring.
pub(crate) fn context(config: &Config) -> Option<Context> {
    match Context::new(config) {
        Ok(context) => Some(context),
        Err(why @ SetupError::Ring(_)) => {
            println!("SKIPPED: {why}");
            None
        }
        Err(why) => panic!("{why}"),
    }
}

pub(crate) fn open(context: &mut Context, path: &Path, options: OpenOptions) -> File {
    try_open(context, path, options).unwrap()
}

pub(crate) fn try_open(
    context: &mut Context,
    path: &Path,
    options: OpenOptions,
) -> Result<File, Errno> {
    let ticket = context.open(path, options).unwrap();
    match context.complete(ticket).unwrap() {
        Outcome::Opened(file) => file,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn moved(outcome: Outcome) -> (Lease, Result<usize, Errno>) {
    match outcome {
        Outcome::Moved(lease, result) => (lease, result),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn complete_move(
    context: &mut Context,
    ticket: Ticket,
) -> (Lease, Result<usize, Errno>) {
    moved(context.complete(ticket).unwrap())
}

/// Reads a range by as many operations as it takes.
pub(crate) fn read_all(context: &mut Context, file: &File, len: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < len {
        let lease = context.lease().unwrap();
        let wanted = lease.len();
        let ticket = context.read(file, lease, wanted, all.len() as u64).unwrap();
        let (lease, count) = complete_move(context, ticket);
        let count = count.unwrap();
        assert_ne!(count, 0, "the end after {} of {len} bytes", all.len());
        all.extend_from_slice(&lease[..count]);
    }
    all
}
