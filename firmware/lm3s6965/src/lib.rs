//! The UART of the LM3S6965, an ARM PL011.
//!
//! Source: Stellaris LM3S6965 data sheet, chapter 12, "Universal Asynchronous
//! Receivers/Transmitters".

#![no_std]

pub mod asynchronous;

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, ReadReady, Write};

const UART0: *mut u32 = 0x4000_C000 as *mut u32;
/// Data.
const DR: usize = 0x000 / 4;
/// Flags.
const FR: usize = 0x018 / 4;
const FR_RECEIVE_EMPTY: u32 = 1 << 4;
const FR_SEND_FULL: u32 = 1 << 5;
/// Line control.
const LCRH: usize = 0x02C / 4;
const LCRH_FIFOS: u32 = 1 << 4;
const LCRH_8_BITS: u32 = 0b11 << 5;
/// Control.
const CTL: usize = 0x030 / 4;
const CTL_ENABLE: u32 = 0b11 << 8 | 1;
/// Interrupt mask.
const IM: usize = 0x038 / 4;
/// Interrupt clear.
const ICR: usize = 0x044 / 4;
/// There is room to send.
const IM_SEND: u32 = 1 << 5;
/// Bytes have come, or some have waited for a while.
const IM_RECEIVE: u32 = 1 << 4 | 1 << 6;

fn load(register: usize) -> u32 {
    // SAFETY: within the block of registers.
    let register = unsafe { UART0.add(register) };
    // SAFETY: a register of a device that is always there.
    unsafe { register.read_volatile() }
}

fn store(register: usize, value: u32) {
    // SAFETY: within the block of registers.
    let register = unsafe { UART0.add(register) };
    // SAFETY: a register of a device that is always there; none that is
    // stored to here reaches memory.
    unsafe { register.write_volatile(value) };
}

/// Switches UART0 on and gives its two directions.
#[must_use]
pub fn uart0() -> (Receiver, Sender) {
    store(CTL, 0);
    store(LCRH, LCRH_8_BITS | LCRH_FIFOS);
    store(CTL, CTL_ENABLE);
    store(IM, IM_RECEIVE);
    (Receiver(()), Sender(()))
}

/// What UART0 receives.
pub struct Receiver(());

impl ErrorType for Receiver {
    type Error = Infallible;
}

impl ReadReady for Receiver {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(load(FR) & FR_RECEIVE_EMPTY == 0)
    }
}

impl Read for Receiver {
    /// Waits for the first byte, then takes what is there.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let mut len = 0;
        for byte in bytes {
            while load(FR) & FR_RECEIVE_EMPTY != 0 {
                if len > 0 {
                    return Ok(len);
                }
            }
            [*byte, ..] = load(DR).to_le_bytes();
            len += 1;
        }
        Ok(len)
    }
}

/// What UART0 sends.
pub struct Sender(());

impl ErrorType for Sender {
    type Error = Infallible;
}

impl Write for Sender {
    /// Waits for room for the first byte, then gives what fits.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let mut len = 0;
        for byte in bytes {
            while load(FR) & FR_SEND_FULL != 0 {
                if len > 0 {
                    return Ok(len);
                }
            }
            store(DR, u32::from(*byte));
            len += 1;
        }
        Ok(len)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
