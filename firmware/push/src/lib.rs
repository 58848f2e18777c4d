//! One push into a ring as a function of its own, for its size.

#![no_std]

// For its critical sections.
use cortex_m as _;
use forebay::ring::{Many, One, Producer};

/// Into a ring of one producer; whether there was room.
// SAFETY: the name is of no other function.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn push_one(producer: &mut Producer<'static, One>, record: &[u8]) -> bool {
    producer.push(record).is_ok()
}

/// Into a ring of many producers; whether there was room.
// SAFETY: the name is of no other function.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn push_many(producer: &mut Producer<'static, Many>, record: &[u8]) -> bool {
    producer.push(record).is_ok()
}

/// Never called, as there is no panic path; the language asks for one.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        cortex_m::asm::bkpt();
    }
}
