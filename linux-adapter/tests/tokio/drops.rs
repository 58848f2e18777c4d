//! Futures that are dropped or forgotten, at every wait.

use std::{
    fs,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Wake, Waker},
};

use forebay_linux::{
    tokio::{Config, File, Files, OpenOptions, ReadAt},
    uring::leaked,
};
use tokio::task::yield_now;

use crate::{
    common::{
        Directory, OWN_POSITION, all_by_ring, bytes, everywhere, pipe_to_read, poll_once, read_all,
        runtime,
    },
    shared::watchdog,
};

/// A dropped future gives its buffer back when the kernel is done with it, and
/// no sooner.
#[test]
fn a_dropped_read_gives_its_lease_back() {
    everywhere(&all_by_ring().buffers(3), async |files| {
        let (pipe, _writer) = pipe_to_read(&files);
        let before = files.counts();
        for _ in 0..200 {
            let lease = files.lease().await;
            let mut read = Box::pin(pipe.read_at(lease, OWN_POSITION));
            assert!(poll_once(read.as_mut()).is_pending());
            yield_now().await;
            drop(read);
        }
        // All three come back: nothing is lost and nothing stays.
        let leases = (files.lease().await, files.lease().await, files.lease().await);
        let orphans = if files.fallback().is_none() { 200 } else { 0 };
        assert_eq!(files.counts().orphans - before.orphans, orphans);
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
            yield_now().await;
            drop(open);
        }
        let flavor = tokio::runtime::Handle::current().runtime_flavor();
        let ring = files.fallback().is_none();
        if ring && flavor == tokio::runtime::RuntimeFlavor::CurrentThread {
            assert_eq!(under_way, 100, "another thread has been quick, and there is none");
        }
        if ring {
            while files.counts().orphans - before.orphans < under_way {
                yield_now().await;
            }
        } else {
            // Behind all of them in the queue of the threads.
            files.open(&path, OpenOptions::read_only()).await.unwrap();
        }
        // Those of the threads may be at their last instruction.
        while open_here() > 0 {
            yield_now().await;
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

/// Those that give up while they wait for a slot take none with them, and those
/// behind them have their turn.
#[test]
fn a_wait_for_a_slot_that_is_dropped_loses_none() {
    let _watchdog = watchdog("a wait for a slot");
    everywhere(&all_by_ring().queue_depth(1), async |files| {
        let directory = Directory::new();
        let path = directory.file("file", 5000);
        let file = files.open(&path, OpenOptions::read_only()).await.unwrap();
        let (pipe, writer) = pipe_to_read(&files);
        let mut holds = pin!(pipe.read_at(files.lease().await, OWN_POSITION));
        assert!(poll_once(holds.as_mut()).is_pending());
        let mut waits: Vec<_> = (0..10).map(|_| Box::pin(file.sync_data())).collect();
        for wait in &mut waits {
            let _ = poll_once(wait.as_mut());
        }
        let last = waits.pop().unwrap();
        drop(waits);
        rustix::io::write(&writer, b"go").unwrap();
        assert_eq!(holds.await.1.unwrap(), 2);
        last.await.unwrap();
        assert_eq!(read_all(&file, 5000).await, bytes(5000));
    });
}

/// A future that is forgotten keeps what it holds, and harms nobody else.
#[test]
fn a_forgotten_future_harms_nobody() {
    // Never dropped, and where a search for leaks finds them.
    static FORGOTTEN: Mutex<Vec<Pin<Box<ReadAt<'_>>>>> = Mutex::new(Vec::new());
    static PIPES: Mutex<Vec<&File>> = Mutex::new(Vec::new());
    let _watchdog = watchdog("forgotten futures");
    let before = leaked();
    everywhere(&all_by_ring().queue_depth(8).buffers(8), async |files| {
        let directory = Directory::new();
        let path = directory.file("file", 5000);
        let file = files.open(&path, OpenOptions::read_only()).await.unwrap();
        let (pipe, writer) = pipe_to_read(&files);
        let pipe: &File = Box::leak(Box::new(pipe));
        PIPES.lock().unwrap().push(pipe);
        for _ in 0..3 {
            let mut read = Box::pin(pipe.read_at(files.lease().await, OWN_POSITION));
            assert!(poll_once(read.as_mut()).is_pending());
            FORGOTTEN.lock().unwrap().push(read);
        }
        yield_now().await;
        // One of them gets it, and nobody asks.
        rustix::io::write(&writer, b"lost").unwrap();
        assert_eq!(read_all(&file, 5000).await, bytes(5000));
    });
    assert_eq!(leaked(), before);
}

/// A waker that uses the files when it is dropped or woken.
struct Busy {
    files: Files,
    panics: bool,
}

impl Busy {
    fn waker(files: &Files, panics: bool) -> Waker {
        Waker::from(Arc::new(Self { files: files.clone(), panics }))
    }
}

impl Wake for Busy {
    fn wake(self: Arc<Self>) {
        let _ = self.files.counts();
        assert!(!self.panics, "a waker that panics");
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.files.counts();
    }
}

/// Nothing of others is dropped or woken under a lock.
#[test]
fn a_waker_may_use_the_files_when_it_is_dropped() {
    let _watchdog = watchdog("a waker that uses the files");
    everywhere(&all_by_ring(), async |files| {
        let (pipe, _writer) = pipe_to_read(&files);
        let mut read = Box::pin(pipe.read_at(files.lease().await, OWN_POSITION));
        for _ in 0..3 {
            let waker = Busy::waker(&files, false);
            assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        drop(read);

        let (pipe, writer) = pipe_to_read(&files);
        let mut read = Box::pin(pipe.read_at(files.lease().await, OWN_POSITION));
        let waker = Busy::waker(&files, false);
        assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        rustix::io::write(&writer, b"woken").unwrap();
        assert_eq!(read.await.1.unwrap(), 5);
    });
}

/// Those whose operations are over at the same time are woken all the same.
#[test]
fn a_waker_that_panics_stops_nobody_else() {
    let _watchdog = watchdog("a waker that panics");
    let directory = Directory::new();
    let path = directory.file("file", 5000);
    runtime(2).block_on(async {
        let files = Files::new(&all_by_ring()).unwrap();
        if let Some(why) = files.fallback() {
            println!("SKIPPED: {why}");
            return;
        }
        let (pipe, writer) = pipe_to_read(&files);
        let mut read = Box::pin(pipe.read_at(files.lease().await, OWN_POSITION));
        let waker = Busy::waker(&files, true);
        assert!(read.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        rustix::io::write(&writer, b"x").unwrap();
        let file = files.open(&path, OpenOptions::read_only()).await.unwrap();
        for _ in 0..100 {
            assert_eq!(read_all(&file, 5000).await, bytes(5000));
        }
        assert_eq!(read.await.1.unwrap(), 1);
    });
}

/// A task that panics with an operation under way gives back what it held.
#[test]
fn a_task_that_panics_gives_its_lease_back() {
    let _watchdog = watchdog("a task that panics");
    everywhere(&Config::new().buffers(1), async |files| {
        let (pipe, _writer) = pipe_to_read(&files);
        let lease = files.lease().await;
        let task = tokio::spawn(async move {
            let mut read = Box::pin(pipe.read_at(lease, OWN_POSITION));
            assert!(poll_once(read.as_mut()).is_ready(), "a task that panics");
        });
        assert!(task.await.unwrap_err().is_panic());
        let lease = files.lease().await;
        assert_eq!(files.leases_free(), 0);
        drop(lease);
    });
}
