//! The contenders side by side.

use std::io::{self, Write};

use super::contenders::Outcome;

/// Prints one row a contender; the last column sets its rate beside that of
/// the first.
pub(super) fn print(out: &mut impl Write, outcomes: &[Outcome]) -> io::Result<()> {
    writeln!(
        out,
        "{:<18} {:>12} {:>12} {:>10} {:>12} {:>12} {:>8}",
        "", "messages/s", "ns/message", "syscalls/m", "verified", "refused", "rate"
    )?;
    let first = outcomes.first().map_or(f64::NAN, Outcome::rate);
    for outcome in outcomes {
        writeln!(
            out,
            "{:<18} {:>12.0} {:>12.1} {:>10.5} {:>12} {:>12} {:>7.2}x",
            outcome.name,
            outcome.rate(),
            1e9 / outcome.rate(),
            outcome.calls_per_message(),
            outcome.verified,
            outcome.ledger.refused,
            outcome.rate() / first,
        )?;
    }
    for outcome in outcomes {
        let Outcome { name, ledger, verified, wrong, .. } = outcome;
        let verdict = if outcome.is_whole() { "whole" } else { "NOT WHOLE" };
        writeln!(out, "{name}: {ledger}; verified {verified}, wrong {wrong}: {verdict}")?;
    }
    Ok(())
}
