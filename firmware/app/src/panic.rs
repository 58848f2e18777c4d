//! A panic ends the run with a failure that the host sees.

use core::panic::PanicInfo;

use cortex_m_semihosting::debug;
use defmt_semihosting as _;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if let Some(at) = info.location() {
        defmt::error!("panicked at {=str}:{=u32}", at.file(), at.line());
    }
    loop {
        debug::exit(debug::EXIT_FAILURE);
    }
}
