//! The four bytes that name an ECU, an application or a context.

use core::{error::Error, fmt};

/// A name of at most four bytes, filled up with zeros.
///
/// ```
/// use forebay::frame::dlt::Id;
///
/// const APP: Id = Id::new("APP");
/// assert_eq!(APP.to_bytes(), *b"APP\0");
/// assert_eq!(APP.to_string(), "APP");
/// assert_eq!("TOOLONG".parse::<Id>().unwrap_err().to_string(), "an id of 7 bytes, the longest has 4");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Id([u8; 4]);

impl Id {
    /// The first four bytes of `text`: for names that stand in the source.
    /// What comes from outside is better parsed, which refuses longer ones.
    #[must_use]
    pub const fn new(text: &str) -> Self {
        match *text.as_bytes() {
            [] => Self([0; 4]),
            [a] => Self([a, 0, 0, 0]),
            [a, b] => Self([a, b, 0, 0]),
            [a, b, c] => Self([a, b, c, 0]),
            [a, b, c, d, ..] => Self([a, b, c, d]),
        }
    }

    /// The name of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// The bytes as they travel.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0
    }

    /// Whether it could be a name: graphic ASCII, then zeros.
    pub(super) fn is_plausible(self) -> bool {
        let mut rest = self.0.iter().skip_while(|byte| byte.is_ascii_graphic());
        rest.all(|&byte| byte == 0) && self.0 != [0; 4]
    }
}

impl core::str::FromStr for Id {
    type Err = IdTooLong;

    fn from_str(text: &str) -> Result<Self, IdTooLong> {
        if text.len() > 4 { Err(IdTooLong { len: text.len() }) } else { Ok(Self::new(text)) }
    }
}

/// The bytes before the first zero; what is not graphic ASCII as a dot.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.iter().take_while(|&&byte| byte != 0);
        text.map(|&byte| if byte.is_ascii_graphic() { char::from(byte) } else { '.' })
            .try_for_each(|c| fmt::Write::write_char(f, c))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

/// A name has more than four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct IdTooLong {
    /// Its length in bytes.
    pub len: usize,
}

impl fmt::Display for IdTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an id of {} bytes, the longest has 4", self.len)
    }
}

impl Error for IdTooLong {}
