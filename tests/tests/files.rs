//! The suite of file backends against threads, and against backends that are
//! wrong.

use std::path::PathBuf;

use forebay_std::file::Threads;
use forebay_tests::files::{conforms, conforms_unbuffered};

/// A directory on the disk that the project is built on, gone with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let name = format!("files-{name}-{}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn threads_conform() {
    let dir = Dir::new("threads");
    conforms(&dir.0, |config| Threads::new(config).unwrap());
    let direct = rustix::fs::OFlags::DIRECT.bits();
    conforms_unbuffered(&dir.0, direct, |config| Threads::new(config).unwrap());
}

#[test]
fn one_thread_conforms() {
    let dir = Dir::new("thread");
    conforms(&dir.0, |config| Threads::new(config).unwrap().threads_max(1));
}
