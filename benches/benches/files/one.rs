//! One operation at a time, of what is in the page cache.

use std::{fs, os::unix::fs::FileExt, time::Duration};

use compio::{buf::BufResult, io::AsyncReadAt};
use forebay_benches::rounds::{Group, Round, of};
use forebay_linux::{
    tokio::Files,
    uring::{Config, Context, Outcome, Way},
};
use io_uring::{IoUring, opcode, types::Fd};
use std::os::fd::AsRawFd;

use crate::data::{BLOCK, Data, aligned, offsets};

const OPERATIONS: usize = 2000;
/// Within what is read, so that the processor's caches serve all alike.
const RANGE: u64 = 1 << 20;

fn round(work: impl FnMut(u64)) -> Round {
    Round::timed_process(OPERATIONS as u64, || {
        offsets(RANGE).take(OPERATIONS).for_each(work);
        f64::NAN
    })
}

/// One operation of the io-uring crate.
pub(crate) fn submit(ring: &mut IoUring, entry: &io_uring::squeue::Entry) -> i32 {
    push(ring, entry);
    ring.submit_and_wait(1).unwrap();
    ring.completion().next().unwrap().result()
}

#[allow(unsafe_code)]
pub(crate) fn push(ring: &mut IoUring, entry: &io_uring::squeue::Entry) {
    // SAFETY: the callers keep the buffer and the file until the completion.
    unsafe { ring.submission().push(entry) }.unwrap();
}

/// Reads a block of our context.
fn read(context: &mut Context, file: &forebay_linux::uring::File, offset: u64) {
    let lease = context.lease().unwrap();
    let ticket = context.read(file, lease, BLOCK, offset).unwrap();
    let Outcome::Moved(_, result) = context.complete(ticket).unwrap() else { panic!() };
    assert_eq!(result, Ok(BLOCK));
}

pub(crate) fn reads(data: &Data) {
    let path = data.small(0);
    let plain = fs::File::open(&path).unwrap();
    // A copy takes longer from some places to some others, so all buffers are
    // aligned to a page, as leases are.
    let mut memory = vec![0; 2 * BLOCK];
    let mut inline_memory = vec![0; 2 * BLOCK];

    let mut inline = Context::new(&Config::new()).unwrap();
    let inline_file = inline.adopt(fs::File::open(&path).unwrap());
    let mut tickets = Context::new(&Config::new()).unwrap();
    let tickets_file = tickets.adopt(fs::File::open(&path).unwrap());
    let mut by_ring = Context::new(&Config::new().reads(Way::Ring)).unwrap();
    let ring_file = by_ring.adopt(fs::File::open(&path).unwrap());

    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let tokio_file = runtime.block_on(async {
        Files::new(&Config::new()).unwrap().adopt(fs::File::open(&path).unwrap())
    });
    let mut ring = IoUring::new(8).unwrap();
    let peer = fs::File::open(&path).unwrap();
    let mut peer_memory = vec![0; 2 * BLOCK];

    let fs_runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let uring_runtime = tokio_uring::Runtime::new(&tokio_uring::builder()).unwrap();
    let uring_file = uring_runtime
        .block_on(async { tokio_uring::fs::File::from_std(fs::File::open(&path).unwrap()) });
    let compio_runtime = compio::runtime::Runtime::new().unwrap();
    let compio_file =
        compio_runtime.block_on(async { compio::fs::File::open(&path).await.unwrap() });

    Group::new("cached 4 KiB reads, one at a time")
        .bound("pread", move || {
            let start = aligned(&memory);
            let buffer = &mut memory[start..start + BLOCK];
            round(|offset| plain.read_exact_at(buffer, offset).unwrap())
        })
        .ours("Context, read_cached", &[of(1.10, "pread")], || {
            let start = aligned(&inline_memory);
            let buffer = &mut inline_memory[start..start + BLOCK];
            round(|offset| {
                let len = inline.read_cached(&inline_file, buffer, offset);
                assert_eq!(len, Ok(Some(BLOCK)));
            })
        })
        .ours("Context, inline", &[of(1.10, "pread")], || {
            round(|offset| read(&mut tickets, &tickets_file, offset))
        })
        .ours("Context, by the ring", &[], move || {
            round(|offset| read(&mut by_ring, &ring_file, offset))
        })
        .ours("tokio Files, inline", &[], move || {
            Round::timed_process(OPERATIONS as u64, || {
                runtime.block_on(async {
                    let mut lease = tokio_file.files().lease().await;
                    for offset in offsets(RANGE).take(OPERATIONS) {
                        let (back, len) = tokio_file.read_len_at(lease, BLOCK, offset).await;
                        assert_eq!(len.unwrap(), BLOCK);
                        lease = back;
                    }
                });
                f64::NAN
            })
        })
        .peer("io-uring crate", move || {
            let start = aligned(&peer_memory);
            let at = peer_memory[start..].as_mut_ptr();
            round(|offset| {
                let fd = Fd(peer.as_raw_fd());
                let read = opcode::Read::new(fd, at, BLOCK as u32).offset(offset).build();
                assert_eq!(submit(&mut ring, &read), BLOCK as i32);
            })
        })
        .peer("compio", || {
            Round::timed_process(OPERATIONS as u64, || {
                compio_runtime.block_on(async {
                    let mut buffer = Vec::with_capacity(BLOCK);
                    for offset in offsets(RANGE).take(OPERATIONS) {
                        buffer.clear();
                        let BufResult(len, back) = compio_file.read_at(buffer, offset).await;
                        assert_eq!(len.unwrap(), BLOCK);
                        buffer = back;
                    }
                });
                f64::NAN
            })
        })
        .peer("tokio-uring", || {
            Round::timed_process(OPERATIONS as u64, || {
                uring_runtime.block_on(async {
                    let mut buffer = vec![0; BLOCK];
                    for offset in offsets(RANGE).take(OPERATIONS) {
                        let (len, back) = uring_file.read_at(buffer, offset).await;
                        assert_eq!(len.unwrap(), BLOCK);
                        buffer = back;
                    }
                });
                f64::NAN
            })
        })
        .peer("tokio::fs", move || {
            use tokio::io::{AsyncReadExt, AsyncSeekExt};
            let operations = OPERATIONS / 20;
            Round::timed_process(operations as u64, || {
                fs_runtime.block_on(async {
                    let mut file = tokio::fs::File::open(&path).await.unwrap();
                    let mut buffer = vec![0; BLOCK];
                    for offset in offsets(RANGE).take(operations) {
                        file.seek(std::io::SeekFrom::Start(offset)).await.unwrap();
                        file.read_exact(&mut buffer).await.unwrap();
                    }
                });
                f64::NAN
            })
        })
        .run(Duration::from_secs(6));
    // In the order in which such files want to be dropped.
    uring_runtime.block_on(async { drop(uring_file) });
    compio_runtime.block_on(async { drop(compio_file) });
}

pub(crate) fn writes(data: &Data) {
    let path = data.scratch();
    fs::write(&path, vec![1; RANGE as usize]).unwrap();
    let open = || fs::OpenOptions::new().write(true).open(&path).unwrap();
    let (plain, peer) = (open(), open());
    let buffer = vec![2; BLOCK];
    let mut context = Context::new(&Config::new()).unwrap();
    let file = context.adopt(open());
    let mut by_ring = Context::new(&Config::new().writes(Way::Ring)).unwrap();
    let ring_file = by_ring.adopt(open());
    let mut ring = IoUring::new(8).unwrap();
    let peer_buffer = vec![3; BLOCK];

    let write = |context: &mut Context, file: &forebay_linux::uring::File, offset| {
        let lease = context.lease().unwrap();
        let ticket = context.write(file, lease, BLOCK, offset).unwrap();
        let Outcome::Moved(_, result) = context.complete(ticket).unwrap() else { panic!() };
        assert_eq!(result, Ok(BLOCK));
    };
    let tokio_round = |threads: bool| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let path = path.clone();
        let file = runtime.block_on(async {
            let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
            let why = forebay_linux::tokio::SetupError::Ring(rustix::io::Errno::NOSYS);
            let files = if threads {
                Files::by_threads(&Config::new(), why).unwrap()
            } else {
                Files::new(&Config::new()).unwrap()
            };
            files.adopt(file)
        });
        move || {
            let operations = OPERATIONS / 20;
            Round::timed_process(operations as u64, || {
                runtime.block_on(async {
                    let mut lease = file.files().lease().await;
                    for offset in offsets(RANGE).take(operations) {
                        let (back, len) = file.write_at(lease, BLOCK, offset).await;
                        assert_eq!(len.unwrap(), BLOCK);
                        lease = back;
                    }
                });
                f64::NAN
            })
        }
    };
    Group::new("buffered 4 KiB writes, one at a time")
        .bound("pwrite", move || round(|offset| plain.write_all_at(&buffer, offset).unwrap()))
        .ours("Context, inline", &[of(1.05, "pwrite")], move || {
            round(|offset| write(&mut context, &file, offset))
        })
        .ours("Context, by the ring", &[], move || {
            round(|offset| write(&mut by_ring, &ring_file, offset))
        })
        .ours("tokio Files", &[], tokio_round(false))
        .ours("tokio Files, threads", &[], tokio_round(true))
        .peer("io-uring crate", move || {
            round(|offset| {
                let fd = Fd(peer.as_raw_fd());
                let at = peer_buffer.as_ptr();
                let write = opcode::Write::new(fd, at, BLOCK as u32).offset(offset).build();
                assert_eq!(submit(&mut ring, &write), BLOCK as i32);
            })
        })
        .run(Duration::from_secs(5));
}
