//! Contenders that take turns, round by round, so that their ratios are those
//! of one run.
//!
//! On a machine whose cores are shared, or moved by its host, two runs of the
//! same program a second apart may differ by a factor. So nothing is measured
//! alone: a round lets every contender work for a few milliseconds, each time
//! in another order, and what is compared are the times *within* a round. The
//! ratio of two contenders is the median of their ratios over all rounds.

use std::{
    env,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

use crate::table;

/// The least rounds of a group, however long they take.
const ROUNDS_MIN: usize = 5;

/// What a contender did in one round.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Frames or records carried to their end.
    pub items: u64,
    /// System calls made for it on the near side; `NaN` where none is counted.
    pub calls: f64,
    /// How long it took.
    pub elapsed: Duration,
    /// Processor time of the measured thread, or of the process; zero where
    /// none is counted.
    pub cpu: Duration,
}

impl Round {
    /// Times `work`, which carries `items` items and returns how many system
    /// calls that took.
    pub fn timed(items: u64, work: impl FnOnce() -> f64) -> Self {
        let (start, cpu_start) = (Instant::now(), thread_cpu());
        let calls = work();
        let (elapsed, cpu) = (start.elapsed(), thread_cpu() - cpu_start);
        Self { items, calls, elapsed, cpu }
    }

    /// The same with the processor time of all threads of the process, those
    /// that the kernel has made for it among them.
    pub fn timed_process(items: u64, work: impl FnOnce() -> f64) -> Self {
        let (start, cpu_start) = (Instant::now(), process_cpu());
        let calls = work();
        let (elapsed, cpu) = (start.elapsed(), process_cpu() - cpu_start);
        Self { items, calls, elapsed, cpu }
    }
}

/// Processor time of this thread so far.
fn thread_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Processor time of this process so far.
fn process_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// What a contender's time is set beside.
#[derive(Clone, Copy, Debug)]
pub enum Against {
    /// The contender of this name.
    Named(&'static str),
    /// Of the peers, the one whose median is the least.
    BestPeer,
}

/// A ratio that is not to be exceeded.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    pub(crate) at_most: f64,
    pub(crate) against: Against,
    /// Whether it is the processor time that is compared.
    pub(crate) cpu: bool,
}

/// At most so many times the best peer's time.
#[must_use]
pub const fn of_best(at_most: f64) -> Goal {
    Goal { at_most, against: Against::BestPeer, cpu: false }
}

/// At most so many times the time of the contender of this name.
#[must_use]
pub const fn of(at_most: f64, name: &'static str) -> Goal {
    Goal { at_most, against: Against::Named(name), cpu: false }
}

/// At most so many times the processor time of the contender of this name.
#[must_use]
pub const fn cpu_of(at_most: f64, name: &'static str) -> Goal {
    Goal { at_most, against: Against::Named(name), cpu: true }
}

/// What a contender is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Peer,
    Bound,
    Ours,
}

/// One way to do the work.
pub(crate) struct Contender<'g> {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(crate) goals: Vec<Goal>,
    run: Box<dyn FnMut() -> Round + 'g>,
    /// One a round, in the order of the rounds.
    pub(crate) rounds: Vec<Round>,
}

impl Contender<'_> {
    /// The time of one item in nanoseconds, round by round.
    pub(crate) fn times(&self) -> Vec<f64> {
        self.rounds.iter().map(|round| nanos(round.elapsed, round.items)).collect()
    }

    pub(crate) fn cpu_times(&self) -> Vec<f64> {
        self.rounds.iter().map(|round| nanos(round.cpu, round.items)).collect()
    }

    pub(crate) fn calls(&self) -> Vec<f64> {
        self.rounds.iter().map(|round| round.calls / round.items as f64).collect()
    }
}

fn nanos(time: Duration, items: u64) -> f64 {
    time.as_secs_f64() * 1e9 / items as f64
}

/// Contenders for the same work; the first is what the ratios refer to.
pub struct Group<'g> {
    title: String,
    contenders: Vec<Contender<'g>>,
    /// Says of which class the machine is just now.
    classify: Option<Box<dyn FnMut() -> &'static str + 'g>>,
}

impl core::fmt::Debug for Group<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Group").field("title", &self.title).finish_non_exhaustive()
    }
}

impl<'g> Group<'g> {
    /// A group without contenders.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), contenders: Vec::new(), classify: None }
    }

    /// Adds somebody else's way to do the work.
    #[must_use]
    pub fn peer(self, name: &'static str, run: impl FnMut() -> Round + 'g) -> Self {
        self.add(name, Role::Peer, &[], run)
    }

    /// Adds what is no contender but a measure for them: less work, or other work.
    #[must_use]
    pub fn bound(self, name: &'static str, run: impl FnMut() -> Round + 'g) -> Self {
        self.add(name, Role::Bound, &[], run)
    }

    /// Adds forebay's way to do the work.
    #[must_use]
    pub fn ours(self, name: &'static str, goals: &[Goal], run: impl FnMut() -> Round + 'g) -> Self {
        self.add(name, Role::Ours, goals, run)
    }

    fn add(
        mut self,
        name: &'static str,
        role: Role,
        goals: &[Goal],
        run: impl FnMut() -> Round + 'g,
    ) -> Self {
        let (goals, run) = (goals.to_vec(), Box::new(run));
        self.contenders.push(Contender { name, role, goals, run, rounds: Vec::new() });
        self
    }

    /// Brackets each round by `classify`. A round before and after which it
    /// gives the same answer counts, in that class; others do not.
    #[must_use]
    pub fn classify(mut self, classify: impl FnMut() -> &'static str + 'g) -> Self {
        self.classify = Some(Box::new(classify));
        self
    }

    /// Lets the contenders take turns for `budget` and prints their table.
    ///
    /// Without the argument `--bench`, which `cargo bench` gives and
    /// `cargo test` does not, each has one turn only. An argument that is not
    /// an option names the groups to run by a part of their title, and
    /// `--only=NAME` one contender to run alone, for a profiler.
    pub fn run(mut self, budget: Duration) {
        let args: Vec<String> = env::args().skip(1).collect();
        let mut parts = args.iter().filter(|arg| !arg.starts_with('-')).peekable();
        if parts.peek().is_some() && !parts.any(|part| self.title.contains(part.as_str())) {
            return;
        }
        if let Some(name) = args.iter().find_map(|arg| arg.strip_prefix("--only=")) {
            self.contenders.retain(|contender| contender.name == name);
        }
        let is_bench = args.iter().any(|arg| arg == "--bench");
        let (budget, rounds_min) =
            if is_bench { (budget, ROUNDS_MIN) } else { (Duration::ZERO, 1) };
        let classes = self.rounds(budget, rounds_min);
        for class in ["", "near", "far"] {
            let kept: Vec<usize> = (0..classes.len()).filter(|&r| classes[r] == class).collect();
            if kept.is_empty() {
                continue;
            }
            let title = if class.is_empty() {
                self.title.clone()
            } else {
                format!("{}, cores {class}", self.title)
            };
            table::print(&title, &self.contenders, &kept);
        }
    }

    /// Returns the class of each round.
    fn rounds(&mut self, budget: Duration, rounds_min: usize) -> Vec<&'static str> {
        let count = self.contenders.len();
        if rounds_min > 1 {
            for contender in &mut self.contenders {
                (contender.run)(); // warms up
            }
        }
        let start = Instant::now();
        let mut classes = Vec::new();
        while classes.len() < rounds_min || start.elapsed() < budget {
            let turn = classes.len();
            let before = self.class();
            for place in 0..count {
                // Another first one each time, forwards and backwards in turn.
                let place = if turn.is_multiple_of(2) { place } else { count - 1 - place };
                let contender = &mut self.contenders[(turn / 2 + place) % count];
                let round = (contender.run)();
                contender.rounds.push(round);
            }
            let after = self.class();
            classes.push(if before == after { before } else { "mixed" });
        }
        classes
    }

    fn class(&mut self) -> &'static str {
        self.classify.as_mut().map_or("", |classify| classify())
    }
}

/// The middle value, and those a quarter of the way from either end.
///
/// # Panics
///
/// If there is no value.
#[must_use]
pub fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    let at = |quarter: usize| values[(values.len() - 1) * quarter / 4];
    [at(1), at(2), at(3)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_values_of_the_list() {
        assert_eq!(quartiles(vec![5.0, 1.0, 4.0, 2.0, 3.0]), [2.0, 3.0, 4.0]);
        assert_eq!(quartiles(vec![7.0]), [7.0, 7.0, 7.0]);
    }

    #[test]
    fn every_contender_has_its_turn_in_each_round() {
        let order = std::cell::RefCell::new(Vec::new());
        let work = |name| {
            order.borrow_mut().push(name);
            Round { items: 1, calls: 0.0, elapsed: Duration::ZERO, cpu: Duration::ZERO }
        };
        let mut group = Group::new("three")
            .peer("a", || work('a'))
            .peer("b", || work('b'))
            .peer("c", || work('c'));
        assert_eq!(group.rounds(Duration::ZERO, 4).len(), 4);
        drop(group);
        let order: String = order.take().into_iter().skip(3).collect();
        assert_eq!(order, "abccbabcaacb");
    }

    #[test]
    fn rounds_between_two_classes_are_mixed() {
        let mut answers = ["near", "near", "near", "far"].into_iter();
        let work = || Round { items: 1, calls: 0.0, elapsed: Duration::ZERO, cpu: Duration::ZERO };
        let mut group =
            Group::new("one").peer("a", work).classify(move || answers.next().unwrap_or("far"));
        assert_eq!(group.rounds(Duration::ZERO, 3), ["near", "mixed", "far"]);
    }
}
