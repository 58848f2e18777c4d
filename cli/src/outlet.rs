//! The way out of `send` and `relay`: a ring, its drainer, and the peer that
//! it drains to, one after the other.

use std::{
    error::Error,
    io,
    time::{Duration, Instant},
};

use forebay::Ledger;
use forebay_linux::SendBuffer;
use forebay_std::{Drained, Drainer, SendError, Sender};

use crate::{
    format::Codec,
    interrupt,
    peer::{PeerError, Peers, is_vanished},
    stdio::report,
    way::{Backend, Way},
};

/// How long a peer that takes nothing is waited for between two looks for a
/// signal.
const GLANCE: Duration = Duration::from_millis(100);

/// How an outlet is made.
pub(crate) struct Plan {
    pub(crate) codec: Codec,
    /// What sends.
    pub(crate) backend: Backend,
    /// Bytes of the batch.
    pub(crate) batch_len: usize,
    /// Bytes of the ring.
    pub(crate) ring_capacity: usize,
    /// Whether a peer that has vanished gives way to the next one.
    pub(crate) retry: bool,
    /// The send buffer to ask for.
    pub(crate) sndbuf: Option<usize>,
}

/// Takes messages, and delivers them all when it is flushed.
pub(crate) struct Outlet {
    peers: Peers,
    retry: bool,
    sndbuf: Option<usize>,
    sender: Sender,
    drainer: Drainer<Codec, Way>,
}

impl Outlet {
    /// Waits for the first peer.
    pub(crate) fn new(mut peers: Peers, plan: Plan) -> Result<Self, Box<dyn Error>> {
        let Plan { codec, backend, batch_len, ring_capacity, retry, sndbuf } = plan;
        let peer = peers.next()?;
        let sink = Way::new(backend, &peers, peer)?;
        let mut drainer = Drainer::with_batch_len(batch_len, codec, sink);
        let sender = drainer.sender(ring_capacity)?;
        let outlet = Self { peers, retry, sndbuf, sender, drainer };
        outlet.grow_buffer()?;
        Ok(outlet)
    }

    /// Puts a message into the ring.
    pub(crate) fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.sender.send(message)
    }

    /// Delivers what is in the ring, to the next peer if need be.
    pub(crate) fn flush(&mut self) -> Result<(), PeerError> {
        loop {
            let error = match self.drainer.flush_until(Instant::now() + GLANCE) {
                // A peer that takes nothing holds a signal up for a while.
                Ok(Drained::Deadline) if interrupt::is_over() => {
                    return Err(PeerError::Interrupted);
                }
                Ok(Drained::Deadline) => continue,
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let again = self.retry && is_vanished(&error);
            let lost = self.peers.lost(error);
            if !again {
                return Err(lost);
            }
            report!("{lost}; going on with the next peer");
            let peer = self.peers.next()?;
            self.drainer.sink_mut().replace(peer).map_err(|error| self.peers.lost(error))?;
            self.drainer.rewind();
            self.grow_buffer()?;
        }
    }

    /// Asks for the send buffer, and says when the kernel gives less.
    fn grow_buffer(&self) -> Result<(), PeerError> {
        let Some(requested) = self.sndbuf else { return Ok(()) };
        let buffer = SendBuffer::grow(self.drainer.sink(), requested)
            .map_err(|error| self.peers.lost(io::Error::new(error.kind(), error)))?;
        if buffer.is_clamped() {
            let (asked, effective) = (requested.saturating_mul(2), buffer.effective);
            report!(
                "send buffer of {effective} bytes instead of {asked}, twice the {requested} \
                 asked for: net.core.wmem_max limits it"
            );
        }
        Ok(())
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.sender.ledger() + self.drainer.ledger()
    }

    /// What became of the messages of `ledger`, and what the bytes cost.
    pub(crate) fn summary(&self, ledger: &Ledger) -> String {
        let (bytes, calls) = (self.drainer.counts().bytes, self.drainer.sink().calls());
        format!("sent: {ledger}; {bytes} bytes in {calls} system calls")
    }
}
