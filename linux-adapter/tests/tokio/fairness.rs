//! Nobody keeps others from running.

use std::time::Duration;

use forebay_linux::tokio::{Config, File, Files, Lease, OpenOptions};
use tokio::task::yield_now;

use crate::{
    common::{Directory, NO_RING, runtime},
    shared::watchdog,
};

/// Whether another task runs beside one that does `work` without end.
fn gives_way<F>(files: impl FnOnce() -> Files, work: impl Fn(File, Lease) -> F)
where
    F: Future<Output = Lease> + Send + 'static,
{
    let directory = Directory::new();
    let path = directory.file("file", 4096);
    runtime(0).block_on(async {
        let files = files();
        let options = OpenOptions::read_write();
        let file = files.open(&path, options).await.unwrap();
        let endless = tokio::spawn(work(file, files.lease().await));
        for _ in 0..10 {
            yield_now().await;
        }
        endless.abort();
        assert!(endless.await.unwrap_err().is_cancelled());
    });
}

async fn reads(file: File, mut lease: Lease) -> Lease {
    loop {
        lease = file.read_len_at(lease, 4096, 0).await.0;
    }
}

async fn writes(file: File, mut lease: Lease) -> Lease {
    loop {
        lease = file.write_at(lease, 4096, 0).await.0;
    }
}

#[test]
fn cached_reads_give_way_to_other_tasks() {
    let _watchdog = watchdog("cached reads");
    gives_way(|| Files::new(&Config::new()).unwrap(), reads);
}

/// Whether a thread makes them or the task's waits.
#[test]
fn writes_give_way_to_other_tasks() {
    let _watchdog = watchdog("writes");
    gives_way(|| Files::new(&Config::new()).unwrap(), writes);
    gives_way(|| Files::by_threads(&Config::new(), NO_RING).unwrap(), writes);
    let waits = Config::new().waiting_writes(Duration::MAX);
    gives_way(|| Files::new(&waits).unwrap(), writes);
}

/// A lease that is free is no reason not to give way either.
#[test]
fn leases_give_way_to_other_tasks() {
    let _watchdog = watchdog("leases");
    gives_way(
        || Files::new(&Config::new()).unwrap(),
        async |file, _lease| {
            loop {
                drop(file.files().lease().await);
            }
        },
    );
}
