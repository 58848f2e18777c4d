//! Files inside a tokio runtime, by the ring and by threads.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::{
    fs,
    future::Future,
    io::ErrorKind,
    path::{Path, PathBuf},
    pin::pin,
    sync::atomic::{AtomicU32, Ordering},
    task::{Context, Poll, Waker},
};

use forebay_linux::tokio::{Config, File, Files, OpenOptions, SetupError};
use forebay_linux::uring::Way;
use rustix::io::Errno;
use tokio::task::JoinSet;

/// A directory on a disk, gone with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tokio-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn file(&self, name: &str, len: usize) -> PathBuf {
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

fn bytes(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at * 31 + (at >> 8) * 7 + (at >> 16)).to_le_bytes()[0]).collect()
}

/// Drops the clean pages of a file from the cache.
fn uncache(path: &Path) {
    let file = fs::File::open(path).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

const NO_RING: SetupError = SetupError::Ring(Errno::NOSYS);

/// Runs `test` with the ring and with threads, in runtimes of both kinds.
fn everywhere<T, F>(config: &Config, test: T)
where
    T: Fn(Files) -> F,
    F: Future<Output = ()>,
{
    for threads in [0, 2] {
        let mut builder = match threads {
            0 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = builder.worker_threads(threads.max(1)).enable_io().build().unwrap();
        runtime.block_on(async {
            let files = Files::new(config).unwrap();
            if let Some(why) = files.fallback() {
                println!("SKIPPED: {why}");
            }
            test(files).await;
            test(Files::by_threads(config, NO_RING).unwrap()).await;
        });
    }
}

/// By the ring even what is cached.
fn all_by_ring() -> Config {
    Config::new().reads(Way::Ring)
}

async fn read_all(file: &File, len: usize) -> Vec<u8> {
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

#[test]
fn what_is_written_is_read_synced_and_measured() {
    for config in [Config::new(), all_by_ring()] {
        everywhere(&config, async |files| {
            let directory = Directory::new();
            let path = directory.path("file");
            let options = OpenOptions::read_write().create(0o600).truncate();
            let file = files.open(&path, options).await.unwrap();
            let expected = bytes(200_000);
            for (index, part) in expected.chunks(files.buffer_len()).enumerate() {
                let mut lease = files.lease().await;
                lease[..part.len()].copy_from_slice(part);
                let offset = (index * files.buffer_len()) as u64;
                let (_, count) = file.write_at(lease, part.len(), offset).await;
                assert_eq!(count.unwrap(), part.len());
            }
            file.sync_data().await.unwrap();
            file.sync_all().await.unwrap();
            assert_eq!(file.len().await.unwrap(), 200_000);
            assert!(!file.is_empty().await.unwrap());
            assert_eq!(read_all(&file, 200_000).await, expected);
            file.sync_all().await.unwrap();
            uncache(&path);
            assert_eq!(read_all(&file, 200_000).await, expected);
            assert_eq!(fs::read(&path).unwrap(), expected);

            let (lease, count) = file.read_at(files.lease().await, 199_000).await;
            assert_eq!(count.unwrap(), 1000);
            let (_, count) = file.read_at(lease, 200_000).await;
            assert_eq!(count.unwrap(), 0);
        });
    }
}

#[test]
fn errors_of_the_kernel_are_surfaced() {
    everywhere(&all_by_ring(), async |files| {
        let directory = Directory::new();
        let path = directory.file("file", 10);
        let read = OpenOptions::read_only();
        let error = files.open(directory.path("absent"), read).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = files.open("a\0b", read).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = files.open("x".repeat(4096), read).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);

        let file = files.open(&path, read).await.unwrap();
        let (lease, count) = file.write_at(files.lease().await, 5, 0).await;
        assert_eq!(count.unwrap_err().raw_os_error(), Some(Errno::BADF.raw_os_error()));
        let len = lease.len() + 1;
        let (lease, count) = file.read_len_at(lease, len, 0).await;
        assert_eq!(count.unwrap_err().kind(), ErrorKind::InvalidInput);
        let full = files.open("/dev/full", OpenOptions::write_only()).await.unwrap();
        let (_, count) = full.write_at(lease, 5, 0).await;
        assert_eq!(count.unwrap_err().raw_os_error(), Some(Errno::NOSPC.raw_os_error()));
        let error = full.sync_data().await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::INVAL.raw_os_error()));
    });
}

/// C10: 1000 transfers at once, with fewer buffers and slots than that.
#[test]
fn a_thousand_transfers_at_once() {
    let directory = Directory::new();
    let paths: Vec<PathBuf> =
        (0..1000).map(|number| directory.file(&format!("{number}"), 70_000 + number)).collect();
    rustix::fs::syncfs(fs::File::open(&paths[0]).unwrap()).unwrap();
    for config in [Config::new(), all_by_ring().queue_depth(16).buffers(24)] {
        everywhere(&config, async |files| {
            let mut transfers = JoinSet::new();
            for (number, path) in paths.iter().cloned().enumerate() {
                let files = files.clone();
                if number % 2 == 0 {
                    uncache(&path);
                }
                transfers.spawn(async move {
                    let file = files.open(&path, OpenOptions::read_only()).await.unwrap();
                    let len = file.len().await.unwrap() as usize;
                    read_all(&file, len).await
                });
            }
            let mut count = 0;
            while let Some(all) = transfers.join_next().await {
                let all = all.unwrap();
                assert!(all == bytes(all.len()) && all.len() >= 70_000);
                count += 1;
            }
            assert_eq!(count, 1000);
            let counts = files.counts();
            if files.fallback().is_none() {
                assert_eq!(counts.thread_operations, 0);
                assert!(counts.enters < counts.ring_operations, "{counts:?}");
            } else {
                assert_eq!(counts.ring_operations, 0);
            }
        });
    }
}

/// Polls once.
fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A dropped future gives its buffer back when the kernel is done with it, and
/// no sooner.
#[test]
fn a_dropped_read_gives_its_lease_back() {
    everywhere(&all_by_ring().buffers(3), async |files| {
        if files.fallback().is_some() {
            return; // a thread waits for its pipe
        }
        let (reader, _writer) = std::io::pipe().unwrap();
        let pipe = files.adopt(fs::File::from(std::os::fd::OwnedFd::from(reader)));
        let before = files.counts();
        for _ in 0..200 {
            let lease = files.lease().await;
            let mut read = Box::pin(pipe.read_at(lease, u64::MAX));
            assert!(poll_once(read.as_mut()).is_pending());
            tokio::task::yield_now().await;
            drop(read);
        }
        // All three come back: nothing is lost and nothing stays.
        let leases = (files.lease().await, files.lease().await, files.lease().await);
        assert_eq!(files.counts().orphans - before.orphans, 200);
        drop(leases);
    });
}

/// The descriptor of an open that nobody waits for is closed.
#[test]
fn a_dropped_open_leaks_no_descriptor() {
    everywhere(&Config::new(), async |files| {
        let directory = Directory::new();
        let path = directory.file("file", 10);
        let link = |fd: fs::DirEntry| fs::read_link(fd.path()).ok();
        let open_here = || {
            let all = fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(link);
            all.filter(|target| *target == path).count()
        };
        let before = files.counts();
        let mut under_way = 0;
        for _ in 0..100 {
            let mut open = Box::pin(files.open(&path, OpenOptions::read_only()));
            // Unless another thread has been quick.
            under_way += u64::from(poll_once(open.as_mut()).is_pending());
            tokio::task::yield_now().await;
            drop(open);
        }
        let flavor = tokio::runtime::Handle::current().runtime_flavor();
        let ring = files.fallback().is_none();
        if ring && flavor == tokio::runtime::RuntimeFlavor::CurrentThread {
            assert_eq!(under_way, 100, "another thread has been quick, and there is none");
        }
        if ring {
            while files.counts().orphans - before.orphans < under_way {
                tokio::task::yield_now().await;
            }
        } else {
            // Behind all of them in the queue of the threads.
            files.open(&path, OpenOptions::read_only()).await.unwrap();
        }
        // Those of the threads may be at their last instruction.
        while open_here() > 0 {
            tokio::task::yield_now().await;
        }
    });
}

/// A task that waits for a buffer and gives up passes its turn on.
#[test]
fn a_wait_for_a_lease_that_is_dropped_loses_none() {
    everywhere(&Config::new().buffers(1), async |files| {
        let held = files.lease().await;
        let mut first = Box::pin(files.lease());
        let mut second = pin!(files.lease());
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        drop(held);
        drop(first);
        let lease = second.await;
        assert_eq!(files.leases_free(), 0);
        drop(lease);
        assert_eq!(files.leases_free(), 1);
    });
}

/// More operations than slots wait for each other, none is lost.
#[test]
fn a_queue_of_one_serves_all() {
    everywhere(&all_by_ring().queue_depth(1), async |files| {
        let directory = Directory::new();
        let path = directory.file("file", 5000);
        let file = files.open(&path, OpenOptions::read_only()).await.unwrap();
        let mut tasks = JoinSet::new();
        for _ in 0..50 {
            let file = file.clone();
            tasks.spawn(async move {
                file.sync_data().await.unwrap();
                read_all(&file, 5000).await
            });
        }
        while let Some(all) = tasks.join_next().await {
            assert_eq!(all.unwrap(), bytes(5000));
        }
    });
}

/// What a thread began that has ended since is begun again.
#[test]
fn an_operation_outlives_the_thread_that_submitted_it() {
    let directory = Directory::new();
    let path = directory.file("file", 50);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_io().build().unwrap();
    let files = runtime.block_on(async { Files::new(&all_by_ring()).unwrap() });
    if let Some(why) = files.fallback() {
        println!("SKIPPED: {why}");
        return;
    }
    let (reader, writer) = std::io::pipe().unwrap();
    let pipe = files.adopt(fs::File::from(std::os::fd::OwnedFd::from(reader)));
    let waiting = runtime.spawn({
        let files = files.clone();
        async move {
            let (lease, len) = pipe.read_at(files.lease().await, u64::MAX).await;
            lease[..len.unwrap()].to_vec()
        }
    });
    // Whatever thread drives other operations of the same ring may end.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            runtime.block_on(async {
                let file = files.open(&path, OpenOptions::read_only()).await.unwrap();
                assert_eq!(read_all(&file, 50).await, bytes(50));
            });
        });
    });
    rustix::io::write(&writer, b"late").unwrap();
    assert_eq!(runtime.block_on(waiting).unwrap(), b"late");
}

/// A runtime that ends with operations under way ends, and so do its files.
#[test]
fn a_runtime_ends_with_operations_under_way() {
    let leaked = forebay_linux::uring::leaked();
    for round in 0..20 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let (reader, _writer) = std::io::pipe().unwrap();
        let kept = runtime.block_on(async {
            let files = Files::new(&all_by_ring()).unwrap();
            if files.fallback().is_some() {
                return None;
            }
            let pipe = files.adopt(fs::File::from(std::os::fd::OwnedFd::from(reader)));
            tokio::spawn({
                let files = files.clone();
                async move { pipe.read_at(files.lease().await, u64::MAX).await }
            });
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            Some(files)
        });
        if round % 2 == 0 {
            drop(runtime);
            drop(kept);
        } else {
            drop(kept);
            drop(runtime);
        }
    }
    assert_eq!(forebay_linux::uring::leaked(), leaked);
}

#[test]
fn without_a_runtime_there_is_an_error() {
    let error = Files::new(&Config::new()).unwrap_err();
    assert!(error.to_string().contains("runtime"), "{error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let error = Files::new(&Config::new().queue_depth(0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

/// A task that reads from the cache without end lets others run.
#[test]
fn cached_reads_give_way_to_other_tasks() {
    let directory = Directory::new();
    let path = directory.file("file", 4096);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let files = Files::new(&Config::new()).unwrap();
        let file = files.open(&path, OpenOptions::read_only()).await.unwrap();
        let endless = tokio::spawn(async move {
            let mut lease = file.files().lease().await;
            loop {
                lease = file.read_len_at(lease, 4096, 0).await.0;
            }
        });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        endless.abort();
        assert!(endless.await.unwrap_err().is_cancelled());
    });
}

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

/// A waker may hold a task, and that another operation of the same files: it is
/// dropped where these are not locked.
#[test]
fn a_waker_that_holds_an_operation_may_be_the_last() {
    type Task = std::sync::Mutex<Option<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>>>;
    struct Holder(#[allow(dead_code, reason = "it is held")] Task);
    impl std::task::Wake for Holder {
        fn wake(self: std::sync::Arc<Self>) {}
    }
    let (done, over) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let files = Files::new(&all_by_ring()).unwrap();
            if let Some(why) = files.fallback() {
                println!("SKIPPED: {why}");
            }
            let pipe = |_| {
                let (reader, writer) = std::io::pipe().unwrap();
                let reader = std::os::fd::OwnedFd::from(reader);
                (files.adopt(reader.into()), writer)
            };
            let [(one, _one), (other, _other)] = [(), ()].map(pipe);
            let lease = files.lease().await;
            let mut held = Box::pin(async move {
                let _ = other.read_at(lease, u64::MAX).await;
            });
            assert!(poll_once(held.as_mut()).is_pending());
            let holder = Holder(Some(held as _).into());
            let waker = Waker::from(std::sync::Arc::new(holder));
            let lease = files.lease().await;
            let mut read = Box::pin(one.read_at(lease, u64::MAX));
            assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            drop(waker);
            drop(read);
        });
        done.send(()).unwrap();
    });
    let over = over.recv_timeout(std::time::Duration::from_secs(10));
    over.expect("an operation that ends waits for itself");
}
