//! What these tests share.

#[path = "../common/directory.rs"]
mod directory;

use std::{
    fs,
    future::Future,
    io::{PipeReader, PipeWriter},
    os::fd::OwnedFd,
    path::Path,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use forebay_linux::{
    tokio::{Config, File, Files, SetupError},
    uring::Way,
};
use rustix::io::Errno;
use tokio::runtime::{Builder, Runtime};

pub(crate) use self::directory::{Directory, bytes};

/// Drops the clean pages of a file from the cache.
pub(crate) fn uncache(path: &Path) {
    let file = fs::File::open(path).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

pub(crate) const NO_RING: SetupError = SetupError::Ring(Errno::NOSYS);

/// Runs `test` with the ring and with threads, in runtimes of both kinds.
pub(crate) fn everywhere<T, F>(config: &Config, test: T)
where
    T: Fn(Files) -> F,
    F: Future<Output = ()>,
{
    for threads in [0, 2] {
        runtime(threads).block_on(async {
            let files = Files::new(config).unwrap();
            if let Some(why) = files.fallback() {
                println!("SKIPPED: {why}");
            }
            test(files).await;
            test(Files::by_threads(config, NO_RING).unwrap()).await;
        });
    }
}

/// A runtime with so many threads of its own; none is of the current one.
pub(crate) fn runtime(threads: usize) -> Runtime {
    let mut builder = match threads {
        0 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(threads.max(1)).enable_io().build().unwrap()
}

/// A pipe whose near end is one of `files`.
pub(crate) fn pipe_to_read(files: &Files) -> (File, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    (files.adopt(fs::File::from(OwnedFd::from(reader))), writer)
}

pub(crate) fn pipe_to_write(files: &Files) -> (File, PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    (files.adopt(fs::File::from(OwnedFd::from(writer))), reader)
}

/// The offset of what has no offsets.
pub(crate) const OWN_POSITION: u64 = u64::MAX;

/// By the ring even what is cached.
pub(crate) fn all_by_ring() -> Config {
    Config::new().reads(Way::Ring)
}

pub(crate) async fn read_all(file: &File, len: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < len {
        let lease = file.files().lease().await;
        let (lease, count) = file.read_at(lease, all.len() as u64).await;
        let count = count.unwrap();
        assert_ne!(count, 0, "the end after {} of {len}", all.len());
        all.extend_from_slice(&lease[..count]);
    }
    all
}

/// Polls once.
pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
