//! What several tests of this crate need.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

#[path = "../../../std-adapter/tests/common/mod.rs"]
mod std_common;

use std::{
    fs,
    io::{self, Read},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::event::{PollFd, PollFlags, poll};
pub(crate) use std_common::{FORMAT, message, names, watchdog, wire_of};

/// Messages of many lengths, from none to more than a page.
pub(crate) fn messages(count: usize) -> Vec<Vec<u8>> {
    let len = |number: usize| [0, 1, 13, 300, 4096, 77, 2048][number % 7];
    (0..count).map(|number| vec![number.to_le_bytes()[0]; len(number)]).collect()
}

/// A directory of a test's own, gone with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("forebay-linux-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// Makes a FIFO.
    pub(crate) fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where `cargo test` puts an example's program, beside this test's; `None`,
/// with the words that say so, where it has not been built.
pub(crate) fn example(name: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().find(|folder| folder.join("examples").is_dir());
    let program = folder.map(|folder| folder.join("examples").join(name));
    let program = program.filter(|program| program.exists());
    if program.is_none() {
        println!("SKIPPED: the example {name} has not been built: `cargo test` builds it");
    }
    program
}

/// Reads at most `len` bytes at a time, and awaits each of them: a reader that
/// is slow without a clock.
pub(crate) struct Slow<R>(pub(crate) R, pub(crate) usize);

impl<R: Read + AsFd> Read for Slow<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], None)?;
        let len = room.len().min(self.1);
        self.0.read(&mut room[..len])
    }
}

/// Whether a file can be read, with the words that say that it was not.
pub(crate) fn number_in(path: impl AsRef<Path>) -> Option<usize> {
    let number = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    if number.is_none() {
        println!("SKIPPED: no number in {}", path.as_ref().display());
    }
    number
}
