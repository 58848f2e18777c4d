//! One ring of a pump, and whose turn it is.

use crate::{ledger::Ledger, ring::Consumer};

/// A ring, and what the pump knows of it.
#[derive(Debug)]
pub(super) struct Lane<'r> {
    pub(super) consumer: Consumer<'r>,
    /// Higher ones are served first.
    pub(super) priority: u8,
    /// In the first lane of a priority: the lane of it whose turn it is.
    turn: usize,
    /// Records that have left whole.
    pub(super) delivered: u64,
    /// Records that never fit.
    pub(super) undeliverable: u64,
}

impl<'r> Lane<'r> {
    pub(super) fn new(consumer: Consumer<'r>, priority: u8) -> Self {
        Self { consumer, priority, turn: 0, delivered: 0, undeliverable: 0 }
    }

    /// What the pump knows of what became of its records.
    pub(super) fn ledger(&self) -> Ledger {
        let Self { delivered, undeliverable, .. } = *self;
        Ledger { delivered, undeliverable, ..Ledger::default() }
    }
}

/// The lanes of one priority, which take turns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    priority: u8,
    /// Its first lane, where the turn is kept.
    keeper: usize,
    /// How many lanes it has.
    pub(super) lanes: usize,
    /// The lane whose turn it is.
    pub(super) turn: usize,
}

impl Level {
    /// The highest priority below `above`, or the highest of all.
    pub(super) fn below(above: Option<Self>, lanes: &[Lane<'_>]) -> Option<Self> {
        let mut level: Option<Self> = None;
        for (index, lane) in lanes.iter().enumerate() {
            let priority = lane.priority;
            if above.is_some_and(|above| priority >= above.priority) {
                continue;
            }
            match &mut level {
                Some(level) if level.priority == priority => level.lanes += 1,
                Some(level) if level.priority > priority => {}
                level => *level = Some(Self { priority, keeper: index, lanes: 1, turn: lane.turn }),
            }
        }
        let mut level = level?;
        // A lane that was replaced may have left a turn to another priority.
        level.turn = level.next(level.turn, lanes);
        Some(level)
    }

    /// Whether the lane is of this priority.
    pub(super) fn has(&self, lane: usize, lanes: &[Lane<'_>]) -> bool {
        lanes.get(lane).is_some_and(|lane| lane.priority == self.priority)
    }

    /// Its first lane from `from` on, or from the beginning.
    fn next(&self, from: usize, lanes: &[Lane<'_>]) -> usize {
        (from..lanes.len()).find(|lane| self.has(*lane, lanes)).unwrap_or(self.keeper)
    }

    /// Gives the turn to the lane behind `lane`.
    pub(super) fn passes(&mut self, lane: usize, lanes: &mut [Lane<'_>]) {
        self.turn = self.next(lane + 1, lanes);
        if let Some(keeper) = lanes.get_mut(self.keeper) {
            keeper.turn = self.turn;
        }
    }
}
