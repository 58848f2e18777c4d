//! A kernel for the tests: late, short, out of order, interrupted, with a
//! completion queue that runs over, and with errors.
//!
//! What it has taken stays in a [`World`] that the test shares, so that it can
//! go on writing to memory after its ring is gone: under Miri, memory that was
//! freed too early is found.

#![allow(unsafe_code)]

mod runs;

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    io::PipeReader,
    os::fd::IntoRawFd,
    ptr::NonNull,
    rc::Rc,
    time::Duration,
};

use rustix::{
    io::Errno,
    io_uring::{
        IoringCqeFlags, IoringEnterFlags, IoringOp, IoringSetupFlags, IoringSqFlags,
        IoringSqeFlags, io_uring_sqe,
    },
};

use super::{
    kernel::{Kernel, Register},
    queue::{Completion, Places, Queues},
    region::Region,
};

/// Numbers that look random and are the same for a seed.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// An entry that the kernel has taken.
pub(super) struct Taken {
    entry: io_uring_sqe,
    cancelled: bool,
    /// The operation that it waits for.
    behind: Option<u64>,
}

impl Taken {
    fn data(&self) -> u64 {
        self.entry.user_data.u64_()
    }

    fn pointer(&self) -> *mut u8 {
        // SAFETY: all fields of the union are plain words; the operations that
        // ask for it have an address there.
        unsafe { self.entry.addr_or_splice_off_in.addr }.ptr.cast()
    }

    fn len(&self) -> usize {
        // SAFETY: plain words, as above.
        unsafe { self.entry.len.len as usize }
    }
}

/// What the fake kernel does and has done.
pub(super) struct World {
    pub(super) random: Random,
    pub(super) under_way: Vec<Taken>,
    held_back: VecDeque<Completion>,
    /// What each completion said, by its user data.
    pub(super) said: HashMap<u64, i32>,
    /// Ends of pipes whose other ends were given out as opened files.
    pub(super) opened: Vec<PipeReader>,
    pub(super) paths: Vec<Vec<u8>>,
    /// What writes found in their buffers.
    pub(super) written: HashMap<u64, Vec<u8>>,
    /// Completes nothing that is not cancelled.
    pub(super) stuck: bool,
    /// Cancels nothing either.
    pub(super) deaf: bool,
    /// Refuses `CancelAny`.
    pub(super) old: bool,
    pub(super) registered: bool,
    pub(super) overflows: usize,
}

pub(super) type Shared = Rc<RefCell<World>>;

/// The byte that a read of `data` writes.
pub(super) fn pattern(data: u64) -> u8 {
    (data.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56).to_le_bytes()[0]
}

impl World {
    pub(super) fn new(seed: u64) -> Shared {
        Rc::new(RefCell::new(Self {
            random: Random::new(seed),
            under_way: vec![],
            held_back: VecDeque::new(),
            said: HashMap::new(),
            opened: vec![],
            paths: vec![],
            written: HashMap::new(),
            stuck: false,
            deaf: false,
            old: false,
            registered: false,
            overflows: 0,
        }))
    }

    /// Does an operation, touching its memory; what its completion says.
    fn perform(&mut self, taken: &Taken) -> i32 {
        if taken.cancelled {
            return -Errno::CANCELED.raw_os_error();
        }
        if self.random.one_in(6) {
            let errors = [Errno::IO, Errno::NOSPC, Errno::INTR, Errno::AGAIN, Errno::FAULT];
            return -errors[self.random.below(errors.len())].raw_os_error();
        }
        match taken.entry.opcode {
            IoringOp::Read | IoringOp::ReadFixed => {
                let len = self.random.below(taken.len() + 1);
                // SAFETY: HELD is what this tests: the buffer is there.
                unsafe { taken.pointer().write_bytes(pattern(taken.data()), len) };
                i32::try_from(len).unwrap()
            }
            IoringOp::Write | IoringOp::WriteFixed | IoringOp::SendZc | IoringOp::Send => {
                let len = self.random.below(taken.len() + 1);
                // SAFETY: HELD, as above.
                let bytes = unsafe { std::slice::from_raw_parts(taken.pointer(), len) };
                self.written.insert(taken.data(), bytes.to_vec());
                i32::try_from(len).unwrap()
            }
            IoringOp::Openat => {
                // SAFETY: HELD, as above; the path ends with a zero.
                let path = unsafe { std::ffi::CStr::from_ptr(taken.pointer().cast()) };
                self.paths.push(path.to_bytes().to_vec());
                let (reader, writer) = std::io::pipe().unwrap();
                self.opened.push(reader);
                writer.into_raw_fd()
            }
            IoringOp::Statx => {
                // SAFETY: plain words, as above.
                let answer = unsafe { taken.entry.off_or_addr2.addr2 }.ptr.cast::<u8>();
                // SAFETY: HELD, as above.
                unsafe { answer.write_bytes(pattern(taken.data()), 256) };
                0
            }
            _ => 0,
        }
    }

    /// Touches the memory of all that is under way, as a kernel may that has
    /// not been heard of for long.
    pub(super) fn strike(&mut self) {
        for taken in std::mem::take(&mut self.under_way) {
            self.perform(&taken);
        }
    }

    /// Ends one operation, whatever else it does.
    pub(super) fn cancel_one(&mut self) {
        self.under_way[0].cancelled = true;
    }

    /// Notes a request to cancel; what its own completion says.
    fn cancel(&mut self, target: u64) -> i32 {
        let deaf = self.deaf || (self.random.one_in(4) && !self.stuck);
        match self.under_way.iter_mut().find(|taken| taken.data() == target) {
            Some(taken) if !deaf => {
                taken.cancelled = true;
                0
            }
            Some(_) => -Errno::ALREADY.raw_os_error(),
            None => -Errno::NOENT.raw_os_error(),
        }
    }
}

pub(super) struct Fake {
    queues: Queues,
    _memory: Region,
    flags: IoringSetupFlags,
    world: Shared,
    /// The link to the next entry.
    behind: Option<u64>,
}

impl Fake {
    /// Queues of `entries` places each, powers of two.
    pub(super) fn new(entries: u32, completions: u32, world: &Shared) -> Self {
        let (sq, cq) = (entries as usize, completions as usize);
        let words = (8 + sq) * 4;
        let sqes_at = words.next_multiple_of(64);
        let cqes_at = sqes_at + sq * 64;
        let memory = Region::new(cqes_at + cq * 16).unwrap();
        let at = |at: usize, len: usize| memory.part(at, len).unwrap();
        let word = |index: usize| at(index * 4, 4).cast();
        let places = Places {
            sq_head: word(0),
            sq_tail: word(1),
            sq_flags: word(2),
            sq_array: at(32, sq * 4).cast(),
            sq_entries: at(sqes_at, sq * 64).cast(),
            sq_len: entries,
            cq_head: word(4),
            cq_tail: word(5),
            cq_entries: at(cqes_at, cq * 16).cast(),
            cq_len: completions,
        };
        for index in [0, 1, 4, 5] {
            // Near the end of the numbers, so that they wrap.
            let start = u32::MAX - 5;
            let word: NonNull<u32> = at(index * 4, 4).cast();
            // SAFETY: within the memory, which nobody else uses yet.
            unsafe { word.write(start) };
        }
        // SAFETY: MAPPED: the parts lie in `memory`, apart from each other, and
        // that lives as long as the queues.
        let queues = unsafe { Queues::new(places) };
        let flags = IoringSetupFlags::DEFER_TASKRUN | IoringSetupFlags::TASKRUN_FLAG;
        Self { queues, _memory: memory, flags, world: Rc::clone(world), behind: None }
    }

    /// Another kernel thread's side: takes what is published.
    pub(super) fn poll_thread(mut self) -> Self {
        self.flags = IoringSetupFlags::SQPOLL;
        self
    }

    fn take(&mut self, count: u32) -> u32 {
        let mut taken = 0;
        while taken < count {
            let Some(entry) = self.queues.kernel_take() else { break };
            taken += 1;
            let data = entry.user_data.u64_();
            let behind = self.behind.take();
            if entry.flags.contains(IoringSqeFlags::IO_LINK) {
                self.behind = Some(data);
            }
            self.world.borrow_mut().under_way.push(Taken { entry, cancelled: false, behind });
        }
        // A chain ends with the call that has begun it (`io_submit_sqes`).
        self.behind = None;
        taken
    }

    /// Completes the operation at `index`.
    fn complete(&mut self, index: usize) {
        let world = Rc::clone(&self.world);
        let mut world = world.borrow_mut();
        let taken = world.under_way.remove(index);
        if taken.entry.opcode == IoringOp::AsyncCancel {
            // SAFETY: plain words, as above.
            let target = unsafe { taken.entry.addr_or_splice_off_in.user_data }.u64_();
            let result = world.cancel(target);
            return self.post(&mut world, taken.data(), result, 0);
        }
        let result = world.perform(&taken);
        let whole = result >= 0 && i32::try_from(taken.len()).is_ok_and(|len| result == len);
        for other in &mut world.under_way {
            if other.behind == Some(taken.data()) {
                other.behind = None;
                // A short transfer breaks a link too.
                other.cancelled |= !whole;
            }
        }
        world.said.insert(taken.data(), result);
        if taken.entry.opcode == IoringOp::SendZc && result >= 0 {
            self.post(&mut world, taken.data(), result, IoringCqeFlags::MORE.bits());
            return self.post(&mut world, taken.data(), 0, IoringCqeFlags::NOTIF.bits());
        }
        self.post(&mut world, taken.data(), result, 0);
    }

    fn post(&mut self, world: &mut World, user_data: u64, result: i32, flags: u32) {
        let completion = Completion { user_data, result, flags };
        if !world.held_back.is_empty() || !self.queues.kernel_post(completion) {
            world.overflows += 1;
            world.held_back.push_back(completion);
            self.queues.kernel_flag(IoringSqFlags::CQ_OVERFLOW, true);
        }
    }

    fn flush(&mut self) {
        let world = Rc::clone(&self.world);
        let mut world = world.borrow_mut();
        while let Some(completion) = world.held_back.front() {
            if !self.queues.kernel_post(*completion) {
                return;
            }
            world.held_back.pop_front();
        }
        self.queues.kernel_flag(IoringSqFlags::CQ_OVERFLOW, false);
    }

    /// Completes something, if there is something that may be.
    fn step(&mut self) -> bool {
        let index = {
            let mut world = self.world.borrow_mut();
            let may = |world: &World, index: usize| {
                let taken = &world.under_way[index];
                let free = taken.behind.is_none() || taken.cancelled;
                let moves =
                    !world.stuck || taken.cancelled || taken.entry.opcode == IoringOp::AsyncCancel;
                free && moves
            };
            let may: Vec<usize> =
                (0..world.under_way.len()).filter(|index| may(&world, *index)).collect();
            if may.is_empty() {
                return false;
            }
            may[world.random.below(may.len())]
        };
        self.complete(index);
        true
    }
}

impl Kernel for Fake {
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
        _timeout: Option<Duration>,
    ) -> Result<u32, Errno> {
        let (fails, fewer, steps) = {
            let random = &mut self.world.borrow_mut().random;
            (random.one_in(8), random.one_in(4), random.below(4))
        };
        let submit = if self.flags.contains(IoringSetupFlags::SQPOLL) { u32::MAX } else { submit };
        let take = if fewer { submit / 2 } else { submit };
        let taken = self.take(take);
        if fails {
            // After entries were taken.
            let errors = [Errno::INTR, Errno::AGAIN, Errno::BUSY];
            return Err(errors[self.world.borrow_mut().random.below(3)]);
        }
        if flags.contains(IoringEnterFlags::GETEVENTS) {
            self.flush();
        }
        for _ in 0..steps {
            self.step();
        }
        while self.queues.ready() < want {
            if !self.step() {
                return Err(Errno::TIME);
            }
        }
        Ok(taken)
    }

    fn register(&mut self, what: Register<'_>) -> Result<u32, Errno> {
        let mut world = self.world.borrow_mut();
        match what {
            Register::Buffer(..) => world.registered = true,
            Register::NoBuffers => world.registered = false,
            Register::CancelAny(_) if world.old => return Err(Errno::INVAL),
            Register::CancelAny(_) => {
                let deaf = world.deaf;
                let mut found = false;
                for taken in &mut world.under_way {
                    taken.cancelled |= !deaf;
                    found = true;
                }
                match (found, deaf) {
                    (false, _) => return Err(Errno::NOENT),
                    (true, true) => return Err(Errno::TIME),
                    (true, false) => {}
                }
            }
            _ => {}
        }
        Ok(0)
    }
}
