//! New channels from any thread.

use std::sync::Arc;

use super::{
    channel::{Channel, SenderError},
    counters::{Counters, Snapshot},
    sender::Sender,
    shared::Shared,
};

/// Makes channels of a drainer, from any thread, while it runs on another.
///
/// A drainer with a registrar is not finished when its senders are gone, as new
/// ones may come: drop the registrars to let it end.
///
/// ```
/// use forebay_std::{Drainer, WriteSink, forebay::frame::Plain};
///
/// let mut drainer = Drainer::new(Plain, WriteSink::new(vec![]));
/// let registrar = drainer.registrar();
/// std::thread::scope(|threads| {
///     threads.spawn(move || {
///         let mut sender = registrar.sender(1 << 10).unwrap();
///         sender.send(b"came late").unwrap();
///     });
///     drainer.run()
/// })?;
/// assert_eq!(drainer.sink().writer(), b"came late");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Registrar {
    pub(crate) shared: Arc<Shared>,
    /// The capacity of a ring for which none is given.
    ring: usize,
}

impl Registrar {
    pub(crate) fn new(shared: &Arc<Shared>, ring: usize) -> Self {
        shared.add_registrar();
        Self { shared: Arc::clone(shared), ring }
    }

    /// Makes a sender with a ring of `capacity` bytes, which refuses messages
    /// while that is full.
    ///
    /// # Errors
    ///
    /// As [`Channel::sender`].
    pub fn sender(&self, capacity: usize) -> Result<Sender, SenderError> {
        self.channel().capacity(capacity).sender()
    }

    /// A channel, to be set up and made.
    pub fn channel(&self) -> Channel {
        Channel::new(self.clone(), self.ring)
    }

    /// The drainer's counts now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Counters(Arc::clone(&self.shared)).snapshot()
    }
}

impl Clone for Registrar {
    fn clone(&self) -> Self {
        Self::new(&self.shared, self.ring)
    }
}

impl Drop for Registrar {
    fn drop(&mut self) {
        self.shared.remove_registrar();
    }
}
