//! What a `.dlt` file puts before each message.

use super::{Id, Malformed, Message, WriteError, bytes::Reader};
use crate::frame::Order;

/// How a stored message begins.
pub(super) const MAGIC: [u8; 4] = *b"DLT\x01";
/// Bytes of a storage header.
pub const STORAGE_LEN: usize = 16;

/// When and from which ECU a message was received.
///
/// ```
/// use forebay::frame::dlt::{Id, StorageHeader};
///
/// let header = StorageHeader { seconds: 1, microseconds: 2, ecu: Id::new("ECU1") };
/// let mut out = [0; 16];
/// header.put(&mut out)?;
/// assert_eq!(&out, b"DLT\x01\x01\0\0\0\x02\0\0\0ECU1");
/// # Ok::<(), forebay::frame::dlt::WriteError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageHeader {
    /// Seconds since 1970.
    pub seconds: u32,
    /// Microseconds of the second.
    pub microseconds: i32,
    /// The ECU.
    pub ecu: Id,
}

impl StorageHeader {
    /// Writes it to the front of `out`; returns its length, 16 bytes.
    ///
    /// # Errors
    ///
    /// [`WriteError::NoRoom`].
    pub fn put(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        let free = out.len();
        let out = out.first_chunk_mut::<STORAGE_LEN>();
        let out = out.ok_or(WriteError::NoRoom { needed: STORAGE_LEN, free })?;
        let parts = [
            MAGIC,
            self.seconds.to_le_bytes(),
            self.microseconds.to_le_bytes(),
            self.ecu.to_bytes(),
        ];
        for (place, part) in out.chunks_exact_mut(4).zip(parts) {
            place.copy_from_slice(&part);
        }
        Ok(STORAGE_LEN)
    }

    /// Reads a stored message: the storage header and the message behind it.
    ///
    /// # Errors
    ///
    /// [`Malformed`], with the figures.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Message<'_>), Malformed> {
        let mut input = Reader::new(bytes, Order::Little);
        let received = input.array()?;
        if received != MAGIC {
            return Err(Malformed::Magic { received });
        }
        let header = Self {
            seconds: u32::from_le_bytes(input.array()?),
            microseconds: i32::from_le_bytes(input.array()?),
            ecu: Id::from_bytes(input.array()?),
        };
        Ok((header, Message::parse(input.rest)?))
    }
}
