//! The UART of the nRF51.
//!
//! Source: nRF51 Series Reference Manual 3.0, chapter 29, "Universal
//! Asynchronous Receiver/Transmitter".

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, ReadReady, Write};
use nrf51_pac::UART0;

/// Switches the UART on and gives its two directions.
pub(crate) fn split(uart: &'static UART0) -> (Receiver, Sender) {
    uart.enable.write(|w| w.enable().enabled());
    uart.baudrate.write(|w| w.baudrate().baud115200());
    uart.intenset.write(|w| w.rxdrdy().set());
    // SAFETY: any value starts the task.
    uart.tasks_startrx.write(|w| unsafe { w.bits(1) });
    // SAFETY: any value starts the task.
    uart.tasks_starttx.write(|w| unsafe { w.bits(1) });
    (Receiver(uart), Sender { uart, busy: false })
}

/// What the UART receives.
pub(crate) struct Receiver(&'static UART0);

// SAFETY: the receiver uses registers of its own: RXD and its event.
unsafe impl Send for Receiver {}

impl ErrorType for Receiver {
    type Error = Infallible;
}

impl ReadReady for Receiver {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.events_rxdrdy.read().bits() != 0)
    }
}

impl Read for Receiver {
    /// Waits for a byte and takes it.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let Some(byte) = bytes.first_mut() else { return Ok(0) };
        while let Ok(false) = self.read_ready() {}
        self.0.events_rxdrdy.reset();
        *byte = self.0.rxd.read().rxd().bits();
        Ok(1)
    }
}

/// What the UART sends.
pub(crate) struct Sender {
    uart: &'static UART0,
    /// Whether a byte was given whose event has not been seen.
    busy: bool,
}

impl ErrorType for Sender {
    type Error = Infallible;
}

impl Write for Sender {
    /// Gives all bytes, each when the one before has left: to return after
    /// one would cost the caller more than the wait.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for byte in bytes {
            self.flush()?;
            // SAFETY: any byte may be sent.
            self.uart.txd.write(|w| unsafe { w.txd().bits(*byte) });
            self.busy = true;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        if self.busy {
            while self.uart.events_txdrdy.read().bits() == 0 {}
            self.uart.events_txdrdy.reset();
            self.busy = false;
        }
        Ok(())
    }
}
