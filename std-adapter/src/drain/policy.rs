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
    /// The sender waits for room, for so long at most; then the message is
    /// refused.
    ///
    /// A thread that drains and sends through such a channel waits for itself
    /// until the time is over.
    Wait(Duration),
}
