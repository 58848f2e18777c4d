//! Which way a buffered write goes.

use std::{fs, io::ErrorKind, path::Path, time::Duration};

use forebay_linux::{
    tokio::{Config, Files, OpenOptions},
    uring::Way,
};

use crate::common::{Directory, bytes, everywhere};

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
