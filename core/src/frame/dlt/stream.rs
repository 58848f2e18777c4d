//! Finding messages and records in a stream of bytes.

use super::{
    Malformed,
    bytes::Reader,
    header::{HEADER_LEN_MAX, HEADER_LEN_MIN, Header, Kind},
    message::{Extent, RECORD_HEAD_LEN, check_magic, extent},
    storage::{self, STORAGE_LEN},
    user,
};
use crate::frame::{Decode, Order, Reason, Resync, Step};

/// What stands before each message of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A storage header.
    File,
    /// Nothing.
    Bare,
    /// The head of a user record, which may also be one without a message.
    User,
}

/// DLT as a stream of frames, for a [`Decoder`](crate::Decoder).
///
/// A frame's payload is all of it, what stands before the message included:
/// it is for [`StorageHeader::parse`](super::StorageHeader::parse),
/// [`Message::parse`](super::Message::parse) or
/// [`UserRecord::parse`](super::UserRecord::parse).
///
/// DLT has no checksum. What is noticed is a beginning that is none, a length
/// shorter than its own headers or over the maximum, and another version; a
/// damaged length that passes takes what it covers along. After damage a file
/// goes on at the next storage header's magic, a stream of records at the next
/// of theirs. Bare messages have none: there the search is for headers that
/// name application and context in graphic ASCII.
///
/// ```
/// use forebay::Decoder;
/// use forebay::frame::dlt::{Dlt, StorageHeader};
///
/// let file = b"junk DLT\x01\x01\0\0\0\0\0\0\0ECU1\x20\x07\0\x08\x01\0\0\0";
/// let mut decoder = Decoder::new(Dlt::file(1024), [0; 2048])?;
/// decoder.free()[..file.len()].copy_from_slice(file);
/// decoder.received(file.len());
/// assert_eq!(decoder.next_frame().unwrap_err().offset, 0);
/// let frame = decoder.next_frame()?.unwrap();
/// let (stored, message) = StorageHeader::parse(frame.payload)?;
/// assert_eq!((frame.offset, stored.seconds, message.header.counter), (5, 1, 7));
/// assert_eq!(message.non_verbose()?, (1, &[][..]));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dlt {
    form: Form,
    /// The longest message, or record without one.
    len_max: usize,
}

impl Dlt {
    /// A `.dlt` file, with messages of at most `len_max` bytes: 26, the longest
    /// headers, to 65,535, whatever is asked for.
    #[must_use]
    pub const fn file(len_max: usize) -> Self {
        Self::new(Form::File, len_max)
    }

    /// Messages one after the other, as a daemon sends them to its clients;
    /// `len_max` as for [`file`](Dlt::file).
    #[must_use]
    pub const fn bare(len_max: usize) -> Self {
        Self::new(Form::Bare, len_max)
    }

    /// User records, as applications and the daemon send them to each other,
    /// with bodies of at most `len_max` bytes, as for [`file`](Dlt::file).
    #[must_use]
    pub const fn user(len_max: usize) -> Self {
        Self::new(Form::User, len_max)
    }

    const fn new(form: Form, len_max: usize) -> Self {
        let len_max = if len_max < HEADER_LEN_MAX {
            HEADER_LEN_MAX
        } else if len_max > u16::MAX as usize {
            u16::MAX as usize
        } else {
            len_max
        };
        Self { form, len_max }
    }

    /// Bytes before a message.
    const fn lead_len(&self) -> usize {
        match self.form {
            Form::File => STORAGE_LEN,
            Form::Bare => 0,
            Form::User => RECORD_HEAD_LEN,
        }
    }

    const fn magic(&self) -> Option<&'static [u8; 4]> {
        match self.form {
            Form::File => Some(&storage::MAGIC),
            Form::Bare => None,
            Form::User => Some(&user::MAGIC),
        }
    }

    /// How long the frame at the front of `input` is.
    fn extent(&self, input: &[u8]) -> Extent {
        match self.form {
            Form::Bare => extent(input),
            Form::User => user::record_extent(input),
            Form::File => {
                if let Some(other) = check_magic(input, storage::MAGIC) {
                    return other;
                }
                match extent(input.get(STORAGE_LEN..).unwrap_or_default()) {
                    Extent::Known { len } => Extent::Known { len: STORAGE_LEN + len },
                    Extent::Needed { needed } => Extent::Needed { needed: STORAGE_LEN + needed },
                    malformed @ Extent::Malformed(_) => malformed,
                }
            }
        }
    }
}

impl Decode for Dlt {
    fn buffer_len_min(&self) -> usize {
        self.lead_len() + self.len_max
    }

    fn decode(&self, input: &mut [u8], _seen: usize) -> Step {
        let damaged = |reason| Step::Damaged { skip: 1, reason, resync: true };
        match self.extent(input) {
            Extent::Malformed(malformed) => damaged(reason(malformed)),
            Extent::Needed { needed } => Step::Incomplete { needed },
            Extent::Known { len } => {
                let lead_len = self.lead_len();
                if len > lead_len + self.len_max {
                    let (len, len_max) = ((len - lead_len) as u64, self.len_max as u64);
                    damaged(Reason::TooLong { len, len_max })
                } else if input.len() < len {
                    Step::Incomplete { needed: len }
                } else {
                    Step::Frame { payload: 0..len, frame_len: len }
                }
            }
        }
    }

    fn resync(&self, input: &[u8]) -> Resync {
        let Some(magic) = self.magic() else {
            return self.resync_bare(input);
        };
        match input.windows(magic.len()).position(|window| window == magic) {
            Some(at) => Resync::Tentative(at),
            // The rest may be the front of one.
            None => Resync::Skip(input.len().saturating_sub(magic.len() - 1)),
        }
    }
}

impl Dlt {
    /// Looks for headers that are whole and plausible.
    fn resync_bare(&self, input: &[u8]) -> Resync {
        for at in 0..input.len() {
            let rest = input.get(at..).unwrap_or_default();
            match extent(rest) {
                Extent::Malformed(_) => {}
                Extent::Known { len } if len > self.len_max => {}
                Extent::Needed { .. } => return Resync::Skip(at),
                Extent::Known { .. } => {
                    let mut reader = Reader::new(rest, Order::Big);
                    match Header::take(&mut reader) {
                        Ok(header) if is_plausible(&header) => return Resync::Tentative(at),
                        Ok(_) => {}
                        Err(_) => return Resync::Skip(at),
                    }
                }
            }
        }
        Resync::Skip(input.len())
    }
}

fn is_plausible(header: &Header) -> bool {
    header.extended.is_some_and(|extended| {
        extended.app.is_plausible()
            && extended.context.is_plausible()
            && !matches!(extended.kind, Kind::Other { .. })
    })
}

/// A malformed head as the decoder tells it.
fn reason(malformed: Malformed) -> Reason {
    match malformed {
        Malformed::LenTooShort { len, len_min } => Reason::TooShort { len, len_min },
        Malformed::Version { version } => Reason::Head { value: u32::from(version) },
        Malformed::Magic { received } => Reason::Head { value: u32::from_be_bytes(received) },
        Malformed::RecordType { record_type } => Reason::Head { value: record_type },
        // Nothing else is looked at before a frame is whole.
        Malformed::Cut { .. } | Malformed::TypeInfo { .. } | Malformed::Unsupported { .. } => {
            Reason::TooShort { len: 0, len_min: HEADER_LEN_MIN }
        }
    }
}
