//! 1000 transfers of cached files of 1 MiB, in pieces of 64 KiB.

use std::{
    env, fs,
    os::unix::fs::FileExt,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use compio::{buf::BufResult, io::AsyncReadAt};
use forebay_benches::rounds::{Group, Round, cpu_of, of};
use forebay_linux::{
    tokio::{Config, Files, OpenOptions},
    uring::Way,
};
use tokio::{io::AsyncReadExt, runtime::Runtime, task::JoinSet};

use crate::data::{Data, SMALL, SMALL_FILES, of_parent};

const TRANSFERS: usize = 1000;
const PIECE: usize = 64 * 1024;

type Paths = Arc<Vec<PathBuf>>;

fn runtime(workers: usize) -> Runtime {
    let mut builder = match workers {
        0 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(workers.max(1)).enable_all().build().unwrap()
}

fn pread(paths: &Paths, transfers: usize) {
    let mut buffer = vec![0; PIECE];
    for number in 0..transfers {
        let file = fs::File::open(&paths[number % SMALL_FILES]).unwrap();
        let mut offset = 0;
        loop {
            let len = file.read_at(&mut buffer, offset).unwrap();
            offset += len as u64;
            if len == 0 {
                break;
            }
        }
        assert_eq!(offset, SMALL as u64);
    }
}

async fn ours(files: Files, paths: Paths, transfers: usize) {
    let mut tasks = JoinSet::new();
    for number in 0..transfers {
        let (files, paths) = (files.clone(), Arc::clone(&paths));
        tasks.spawn(async move {
            let path = &paths[number % SMALL_FILES];
            let file = files.open(path, OpenOptions::read_only()).await.unwrap();
            let mut offset = 0;
            loop {
                let lease = files.lease().await;
                let (_, len) = file.read_at(lease, offset).await;
                let len = len.unwrap();
                offset += len as u64;
                if len == 0 {
                    break;
                }
            }
            assert_eq!(offset, SMALL as u64);
        });
    }
    while tasks.join_next().await.transpose().unwrap().is_some() {}
}

async fn tokio_fs(paths: Paths, transfers: usize) {
    let mut tasks = JoinSet::new();
    for number in 0..transfers {
        let paths = Arc::clone(&paths);
        tasks.spawn(async move {
            let mut file = tokio::fs::File::open(&paths[number % SMALL_FILES]).await.unwrap();
            let mut buffer = vec![0; PIECE];
            let mut sum = 0;
            loop {
                let len = file.read(&mut buffer).await.unwrap();
                sum += len;
                if len == 0 {
                    break;
                }
            }
            assert_eq!(sum, SMALL);
        });
    }
    while tasks.join_next().await.transpose().unwrap().is_some() {}
}

/// The tasks of runtimes that have one thread, 64 at a time.
const AT_A_TIME: usize = 64;

async fn by_compio(paths: Paths, transfers: usize) {
    let next = std::rc::Rc::new(AtomicUsize::new(0));
    let mut tasks = vec![];
    for _ in 0..AT_A_TIME {
        let (paths, next) = (Arc::clone(&paths), std::rc::Rc::clone(&next));
        tasks.push(compio::runtime::spawn(async move {
            let mut buffer = Vec::with_capacity(PIECE);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= transfers {
                    return;
                }
                let file = compio::fs::File::open(&paths[number % SMALL_FILES]).await.unwrap();
                let mut offset = 0;
                loop {
                    buffer.clear();
                    let BufResult(len, back) = file.read_at(buffer, offset).await;
                    buffer = back;
                    offset += len.as_ref().map_or(0, |len| *len as u64);
                    if len.unwrap() == 0 {
                        break;
                    }
                }
                assert_eq!(offset, SMALL as u64);
                file.close().await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

async fn by_tokio_uring(paths: Paths, transfers: usize) {
    let next = std::rc::Rc::new(AtomicUsize::new(0));
    let mut tasks = vec![];
    for _ in 0..AT_A_TIME {
        let (paths, next) = (Arc::clone(&paths), std::rc::Rc::clone(&next));
        tasks.push(tokio_uring::spawn(async move {
            let mut buffer = vec![0; PIECE];
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= transfers {
                    return;
                }
                let path = &paths[number % SMALL_FILES];
                let file = tokio_uring::fs::File::open(path).await.unwrap();
                let mut offset = 0;
                loop {
                    let (len, back) = file.read_at(buffer, offset).await;
                    buffer = back;
                    let len = len.unwrap();
                    offset += len as u64;
                    if len == 0 {
                        break;
                    }
                }
                assert_eq!(offset, SMALL as u64);
                file.close().await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

fn timed(work: impl FnOnce()) -> Round {
    Round::timed_process(TRANSFERS as u64, || {
        work();
        f64::NAN
    })
}

pub(crate) fn cached(data: &Data) {
    let paths: Paths = Arc::new((0..SMALL_FILES).map(|number| data.small(number)).collect());
    let with = |workers: usize, config: Config| {
        let runtime = runtime(workers);
        let files = runtime.block_on(async { Files::new(&config).unwrap() });
        let paths = Arc::clone(&paths);
        move || {
            timed(|| {
                let all = ours(files.clone(), Arc::clone(&paths), TRANSFERS);
                runtime.block_on(runtime.spawn(all)).unwrap();
            })
        }
    };
    let compio = compio::runtime::Runtime::new().unwrap();
    let tokio_uring = tokio_uring::Runtime::new(&tokio_uring::builder()).unwrap();
    let fs_runtime = runtime(2);
    let fs_paths = Arc::clone(&paths);
    const PREAD: &str = "pread, one thread";
    Group::new("1000 cached transfers of 1 MiB")
        .peer(PREAD, || timed(|| pread(&paths, TRANSFERS)))
        .ours(
            "tokio Files, 2 workers",
            &[of(0.80, PREAD), cpu_of(1.10, PREAD)],
            with(2, Config::new()),
        )
        .ours("tokio Files, current thread", &[], with(0, Config::new()))
        .ours("tokio Files by the ring, 2 workers", &[], with(2, Config::new().reads(Way::Ring)))
        .peer("compio", || timed(|| compio.block_on(by_compio(Arc::clone(&paths), TRANSFERS))))
        .peer("tokio-uring", || {
            timed(|| tokio_uring.block_on(by_tokio_uring(Arc::clone(&paths), TRANSFERS)))
        })
        .peer("tokio::fs, 2 workers", move || {
            let few = TRANSFERS / 5;
            Round::timed_process(few as u64, || {
                fs_runtime.block_on(tokio_fs(Arc::clone(&fs_paths), few));
                f64::NAN
            })
        })
        .run(Duration::from_secs(12));
}

/// A field of `/proc/self/status`.
fn status(field: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("0");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Does the transfers in a process of their own.
pub(crate) fn child(name: &str) {
    let paths: Paths = Arc::new((0..SMALL_FILES).map(of_parent).collect());
    let report = || println!("{} {}", status("VmHWM:"), status("Threads:"));
    match name {
        "pread" => {
            pread(&paths, TRANSFERS);
            report();
        }
        "Files" => {
            let runtime = runtime(2);
            let files = runtime.block_on(async { Files::new(&Config::new()).unwrap() });
            runtime.block_on(runtime.spawn(ours(files, paths, TRANSFERS))).unwrap();
            report();
        }
        "tokio::fs" => {
            let runtime = runtime(2);
            runtime.block_on(tokio_fs(paths, TRANSFERS));
            report();
        }
        "compio" => {
            let runtime = compio::runtime::Runtime::new().unwrap();
            runtime.block_on(by_compio(paths, TRANSFERS));
            report();
        }
        "tokio-uring" => {
            let runtime = tokio_uring::Runtime::new(&tokio_uring::builder()).unwrap();
            runtime.block_on(by_tokio_uring(paths, TRANSFERS));
            report();
        }
        other => panic!("{other}"),
    }
}

/// Memory and threads of each.
pub(crate) fn sizes() {
    if env::args().skip(1).any(|arg| !arg.starts_with('-')) {
        return;
    }
    println!("\n1000 cached transfers of 1 MiB, a process each (goal of Files: 13 MB, 4 threads)");
    println!("  {:<34}{:>9}{:>9}", "", "peak MB", "threads");
    for name in ["pread", "Files", "tokio::fs", "compio", "tokio-uring"] {
        let mut command = Command::new(env::current_exe().unwrap());
        let output = command.arg(format!("--child={name}")).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut numbers = text.split_whitespace().filter_map(|number| number.parse::<f64>().ok());
        let (Some(kib), Some(threads)) = (numbers.next(), numbers.next()) else {
            println!("  {name:<34} failed: {}", String::from_utf8_lossy(&output.stderr));
            continue;
        };
        println!("  {name:<34}{:>9.1}{threads:>9}", kib * 1024.0 / 1e6);
    }
}
