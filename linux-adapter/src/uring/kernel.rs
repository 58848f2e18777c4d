//! The kernel, as far as a ring needs it; the real one.
//!
//! # Implementation
//!
//! [`Kernel`] is the seam at which the tests put a kernel of their own, that
//! is late, short, out of order and full of errors, see `fake.rs`.

#![allow(unsafe_code)]

use std::{
    ffi::c_void,
    mem::offset_of,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
    ptr::{NonNull, null, null_mut},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    io_uring::{
        IORING_OFF_CQ_RING, IORING_OFF_SQ_RING, IORING_OFF_SQES, IoringAsyncCancelFlags,
        IoringEnterFlags, IoringFeatureFlags, IoringOp, IoringOpFlags, IoringRegisterOp,
        IoringSetupFlags, io_uring_enter, io_uring_enter_arg, io_uring_files_update,
        io_uring_getevents_arg, io_uring_params, io_uring_probe, io_uring_probe_op, io_uring_ptr,
        io_uring_register, io_uring_setup, io_uring_sync_cancel_reg, iovec,
    },
    mm::{MapFlags, ProtFlags, mmap, munmap},
};

use super::queue::{Places, Queues};

/// What a ring asks of the kernel besides its operations.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Register<'a> {
    /// To pin this memory, as buffer 0.
    Buffer(NonNull<u8>, usize),
    /// To give it back.
    NoBuffers,
    /// A table of descriptors; -1 for none.
    Files(&'a [RawFd]),
    /// Others from a place on.
    FilesFrom(u32, &'a [RawFd]),
    /// To cancel whatever is under way, and wait for that so long.
    CancelAny(Duration),
    /// The most threads of the kernel's own for regular files, and for others.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    Workers([u32; 2]),
}

/// The kernel behind one ring.
pub(crate) trait Kernel {
    fn queues(&mut self) -> &mut Queues;

    fn flags(&self) -> IoringSetupFlags;

    /// Takes up to `submit` published entries and waits for `want`
    /// completions, at most `timeout`; how many entries it took. An error can
    /// come after some have been taken: the queue's head alone tells.
    fn enter(
        &mut self,
        submit: u32,
        want: u32,
        flags: IoringEnterFlags,
        timeout: Option<Duration>,
    ) -> Result<u32, Errno>;

    fn register(&mut self, what: Register<'_>) -> Result<u32, Errno>;
}

/// What a ring is to be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Setup {
    /// Entries of the submission queue.
    pub(crate) entries: u32,
    pub(crate) flags: IoringSetupFlags,
    /// The processor of the polling thread.
    pub(crate) sqpoll_cpu: u32,
    pub(crate) sqpoll_idle_millis: u32,
}

/// The kernel that this program runs on.
#[derive(Debug)]
pub(crate) struct Real {
    // Dropped in this order: who points into the maps, the maps, the ring.
    queues: Queues,
    _entries: Map,
    _rings: [Option<Map>; 2],
    fd: OwnedFd,
    flags: IoringSetupFlags,
    features: IoringFeatureFlags,
    /// A bit for each operation that it has, or why it does not say.
    known: Result<[u64; 4], Errno>,
}

impl Real {
    /// Makes a ring, with four times as many places for completions as for
    /// submissions: each operation has at most two, and can be cancelled.
    pub(crate) fn new(setup: &Setup) -> Result<Self, Errno> {
        let mut params = io_uring_params::default();
        params.flags = setup.flags | IoringSetupFlags::CQSIZE;
        params.cq_entries = setup.entries.saturating_mul(4);
        params.sq_thread_cpu = setup.sqpoll_cpu;
        params.sq_thread_idle = setup.sqpoll_idle_millis;
        // SAFETY: no descriptor is named, as ATTACH_WQ is not among the flags.
        let fd = unsafe { io_uring_setup(setup.entries, &mut params) }?;

        let (sq, cq) = (params.sq_off, params.cq_off);
        let sq_ring_len = sq.array as usize + params.sq_entries as usize * size_of::<u32>();
        let cq_ring_len = cq.cqes as usize + params.cq_entries as usize * 16;
        let single = params.features.contains(IoringFeatureFlags::SINGLE_MMAP);
        let sq_ring_len = if single { sq_ring_len.max(cq_ring_len) } else { sq_ring_len };
        let sq_ring = Map::new(&fd, IORING_OFF_SQ_RING, sq_ring_len)?;
        let cq_ring =
            if single { None } else { Some(Map::new(&fd, IORING_OFF_CQ_RING, cq_ring_len)?) };
        let entries = Map::new(&fd, IORING_OFF_SQES, params.sq_entries as usize * 64)?;
        let cq_map = cq_ring.as_ref().unwrap_or(&sq_ring);
        let places = Places {
            sq_head: sq_ring.at(sq.head),
            sq_tail: sq_ring.at(sq.tail),
            sq_flags: sq_ring.at(sq.flags),
            sq_array: sq_ring.at(sq.array),
            sq_entries: entries.at(0),
            sq_len: params.sq_entries,
            cq_head: cq_map.at(cq.head),
            cq_tail: cq_map.at(cq.tail),
            cq_entries: cq_map.at(cq.cqes),
            cq_len: params.cq_entries,
        };
        // SAFETY: MAPPED: the kernel gave the offsets into its rings, the maps
        // are as long as it says, live as long as the `Queues` (field order),
        // and are used by nobody else.
        let queues = unsafe { Queues::new(places) };
        let known = probe(&fd);
        Ok(Self {
            queues,
            _entries: entries,
            _rings: [Some(sq_ring), cq_ring],
            fd,
            flags: params.flags,
            features: params.features,
            known,
        })
    }

    /// Whether it has the operation; false where it does not say.
    pub(crate) fn knows(&self, op: IoringOp) -> bool {
        let op = op as u8;
        self.known.is_ok_and(|known| known[usize::from(op / 64)] & (1 << (op % 64)) != 0)
    }

    /// Why it does not say which operations it has, if it does not: Linux before
    /// 5.6 (`EINVAL`), or a filter.
    pub(crate) fn probed(&self) -> Result<(), Errno> {
        self.known.map(drop)
    }

    fn call(&self, op: IoringRegisterOp, arg: *const c_void, count: u32) -> Result<u32, Errno> {
        // SAFETY: the callers below give an argument that fits the request and
        // that the kernel reads, during the call alone.
        unsafe { io_uring_register(&self.fd, op, arg, count) }
    }
}

/// A descriptor that is readable when completions are there.
impl AsFd for Real {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Which operations the kernel has, a bit each.
fn probe(fd: &OwnedFd) -> Result<[u64; 4], Errno> {
    const OPS: usize = 256;
    const OPS_AT: usize = offset_of!(io_uring_probe, ops) / 8;
    let mut answer = [0u64; OPS_AT + OPS * size_of::<io_uring_probe_op>() / 8];
    let arg = answer.as_mut_ptr().cast::<c_void>();
    // SAFETY: the kernel writes a head and 256 operations of 8 bytes.
    unsafe { io_uring_register(fd, IoringRegisterOp::RegisterProbe, arg.cast_const(), 256) }?;
    let mut known = [0; 4];
    for op in &answer[OPS_AT..] {
        // `struct io_uring_probe_op`: op, a reserved byte, u16 of flags.
        let [op, _, low, high, ..] = op.to_ne_bytes();
        let flags = IoringOpFlags::from_bits_retain(u16::from_ne_bytes([low, high]));
        if flags.contains(IoringOpFlags::SUPPORTED) {
            known[usize::from(op / 64)] |= 1 << (op % 64);
        }
    }
    Ok(known)
}

impl Kernel for Real {
    fn queues(&mut self) -> &mut Queues {
        &mut self.queues
    }

    fn flags(&self) -> IoringSetupFlags {
        self.flags
    }

    fn enter(
        &mut self,
        submit: u32,
        want: u32,
        flags: IoringEnterFlags,
        timeout: Option<Duration>,
    ) -> Result<u32, Errno> {
        let timeout = timeout.filter(|_| want > 0).map(|time| {
            Timespec::try_from(time).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 })
        });
        let Some(timeout) = timeout else {
            // SAFETY: all entries were pushed under the contract of
            // `Queues::push`.
            return unsafe { io_uring_enter(&self.fd, submit, want, flags) };
        };
        if self.features.contains(IoringFeatureFlags::EXT_ARG) {
            let ts = io_uring_ptr::new((&raw const timeout).cast_mut().cast());
            let arg = io_uring_getevents_arg { ts, ..io_uring_getevents_arg::default() };
            let flags = flags | IoringEnterFlags::EXT_ARG;
            // SAFETY: as above; the kernel reads `arg` and the time during the
            // call.
            return unsafe { io_uring_enter_arg(&self.fd, submit, want, flags, Some(&arg)) };
        }
        // Before Linux 5.11: submit, wait for the descriptor, fetch.
        // SAFETY: as above.
        let taken = unsafe { io_uring_enter(&self.fd, submit, 0, flags) }?;
        if self.queues.ready() < want {
            poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&timeout))?;
        }
        Ok(taken)
    }

    fn register(&mut self, what: Register<'_>) -> Result<u32, Errno> {
        let count = |list: &[RawFd]| u32::try_from(list.len()).map_err(|_| Errno::INVAL);
        match what {
            Register::Buffer(base, len) => {
                let buffer = iovec { iov_base: base.as_ptr().cast(), iov_len: len };
                self.call(IoringRegisterOp::RegisterBuffers, (&raw const buffer).cast(), 1)
            }
            Register::NoBuffers => self.call(IoringRegisterOp::UnregisterBuffers, null(), 0),
            Register::Files(files) => {
                self.call(IoringRegisterOp::RegisterFiles, files.as_ptr().cast(), count(files)?)
            }
            Register::FilesFrom(offset, files) => {
                let mut update = io_uring_files_update::default();
                update.offset = offset;
                update.fds = io_uring_ptr::new(files.as_ptr().cast_mut().cast());
                let arg = (&raw const update).cast();
                self.call(IoringRegisterOp::RegisterFilesUpdate, arg, count(files)?)
            }
            Register::CancelAny(timeout) => {
                let mut cancel = io_uring_sync_cancel_reg::default();
                cancel.flags = IoringAsyncCancelFlags::ANY | IoringAsyncCancelFlags::ALL;
                cancel.timeout = Timespec::try_from(timeout).map_err(|_| Errno::INVAL)?;
                self.call(IoringRegisterOp::RegisterSyncCancel, (&raw const cancel).cast(), 1)
            }
            Register::Workers(most) => {
                let mut most = most;
                let arg = (&raw mut most).cast::<c_void>().cast_const();
                self.call(IoringRegisterOp::RegisterIowqMaxWorkers, arg, 2)
            }
        }
    }
}

/// A part of a ring, mapped.
#[derive(Debug)]
struct Map {
    base: NonNull<c_void>,
    len: usize,
}

// SAFETY: a mapping belongs to no thread.
unsafe impl Send for Map {}

impl Map {
    fn new(fd: &OwnedFd, offset: u64, len: usize) -> Result<Self, Errno> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: a new mapping at a place of the kernel's choice.
        let base = unsafe { mmap(null_mut(), len, protection, flags, fd, offset) }?;
        Ok(Self { base: NonNull::new(base).ok_or(Errno::NOMEM)?, len })
    }

    /// A pointer to what is at `offset`.
    fn at<T>(&self, offset: u32) -> NonNull<T> {
        assert!(offset as usize + size_of::<T>() <= self.len, "{offset} in a map of {}", self.len);
        // SAFETY: within the mapping, by the assertion.
        unsafe { self.base.byte_add(offset as usize) }.cast()
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's; what points into it is gone, by
        // the order of the fields of `Real`.
        let unmapped = unsafe { munmap(self.base.as_ptr(), self.len) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}
