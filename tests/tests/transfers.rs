//! A thousand transfers at a time inside one tokio runtime: every file's hash
//! right, with the threads and the memory of a few.
//!
//! Each case is this program again, so that what it takes is its own.

#[path = "../../std-adapter/tests/common/mod.rs"]
mod common;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use forebay_linux::{
    file::Refusal,
    tokio::{Config, Files, OpenOptions, SetupError},
};
use forebay_tests::restrict;
use tokio::{sync::Barrier, task::JoinSet};

const CASE: &str = "FOREBAY_TRANSFERS_CASE";
const TRANSFERS: usize = 1000;
/// Files that are read, each by many transfers.
const FILES: usize = 20;
const LEN: usize = 1 << 20;
/// The runtime's, and what the kernel or the fallback adds.
const THREADS_MAX: [usize; 2] = [4, 5];
/// Resident at most, of which 4 MiB are the buffers.
const RESIDENT_MAX_KIB: usize = 13 * 1024;

fn main() {
    let _watchdog = common::watchdog("a thousand transfers");
    if let Ok(restrictions) = env::var(CASE) {
        restrict::apply(&restrictions);
        return transfers(Path::new("."));
    }
    if env::args().any(|word| word == "--list") {
        return;
    }
    let dir = Dir::new();
    for number in 0..FILES {
        fs::write(dir.0.join(number.to_string()), content(number)).unwrap();
    }
    // What is there, and what a filter leaves.
    let cases = [
        ("", "io_uring"),
        ("setup=1", "threads"),
        ("enter=38", "threads"),
        // Not one more thread can be started.
        ("setup=1,nproc=1,nobody", "threads"),
    ];
    for (restrictions, way) in cases {
        let output = Command::new(env::current_exe().unwrap())
            .env(CASE, restrictions)
            .current_dir(&dir.0)
            .stderr(std::process::Stdio::inherit())
            .output()
            .unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        print!("{restrictions}: {told}");
        assert!(output.status.success(), "{restrictions}: {}", output.status);
        if restrictions.is_empty() && told.starts_with("threads") {
            println!("SKIPPED: io_uring: {}", told.trim());
        } else {
            assert!(told.starts_with(way), "{restrictions}: {told}");
        }
    }
    println!("transfers: all cases passed");
}

struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let name = format!("transfers-{}", std::process::id());
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Bytes of a file, the same each time; each file is of another length.
fn content(number: usize) -> Vec<u8> {
    let mut random = u32::try_from(number).unwrap() * 2 + 1;
    let mut step = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        random.to_le_bytes()[3]
    };
    (0..LEN + number).map(|_| step()).collect()
}

fn transfers(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let expected: Vec<_> = (0..FILES).map(|number| blake3::hash(&content(number))).collect();
    let threads = Arc::new(AtomicUsize::new(0));
    let (whole, counts, fallback) = runtime.block_on(async {
        let files = Files::new(&Config::new()).unwrap();
        let all_open = Arc::new(Barrier::new(TRANSFERS));
        let mut transfers = JoinSet::new();
        for number in 0..TRANSFERS {
            let path = dir.join((number % FILES).to_string());
            let (files, all_open, threads) = (files.clone(), all_open.clone(), threads.clone());
            transfers.spawn(async move {
                let file = files.open(&path, OpenOptions::read_only()).await.unwrap();
                // So that a thousand of them are under way.
                all_open.wait().await;
                let len = file.len().await.unwrap();
                let (mut hasher, mut offset) = (blake3::Hasher::new(), 0);
                while offset < len {
                    let lease = files.lease().await;
                    let (lease, count) = file.read_at(lease, offset).await;
                    let count = count.unwrap();
                    assert_ne!(count, 0, "the end after {offset} of {len}");
                    hasher.update(&lease[..count]);
                    offset += count as u64;
                }
                threads.fetch_max(threads_now(), Ordering::Relaxed);
                (number % FILES, hasher.finalize())
            });
        }
        let mut whole = 0;
        while let Some(transfer) = transfers.join_next().await {
            let (number, hash) = transfer.unwrap();
            assert_eq!(hash, expected[number], "file {number}");
            whole += 1;
        }
        (whole, files.counts(), files.fallback().map(reason))
    });
    assert_eq!(whole, TRANSFERS);
    let threads = threads.load(Ordering::Relaxed);
    let resident = resident_max_kib();
    let (way, threads_max) = match fallback {
        None => ("io_uring".to_owned(), THREADS_MAX[0]),
        Some(reason) => (format!("threads ({reason})"), THREADS_MAX[1]),
    };
    println!("{way}: {whole} transfers, {threads} threads, {resident} KiB resident; {counts:?}");
    assert!(threads <= threads_max, "{threads} threads");
    assert!(resident <= RESIDENT_MAX_KIB, "{resident} KiB resident");
}

fn reason(error: SetupError) -> Refusal {
    error.into()
}

/// Threads but for the watchdog.
fn threads_now() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count() - 1
}

/// `VmHWM` of `proc_pid_status(5)`.
fn resident_max_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
