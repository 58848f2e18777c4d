//! One row a contender.

use crate::rounds::{Against, Contender, Goal, Role, quartiles};

/// Prints the contenders of a group over the rounds that `kept` names.
#[allow(clippy::print_stdout)]
pub(crate) fn print(title: &str, contenders: &[Contender<'_>], kept: &[usize]) {
    let Some(first) = contenders.first() else { return };
    println!("\n{title} ({} rounds; ratios to {})", kept.len(), first.name);
    println!(
        "  {:<34}{:>9}{:>8}{:>14}{:>9}{:>8}{:>10}  goal",
        "", "ns", "ratio", "quartiles", "cpu ns", "ratio", "syscalls"
    );
    for contender in contenders {
        let [_, time, _] = quartiles(keep(contender.times(), kept));
        let [_, cpu, _] = quartiles(keep(contender.cpu_times(), kept));
        let [low, ratio, high] = quartiles(ratios(contender, first, kept));
        let [_, cpu_ratio, _] = quartiles(cpu_ratios(contender, first, kept));
        let [_, calls, _] = quartiles(keep(contender.calls(), kept));
        let mark = match contender.role {
            Role::Ours => '>',
            Role::Bound => '|',
            Role::Peer => ' ',
        };
        let cpu = if cpu == 0.0 { String::from("-") } else { format!("{cpu:.1}") };
        let cpu_ratio =
            if cpu_ratio.is_finite() { format!("{cpu_ratio:.2}") } else { String::from("-") };
        let calls = if calls.is_nan() { String::from("-") } else { format!("{calls:.5}") };
        let goals: Vec<String> =
            contender.goals.iter().map(|goal| verdict(goal, contender, contenders, kept)).collect();
        println!(
            "{mark} {:<34}{time:>9.1}{ratio:>8.2}{:>14}{cpu:>9}{cpu_ratio:>8}{calls:>10}  {}",
            contender.name,
            format!("{low:.2}-{high:.2}"),
            goals.join("; ")
        );
    }
}

/// The goal, against whom, the ratio, and whether it is within the goal.
fn verdict(goal: &Goal, ours: &Contender<'_>, all: &[Contender<'_>], kept: &[usize]) -> String {
    let against = match goal.against {
        Against::Named(name) => all.iter().find(|contender| contender.name == name),
        Against::BestPeer => {
            let median = |peer: &&Contender<'_>| quartiles(keep(peer.times(), kept))[1];
            let peers = all.iter().filter(|contender| contender.role == Role::Peer);
            peers.min_by(|one, other| median(one).total_cmp(&median(other)))
        }
    };
    let Some(against) = against else { return String::from("nobody to compare with") };
    let ratios = if goal.cpu { cpu_ratios } else { ratios };
    let [_, ratio, _] = quartiles(ratios(ours, against, kept));
    let what = if goal.cpu { "cpu " } else { "" };
    let word = if ratio <= goal.at_most { "met" } else { "missed" };
    format!("{what}{ratio:.2} of {}, <= {:.2} {word}", against.name, goal.at_most)
}

/// The ratio of the times of two contenders in each round.
fn ratios(one: &Contender<'_>, other: &Contender<'_>, kept: &[usize]) -> Vec<f64> {
    let ratios = one.times().into_iter().zip(other.times()).map(|(one, other)| one / other);
    keep(ratios.collect(), kept)
}

/// The same of their processor times.
fn cpu_ratios(one: &Contender<'_>, other: &Contender<'_>, kept: &[usize]) -> Vec<f64> {
    let ratios = one.cpu_times().into_iter().zip(other.cpu_times()).map(|(one, other)| one / other);
    keep(ratios.collect(), kept)
}

fn keep(values: Vec<f64>, kept: &[usize]) -> Vec<f64> {
    kept.iter().map(|&round| values[round]).collect()
}
