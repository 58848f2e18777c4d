//! What the images share: an abort in place of a panic handler.

#![no_std]
#![forbid(unsafe_code)]

/// Never called, as the images have no panic path; the language asks for one.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        cortex_m::asm::bkpt();
    }
}
