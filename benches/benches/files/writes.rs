//! Buffered writes, one at a time and many.

use std::{fs, os::fd::AsRawFd, os::unix::fs::FileExt, sync::Arc, time::Duration};

use forebay_benches::rounds::{Group, Round, of};
use forebay_linux::{
    tokio::{File, Files, SetupError},
    uring::{Config, Context, Outcome, Way},
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use io_uring::{IoUring, opcode, types::Fd};
use rustix::io::{Errno, pwrite};
use tokio::{
    io::{AsyncSeekExt, AsyncWriteExt},
    runtime::{Builder, Runtime},
    task::spawn_blocking,
};

use crate::{
    data::{BLOCK, Data, aligned},
    one::{OPERATIONS, RANGE, round, submit, turn},
};

const AT_A_TIME: usize = 64;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_io().build().unwrap()
}

/// The file that all write to.
struct Target(std::path::PathBuf);

impl Target {
    fn new(data: &Data) -> Self {
        let path = data.scratch();
        fs::write(&path, vec![1; RANGE as usize]).unwrap();
        Self(path)
    }

    fn open(&self) -> fs::File {
        fs::OpenOptions::new().write(true).open(&self.0).unwrap()
    }

    /// A file of ours, by threads if `has_ring` is false.
    fn ours(&self, runtime: &Runtime, config: &Config, has_ring: bool) -> File {
        runtime.block_on(async {
            let files = if has_ring {
                Files::new(config).unwrap()
            } else {
                Files::by_threads(config, SetupError::Ring(Errno::NOSYS)).unwrap()
            };
            files.adopt(self.open())
        })
    }
}

/// What `Context` does with each write.
fn by_context(target: &Target, config: &Config) -> impl FnMut() -> Round + use<> {
    let mut context = Context::new(config).unwrap();
    let file = context.adopt(target.open());
    move || {
        let mut lease = context.lease();
        round(|offset| {
            let ticket = context.write(&file, lease.take().unwrap(), BLOCK, offset).unwrap();
            let Outcome::Moved(back, result) = context.complete(ticket).unwrap() else { panic!() };
            assert_eq!(result, Ok(BLOCK));
            lease = Some(back);
        })
    }
}

/// Ours in a runtime, one at a time.
fn in_tokio(target: &Target, config: &Config, has_ring: bool) -> impl FnMut() -> Round + use<> {
    let runtime = runtime();
    let file = target.ours(&runtime, config, has_ring);
    move || {
        turn(OPERATIONS, |order| {
            runtime.block_on(async {
                let mut lease = file.files().lease().await;
                for &offset in order {
                    let (back, len) = file.write_at(lease, BLOCK, offset).await;
                    assert_eq!(len.unwrap(), BLOCK);
                    lease = back;
                }
            });
        })
    }
}

/// Ours in a runtime, many at a time.
fn many_in_tokio(
    target: &Target,
    config: &Config,
    has_ring: bool,
) -> impl FnMut() -> Round + use<> {
    let runtime = runtime();
    let file = target.ours(&runtime, config, has_ring);
    move || {
        turn(OPERATIONS, |order| {
            let write = |offset| {
                let file = &file;
                async move {
                    let lease = file.files().lease().await;
                    assert_eq!(file.write_at(lease, BLOCK, offset).await.1.unwrap(), BLOCK);
                }
            };
            runtime.block_on(keep_busy(order, write));
        })
    }
}

/// Keeps so many under way.
async fn keep_busy<F: Future<Output = ()>>(order: &[u64], write: impl Fn(u64) -> F) {
    let (first, rest) = order.split_at(AT_A_TIME.min(order.len()));
    let mut under_way: FuturesUnordered<_> = first.iter().map(|&offset| write(offset)).collect();
    for &offset in rest {
        under_way.next().await;
        under_way.push(write(offset));
    }
    while under_way.next().await.is_some() {}
}

/// As one who has a `std::fs::File` in a runtime does it.
fn by_spawn_blocking(target: &Target) -> impl Fn(u64) -> Write + use<> {
    let file = Arc::new(target.open());
    move |offset| {
        let file = Arc::clone(&file);
        Box::pin(async move {
            let buffer = vec![4; BLOCK];
            let write = spawn_blocking(move || file.write_at(&buffer, offset).unwrap());
            assert_eq!(write.await.unwrap(), BLOCK);
        })
    }
}

type Write = std::pin::Pin<Box<dyn Future<Output = ()>>>;

pub(crate) fn one_at_a_time(data: &Data) {
    let target = Target::new(data);
    let (plain, inline_call, peer) = (target.open(), target.open(), target.open());
    let buffer = vec![2; 2 * BLOCK];
    let buffer = &buffer[aligned(&buffer)..][..BLOCK];
    let config = Config::new();
    let ring = config.clone().writes(Way::Ring);
    let waits = config.clone().waiting_writes(Duration::from_millis(1));
    let mut peer_ring = IoUring::new(8).unwrap();
    let (fs_runtime, blocking_runtime) = (runtime(), runtime());
    let write_blocking = by_spawn_blocking(&target);

    const PWRITE: &str = "pwrite";
    Group::new("buffered 4 KiB writes, one at a time")
        .peer(PWRITE, || round(|offset| assert_eq!(plain.write_at(buffer, offset).unwrap(), BLOCK)))
        .bound("pwrite, the call inline", || {
            round(|offset| assert_eq!(pwrite(&inline_call, buffer, offset), Ok(BLOCK)))
        })
        .ours("Context, inline", &[of(1.05, PWRITE)], by_context(&target, &config))
        .ours("Context, by the ring", &[], by_context(&target, &ring))
        .ours("tokio Files", &[of(1.0, TOKIO_FS)], in_tokio(&target, &config, true))
        .ours("tokio Files, may wait", &[of(1.0, TOKIO_FS)], in_tokio(&target, &waits, true))
        .ours("tokio Files, no ring", &[of(1.0, TOKIO_FS)], in_tokio(&target, &config, false))
        .peer("io-uring crate", move || {
            round(|offset| {
                let fd = Fd(peer.as_raw_fd());
                let write = opcode::Write::new(fd, buffer.as_ptr(), BLOCK as u32);
                assert_eq!(submit(&mut peer_ring, &write.offset(offset).build()), BLOCK as i32);
            })
        })
        .peer(TOKIO_FS, || {
            turn(OPERATIONS / 10, |order| {
                fs_runtime.block_on(async {
                    // One after the other, without a seek: each returns before
                    // its data is written, and waits for the one before it.
                    let mut file = tokio::fs::File::from_std(target.open());
                    for part in order.chunks(RANGE as usize / BLOCK) {
                        file.rewind().await.unwrap();
                        for _ in part {
                            file.write_all(buffer).await.unwrap();
                        }
                    }
                    file.flush().await.unwrap();
                });
            })
        })
        .peer("spawn_blocking", || {
            turn(OPERATIONS / 10, |order| {
                blocking_runtime.block_on(async {
                    for &offset in order {
                        write_blocking(offset).await;
                    }
                });
            })
        })
        .run(Duration::from_secs(6));
}

const TOKIO_FS: &str = "tokio::fs";

pub(crate) fn many_at_a_time(data: &Data) {
    let target = Target::new(data);
    let plain = target.open();
    let buffer = vec![2; BLOCK];
    let config = Config::new().buffer_len(BLOCK);
    let waits = config.clone().waiting_writes(Duration::from_millis(1));
    let blocking_runtime = runtime();
    let write_blocking = by_spawn_blocking(&target);

    Group::new("buffered 4 KiB writes in a runtime, 64 at a time")
        .peer("pwrite, one at a time", || {
            round(|offset| assert_eq!(plain.write_at(&buffer, offset).unwrap(), BLOCK))
        })
        .ours("tokio Files", &[], many_in_tokio(&target, &config, true))
        .ours("tokio Files, may wait", &[], many_in_tokio(&target, &waits, true))
        .ours("tokio Files, no ring", &[], many_in_tokio(&target, &config, false))
        .peer("spawn_blocking", || {
            turn(OPERATIONS, |order| blocking_runtime.block_on(keep_busy(order, &write_blocking)))
        })
        .run(Duration::from_secs(4));
}
