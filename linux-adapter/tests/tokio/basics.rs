//! Each operation, its errors, and many at once.

use std::{fs, io::ErrorKind, path::PathBuf};

use forebay_linux::tokio::{Config, Files, OpenOptions};
use rustix::io::Errno;
use tokio::task::JoinSet;

use crate::common::{Directory, all_by_ring, bytes, everywhere, read_all, runtime, uncache};

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

#[test]
fn without_a_runtime_there_is_an_error() {
    let error = Files::new(&Config::new()).unwrap_err();
    assert!(error.to_string().contains("runtime"), "{error}");
    runtime(0).block_on(async {
        let error = Files::new(&Config::new().queue_depth(0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}
