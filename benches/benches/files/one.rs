//! Reads of what is in the page cache, one at a time.

use std::{fs, os::unix::fs::FileExt, time::Duration};

use compio::{
    buf::{BufResult, IntoInner, IoBuf},
    io::AsyncReadAt,
};
use forebay_benches::rounds::{Group, Round, of};
use forebay_linux::{
    tokio::Files,
    uring::{Config, Context, Outcome, Way},
};
use io_uring::{IoUring, opcode, types::Fd};
use rustix::io::{ReadWriteFlags, pread, preadv2};
use std::os::fd::AsRawFd;
use tokio_uring::buf::BoundedBuf;

use crate::data::{BLOCK, Data, aligned, offsets};

pub(crate) const OPERATIONS: usize = 2000;
/// Within what is read, so that the processor's caches serve all alike.
pub(crate) const RANGE: u64 = 256 << 10;

/// A round of `work`, which does one operation at each offset that it is given.
///
/// It does so for all blocks before it is timed: whoever was before may have
/// emptied the processor's caches, or have moved the thread to a processor whose
/// caches hold nothing of this.
pub(crate) fn turn(operations: usize, mut work: impl FnMut(&[u64])) -> Round {
    let blocks: Vec<u64> = (0..RANGE).step_by(BLOCK).collect();
    let order: Vec<u64> = offsets(RANGE).take(operations).collect();
    work(&blocks);
    Round::timed_process(operations as u64, || {
        work(&order);
        f64::NAN
    })
}

pub(crate) fn round(mut work: impl FnMut(u64)) -> Round {
    turn(OPERATIONS, |order| order.iter().for_each(|&offset| work(offset)))
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

/// Reads blocks of a context, one after the other into the same buffer.
fn read(context: &mut Context, file: &forebay_linux::uring::File) -> Round {
    let mut lease = context.lease();
    round(|offset| {
        let ticket = context.read(file, lease.take().unwrap(), BLOCK, offset).unwrap();
        let Outcome::Moved(back, result) = context.complete(ticket).unwrap() else { panic!() };
        assert_eq!(result, Ok(BLOCK));
        lease = Some(back);
    })
}

pub(crate) fn reads(data: &Data) {
    let path = data.small(0);
    let plain = fs::File::open(&path).unwrap();
    // A copy takes longer from some places to some others, so all buffers are
    // aligned to a page, as leases are.
    let mut memory = vec![0; 2 * BLOCK];
    let mut inline_memory = vec![0; 2 * BLOCK];
    let inline_call = fs::File::open(&path).unwrap();
    let mut inline_call_memory = vec![0; 2 * BLOCK];
    let by_hand = fs::File::open(&path).unwrap();
    let mut by_hand_memory = vec![0; 2 * BLOCK];

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
        .peer("pread", move || {
            let start = aligned(&memory);
            let buffer = &mut memory[start..start + BLOCK];
            round(|offset| assert_eq!(plain.read_at(buffer, offset).unwrap(), BLOCK))
        })
        // A function of libc returns once more behind its system call.
        .bound("pread, the call inline", move || {
            let start = aligned(&inline_call_memory);
            let buffer = &mut inline_call_memory[start..start + BLOCK];
            round(|offset| assert_eq!(pread(&inline_call, &mut *buffer, offset), Ok(BLOCK)))
        })
        .peer("preadv2, RWF_NOWAIT, inline", move || {
            let start = aligned(&by_hand_memory);
            let buffer = &mut by_hand_memory[start..start + BLOCK];
            round(|offset| {
                let into = &mut [std::io::IoSliceMut::new(buffer)];
                assert_eq!(preadv2(&by_hand, into, offset, ReadWriteFlags::NOWAIT), Ok(BLOCK));
            })
        })
        .ours("Context, read_cached", &[of(1.10, "pread")], || {
            let start = aligned(&inline_memory);
            let buffer = &mut inline_memory[start..start + BLOCK];
            round(|offset| {
                let len = inline.read_cached(&inline_file, buffer, offset);
                assert_eq!(len, Ok(Some(BLOCK)));
            })
        })
        .ours("Context, inline", &[of(1.10, "pread")], || read(&mut tickets, &tickets_file))
        .ours("Context, by the ring", &[], move || read(&mut by_ring, &ring_file))
        .ours("tokio Files, inline", &[], move || {
            turn(OPERATIONS, |order| {
                runtime.block_on(async {
                    let mut lease = tokio_file.files().lease().await;
                    for &offset in order {
                        let (back, len) = tokio_file.read_len_at(lease, BLOCK, offset).await;
                        assert_eq!(len.unwrap(), BLOCK);
                        lease = back;
                    }
                });
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
            let mut memory = Some(vec![0; 2 * BLOCK]);
            turn(OPERATIONS, |order| {
                compio_runtime.block_on(async {
                    for &offset in order {
                        let buffer = memory.take().unwrap();
                        let start = aligned(&buffer);
                        let slice = IoBuf::slice(buffer, start..start + BLOCK);
                        let BufResult(len, back) = compio_file.read_at(slice, offset).await;
                        assert_eq!(len.unwrap(), BLOCK);
                        memory = Some(back.into_inner());
                    }
                });
            })
        })
        .peer("tokio-uring", || {
            let mut memory = Some(vec![0; 2 * BLOCK]);
            turn(OPERATIONS, |order| {
                uring_runtime.block_on(async {
                    for &offset in order {
                        let buffer = memory.take().unwrap();
                        let start = aligned(&buffer);
                        let slice = BoundedBuf::slice(buffer, start..start + BLOCK);
                        let (len, back) = uring_file.read_at(slice, offset).await;
                        assert_eq!(len.unwrap(), BLOCK);
                        memory = Some(back.into_inner());
                    }
                });
            })
        })
        .peer("tokio::fs", move || {
            use tokio::io::{AsyncReadExt, AsyncSeekExt};
            turn(OPERATIONS / 20, |order| {
                fs_runtime.block_on(async {
                    let mut file = tokio::fs::File::open(&path).await.unwrap();
                    let mut buffer = vec![0; BLOCK];
                    for &offset in order {
                        file.seek(std::io::SeekFrom::Start(offset)).await.unwrap();
                        file.read_exact(&mut buffer).await.unwrap();
                    }
                });
            })
        })
        .run(Duration::from_secs(6));
    // In the order in which such files want to be dropped.
    uring_runtime.block_on(async { drop(uring_file) });
    compio_runtime.block_on(async { drop(compio_file) });
}
