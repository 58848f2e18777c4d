//! What becomes of a message for which there is no room.

use std::time::Duration;

/// What a channel does with a message for which its ring has no room. Each
/// message that is lost is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// The new message is refused at once.
    #[default]
    Refuse,
    /// The oldest messages of the channel that have not entered a batch give way
    /// to the new one. While the drainer takes messages out of this very ring,
    /// or writes a large one from where it lies, the new one is refused instead
    /// ([`SendError::Busy`](crate::SendError::Busy)).
    Overwrite,
    /// The sender waits for room, for so long at most; then the message is
    /// refused.
    ///
    /// A thread that drains and sends through such a channel waits for itself
    /// until the time is over.
    Wait(Duration),
}
