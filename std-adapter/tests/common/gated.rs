//! A sink that a test opens and closes.

use std::{
    io,
    sync::{Arc, Condvar, Mutex},
    time::Instant,
};

use forebay_std::{
    Wait,
    forebay::{Progress, Sink},
};

/// A sink that is blocked while its gate is closed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gated(Arc<(Mutex<Gate>, Condvar)>);

#[derive(Debug, Default)]
struct Gate {
    open: bool,
    /// The most bytes of one write; none is no limit.
    write_len_max: Option<usize>,
    /// Writes that found it closed.
    blocked: u64,
    wire: Vec<u8>,
}

impl Gated {
    /// Takes so many bytes at a time, once it is open.
    pub(crate) fn short(write_len_max: usize) -> Self {
        let gated = Self::default();
        gated.0.0.lock().unwrap().write_len_max = Some(write_len_max);
        gated
    }

    pub(crate) fn open(&self) {
        self.0.0.lock().unwrap().open = true;
        self.0.1.notify_all();
    }

    pub(crate) fn close(&self) {
        self.0.0.lock().unwrap().open = false;
    }

    /// Waits until a write has found it closed.
    pub(crate) fn until_blocked(&self) {
        let (gate, changed) = &*self.0;
        drop(changed.wait_while(gate.lock().unwrap(), |gate| gate.blocked == 0).unwrap());
    }

    pub(crate) fn wire(&self) -> Vec<u8> {
        self.0.0.lock().unwrap().wire.clone()
    }
}

impl Sink for Gated {
    type Error = io::Error;

    fn write(&mut self, slices: &[&[u8]]) -> io::Result<Progress> {
        let mut gate = self.0.0.lock().unwrap();
        if !gate.open {
            gate.blocked += 1;
            self.0.1.notify_all();
            return Ok(Progress::Blocked);
        }
        let len_max = gate.write_len_max.unwrap_or(usize::MAX);
        let before = gate.wire.len();
        gate.wire.extend(slices.iter().copied().flatten().take(len_max));
        Ok(Progress::Wrote(gate.wire.len() - before))
    }
}

impl Wait for Gated {
    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let (gate, changed) = &*self.0;
        let left = deadline.unwrap_or_else(super::far).saturating_duration_since(Instant::now());
        let gate = gate.lock().unwrap();
        drop(changed.wait_timeout_while(gate, left, |gate| !gate.open).unwrap());
        Ok(())
    }
}
