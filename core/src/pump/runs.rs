//! Whose the frames of the batch are.

/// What a frame of the batch carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cargo {
    /// A record of the lane of this index.
    Record(usize),
    /// What [`insert`](super::Pump::insert) has put in.
    Inserted,
}

/// Frames of the batch that stand side by side and are of one kind.
#[derive(Clone, Copy, Debug)]
struct Run {
    cargo: Cargo,
    frames: usize,
}

const NONE: Run = Run { cargo: Cargo::Inserted, frames: 0 };

/// The frames of the batch, oldest first, as runs: at most two for each lane,
/// so that a lane that takes its share and then some of what is left has room.
///
/// Invariant: the frames of all runs are those of the batch; no run but the
/// last is followed by one of its kind.
#[derive(Debug)]
pub(super) struct Runs<const LANES: usize> {
    runs: [[Run; 2]; LANES],
    /// Where the oldest run is.
    first: usize,
    len: usize,
}

/// How far the runs reached at some time.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunsMark {
    len: usize,
    last_frames: usize,
}

impl<const LANES: usize> Runs<LANES> {
    const LEN_MAX: usize = 2 * LANES;

    pub(super) const fn new() -> Self {
        Self { runs: [[NONE; 2]; LANES], first: 0, len: 0 }
    }

    fn place(&mut self, index: usize) -> Option<&mut Run> {
        let at = self.first + index;
        let at = if at < Self::LEN_MAX { at } else { at - Self::LEN_MAX };
        self.runs.as_flattened_mut().get_mut(at)
    }

    fn last(&mut self) -> Option<&mut Run> {
        self.len.checked_sub(1).and_then(|last| self.place(last))
    }

    /// Whether a frame of this kind can be counted.
    #[inline]
    pub(super) fn takes(&mut self, cargo: Cargo) -> bool {
        self.len < Self::LEN_MAX || self.last().is_some_and(|last| last.cargo == cargo)
    }

    /// Counts a frame that has gone in.
    #[inline]
    pub(super) fn push(&mut self, cargo: Cargo) {
        if let Some(last) = self.last()
            && last.cargo == cargo
        {
            last.frames += 1;
            return;
        }
        debug_assert!(self.len < Self::LEN_MAX, "`takes` has been asked");
        if let Some(free) = self.place(self.len) {
            *free = Run { cargo, frames: 1 };
            self.len += 1;
        }
    }

    /// Takes up to `frames` frames of one run out, oldest first.
    pub(super) fn pop(&mut self, frames: usize) -> Option<(Cargo, usize)> {
        if frames == 0 || self.len == 0 {
            return None;
        }
        let first = self.place(0)?;
        let taken = first.frames.min(frames);
        first.frames -= taken;
        let Run { cargo, frames: left } = *first;
        if left == 0 {
            self.first = if self.first + 1 < Self::LEN_MAX { self.first + 1 } else { 0 };
            self.len -= 1;
        }
        Some((cargo, taken))
    }

    pub(super) fn mark(&mut self) -> RunsMark {
        RunsMark { len: self.len, last_frames: self.last().map_or(0, |last| last.frames) }
    }

    /// Takes out what has gone in since `mark`, since when nothing has left.
    pub(super) fn cut(&mut self, mark: RunsMark) {
        self.len = mark.len;
        if let Some(last) = self.last() {
            last.frames = mark.last_frames;
        }
    }

    /// What each frame carries, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Cargo> + '_ {
        let runs = self.runs.as_flattened().iter();
        let runs = runs.clone().skip(self.first).chain(runs).take(self.len);
        runs.flat_map(|run| core::iter::repeat_n(run.cargo, run.frames))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_go_round_and_are_cut() {
        let mut runs = Runs::<1>::new();
        for _ in 0..3 {
            let (one, two) = (Cargo::Record(0), Cargo::Inserted);
            assert!(runs.takes(one));
            runs.push(one);
            runs.push(one);
            let mark = runs.mark();
            runs.push(one);
            assert!(runs.takes(two));
            runs.push(two);
            assert!(runs.takes(two) && !runs.takes(one));
            assert!(runs.iter().eq([one, one, one, two]));
            runs.cut(mark);
            assert!(runs.iter().eq([one, one]));
            runs.push(two);
            assert_eq!(runs.pop(0), None);
            assert_eq!(runs.pop(1), Some((one, 1)));
            assert_eq!(runs.pop(5), Some((one, 1)));
            assert!(runs.iter().eq([two]));
            assert_eq!(runs.pop(5), Some((two, 1)));
            assert_eq!(runs.pop(5), None);
        }
    }
}
