//! Pipes, sockets, and files at their own position.

use std::{
    fs,
    io::Read,
    os::{fd::OwnedFd, unix::net::UnixStream},
};

use forebay_linux::tokio::{Config, File, Files, Lease, OpenOptions};
use tokio::task::JoinSet;

use crate::{
    common::{
        Directory, OWN_POSITION, all_by_ring, bytes, everywhere, pipe_to_read, pipe_to_write,
        poll_once, read_all,
    },
    shared::watchdog,
};

/// More than there are threads.
const PIPES: usize = 32;

/// Waits for other programs hold up no file: neither needs one of the few
/// threads.
#[test]
fn waits_for_pipes_hold_up_no_file() {
    let _watchdog = watchdog("pipes and files");
    for config in [Config::new(), all_by_ring()] {
        everywhere(&config.buffers(3 * PIPES as u32), async |files| {
            let directory = Directory::new();
            let path = directory.file("file", 100_000);
            let mut reads = JoinSet::new();
            let mut writes = JoinSet::new();
            let (mut writers, mut readers) = (vec![], vec![]);
            for _ in 0..PIPES {
                let (pipe, writer) = pipe_to_read(&files);
                writers.push(writer);
                let lease = files.lease().await;
                reads.spawn(async move {
                    let (lease, len) = pipe.read_at(lease, OWN_POSITION).await;
                    lease[..len.unwrap()].to_vec()
                });
                let (pipe, reader) = full_pipe(&files).await;
                readers.push(reader);
                let mut lease = files.lease().await;
                lease[..4].copy_from_slice(b"last");
                writes.spawn(async move { pipe.write_at(lease, 4, OWN_POSITION).await.1.unwrap() });
            }
            let mut transfers = JoinSet::new();
            for _ in 0..PIPES {
                let (files, path) = (files.clone(), path.clone());
                transfers.spawn(async move {
                    let file = files.open(&path, OpenOptions::read_only()).await.unwrap();
                    file.sync_data().await.unwrap();
                    read_all(&file, 100_000).await
                });
            }
            while let Some(all) = transfers.join_next().await {
                assert!(all.unwrap() == bytes(100_000));
            }
            assert!(reads.try_join_next().is_none() && writes.try_join_next().is_none());

            for writer in &writers {
                rustix::io::write(writer, b"first").unwrap();
            }
            while let Some(read) = reads.join_next().await {
                assert_eq!(read.unwrap(), b"first");
            }
            for reader in &mut readers {
                reader.read_exact(&mut vec![0; PIPE_LEN]).unwrap();
            }
            while let Some(len) = writes.join_next().await {
                assert_eq!(len.unwrap(), 4);
            }
            for reader in &mut readers {
                let mut last = [0; 4];
                reader.read_exact(&mut last).unwrap();
                assert_eq!(&last, b"last");
            }
        });
    }
}

const PIPE_LEN: usize = 4096;

/// A pipe that takes no more.
async fn full_pipe(files: &Files) -> (File, std::io::PipeReader) {
    let (pipe, reader) = pipe_to_write(files);
    rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_LEN).unwrap();
    assert_eq!(write(&pipe, files.lease().await, PIPE_LEN).await, PIPE_LEN);
    (pipe, reader)
}

async fn write(file: &File, lease: Lease, len: usize) -> usize {
    file.write_at(lease, len, OWN_POSITION).await.1.unwrap()
}

/// What there is of a pipe is told, although more was asked for.
#[test]
fn a_read_of_a_pipe_gives_what_there_is() {
    let _watchdog = watchdog("what there is");
    for config in [Config::new(), all_by_ring()] {
        everywhere(&config, async |files| {
            let (pipe, writer) = pipe_to_read(&files);
            rustix::io::write(&writer, b"bytes").unwrap();
            let (lease, len) = pipe.read_at(files.lease().await, OWN_POSITION).await;
            assert_eq!(&lease[..len.unwrap()], b"bytes");
            drop(writer);
            let (_, len) = pipe.read_at(lease, OWN_POSITION).await;
            assert_eq!(len.unwrap(), 0);
        });
    }
}

/// So does a pipe that takes a part of a write.
#[test]
fn a_write_to_a_pipe_says_what_it_took() {
    let _watchdog = watchdog("what it took");
    for config in [Config::new(), all_by_ring()] {
        everywhere(&config, async |files| {
            let (pipe, mut reader) = pipe_to_write(&files);
            rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_LEN).unwrap();
            let (near, _) = tokio::join!(
                async {
                    let mut sent = 0;
                    while sent < 3 * PIPE_LEN {
                        sent += write(&pipe, files.lease().await, PIPE_LEN).await;
                    }
                    sent
                },
                tokio::task::spawn_blocking(move || {
                    reader.read_exact(&mut vec![0; 3 * PIPE_LEN]).unwrap();
                })
            );
            assert_eq!(near, 3 * PIPE_LEN);
        });
    }
}

#[test]
fn a_socket_is_read_and_written() {
    let _watchdog = watchdog("a socket");
    everywhere(&Config::new(), async |files| {
        let (near, far) = UnixStream::pair().unwrap();
        let adopt = |socket: UnixStream| files.adopt(fs::File::from(OwnedFd::from(socket)));
        let (near, far) = (adopt(near), adopt(far));
        let mut read = Box::pin(far.read_at(files.lease().await, OWN_POSITION));
        assert!(poll_once(read.as_mut()).is_pending());
        assert_eq!(write(&near, files.lease().await, 9).await, 9);
        assert_eq!(read.await.1.unwrap(), 9);
    });
}

/// A file has a position too, whoever reads.
#[test]
fn a_file_is_read_at_its_own_position() {
    for config in [Config::new(), all_by_ring()] {
        everywhere(&config, async |files| {
            let directory = Directory::new();
            let path = directory.file("file", 10_000);
            let file = files.open(&path, OpenOptions::read_write()).await.unwrap();
            let (lease, len) = file.read_len_at(files.lease().await, 3000, OWN_POSITION).await;
            assert_eq!(lease[..len.unwrap()], bytes(10_000)[..3000]);
            let (lease, len) = file.read_len_at(lease, 9000, OWN_POSITION).await;
            assert_eq!(lease[..len.unwrap()], bytes(10_000)[3000..]);
            assert_eq!(write(&file, lease, 7000).await, 7000);
            assert_eq!(file.len().await.unwrap(), 17_000);
            assert_eq!(fs::read(&path).unwrap()[10_000..], bytes(10_000)[3000..]);
        });
    }
}
