//! The table of operations under way: safe code, no I/O.
//!
//! # Implementation
//!
//! ```text
//!            insert        submitted        complete        take
//!   Free ------------> Queued ------> InFlight ------> Done ------> Free
//!                         |               |
//!                         +--- orphan ----+-----> Orphan ---------> Free
//!                                                       complete
//! ```
//!
//! What a slot holds (`T`: memory, descriptor) is given out by `take`, or by
//! the completion of an orphan, and by nothing else before.
//!
//! Invariant HELD: between `insert` and the completion that the kernel posts
//! for a ticket, the slot owns its `T`. That a caller loses interest changes
//! nothing of that.
//!
//! A ticket is the `user_data` of the kernel's entry: kind, generation, index.
//! The generation of a slot goes up each time it becomes free, so that a late
//! or a second completion of an old ticket meets nobody.

use std::{collections::VecDeque, task::Waker};

/// Bits of a ticket below the generation.
const INDEX_BITS: u32 = 16;
/// Bits of the index and the generation; the kind is above.
const KIND_SHIFT: u32 = 56;
const GENERATION_MASK: u64 = (1 << (KIND_SHIFT - INDEX_BITS)) - 1;

/// What an entry in the kernel's queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An operation that has a slot.
    Operation = 1,
    /// The request to cancel one, which has none.
    Cancel = 2,
}

/// Names one operation of one context, until its completion has been taken.
///
/// A ticket of an operation that is over names nothing, also when the context
/// has many since: it is never that of another operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    index: u16,
    generation: u64,
}

impl Ticket {
    /// The `user_data` of an entry for this ticket.
    pub(crate) fn user_data(self, kind: Kind) -> u64 {
        ((kind as u64) << KIND_SHIFT) | (self.generation << INDEX_BITS) | u64::from(self.index)
    }

    fn from_user_data(user_data: u64) -> Option<(Kind, Self)> {
        let kind = match user_data >> KIND_SHIFT {
            1 => Kind::Operation,
            2 => Kind::Cancel,
            _ => return None,
        };
        let index = u16::try_from(user_data & ((1 << INDEX_BITS) - 1)).ok()?;
        let generation = (user_data >> INDEX_BITS) & GENERATION_MASK;
        Some((kind, Self { index, generation }))
    }

    /// Of an operation that is done at once and has no slot: its index is that
    /// of none.
    pub(crate) fn at_once(generation: u64) -> Self {
        Self { index: u16::MAX, generation }
    }

    /// The place in the table.
    pub(crate) fn index(self) -> usize {
        usize::from(self.index)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// In the submission queue; the kernel may or may not have seen it.
    Queued,
    /// Taken by the kernel.
    InFlight,
    /// Over, with the kernel's result.
    Done(i32),
    /// Under way, and nobody waits for it.
    Orphan,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u64,
    state: State,
    /// The result of an operation that has two completions, from the first.
    first: Option<i32>,
    held: Option<T>,
    waker: Option<Waker>,
}

/// An entry in the submission queue.
#[derive(Clone, Copy, Debug)]
struct Queued {
    /// `None` for one without a slot.
    slot: Option<u16>,
    /// Whether it is linked to the one before it.
    behind: bool,
}

/// What a completion meant.
#[derive(Debug)]
pub(crate) enum Event<T> {
    /// The operation is over.
    Done(Ticket, Option<Waker>),
    /// The first of two: what is held stays so.
    More,
    /// An operation is over that nobody waits for.
    Orphan(T, i32),
    /// A request to cancel is over.
    Cancel,
    /// Nobody knows it.
    Stray,
}

/// The slots of one ring.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u16>,
    /// Entries pushed and not known to be taken by the kernel, oldest first.
    queued: VecDeque<Queued>,
    /// Slots that are neither free nor done.
    under_way: usize,
}

impl<T> Slots<T> {
    pub(crate) fn new(depth: u16) -> Self {
        let slot =
            |_| Slot { generation: 0, state: State::Free, first: None, held: None, waker: None };
        Self {
            slots: (0..depth).map(slot).collect(),
            free: (0..depth).rev().collect(),
            queued: VecDeque::with_capacity(usize::from(depth) * 2),
            under_way: 0,
        }
    }

    /// Operations that the kernel may still complete.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Entries pushed and not known to be taken by the kernel.
    pub(crate) fn queued(&self) -> usize {
        self.queued.len()
    }

    /// All slots.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// Slots that could be had now.
    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    /// The ticket that the next [`insert`](Slots::insert) gives.
    pub(crate) fn next(&self) -> Option<Ticket> {
        let index = *self.free.last()?;
        let slot = self.slots.get(usize::from(index))?;
        Some(Ticket { index, generation: slot.generation })
    }

    /// Takes a slot for `held`, whose entry is about to be pushed; it may be
    /// linked to the entry before it.
    pub(crate) fn insert(&mut self, held: T, behind: bool) -> Result<Ticket, T> {
        let Some(index) = self.free.pop() else { return Err(held) };
        let Some(slot) = self.slots.get_mut(usize::from(index)) else { return Err(held) };
        slot.state = State::Queued;
        slot.held = Some(held);
        let ticket = Ticket { index, generation: slot.generation };
        self.queued.push_back(Queued { slot: Some(index), behind });
        self.under_way += 1;
        Ok(ticket)
    }

    /// Takes a slot for what is over already, without the kernel's queue.
    pub(crate) fn insert_done(&mut self, held: T, result: i32) -> Result<Ticket, T> {
        let Some(index) = self.free.pop() else { return Err(held) };
        let Some(slot) = self.slots.get_mut(usize::from(index)) else { return Err(held) };
        slot.state = State::Done(result);
        slot.held = Some(held);
        Ok(Ticket { index, generation: slot.generation })
    }

    /// Notes an entry that has no slot.
    pub(crate) fn queue_without_slot(&mut self) {
        self.queued.push_back(Queued { slot: None, behind: false });
    }

    /// The kernel has taken the `count` oldest entries.
    pub(crate) fn submitted(&mut self, count: usize) {
        for entry in self.queued.drain(..count.min(self.queued.len())) {
            let Some(index) = entry.slot else { continue };
            if let Some(slot) = self.slots.get_mut(usize::from(index))
                && slot.state == State::Queued
            {
                slot.state = State::InFlight;
            }
        }
    }

    /// The oldest entry, if the kernel has taken that to which it is linked
    /// and not it: then it is taken out of the queue here, too.
    pub(crate) fn cut(&mut self) -> Option<Ticket> {
        let Queued { slot: Some(index), behind: true } = *self.queued.front()? else {
            return None;
        };
        self.submitted(1);
        let generation = self.slots.get(usize::from(index))?.generation;
        Some(Ticket { index, generation })
    }

    /// The `count` newest entries have been taken back before the kernel saw
    /// them; calls `over` with what their completions would have been, had the
    /// kernel answered `result`.
    pub(crate) fn withdrawn(&mut self, count: usize, result: i32, mut over: impl FnMut(Event<T>)) {
        for _ in 0..count {
            let Some(entry) = self.queued.pop_back() else { return };
            over(match entry.slot {
                Some(index) => self.finish(usize::from(index), result),
                None => Event::Cancel,
            });
        }
    }

    /// Takes a completion of the kernel; `more` when another one follows.
    pub(crate) fn complete(&mut self, user_data: u64, result: i32, more: bool) -> Event<T> {
        let Some((kind, ticket)) = Ticket::from_user_data(user_data) else { return Event::Stray };
        if kind == Kind::Cancel {
            return Event::Cancel;
        }
        let Some(slot) = self.slots.get_mut(ticket.index()) else { return Event::Stray };
        let under_way = matches!(slot.state, State::Queued | State::InFlight | State::Orphan);
        if slot.generation != ticket.generation || !under_way {
            return Event::Stray;
        }
        if more {
            slot.first.get_or_insert(result);
            return Event::More;
        }
        self.finish(ticket.index(), result)
    }

    fn finish(&mut self, index: usize, result: i32) -> Event<T> {
        let Some(slot) = self.slots.get_mut(index) else { return Event::Stray };
        let result = slot.first.take().unwrap_or(result);
        self.under_way -= 1;
        if slot.state == State::Orphan {
            return match self.release(index) {
                Some(held) => Event::Orphan(held, result),
                None => Event::Stray,
            };
        }
        slot.state = State::Done(result);
        let ticket =
            Ticket { index: u16::try_from(index).unwrap_or(u16::MAX), generation: slot.generation };
        Event::Done(ticket, slot.waker.take())
    }

    /// Gives what an operation that is over held, and its result; the slot is
    /// free. `None` while it is under way, and for a ticket that is used up.
    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<(T, i32)> {
        let State::Done(result) = self.slot(ticket)?.state else { return None };
        Some((self.release(ticket.index())?, result))
    }

    /// Nobody waits for `ticket` any more. Gives what it held if it is over.
    pub(crate) fn orphan(&mut self, ticket: Ticket) -> Option<(T, i32)> {
        if self.is_under_way(ticket) {
            let slot = self.slots.get_mut(ticket.index())?;
            slot.state = State::Orphan;
            slot.waker = None;
            return None;
        }
        self.take(ticket)
    }

    /// Whether somebody waits for the completion of `ticket`.
    pub(crate) fn is_under_way(&self, ticket: Ticket) -> bool {
        self.slot(ticket).is_some_and(|slot| matches!(slot.state, State::Queued | State::InFlight))
    }

    /// Whether `waker` is told when `ticket` is over.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    pub(crate) fn wakes(&self, ticket: Ticket, waker: &Waker) -> bool {
        let slot = self.slot(ticket);
        slot.and_then(|slot| slot.waker.as_ref()).is_some_and(|known| known.will_wake(waker))
    }

    /// Whom to tell when `ticket` is over. Gives back whom it would have told:
    /// to drop a waker may be to drop a task, and so anything.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    #[must_use]
    pub(crate) fn wake(&mut self, ticket: Ticket, waker: Option<Waker>) -> Option<Waker> {
        if !self.is_under_way(ticket) {
            return waker;
        }
        match self.slots.get_mut(ticket.index()) {
            Some(slot) => std::mem::replace(&mut slot.waker, waker),
            None => waker,
        }
    }

    /// The tickets that the kernel may still complete.
    pub(crate) fn tickets_under_way(&self) -> impl Iterator<Item = Ticket> + '_ {
        (0u16..).zip(&self.slots).filter_map(|(index, slot)| {
            matches!(slot.state, State::Queued | State::InFlight | State::Orphan)
                .then_some(Ticket { index, generation: slot.generation })
        })
    }

    /// Takes all that is over.
    pub(crate) fn take_all_done(&mut self) -> Vec<(T, i32)> {
        let done = |slot: &Slot<T>| match slot.state {
            State::Done(result) => Some(result),
            _ => None,
        };
        let done: Vec<(usize, i32)> = self
            .slots
            .iter()
            .enumerate()
            .filter_map(|(index, slot)| Some((index, done(slot)?)))
            .collect();
        done.into_iter()
            .filter_map(|(index, result)| Some((self.release(index)?, result)))
            .collect()
    }

    /// Takes out all that is held for operations under way, to be leaked: the
    /// kernel may still use it. The table is of no use afterwards.
    pub(crate) fn abandon(&mut self) -> impl Iterator<Item = T> + '_ {
        self.slots.iter_mut().filter_map(|slot| {
            let under_way = matches!(slot.state, State::Queued | State::InFlight | State::Orphan);
            under_way.then(|| slot.held.take()).flatten()
        })
    }

    fn slot(&self, ticket: Ticket) -> Option<&Slot<T>> {
        self.slots.get(ticket.index()).filter(|slot| slot.generation == ticket.generation)
    }

    fn release(&mut self, index: usize) -> Option<T> {
        let slot = self.slots.get_mut(index)?;
        slot.state = State::Free;
        slot.generation = (slot.generation + 1) & GENERATION_MASK;
        slot.waker = None;
        self.free.push(u16::try_from(index).ok()?);
        slot.held.take()
    }

    /// Checks what this file says of the table.
    #[cfg(test)]
    pub(crate) fn invariants(&self) {
        let count = |of: fn(State) -> bool| self.slots.iter().filter(|slot| of(slot.state)).count();
        assert_eq!(count(|state| state == State::Free), self.free.len());
        let under_way =
            count(|state| matches!(state, State::Queued | State::InFlight | State::Orphan));
        assert_eq!(under_way, self.under_way);
        for slot in &self.slots {
            assert_eq!(slot.held.is_some(), slot.state != State::Free, "HELD");
        }
        for index in self.queued.iter().filter_map(|entry| entry.slot) {
            let state = self.slots[usize::from(index)].state;
            assert!(matches!(state, State::Queued | State::Orphan), "{state:?} in the queue");
        }
    }
}
