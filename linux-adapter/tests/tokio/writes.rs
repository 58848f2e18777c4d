//! Which way a buffered write goes.

use std::{
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use forebay_linux::{
    tokio::{Config, Files, OpenOptions},
    uring::{Way, leaked},
};
use tokio::task::yield_now;

use crate::{
    common::{Directory, bytes, everywhere, poll_once},
    shared::watchdog,
};

#[test]
fn a_write_is_done_at_once_where_the_file_system_can() {
    let directory = Directory::new();
    let path = &directory.path("file");
    let write = async |files: &Files, path: &Path, len: usize, offset| {
        let options = OpenOptions::read_write().create(0o600);
        let file = files.open(path, options).await.unwrap();
        let mut results = vec![];
        for _ in 0..3 {
            let mut lease = files.lease().await;
            lease[..len].copy_from_slice(&bytes(len));
            results.push(file.write_at(lease, len, offset).await.1.map_err(|error| error.kind()));
        }
        results
    };
    everywhere(&Config::new(), async |files: Files| {
        // A device that takes all: no file system, so it always can.
        assert_eq!(write(&files, Path::new("/dev/null"), 5000, 0).await, [Ok(5000); 3]);
        let counts = files.counts();
        assert_eq!((counts.cached_writes, counts.write_misses), (3, 0));

        let full = write(&files, Path::new("/dev/full"), 5, 0).await;
        assert_eq!(full, [Err(ErrorKind::StorageFull); 3]);

        let before = files.counts();
        assert_eq!(write(&files, path, 5000, 3).await, [Ok(5000); 3]);
        assert_eq!(fs::read(path).unwrap()[3..], bytes(5000));
        let counts = files.counts();
        let at_once = counts.cached_writes - before.cached_writes;
        let misses = counts.write_misses - before.write_misses;
        // Either each was tried, or the first showed that none need be.
        assert!(at_once + misses == 3 || (at_once, misses) == (0, 1), "{counts:?}");
    });
    everywhere(&Config::new().writes(Way::Ring), async |files: Files| {
        assert_eq!(write(&files, Path::new("/dev/null"), 5000, 0).await, [Ok(5000); 3]);
        let counts = files.counts();
        assert_eq!((counts.cached_writes, counts.write_misses), (0, 0));
    });
}

/// The thread of the task waits for a write where that is allowed, and no
/// longer after one that was slow.
#[test]
fn a_write_waits_where_it_may() {
    let directory = Directory::new();
    let path = &directory.path("file");
    let write = async |files: Files| {
        let file = files.open(path, OpenOptions::write_only().create(0o600)).await.unwrap();
        for number in 0..5 {
            let mut lease = files.lease().await;
            lease[..1000].copy_from_slice(&bytes(1000));
            let (_, len) = file.write_at(lease, 1000, number * 1000).await;
            assert_eq!(len.unwrap(), 1000);
        }
        assert_eq!(fs::read(path).unwrap(), bytes(1000).repeat(5));
        files.counts()
    };
    everywhere(&Config::new(), async |files| {
        let counts = write(files).await;
        assert_eq!((counts.waiting_writes, counts.slow_writes), (0, 0));
    });
    everywhere(&Config::new().waiting_writes(Duration::MAX), async |files| {
        let counts = write(files).await;
        assert_eq!(counts.waiting_writes + counts.cached_writes, 5, "{counts:?}");
        assert_eq!(counts.slow_writes, 0);
    });
    // Every write is slow, so that there is one; the pause is longer than it.
    everywhere(&Config::new().waiting_writes(Duration::ZERO), async |files| {
        let counts = write(files).await;
        assert!(counts.waiting_writes == counts.slow_writes, "{counts:?}");
        assert!(counts.slow_writes > 0 || counts.cached_writes == 5, "{counts:?}");
    });
}

/// What is done on a file system that takes buffered writes without waiting.
const ON_XFS: &str = "FOREBAY_TEST_ON_XFS";

/// Runs this test again with an xfs of its own, in a mount namespace of its own;
/// there it gives the mount point.
fn on_xfs(test: &str) -> Option<PathBuf> {
    if let Some(root) = env::var_os(ON_XFS) {
        return Some(root.into());
    }
    let directory = Directory::new();
    let (image, root) = (directory.path("image"), directory.path("root"));
    fs::create_dir(&root).unwrap();
    // The least that mkfs.xfs makes; nearly all of it is a hole.
    fs::File::create(&image).unwrap().set_len(320 << 20).unwrap();
    let made = Command::new("mkfs.xfs").arg("-q").arg(&image).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("SKIPPED: no mkfs.xfs (Debian package xfsprogs)");
        return None;
    }
    let mount = r#"mount -o loop "$0" "$1" || exit 77; shift; exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", mount]).args([&image, &root]);
    command.arg(env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
    let output = command.env(ON_XFS, &root).output().unwrap();
    if output.status.code() == Some(77) {
        println!("SKIPPED: no xfs can be mounted here");
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
    None
}

#[test]
fn xfs_takes_writes_at_once() {
    let Some(root) = on_xfs("writes::xfs_takes_writes_at_once") else { return };
    everywhere(&Config::new(), async |files| {
        let path = root.join("file");
        let options = OpenOptions::read_write().create(0o600).truncate();
        let file = files.open(&path, options).await.unwrap();
        let mut expected = vec![];
        for number in 0..20u64 {
            let mut lease = files.lease().await;
            lease[..5000].copy_from_slice(&bytes(5000));
            let (_, len) = file.write_at(lease, 5000, number * 5000).await;
            assert_eq!(len.unwrap(), 5000);
            expected.extend(bytes(5000));
        }
        let counts = files.counts();
        assert_eq!(counts.cached_writes + counts.write_misses, 20);
        assert!(counts.cached_writes > 0, "{counts:?}");

        // The hole before it is to be made first, which may wait.
        let mut lease = files.lease().await;
        lease[..5].fill(9);
        assert_eq!(file.write_at(lease, 5, 300_000).await.1.unwrap(), 5);
        expected.resize(300_000, 0);
        expected.extend([9; 5]);
        assert_eq!(files.counts().write_misses, counts.write_misses + 1);
        assert!(fs::read(&path).unwrap() == expected);
    });
}

/// A file system that stands still. Should somebody wait for it for ever, it
/// goes on, and the test fails.
struct Frozen {
    root: PathBuf,
    thawed: mpsc::Sender<()>,
    late: thread::JoinHandle<bool>,
}

impl Frozen {
    fn new(root: &Path) -> Self {
        fsfreeze("--freeze", root);
        let (thawed, waits) = mpsc::channel::<()>();
        let path = root.to_owned();
        let late = thread::spawn(move || {
            let is_late = waits.recv_timeout(Duration::from_secs(30)).is_err();
            fsfreeze("--unfreeze", &path);
            is_late
        });
        Self { root: root.to_owned(), thawed, late }
    }

    fn thaw(self) {
        let _ = self.thawed.send(());
        assert!(!self.late.join().unwrap(), "somebody has waited for {}", self.root.display());
    }
}

fn fsfreeze(what: &str, root: &Path) {
    assert!(Command::new("fsfreeze").arg(what).arg(root).status().unwrap().success());
}

/// A write that stands still, and cannot be cancelled, holds up neither the task
/// that drops it nor the one that drops its files; it ends behind them.
#[test]
fn files_that_go_within_a_task_wait_for_no_disk() {
    let Some(root) = on_xfs("writes::files_that_go_within_a_task_wait_for_no_disk") else {
        return;
    };
    let _watchdog = watchdog("files of a frozen file system");
    let hour = Duration::from_secs(3600);
    // To write with `RWF_NOWAIT` would wait as well, since the kernel looks at
    // the flag later.
    let config = Config::new().writes(Way::Ring).close_within(hour);
    everywhere(&config, async |files| {
        let path = root.join("file");
        let file = files.open(&path, OpenOptions::write_only().create(0o600)).await.unwrap();
        let frozen = Frozen::new(&root);
        for _ in 0..3 {
            let mut write = Box::pin(file.write_at(files.lease().await, 5000, 0));
            assert!(poll_once(write.as_mut()).is_pending());
            // The reaper submits it.
            yield_now().await;
            drop(write);
        }
        drop((file, files));
        frozen.thaw();
        let is_open = |fd: fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|it| it == path);
        while fs::read_dir("/proc/self/fd").unwrap().flatten().any(is_open) {
            yield_now().await;
        }
    });
    assert_eq!(leaked(), 0);
}
