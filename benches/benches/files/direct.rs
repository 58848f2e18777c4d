//! Past the page cache, many at a time.

use std::{
    fs,
    os::{fd::AsRawFd, unix::fs::FileExt},
    process::Command,
    time::Duration,
};

use compio::{
    buf::{BufResult, IoBuf},
    io::AsyncReadAt,
};
use forebay_benches::rounds::{Group, Round, cpu_of, of};
use forebay_linux::uring::{Config, Context, Lease, Outcome};
use futures_util::stream::{FuturesUnordered, StreamExt};
use io_uring::{IoUring, opcode, types::Fd};
use tokio_uring::buf::BoundedBuf;

use crate::{
    data::{BLOCK, Data, LARGE, aligned, direct, offsets},
    one::push,
};

const DEPTH: usize = 64;
const OPERATIONS: usize = 1024;

/// The io-uring crate with all that makes it fast.
fn by_crate(data: &Data) -> impl FnMut() -> Round + use<> {
    let file = direct(&data.large());
    let memory = vec![0u8; (DEPTH + 1) * BLOCK];
    let start = aligned(&memory);
    let mut ring: IoUring =
        IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(DEPTH as u32).unwrap();
    let at = memory[start..].as_ptr().cast_mut();
    register(&ring, at);
    ring.submitter().register_files(&[file.as_raw_fd()]).unwrap();
    let mut order = offsets(LARGE);
    let file = Some(file);
    move || {
        let _kept = (&memory, &file);
        Round::timed_process(OPERATIONS as u64, || {
            let mut calls = 0;
            for _ in 0..OPERATIONS / DEPTH {
                for index in 0..DEPTH {
                    let at = at.wrapping_add(index * BLOCK);
                    let fd = io_uring::types::Fixed(0);
                    let offset = order.next().unwrap();
                    let read = opcode::ReadFixed::new(fd, at, BLOCK as u32, 0).offset(offset);
                    push(&mut ring, &read.build());
                }
                ring.submit_and_wait(DEPTH).unwrap();
                calls += 1;
                let mut count = 0;
                for completion in ring.completion() {
                    assert_eq!(completion.result(), BLOCK as i32);
                    count += 1;
                }
                assert_eq!(count, DEPTH);
            }
            f64::from(calls)
        })
    }
}

#[allow(unsafe_code)]
fn register(ring: &IoUring, at: *mut u8) {
    let buffer = iovec { base: at, len: DEPTH * BLOCK };
    let buffers = std::ptr::from_ref(&buffer).cast();
    // SAFETY: `iovec` is as in C.
    let buffers = unsafe { std::slice::from_raw_parts(buffers, 1) };
    // SAFETY: the memory lives as long as the ring.
    unsafe { ring.submitter().register_buffers(buffers) }.unwrap();
}

/// `struct iovec` of `readv(2)`.
#[repr(C)]
struct iovec {
    base: *mut u8,
    len: usize,
}

/// Ours: `DEPTH` at a time, one call for all of them.
fn ours(data: &Data, config: &Config) -> impl FnMut() -> Round + use<> {
    let mut context = Context::new(config).unwrap();
    for lack in context.lacks() {
        println!("  {lack}");
    }
    let file = context.adopt(direct(&data.large()));
    let mut leases: Vec<Lease> = std::iter::from_fn(|| context.lease()).collect();
    let mut order = offsets(LARGE);
    move || {
        Round::timed_process(OPERATIONS as u64, || {
            let before = context.counts().enters;
            for _ in 0..OPERATIONS / DEPTH {
                for lease in leases.drain(..) {
                    context.read(&file, lease, BLOCK, order.next().unwrap()).unwrap();
                }
                context.wait_for_many(DEPTH, None).unwrap();
                while let Some(completion) = context.poll().unwrap() {
                    let Outcome::Moved(lease, result) = completion.outcome else { panic!() };
                    assert_eq!(result, Ok(BLOCK));
                    leases.push(lease);
                }
                assert_eq!(leases.len(), DEPTH);
            }
            (context.counts().enters - before) as f64
        })
    }
}

/// fio as a process: what it says of itself.
fn fio(data: &Data, engine: &str, depth: usize) -> Option<impl FnMut() -> Round + use<>> {
    let mut command = Command::new("fio");
    command
        .args(["--name=x", "--rw=randread", "--bs=4k", "--direct=1", "--minimal", "--time_based"])
        .args(["--runtime=200ms", "--norandommap"])
        .arg(format!("--filename={}", data.large().display()))
        .args([format!("--ioengine={engine}"), format!("--iodepth={depth}")]);
    if command.output().is_err() {
        println!("SKIPPED: fio is not installed");
        return None;
    }
    Some(move || {
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let field = |index: usize| text.trim().split(';').nth(index).unwrap_or("").to_owned();
        // Fields of the terse format 3: KiB read, run time in ms, CPU in %.
        let kib: u64 = field(5).parse().unwrap_or(4);
        let millis: u64 = field(8).parse().unwrap_or(1);
        let percent = |index| field(index).trim_end_matches('%').parse().unwrap_or(0.0);
        let elapsed = Duration::from_millis(millis);
        let cpu = elapsed.mul_f64((percent(87) + percent(88)) / 100.0);
        Round { items: (kib / 4).max(1), calls: f64::NAN, elapsed, cpu }
    })
}

/// Keeps `DEPTH` reads under way, each into a buffer that it gives back.
async fn keep_busy<F: Future<Output = Vec<u8>>>(read: impl Fn(Vec<u8>, u64) -> F) {
    let mut order = offsets(LARGE);
    let first = order.by_ref().take(DEPTH).map(|offset| read(vec![0; 2 * BLOCK], offset));
    let mut reads: FuturesUnordered<_> = first.collect();
    for offset in order.take(OPERATIONS - DEPTH) {
        let memory = reads.next().await.unwrap();
        reads.push(read(memory, offset));
    }
    while reads.next().await.is_some() {}
}

fn timed(work: impl FnOnce()) -> Round {
    Round::timed_process(OPERATIONS as u64, || {
        work();
        f64::NAN
    })
}

pub(crate) fn reads(data: &Data) {
    let plain = direct(&data.large());
    let mut memory = vec![0; 2 * BLOCK];
    let mut order = offsets(LARGE);
    let config = Config::new().queue_depth(DEPTH as u32).buffer_len(BLOCK);

    let compio_runtime = compio::runtime::Runtime::new().unwrap();
    let compio_file = compio_runtime.block_on(async {
        let flags = rustix::fs::OFlags::DIRECT.bits() as i32;
        let mut options = compio::fs::OpenOptions::new();
        options.read(true).custom_flags(flags).open(data.large()).await.unwrap()
    });
    let uring_runtime = tokio_uring::Runtime::new(&tokio_uring::builder()).unwrap();
    let uring_file =
        uring_runtime.block_on(async { tokio_uring::fs::File::from_std(direct(&data.large())) });

    const PREAD: &str = "pread, one at a time";
    let mut group = Group::new("O_DIRECT 4 KiB random reads, 64 at a time")
        .peer(PREAD, move || {
            let start = aligned(&memory);
            let operations = OPERATIONS / 8;
            Round::timed_process(operations as u64, || {
                for offset in order.by_ref().take(operations) {
                    plain.read_exact_at(&mut memory[start..start + BLOCK], offset).unwrap();
                }
                operations as f64
            })
        })
        .ours("Context", &[of(0.20, PREAD), cpu_of(0.15, PREAD)], ours(data, &config))
        .ours(
            "Context, nothing registered",
            &[],
            ours(data, &config.clone().registered_buffers(false).registered_files(0)),
        )
        .peer("io-uring crate, DEFER, fixed", by_crate(data))
        .peer("compio", || {
            let read = |memory: Vec<u8>, offset| {
                let file = &compio_file;
                async move {
                    let start = aligned(&memory);
                    let slice = IoBuf::slice(memory, start..start + BLOCK);
                    let BufResult(len, slice) = file.read_at(slice, offset).await;
                    assert_eq!(len.unwrap(), BLOCK);
                    compio::buf::IntoInner::into_inner(slice)
                }
            };
            timed(|| compio_runtime.block_on(keep_busy(read)))
        })
        .peer("tokio-uring", || {
            let read = |memory: Vec<u8>, offset| {
                let file = &uring_file;
                async move {
                    let start = aligned(&memory);
                    let slice = BoundedBuf::slice(memory, start..start + BLOCK);
                    let (len, slice) = file.read_at(slice, offset).await;
                    assert_eq!(len.unwrap(), BLOCK);
                    slice.into_inner()
                }
            };
            timed(|| uring_runtime.block_on(keep_busy(read)))
        });
    if let Some(fio) = fio(data, "io_uring", DEPTH) {
        group = group.peer("fio io_uring", fio);
    }
    group.run(Duration::from_secs(12));
    println!("  goal of system calls an operation: <= 1/64 + 10 % = {:.5}", 1.1 / 64.0);
    uring_runtime.block_on(async { drop(uring_file) });
    compio_runtime.block_on(async { drop(compio_file) });
}

/// Writes that are each on the disk before the next, and 64 at a time.
pub(crate) fn synced_writes(data: &Data) {
    let path = data.scratch();
    fs::write(&path, vec![1; DEPTH * BLOCK]).unwrap();
    let open = || fs::OpenOptions::new().write(true).open(&path).unwrap();
    let plain = open();
    let buffer = vec![2; BLOCK];
    let config = Config::new().queue_depth(2 * DEPTH as u32).buffer_len(BLOCK);
    let mut context = Context::new(&config).unwrap();
    let file = context.adopt(open());
    let peer = open();
    let mut ring = IoUring::new(2 * DEPTH as u32).unwrap();
    let peer_buffer = vec![3; BLOCK];

    Group::new("4 KiB writes with an fdatasync each, 64 at a time")
        .peer("pwrite, one at a time", move || {
            Round::timed_process(8, || {
                for index in 0..8 {
                    plain.write_all_at(&buffer, index * BLOCK as u64).unwrap();
                    plain.sync_data().unwrap();
                }
                16.0
            })
        })
        .ours("Context, linked", &[], move || {
            Round::timed_process(DEPTH as u64, || {
                let before = context.counts().enters;
                for index in 0..DEPTH as u64 {
                    let lease = context.lease().unwrap();
                    context.write_and_sync(&file, lease, BLOCK, index * BLOCK as u64).unwrap();
                }
                context.wait_for_many(2 * DEPTH, None).unwrap();
                while let Some(completion) = context.poll().unwrap() {
                    match completion.outcome {
                        Outcome::Moved(_, result) => assert_eq!(result, Ok(BLOCK)),
                        Outcome::Synced(result) => assert_eq!(result, Ok(())),
                        other => panic!("{other:?}"),
                    }
                }
                (context.counts().enters - before) as f64
            })
        })
        .peer("io-uring crate, linked", move || {
            Round::timed_process(DEPTH as u64, || {
                let fd = Fd(peer.as_raw_fd());
                for index in 0..DEPTH as u64 {
                    let at = peer_buffer.as_ptr();
                    let write = opcode::Write::new(fd, at, BLOCK as u32);
                    let write = write.offset(index * BLOCK as u64).build();
                    push(&mut ring, &write.flags(io_uring::squeue::Flags::IO_LINK));
                    let sync = opcode::Fsync::new(fd).flags(io_uring::types::FsyncFlags::DATASYNC);
                    push(&mut ring, &sync.build());
                }
                ring.submit_and_wait(2 * DEPTH).unwrap();
                ring.completion().for_each(|completion| assert!(completion.result() >= 0));
                1.0
            })
        })
        .run(Duration::from_secs(4));
}
