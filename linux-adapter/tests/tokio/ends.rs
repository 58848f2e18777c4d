//! Ends: of runtimes, of threads, of files.

use std::thread;

use forebay_linux::{
    tokio::{Config, Files, OpenOptions},
    uring::leaked,
};
use tokio::{
    runtime::Handle,
    task::{JoinSet, block_in_place, yield_now},
};

use crate::{
    common::{
        Directory, OWN_POSITION, all_by_ring, bytes, everywhere, pipe_to_read, poll_once, read_all,
        runtime,
    },
    shared::watchdog,
};

/// What a thread began that has ended since is begun again.
#[test]
fn an_operation_outlives_the_thread_that_submitted_it() {
    let directory = Directory::new();
    let path = directory.file("file", 50);
    let runtime = runtime(2);
    let files = runtime.block_on(async { Files::new(&all_by_ring()).unwrap() });
    if let Some(why) = files.fallback() {
        println!("SKIPPED: {why}");
        return;
    }
    let (pipe, writer) = pipe_to_read(&files);
    let waiting = runtime.spawn({
        let files = files.clone();
        async move {
            let (lease, len) = pipe.read_at(files.lease().await, OWN_POSITION).await;
            lease[..len.unwrap()].to_vec()
        }
    });
    // Whatever thread drives other operations of the same ring may end.
    thread::scope(|scope| {
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
    let before = leaked();
    for round in 0..20 {
        let runtime = runtime(0);
        let kept = runtime.block_on(async {
            let files = Files::new(&all_by_ring()).unwrap();
            if files.fallback().is_some() {
                return None;
            }
            let (pipe, writer) = pipe_to_read(&files);
            tokio::spawn({
                let files = files.clone();
                async move { pipe.read_at(files.lease().await, OWN_POSITION).await }
            });
            yield_now().await;
            yield_now().await;
            Some((files, writer))
        });
        if round % 2 == 0 {
            drop(runtime);
            drop(kept);
        } else {
            drop(kept);
            drop(runtime);
        }
    }
    assert_eq!(leaked(), before);
}

/// As with a static that several tests share, each of which has a runtime.
#[test]
fn files_outlive_their_runtime() {
    let _watchdog = watchdog("files without their runtime");
    let directory = Directory::new();
    let path = directory.file("file", 5000);
    let first = runtime(0);
    let files = first.block_on(async { Files::new(&all_by_ring()).unwrap() });
    drop(first);
    for threads in [0, 2, 0] {
        runtime(threads).block_on(async {
            let file = files.open(&path, OpenOptions::read_only()).await.unwrap();
            assert_eq!(read_all(&file, 5000).await, bytes(5000));
        });
    }
}

/// What is under way for another runtime ends as if nothing had happened.
#[test]
fn an_operation_outlives_the_runtime_of_its_files() {
    let _watchdog = watchdog("an operation without the runtime of its files");
    for drops_first in [false, true] {
        let (first, second) = (runtime(2), runtime(2));
        let files = first.block_on(async { Files::new(&all_by_ring().queue_depth(2)).unwrap() });
        let (pipe, writer) = pipe_to_read(&files);
        let (other, _other_writer) = pipe_to_read(&files);
        // One of the first runtime's own, which ends with it.
        first.spawn({
            let files = files.clone();
            async move { other.read_at(files.lease().await, OWN_POSITION).await }
        });
        let (begun, waits) = std::sync::mpsc::channel();
        let waiting = second.spawn({
            let files = files.clone();
            async move {
                let mut read = Box::pin(pipe.read_at(files.lease().await, OWN_POSITION));
                assert!(poll_once(read.as_mut()).is_pending());
                begun.send(()).unwrap();
                read.await.1.unwrap()
            }
        });
        waits.recv().unwrap();
        if drops_first {
            drop(first);
            rustix::io::write(&writer, b"late").unwrap();
        } else {
            rustix::io::write(&writer, b"late").unwrap();
            drop(first);
        }
        assert_eq!(second.block_on(waiting).unwrap(), 4);
    }
}

/// Two runtimes use the same ring at the same time.
#[test]
fn two_runtimes_share_files() {
    let _watchdog = watchdog("two runtimes");
    let directory = Directory::new();
    let path = directory.file("file", 150_000);
    let (first, second) = (runtime(2), runtime(0));
    let files = first.block_on(async { Files::new(&all_by_ring().queue_depth(4)).unwrap() });
    thread::scope(|scope| {
        for runtime in [first, second] {
            let (files, path) = (&files, &path);
            scope.spawn(move || {
                runtime.block_on(async {
                    let mut tasks = JoinSet::new();
                    for _ in 0..20 {
                        let (files, path) = (files.clone(), path.clone());
                        tasks.spawn(async move {
                            let options = OpenOptions::read_only();
                            let file = files.open(&path, options).await.unwrap();
                            read_all(&file, 150_000).await
                        });
                    }
                    while let Some(all) = tasks.join_next().await {
                        assert!(all.unwrap() == bytes(150_000));
                    }
                });
            });
        }
    });
}

/// A thread of a runtime that blocks on the files lets its other tasks go on,
/// the one that drives the ring among them.
#[test]
fn a_task_may_block_on_its_files() {
    let _watchdog = watchdog("block_in_place");
    let directory = Directory::new();
    let path = directory.file("file", 70_000);
    let runtime = runtime(1);
    runtime.block_on(async {
        for files in [Files::new(&all_by_ring()), Files::new(&Config::new())] {
            let (files, path) = (files.unwrap(), path.clone());
            let blocks = tokio::spawn(async move {
                block_in_place(|| {
                    Handle::current().block_on(async {
                        let file = files.open(&path, OpenOptions::read_only()).await.unwrap();
                        read_all(&file, 70_000).await
                    })
                })
            });
            assert!(blocks.await.unwrap() == bytes(70_000));
        }
    });
}

/// Files that go within a task are gone as soon as others have had a turn, and
/// what they had under way.
#[test]
fn files_may_go_within_a_task() {
    let _watchdog = watchdog("files that go within a task");
    everywhere(&all_by_ring(), async |files| {
        let (pipe, writer) = pipe_to_read(&files);
        let mut read = Box::pin(pipe.read_at(files.lease().await, OWN_POSITION));
        assert!(poll_once(read.as_mut()).is_pending());
        yield_now().await;
        drop(read);
        drop(pipe);
        drop(files);
        // The reader is closed, and so is its pipe.
        while rustix::io::write(&writer, b"x") != Err(rustix::io::Errno::PIPE) {
            yield_now().await;
        }
    });
}
