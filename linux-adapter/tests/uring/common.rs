//! A directory on a file system, contexts, and outcomes that are expected.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use forebay_linux::uring::{
    Config, Context, File, Lease, OpenOptions, Outcome, SetupError, Ticket,
};
use rustix::io::Errno;

/// A directory that is removed in the end: not in `/tmp`, which may be in
/// memory and know no `O_DIRECT`.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("uring-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file of `len` bytes, each other than its neighbours.
    pub(crate) fn file(&self, name: &str, len: usize) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes(len)).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Bytes that tell where in a file they are.
pub(crate) fn bytes(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at * 31 + (at >> 8) * 7 + (at >> 16)).to_le_bytes()[0]).collect()
}

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
