//! What every image does, whatever its machine.
//!
//! Interrupts produce and the main loop drains to the line. With [`split`]
//! each interrupt has a ring of its own, and producing is loads and stores:
//!
//! ```text
//!  timer interrupt    Ticker    --> TICKS   --\
//!                                               pump --> line
//!  receive interrupt  Commands  --> ANSWERS --/
//! ```
//!
//! With [`share`] they have one ring, whose records leave in the order in which
//! they were claimed, whoever interrupted whom; the main loop produces too:
//!
//! ```text
//!  timer interrupt    Ticker    --\
//!  that within it     Alarm     ---\
//!  receive interrupt  Commands  ---> SHARED --> pump --> line
//!  main loop          Drain     --/
//! ```
//!
//! A part moves into its interrupt once, through a [`Handover`], and is the
//! interrupt's own from then on.

#![no_std]
#![forbid(unsafe_code)]

mod alarm;
mod commands;
mod drain;
mod handover;
mod panic;
mod shared;
mod ticker;

pub use alarm::Alarm;
pub use commands::Commands;
pub use drain::Drain;
use forebay::ring::{Many, Ring};
pub use handover::Handover;
pub use ticker::Ticker;

static TICKS: Ring<1024> = Ring::new();
static ANSWERS: Ring<512> = Ring::new();
static SHARED: Ring<1024> = Ring::new();

/// The parts of the application with a ring for each, on the first call.
pub fn split() -> Option<(Ticker, Commands, Drain<2>)> {
    let (ticks_in, ticks_out) = TICKS.split_once()?;
    let (answers_in, answers_out) = ANSWERS.split_once()?;
    let drain = Drain::new([ticks_out, answers_out], None);
    Some((Ticker::new(ticks_in), Commands::new(answers_in)?, drain))
}

/// The parts of the application with one ring for all, on the first call.
pub fn share() -> Option<(Ticker<Many>, Alarm, Commands<Many>, Drain<1>)> {
    let (producer, consumer) = SHARED.share_once()?;
    let drain = Drain::new([consumer], Some(producer.clone()));
    let (ticker, alarm) = (Ticker::new(producer.clone()), Alarm::new(producer.clone()));
    Some((ticker, alarm, Commands::new(producer)?, drain))
}

/// Ends the run; QEMU exits with status 0.
pub fn exit() -> ! {
    loop {
        cortex_m_semihosting::debug::exit(cortex_m_semihosting::debug::EXIT_SUCCESS);
    }
}
