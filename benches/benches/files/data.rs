//! The files that are read and written.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Bytes of the large file.
pub(crate) const LARGE: u64 = 128 << 20;
/// Files of 1 MiB.
pub(crate) const SMALL_FILES: usize = 64;
pub(crate) const SMALL: usize = 1 << 20;
/// Bytes of a small read or write.
pub(crate) const BLOCK: usize = 4096;

/// A directory on a disk, gone in the end.
pub(crate) struct Data {
    directory: PathBuf,
}

impl Data {
    pub(crate) fn new() -> Self {
        let directory = directory();
        fs::create_dir_all(&directory).unwrap();
        let data = Self { directory };
        let content: Vec<u8> = (0..SMALL).map(|at| (at * 31 + at / 256) as u8).collect();
        for number in 0..SMALL_FILES {
            fs::write(data.small(number), &content).unwrap();
        }
        let mut large = fs::File::create(data.large()).unwrap();
        for _ in 0..LARGE as usize / SMALL {
            large.write_all(&content).unwrap();
        }
        large.sync_all().unwrap();
        data
    }

    pub(crate) fn small(&self, number: usize) -> PathBuf {
        self.directory.join(format!("small-{}", number % SMALL_FILES))
    }

    pub(crate) fn large(&self) -> PathBuf {
        self.directory.join("large")
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.directory.join("scratch")
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// One directory for a process and its children.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-files")
}

/// The small files of a parent.
pub(crate) fn of_parent(number: usize) -> PathBuf {
    directory().join(format!("small-{}", number % SMALL_FILES))
}

/// Offsets of blocks within `len` bytes, in no order.
pub(crate) fn offsets(len: u64) -> impl Iterator<Item = u64> {
    let blocks = len / BLOCK as u64;
    let mut state = 1u64;
    std::iter::repeat_with(move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % blocks * BLOCK as u64
    })
}

pub(crate) fn direct(path: &Path) -> fs::File {
    let flags = rustix::fs::OFlags::DIRECT.bits() as i32;
    fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).unwrap()
}

/// The place in `buffer` that is aligned to a page; there are two blocks.
pub(crate) fn aligned(buffer: &[u8]) -> usize {
    buffer.as_ptr().align_offset(BLOCK)
}
