//! UART0 for tasks: what it cannot do now it does after its interrupt.
//!
//! The interrupt does no more than mask itself and wake; the task asks again.

use core::{
    convert::Infallible,
    future::poll_fn,
    task::{Context, Poll},
};

use embassy_sync::waitqueue::AtomicWaker;
use embedded_io::{ErrorType, Read as _, ReadReady as _};
use embedded_io_async::{Read, Write};

use crate::{FR, FR_SEND_FULL, ICR, IM, IM_RECEIVE, IM_SEND, Receiver, Sender, load, store};

static RECEIVED: AtomicWaker = AtomicWaker::new();
static SENT: AtomicWaker = AtomicWaker::new();

/// To be called by UART0's interrupt.
pub fn interrupt() {
    store(IM, 0);
    store(ICR, IM_RECEIVE | IM_SEND);
    RECEIVED.wake();
    SENT.wake();
}

/// Lets the interrupt come for `cause` as well.
fn wait_for(cause: u32, waker: &AtomicWaker, context: &Context<'_>) {
    waker.register(context.waker());
    critical_section::with(|_| store(IM, load(IM) | cause));
}

/// What UART0 receives, for a task.
pub struct AsyncReceiver(pub Receiver);

impl ErrorType for AsyncReceiver {
    type Error = Infallible;
}

impl Read for AsyncReceiver {
    /// Takes nothing before it is ready, so it is safe to cancel.
    async fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        poll_fn(|context| {
            wait_for(IM_RECEIVE, &RECEIVED, context);
            match self.0.read_ready() {
                Ok(true) => Poll::Ready(self.0.read(bytes)),
                Ok(false) => Poll::Pending,
            }
        })
        .await
    }
}

/// What UART0 sends, for a task.
pub struct AsyncSender(pub Sender);

impl ErrorType for AsyncSender {
    type Error = Infallible;
}

impl Write for AsyncSender {
    /// Gives nothing before there is room, so it is safe to cancel.
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        poll_fn(|context| {
            wait_for(IM_SEND, &SENT, context);
            if load(FR) & FR_SEND_FULL == 0 {
                Poll::Ready(embedded_io::Write::write(&mut self.0, bytes))
            } else {
                Poll::Pending
            }
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
