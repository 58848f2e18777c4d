//! Bytes that are sent from where they are.

use std::{fmt, ops::Range, sync::Arc};

/// Bytes that whoever holds them shares: sent uncopied, freed with the last
/// frame that needs them.
///
/// ```
/// use std::sync::Arc;
/// use forebay_std::http2::Payload;
///
/// let cached: Arc<[u8]> = Arc::from(&b"served to many"[..]);
/// let payload = Payload::new(cached);
/// assert_eq!(payload.slice(7..9).unwrap().as_bytes(), b"to");
/// ```
#[derive(Clone)]
pub struct Payload {
    bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
    /// Invariant: within `bytes`, as the owner promises.
    range: Range<usize>,
}

impl Payload {
    /// All of `bytes`: a `Vec<u8>`, an `Arc<[u8]>`, a `&'static str`, a map of
    /// a file. The owner gives the same bytes whenever it is asked.
    pub fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        let range = 0..bytes.as_ref().len();
        Self { bytes: Arc::new(bytes), range }
    }

    /// A part of it, which shares the bytes; `None` when it is not within.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > self.len() {
            return None;
        }
        let begin = self.range.start;
        let range = begin + range.start..begin + range.end;
        Some(Self { bytes: Arc::clone(&self.bytes), range })
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The bytes.
    ///
    /// # Panics
    ///
    /// If the owner gives fewer bytes than it gave first.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let bytes = (*self.bytes).as_ref();
        bytes.get(self.range.clone()).expect("the owner of a payload gives the same bytes")
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("range", &self.range).finish_non_exhaustive()
    }
}
