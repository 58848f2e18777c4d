//! What every image does, whatever its machine.
//!
//! Two interrupts produce, each into a ring of its own, and the main loop
//! drains both to the line:
//!
//! ```text
//!  timer interrupt    Ticker    --> TICKS   --\
//!                                               pump --> line
//!  receive interrupt  Commands  --> ANSWERS --/
//! ```
//!
//! [`split`] gives each side its part. A part moves into its interrupt once,
//! through a [`Handover`], and is the interrupt's own from then on: no lock is
//! taken to produce.

#![no_std]
#![forbid(unsafe_code)]

mod commands;
mod drain;
mod handover;
mod panic;
mod shared;
mod ticker;

pub use commands::Commands;
pub use drain::Drain;
use forebay::ring::Ring;
pub use handover::Handover;
pub use ticker::Ticker;

static TICKS: Ring<1024> = Ring::new();
static ANSWERS: Ring<512> = Ring::new();

/// The parts of the application, on the first call.
pub fn split() -> Option<(Ticker, Commands, Drain)> {
    let (ticks_in, ticks_out) = TICKS.split_once()?;
    let (answers_in, answers_out) = ANSWERS.split_once()?;
    let drain = Drain::new([ticks_out, answers_out]);
    Some((Ticker::new(ticks_in), Commands::new(answers_in)?, drain))
}

/// Ends the run; QEMU exits with status 0.
pub fn exit() -> ! {
    loop {
        cortex_m_semihosting::debug::exit(cortex_m_semihosting::debug::EXIT_SUCCESS);
    }
}
