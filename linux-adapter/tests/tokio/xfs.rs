//! On an xfs of its own, which takes buffered writes without waiting and can
//! stand still. By command, see CONTRIBUTING.md: it is mounted, as root.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use forebay_linux::{
    tokio::{Config, OpenOptions},
    uring::{Way, leaked},
};
use tokio::task::yield_now;

use crate::{
    common::{Directory, bytes, everywhere, poll_once},
    shared::watchdog,
};

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
    command.arg(env::current_exe().unwrap()).args(["--exact", test, "--ignored", "--nocapture"]);
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
#[ignore = "mounts an xfs, as root; by command"]
fn xfs_takes_writes_at_once() {
    let Some(root) = on_xfs("xfs::xfs_takes_writes_at_once") else { return };
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
#[ignore = "mounts an xfs, as root; by command"]
fn files_that_go_within_a_task_wait_for_no_disk() {
    let Some(root) = on_xfs("xfs::files_that_go_within_a_task_wait_for_no_disk") else {
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
