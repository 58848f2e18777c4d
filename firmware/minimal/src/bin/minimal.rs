//! An interrupt puts records into a ring, the main loop frames them with COBS
//! and CRC-16 and gives them to a register, byte by byte.

#![no_std]
#![no_main]

use core::{
    cell::Cell,
    sync::atomic::{AtomicU32, Ordering},
};

use cortex_m_rt::{entry, exception};
use critical_section::Mutex;
use forebay::{
    Progress, Pump, Sink,
    checksum::crc::{CRC_16_IBM_3740, Crc, NoTable},
    frame::Cobs,
    ring::{Producer, Ring},
};
use forebay_minimal as _;

static CHECKSUM: Crc<u16, NoTable> = Crc::<u16, NoTable>::new(&CRC_16_IBM_3740);
static RING: Ring<256> = Ring::new();
/// Where the main loop leaves the producer for the interrupt.
static HANDOVER: Mutex<Cell<Option<Producer<'static>>>> = Mutex::new(Cell::new(None));

/// Stands for a UART's data register.
static REGISTER: AtomicU32 = AtomicU32::new(0);

struct Register;

impl Sink for Register {
    type Error = core::convert::Infallible;

    fn write(&mut self, slices: &[&[u8]]) -> Result<Progress, Self::Error> {
        let mut len = 0;
        for byte in slices.iter().copied().flatten() {
            REGISTER.store(u32::from(*byte), Ordering::Relaxed);
            len += 1;
        }
        Ok(Progress::Wrote(len))
    }
}

#[entry]
fn main() -> ! {
    let mut pump: Pump<_, _, 1, 1> = Pump::new(Cobs::new(32, &CHECKSUM), [0; 64]);
    if let Some((producer, consumer)) = RING.split_once() {
        let _ = pump.add(consumer);
        critical_section::with(|token| HANDOVER.borrow(token).set(Some(producer)));
    }
    loop {
        let _ = pump.drive(&mut Register);
        cortex_m::asm::wfi();
    }
}

#[exception]
fn SysTick() {
    static mut PRODUCER: Option<Producer<'static>> = None;
    if PRODUCER.is_none() {
        *PRODUCER = critical_section::with(|token| HANDOVER.borrow(token).take());
    }
    if let Some(producer) = PRODUCER {
        let _ = producer.push(b"a record");
    }
}
