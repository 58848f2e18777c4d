//! What guards a head or a payload against damage.
//!
//! One small trait, [`Checksum`], and its implementations: the [`crc`] crate's
//! algorithms with whichever table the user pays for, [`Crc32Fast`] for
//! servers, [`Xxh3`] for compatibility with flatstream, [`NoChecksum`].
//!
//! ```
//! use forebay::checksum::{Checksum, CRC32, crc};
//!
//! assert_eq!(CRC32.compute(&[b"12345", b"6789"]), 0xCBF4_3926);
//!
//! // Another algorithm, with the smallest table: 512 bytes of flash.
//! static KERMIT: crc::Crc<u16, crc::Table<1>> =
//!     crc::Crc::<u16, crc::Table<1>>::new(&crc::CRC_16_KERMIT);
//! assert_eq!(KERMIT.compute(&[b"123456789"]), 0x2189);
//! ```
//!
//! # Flash against speed
//!
//! `crc::NoTable` costs about a hundred bytes of flash and eight steps a byte;
//! `crc::Table<1>` is 256 entries and one step a byte; `crc::Table<16>` is
//! sixteen times that and several bytes a step. The ready-made [`CRC16`] and
//! [`CRC32`] use `Table<16>`; a microcontroller names its own as above.

pub use crc;
use crc::{Crc, NoTable, Table};

/// Computes a value of at most eight bytes over bytes that may lie in parts.
///
/// Implementations are small, copyable values (a unit struct, or a `&'static`
/// to a table), since every format holds one.
///
/// An algorithm of one's own is an implementation of this trait; it goes
/// wherever the crate's own go. In [`flatstream`](crate::frame::Prefixed::flatstream)
/// its value travels as that program's `custom` variant has it, the low
/// [`LEN`](Checksum::LEN) bytes, least significant first:
///
/// ```
/// use forebay::checksum::Checksum;
/// use forebay::frame::{Encode, Prefixed};
///
/// /// Adler-32 (RFC 1950).
/// #[derive(Clone, Copy)]
/// struct Adler;
///
/// impl Checksum for Adler {
///     const LEN: usize = 4;
///
///     fn compute(&self, parts: &[&[u8]]) -> u64 {
///         let (mut low, mut high) = (1_u32, 0_u32);
///         for byte in parts.iter().copied().flatten() {
///             low = (low + u32::from(*byte)) % 65_521;
///             high = (high + low) % 65_521;
///         }
///         u64::from(high << 16 | low)
///     }
/// }
///
/// let format = Prefixed::flatstream(64).checksum(Adler);
/// let mut out = [0; 32];
/// let len = format.encode(b"Wikipedia", &mut out)?;
/// assert_eq!(out[..len], *b"\x09\0\0\0\x98\x03\xe6\x11Wikipedia");
/// # Ok::<(), forebay::frame::EncodeError>(())
/// ```
pub trait Checksum {
    /// How many bytes the value takes on the wire, 0 to 8. Frames with more do
    /// not compile:
    ///
    /// ```compile_fail,E0080
    /// use forebay::checksum::Checksum;
    /// use forebay::frame::{Cobs, Encode};
    ///
    /// #[derive(Clone, Copy)]
    /// struct Long;
    ///
    /// impl Checksum for Long {
    ///     const LEN: usize = 16;
    ///
    ///     fn compute(&self, _parts: &[&[u8]]) -> u64 {
    ///         0
    ///     }
    /// }
    ///
    /// let _ = Cobs::new(64, Long).encode(b"payload", &mut [0; 100]);
    /// ```
    const LEN: usize;

    /// Computes the checksum of the concatenation of `parts`.
    ///
    /// Only the low [`LEN`](Checksum::LEN) bytes of the result are used.
    fn compute(&self, parts: &[&[u8]]) -> u64;
}

impl<C: Checksum + ?Sized> Checksum for &C {
    const LEN: usize = C::LEN;

    #[inline]
    fn compute(&self, parts: &[&[u8]]) -> u64 {
        (**self).compute(parts)
    }
}

/// No checksum: zero bytes on the wire, nothing detected.
///
/// ```
/// use forebay::checksum::{Checksum, NoChecksum};
/// assert_eq!(NoChecksum::LEN, 0);
/// assert_eq!(NoChecksum.compute(&[b"anything"]), 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoChecksum;

impl Checksum for NoChecksum {
    const LEN: usize = 0;

    #[inline]
    fn compute(&self, _parts: &[&[u8]]) -> u64 {
        0
    }
}

macro_rules! checksum_for_crc {
    ($($width:ty, $table:ty;)*) => {$(
        impl Checksum for Crc<$width, $table> {
            const LEN: usize = size_of::<$width>();

            #[inline]
            fn compute(&self, parts: &[&[u8]]) -> u64 {
                let mut digest = self.digest();
                for part in parts {
                    digest.update(part);
                }
                u64::from(digest.finalize())
            }
        }
    )*};
}

checksum_for_crc! {
    u8, NoTable; u8, Table<1>; u8, Table<16>;
    u16, NoTable; u16, Table<1>; u16, Table<16>;
    u32, NoTable; u32, Table<1>; u32, Table<16>;
    u64, NoTable; u64, Table<1>; u64, Table<16>;
}

/// The type of [`CRC16`].
pub type Crc16 = &'static Crc<u16, Table<16>>;

/// The type of [`CRC32`] and [`CRC32C`].
pub type Crc32 = &'static Crc<u32, Table<16>>;

/// A table of 32 KiB is more than a 16-bit processor can hold.
#[cfg(not(target_pointer_width = "16"))]
type Table64 = Table<16>;
#[cfg(target_pointer_width = "16")]
type Table64 = Table<1>;

/// The type of [`CRC64`].
pub type Crc64 = &'static Crc<u64, Table64>;

/// CRC-16/XMODEM, flatstream's `crc16`.
pub const CRC16: Crc16 = &Crc::<u16, Table<16>>::new(&crc::CRC_16_XMODEM);

/// CRC-32/ISO-HDLC, flatstream's `crc32`; the CRC of Ethernet and zlib.
pub const CRC32: Crc32 = &Crc::<u32, Table<16>>::new(&crc::CRC_32_ISO_HDLC);

/// CRC-32/ISCSI, also called CRC-32C (RFC 3720).
pub const CRC32C: Crc32 = &Crc::<u32, Table<16>>::new(&crc::CRC_32_ISCSI);

/// CRC-64/XZ.
pub const CRC64: Crc64 = &Crc::<u64, Table64>::new(&crc::CRC_64_XZ);

/// CRC-32/ISO-HDLC through the `crc32fast` crate: the same values as
/// [`CRC32`], with carry-less multiplication where the processor has it.
///
/// ```
/// use forebay::checksum::{CRC32, Checksum, Crc32Fast};
/// let parts: &[&[u8]] = &[b"forebay", b"", b"intake"];
/// assert_eq!(Crc32Fast.compute(parts), CRC32.compute(parts));
/// ```
#[cfg(feature = "crc32fast")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crc32Fast;

#[cfg(feature = "crc32fast")]
impl Checksum for Crc32Fast {
    const LEN: usize = 4;

    #[inline]
    fn compute(&self, parts: &[&[u8]]) -> u64 {
        let mut hasher = Self::hasher();
        for part in parts {
            hasher.update(part);
        }
        u64::from(hasher.finalize())
    }
}

#[cfg(feature = "crc32fast")]
impl Crc32Fast {
    /// A hasher that knows what the processor can do: asked once, since asking
    /// costs a small frame a good part of its checksum.
    #[cfg(feature = "std")]
    #[inline]
    fn hasher() -> crc32fast::Hasher {
        use std::sync::OnceLock;

        static HASHER: OnceLock<crc32fast::Hasher> = OnceLock::new();
        HASHER.get_or_init(crc32fast::Hasher::new).clone()
    }

    /// What the processor can do is known when the program is compiled.
    #[cfg(not(feature = "std"))]
    #[inline]
    fn hasher() -> crc32fast::Hasher {
        crc32fast::Hasher::new()
    }
}

/// XXH3-64 with seed 0, flatstream's `xxh3`.
///
/// ```
/// use forebay::checksum::{Checksum, Xxh3};
/// assert_eq!(Xxh3.compute(&[b"1234", b"56789"]), 0x72DC_B18B_67A1_7DFF);
/// ```
#[cfg(feature = "xxh3")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Xxh3;

#[cfg(feature = "xxh3")]
impl Checksum for Xxh3 {
    const LEN: usize = 8;

    #[inline]
    fn compute(&self, parts: &[&[u8]]) -> u64 {
        if let [whole] = parts {
            return xxhash_rust::xxh3::xxh3_64(whole);
        }
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        for part in parts {
            hasher.update(part);
        }
        hasher.digest()
    }
}

/// The bytes of a checksum, in which a `u64` has room.
#[inline]
pub(crate) const fn len_of<C: Checksum>() -> usize {
    const { assert!(C::LEN <= 8, "a checksum has at most 8 bytes") };
    C::LEN
}

/// Cuts a computed value to the bytes that travel.
#[inline]
pub(crate) const fn truncate(value: u64, len: usize) -> u64 {
    match len {
        0 => 0,
        1..=7 => value & ((1 << (8 * len)) - 1),
        _ => value,
    }
}
