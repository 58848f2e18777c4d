//! Entries of the submission queue, `io_uring_enter(2)`.
//!
//! An entry is a number of words; what makes it safe to push is said at
//! [`Queues::push`](super::queue::Queues::push).

use std::{os::fd::RawFd, ptr::NonNull};

use rustix::{
    fs::{AtFlags, Mode, OFlags, StatxFlags},
    io_uring::{
        IoringFsyncFlags, IoringOp, IoringSendFlags, IoringSqeFlags, addr_or_splice_off_in_union,
        buf_union, io_uring_ptr, io_uring_sqe, io_uring_user_data, ioprio_union, len_union,
        off_or_addr2_union, op_flags_union,
    },
    net::SendFlags,
};

use crate::fd_sink::NOSIGNAL;

/// A descriptor, by number or by its place in the ring's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Descriptor(RawFd),
    Registered(u32),
}

/// Bytes in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes {
    pub(crate) at: NonNull<u8>,
    pub(crate) len: u32,
    /// Whether they lie in the ring's registered buffer.
    pub(crate) registered: bool,
}

fn entry(op: IoringOp, user_data: u64) -> io_uring_sqe {
    io_uring_sqe {
        opcode: op,
        user_data: io_uring_user_data::from_u64(user_data),
        ..io_uring_sqe::default()
    }
}

fn on(target: Target, mut entry: io_uring_sqe) -> io_uring_sqe {
    match target {
        Target::Descriptor(fd) => entry.fd = fd,
        Target::Registered(index) => {
            entry.fd = RawFd::try_from(index).unwrap_or(-1);
            entry.flags |= IoringSqeFlags::FIXED_FILE;
        }
    }
    entry
}

fn pointer(at: NonNull<u8>) -> io_uring_ptr {
    io_uring_ptr::new(at.as_ptr().cast())
}

fn address(at: NonNull<u8>) -> addr_or_splice_off_in_union {
    addr_or_splice_off_in_union { addr: pointer(at) }
}

fn transfer(op: IoringOp, target: Target, bytes: Bytes, offset: u64, data: u64) -> io_uring_sqe {
    let mut entry = on(target, entry(op, data));
    entry.addr_or_splice_off_in = address(bytes.at);
    entry.len = len_union { len: bytes.len };
    entry.off_or_addr2 = off_or_addr2_union { off: offset };
    entry.buf = buf_union { buf_index: 0 };
    entry
}

/// `pread(2)`.
pub(crate) fn read(target: Target, bytes: Bytes, offset: u64, data: u64) -> io_uring_sqe {
    let op = if bytes.registered { IoringOp::ReadFixed } else { IoringOp::Read };
    transfer(op, target, bytes, offset, data)
}

/// `pwrite(2)`.
pub(crate) fn write(target: Target, bytes: Bytes, offset: u64, data: u64) -> io_uring_sqe {
    let op = if bytes.registered { IoringOp::WriteFixed } else { IoringOp::Write };
    transfer(op, target, bytes, offset, data)
}

/// `send(2)` without SIGPIPE.
///
/// From registered memory it is a write, as the kernel takes that for writes
/// alone; one that `offer::quiet_writes` has been asked for.
pub(crate) fn send(target: Target, bytes: Bytes, data: u64) -> io_uring_sqe {
    if bytes.registered {
        let mut entry = transfer(IoringOp::WriteFixed, target, bytes, 0, data);
        entry.op_flags = op_flags_union { rw_flags: NOSIGNAL };
        return entry;
    }
    send_by(IoringOp::Send, target, bytes, data)
}

/// The same of the pages themselves, with a second completion when the network
/// has let go of them.
pub(crate) fn send_zero_copy(target: Target, bytes: Bytes, data: u64) -> io_uring_sqe {
    let mut entry = send_by(IoringOp::SendZc, target, bytes, data);
    if bytes.registered {
        entry.ioprio = ioprio_union { send_flags: IoringSendFlags::FIXED_BUF };
        entry.buf = buf_union { buf_index: 0 };
    }
    entry
}

fn send_by(op: IoringOp, target: Target, bytes: Bytes, data: u64) -> io_uring_sqe {
    let mut entry = on(target, entry(op, data));
    entry.addr_or_splice_off_in = address(bytes.at);
    entry.len = len_union { len: bytes.len };
    entry.op_flags = op_flags_union { send_flags: SendFlags::NOSIGNAL };
    entry
}

/// `fsync(2)`, `fdatasync(2)`.
pub(crate) fn sync(target: Target, data_only: bool, data: u64) -> io_uring_sqe {
    let mut entry = on(target, entry(IoringOp::Fsync, data));
    if data_only {
        entry.op_flags = op_flags_union { fsync_flags: IoringFsyncFlags::DATASYNC };
    }
    entry
}

/// `openat(2)` from the working directory; `path` ends with a zero.
pub(crate) fn open(path: NonNull<u8>, flags: OFlags, mode: Mode, data: u64) -> io_uring_sqe {
    let mut entry = on(Target::Descriptor(AT_FDCWD), entry(IoringOp::Openat, data));
    entry.addr_or_splice_off_in = address(path);
    entry.len = len_union { len: mode.bits() };
    entry.op_flags = op_flags_union { open_flags: flags };
    entry
}

/// `AT_FDCWD` of `linux/fcntl.h`.
const AT_FDCWD: RawFd = -100;

/// `statx(2)` of a descriptor; `empty` is an empty path, `status` takes a
/// `struct statx`. A table's place does not do here.
pub(crate) fn status(
    fd: RawFd,
    empty: NonNull<u8>,
    status: NonNull<u8>,
    mask: StatxFlags,
    data: u64,
) -> io_uring_sqe {
    let mut entry = on(Target::Descriptor(fd), entry(IoringOp::Statx, data));
    entry.addr_or_splice_off_in = address(empty);
    entry.off_or_addr2 = off_or_addr2_union { addr2: pointer(status) };
    entry.len = len_union { len: mask.bits() };
    entry.op_flags = op_flags_union { statx_flags: AtFlags::EMPTY_PATH };
    entry
}

/// `poll(2)` until a socket takes bytes, or is no more.
pub(crate) fn writable(target: Target, data: u64) -> io_uring_sqe {
    /// `POLLOUT` of `poll(2)`.
    const OUT: u32 = 4;
    let mut entry = on(target, entry(IoringOp::PollAdd, data));
    // The kernel takes two halves, each in its order of bytes.
    let events = if cfg!(target_endian = "big") { OUT.rotate_left(16) } else { OUT };
    entry.op_flags = op_flags_union { poll32_events: events };
    entry
}

/// Cancels the operation whose entry has the user data `target`.
pub(crate) fn cancel(target: u64, data: u64) -> io_uring_sqe {
    let mut entry = on(Target::Descriptor(-1), entry(IoringOp::AsyncCancel, data));
    let target = io_uring_user_data::from_u64(target);
    entry.addr_or_splice_off_in = addr_or_splice_off_in_union { user_data: target };
    entry
}

/// Makes the next entry wait for this one, and be cancelled if this one fails
/// or is short.
pub(crate) fn linked(mut entry: io_uring_sqe) -> io_uring_sqe {
    entry.flags |= IoringSqeFlags::IO_LINK;
    entry
}
