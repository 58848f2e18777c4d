//! What a drainer and its senders share.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use forebay::{Ledger, ring::Consumer};

use super::{
    account::{Account, ChannelId},
    channel::SENDERS_MAX,
    counters::Published,
    losses::Reporter,
    room::Room,
};
use crate::Bell;

/// A channel's end that the drainer takes over.
#[derive(Debug)]
pub(crate) struct NewLane {
    pub(crate) consumer: Consumer<'static>,
    pub(crate) account: Arc<Account>,
    pub(crate) reporter: Option<Reporter>,
    /// Whether its senders wait for room.
    pub(crate) waits: bool,
}

/// What waits for the drainer's attention.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) lanes: Vec<NewLane>,
    /// When to end, whatever is left.
    pub(crate) deadline: Option<Instant>,
}

/// The channels, for those who count.
#[derive(Debug, Default)]
struct Register {
    open: Vec<Arc<Account>>,
    /// What the senders of channels that are finished have counted.
    finished: Ledger,
}

#[derive(Debug)]
pub(crate) struct Shared {
    /// The drainer sleeps by it.
    pub(crate) bell: Bell,
    /// Senders wait for room here.
    pub(crate) room: Room,
    /// Something is in the inbox, or a channel has lost its last sender.
    attention: AtomicBool,
    /// New messages and channels are refused.
    closed: AtomicBool,
    /// Handles that may make channels.
    registrars: AtomicUsize,
    /// Lanes that are taken or spoken for.
    lanes: AtomicUsize,
    next_id: AtomicU64,
    inbox: Mutex<Inbox>,
    register: Mutex<Register>,
    pub(crate) published: Published,
}

impl Shared {
    pub(crate) fn new() -> Self {
        let inbox = Inbox { lanes: Vec::with_capacity(SENDERS_MAX), deadline: None };
        Self {
            bell: Bell::new(),
            room: Room::default(),
            attention: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            registrars: AtomicUsize::new(0),
            lanes: AtomicUsize::new(0),
            next_id: AtomicU64::new(0),
            inbox: Mutex::new(inbox),
            register: Mutex::default(),
            published: Published::default(),
        }
    }

    // ------------------------------------------------------------- channels

    /// Speaks for a lane; `false` when all are taken.
    pub(crate) fn take_lane(&self) -> bool {
        // Relaxed: the count is all that is exchanged.
        let take = |lanes| (lanes < SENDERS_MAX).then_some(lanes + 1);
        self.lanes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Gives a lane back that nobody was made for.
    pub(crate) fn give_lane_back(&self) {
        self.lanes.fetch_sub(1, Ordering::Relaxed);
    }

    /// A channel's account that the register knows.
    pub(crate) fn new_account(&self, priority: u8) -> Arc<Account> {
        let id = ChannelId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let account = Arc::new(Account::new(id, priority));
        locked(&self.register).open.push(Arc::clone(&account));
        account
    }

    /// Takes a finished channel's counts over and frees its lane.
    pub(crate) fn finish(&self, account: &Arc<Account>) {
        let mut register = locked(&self.register);
        register.open.retain(|other| !Arc::ptr_eq(other, account));
        register.finished = register.finished + account.ledger();
        drop(register);
        self.give_lane_back();
    }

    /// What the senders of all channels have counted.
    pub(crate) fn senders_ledger(&self) -> Ledger {
        let register = locked(&self.register);
        register.finished + register.open.iter().map(|account| account.ledger()).sum()
    }

    // ------------------------------------------------------------ attention

    /// Gives the drainer a lane; `false` when it takes none any more.
    pub(crate) fn deliver(&self, lane: NewLane) -> bool {
        let mut inbox = locked(&self.inbox);
        // Under the lock: see `hang_up`.
        if self.is_closed() {
            return false;
        }
        inbox.lanes.push(lane);
        drop(inbox);
        self.call();
        true
    }

    /// Asks the drainer to end by `deadline`.
    pub(crate) fn ask_to_end(&self, deadline: Instant) {
        self.close();
        locked(&self.inbox).deadline = Some(deadline);
        self.call();
    }

    /// Takes back what [`ask_to_end`](Shared::ask_to_end) has asked for.
    pub(crate) fn forget_end(&self) {
        locked(&self.inbox).deadline = None;
    }

    /// Has the drainer look after its lanes and its inbox.
    pub(crate) fn call(&self) {
        // Release: pairs with `is_called`; a channel's last sender is gone. By
        // exchange, so that of two who call at once both are heard: a store
        // would hide what was before the other's.
        self.attention.swap(true, Ordering::Release);
        self.bell.ring();
    }

    #[inline]
    pub(crate) fn is_called(&self) -> bool {
        // Acquire: pairs with `call`.
        self.attention.load(Ordering::Acquire)
    }

    /// What the drainer has been called for.
    pub(crate) fn answer(&self) -> MutexGuard<'_, Inbox> {
        // Acquire: pairs with `call`. Before the look at the inbox: what is
        // put in later calls again.
        self.attention.swap(false, Ordering::Acquire);
        locked(&self.inbox)
    }

    // ------------------------------------------------------------------ end

    pub(crate) fn add_registrar(&self) {
        // Relaxed: whoever adds one has one, or has the drainer.
        self.registrars.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_registrar(&self) {
        // Release: pairs with `may_grow`; the channels it made are called.
        self.registrars.fetch_sub(1, Ordering::Release);
        self.bell.ring();
    }

    /// Whether new channels may still come.
    pub(crate) fn may_grow(&self) -> bool {
        // Acquire, and before `is_called`: pairs with `remove_registrar`.
        self.registrars.load(Ordering::Acquire) > 0 || self.is_called()
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        // Relaxed: a message that is sent in the moment of closing is refused
        // or is in its ring; both are counted.
        self.closed.load(Ordering::Relaxed)
    }

    /// Refuses new messages and channels, and wakes all who wait for room.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.room.made();
    }

    /// Closes for good: nobody looks at the inbox any more.
    pub(crate) fn hang_up(&self) {
        // A lane that is delivered behind this has seen that it is closed.
        self.closed.store(true, Ordering::Relaxed);
        let lanes = mem::take(&mut locked(&self.inbox).lanes);
        // Not under the lock: a report's writer is its user's.
        drop(lanes);
        self.room.made();
    }
}

/// A panic under one of these locks leaves what they guard whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
