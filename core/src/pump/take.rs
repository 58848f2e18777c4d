//! Which records go into the batch, and in which order.
//!
//! # Implementation
//!
//! Priorities are looked at from the highest down; a lower one has its turn
//! when all lanes above it were found empty. The lanes of one priority take
//! turns: a fill begins with the lane whose turn it is, gives each lane its
//! share of the room, and then what is left to those that have more. A turn
//! ends when one of the lane's records has been taken or it has none; a record
//! that does not fit when it is its lane's turn ends the fill, so that it gets
//! an emptier batch. Between two records of a waiting lane others of its
//! priority fill fewer than `LANES` batches.
//!
//! A group goes into a batch whole, or into an empty batch as far as it
//! fits; then nothing else is taken before its rest. A pump of one lane knows
//! neither priorities nor groups, for there is nothing to come between.

use core::mem;

use super::{
    LanePlace, Pump,
    lane::Level,
    runs::{Cargo, RunsMark},
};
use crate::{
    frame::Encode,
    ring::Place,
    stage::{Refused, StageMark},
};

/// How far a lane was taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Took {
    /// It has nothing more.
    All,
    /// It has had its share.
    Share,
    /// Its next record does not fit; others of its priority may go on.
    Full,
    /// The fill ends.
    End,
}

/// What became of a record or a group.
enum Put {
    /// It is in the batch, or was counted as undeliverable.
    Taken,
    /// Nothing of it is; its lane stands before it again.
    Full,
    /// The beginning of a group is in an otherwise empty batch.
    Part,
}

/// How far the batch and its counts reached at some time.
struct Mark {
    stage: StageMark,
    runs: RunsMark,
    undeliverable: u64,
}

impl<F, B, const LANES: usize, const SLICES: usize> Pump<'_, F, B, LANES, SLICES>
where
    F: Encode,
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    /// Takes committed records into the batch until it is full or the rings
    /// are empty.
    pub(super) fn take(&mut self) {
        loop {
            if LANES == 1 {
                // One lane has no order, and its pump no code for it.
                self.take_records(0, usize::MAX, true);
            } else if self.take_group_rest() {
                self.take_lanes();
            }
            if self.stage.frames() == 0 || self.stage.pending() > 0 {
                break;
            }
            // Frames of no bytes alone: they have left already, and took the
            // room of what is behind them.
            self.advance(0);
        }
        self.release();
    }

    /// Takes what is left of a group of which a part has been taken; whether
    /// anything else may be taken now.
    fn take_group_rest(&mut self) -> bool {
        while let Some(LanePlace { lane, .. }) = self.group {
            // All of a group is committed at once, and held until it has been
            // taken.
            let Some(place) = self.next_place(lane) else { break };
            if self.is_full() || !self.put(lane, place) {
                self.put_back(lane, place);
                self.group = Some(LanePlace { lane, place });
                return false;
            }
            if !place.more {
                break;
            }
        }
        self.group = None;
        true
    }

    fn take_lanes(&mut self) {
        let mut level = Level::below(None, &self.lanes);
        while let Some(mut now) = level {
            if !self.take_level(&mut now) {
                return;
            }
            level = Level::below(Some(now), &self.lanes);
        }
    }

    /// Takes from each lane of a priority its share of the room, then from
    /// each what still fits; whether all were found empty.
    fn take_level(&mut self, level: &mut Level) -> bool {
        let lanes = self.lanes.len();
        let share = if level.lanes > 1 { self.stage.free() / level.lanes } else { usize::MAX };
        let mut empty = true;
        for share in [share, usize::MAX] {
            let first = level.turn;
            empty = true;
            for lane in (first..lanes).chain(0..first) {
                if !level.has(lane, &self.lanes) {
                    continue;
                }
                let took = self.take_lane(lane, share, lane == level.turn);
                if lane == level.turn && took.1 {
                    level.passes(lane, &mut self.lanes);
                }
                match took.0 {
                    Took::All => {}
                    Took::Share | Took::Full => empty = false,
                    Took::End => return false,
                }
            }
            if level.lanes == 1 {
                break;
            }
        }
        empty
    }

    /// Takes records of one lane until they take `share` bytes of the buffer;
    /// how far, and whether one was taken or there was none.
    fn take_lane(&mut self, lane: usize, share: usize, its_turn: bool) -> (Took, bool) {
        let took = self.take_records(lane, share, its_turn);
        // Now, as a ring that is overwritten waits for it.
        self.release_lane(lane);
        took
    }

    fn take_records(&mut self, lane: usize, share: usize, its_turn: bool) -> (Took, bool) {
        let free = self.stage.free();
        let mut served = false;
        while free - self.stage.free() < share {
            if self.is_full() {
                return (Took::End, served);
            }
            let Some(place) = self.next_place(lane) else { return (Took::All, true) };
            let put = if LANES > 1 && place.more {
                self.put_group(lane, place)
            } else if self.put(lane, place) {
                Put::Taken
            } else {
                self.put_back(lane, place);
                Put::Full
            };
            match put {
                Put::Taken => served = true,
                Put::Part => return (Took::End, true),
                Put::Full if served || !its_turn => return (Took::Full, served),
                Put::Full => return (Took::End, served),
            }
        }
        (Took::Share, served)
    }

    /// Whether the batch takes no more frames, however short.
    fn is_full(&self) -> bool {
        self.stage.frames() >= self.frames_max
    }

    #[inline]
    fn next_place(&mut self, lane: usize) -> Option<Place> {
        self.lanes.get_mut(lane).and_then(|lane| lane.consumer.next_place())
    }

    fn put_back(&mut self, lane: usize, place: Place) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.consumer.put_back(place);
        }
    }

    /// Takes a group whole, or as far as it fits into an empty batch.
    fn put_group(&mut self, lane: usize, first: Place) -> Put {
        let was_empty = self.stage.frames() == 0;
        let before = self.mark(lane);
        let taking = Taking { pump: self, lane, first, before: Some(before) };
        let mut place = first;
        while !taking.pump.is_full() && taking.pump.put_taken(lane, place) {
            let next = if place.more { taking.pump.next_place(lane) } else { None };
            let Some(next) = next else {
                mem::forget(taking);
                return Put::Taken;
            };
            place = next;
        }
        if !was_empty {
            return Put::Full;
        }
        mem::forget(taking);
        self.put_back(lane, place);
        self.group = Some(LanePlace { lane, place });
        Put::Part
    }

    /// Puts one record into the batch, or counts it as undeliverable; `false`
    /// when it does not fit beside what is there.
    #[inline]
    fn put(&mut self, lane: usize, place: Place) -> bool {
        let taking = Taking { pump: self, lane, first: place, before: None };
        let put = taking.pump.put_taken(lane, place);
        mem::forget(taking);
        put
    }

    /// As [`put`](Pump::put), for a caller who takes it back when the format
    /// panics.
    #[inline]
    fn put_taken(&mut self, lane: usize, place: Place) -> bool {
        let cargo = Cargo::Record(lane);
        if LANES > 1 && !self.runs.takes(cargo) {
            return false;
        }
        match self.encode(lane, place) {
            Ok(()) if LANES > 1 => self.runs.push(cargo),
            Ok(()) => {}
            Err(Refused::Full { .. }) if self.stage.frames() > 0 => return false,
            // Not even into an empty batch.
            Err(Refused::Full { .. } | Refused::Encode(_)) => {
                self.ledger.undeliverable += 1;
                if LANES > 1
                    && let Some(lane) = self.lanes.get_mut(lane)
                {
                    lane.undeliverable += 1;
                }
            }
        }
        true
    }

    /// Frames one record into the batch, lent when it is large.
    #[inline]
    fn encode(&mut self, lane: usize, place: Place) -> Result<(), Refused> {
        let record = self.lanes.get(lane).map_or(&[][..], |lane| lane.consumer.bytes(place));
        let frame_len_max = self.format.frame_len_max(record.len());
        let free = self.len_max.saturating_sub(self.stage.frames_len());
        if self.stage.frames() > 0 && frame_len_max > free {
            return Err(Refused::Full { needed: frame_len_max, free });
        }
        if record.len() >= self.borrow_from
            && self.stage.lend(&self.format, record, LanePlace { lane, place })?
        {
            return Ok(());
        }
        self.stage.copy(&self.format, record)
    }

    fn mark(&mut self, lane: usize) -> Mark {
        Mark {
            stage: self.stage.mark(),
            runs: self.runs.mark(),
            undeliverable: self.lanes.get(lane).map_or(0, |lane| lane.undeliverable),
        }
    }

    /// Takes out what has been taken of one lane since `mark`.
    fn cut(&mut self, lane: usize, mark: &Mark) {
        self.stage.cut(&mark.stage);
        self.runs.cut(mark.runs);
        if let Some(lane) = self.lanes.get_mut(lane) {
            self.ledger.undeliverable -= lane.undeliverable - mark.undeliverable;
            lane.undeliverable = mark.undeliverable;
        }
    }

    /// Releases each ring up to its first record that is still lent.
    pub(super) fn release(&mut self) {
        if LANES == 1 {
            return self.release_lane(0);
        }
        for index in 0..self.lanes.len() {
            self.release_lane(index);
        }
    }

    /// Releases one of them. Without lent records, and but for the rest of a
    /// group, it may be overwritten again.
    pub(super) fn release_lane(&mut self, index: usize) {
        let Some(lane) = self.lanes.get_mut(index) else { return };
        let group = if LANES > 1 { self.group } else { None };
        match self.stage.lent().chain(group).find(|held| held.lane == index) {
            Some(held) => lane.consumer.release_to(held.place.begin()),
            None => lane.consumer.release_walked(),
        }
    }
}

/// Records on their way from a lane into the batch. Dropped, it puts them back
/// and cuts them out of the batch: they do not fit, or the format has panicked.
struct Taking<'p, 'r, F, B, const LANES: usize, const SLICES: usize>
where
    F: Encode,
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    pump: &'p mut Pump<'r, F, B, LANES, SLICES>,
    lane: usize,
    first: Place,
    /// Where the batch ended before them, when some may be in it.
    before: Option<Mark>,
}

impl<F, B, const LANES: usize, const SLICES: usize> Drop for Taking<'_, '_, F, B, LANES, SLICES>
where
    F: Encode,
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            self.pump.cut(self.lane, before);
        }
        self.pump.put_back(self.lane, self.first);
    }
}
