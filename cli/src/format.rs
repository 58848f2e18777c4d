//! The formats that the tool speaks, by name.

use std::ops::RangeInclusive;

use clap::{ValueEnum, builder::PossibleValue};
use forebay::{
    checksum::{
        CRC16, Crc16, Crc32Fast, NoChecksum, Xxh3,
        crc::{CRC_16_IBM_3740, Crc, Table},
    },
    frame::{Cobs, Decode, Encode, EncodeError, Envelope, Prefixed, Resync, Step, http2::Http2},
};

use crate::dlt::Form;

/// Unlike XMODEM's, its start value is not zero, so that zero bytes that a line
/// adds or drops at the front of a payload are noticed.
static CRC16_IBM_3740: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_IBM_3740);

/// The payload lengths that `--max-len` accepts, in bytes.
pub(crate) const PAYLOAD_LEN_MAX: RangeInclusive<u64> = 1..=256 << 20;

/// How payloads are framed; both ends name the same.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FormatArgs {
    /// The frame format
    #[arg(long, value_name = "FORMAT", default_value = "prefixed")]
    pub(crate) format: Name,

    #[command(flatten)]
    max_len: MaxLen,
}

/// How long a payload may be.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct MaxLen {
    /// The longest payload in bytes: a line's newline, all of a DLT message included
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20,
          value_parser = clap::value_parser!(u64).range(PAYLOAD_LEN_MAX))]
    max_len: u64,
}

impl MaxLen {
    /// The longest payload in bytes.
    pub(crate) fn payload_len_max(self) -> usize {
        // At most the end of the range above.
        #[allow(clippy::cast_possible_truncation)]
        {
            self.max_len as usize
        }
    }
}

impl FormatArgs {
    /// The longest payload in bytes.
    pub(crate) fn payload_len_max(&self) -> usize {
        self.max_len.payload_len_max()
    }

    /// The format with its maximum.
    pub(crate) fn codec(&self) -> Codec {
        self.format.codec(self.payload_len_max())
    }
}

/// As [`FormatArgs`], for commands that know messages of other makes, too.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CodingArgs {
    /// The frame format
    #[arg(long, value_name = "FORMAT", default_value = "prefixed")]
    pub(crate) format: Coding,

    #[command(flatten)]
    max_len: MaxLen,
}

impl CodingArgs {
    /// The longest payload in bytes.
    pub(crate) fn payload_len_max(&self) -> usize {
        self.max_len.payload_len_max()
    }

    /// HTTP/2 with that maximum, or the nearest that there is.
    pub(crate) fn http2(&self) -> Http2 {
        Http2::new(u32::try_from(self.payload_len_max()).unwrap_or(u32::MAX))
    }
}

/// A format of frames, or one whose messages have parts that are told: DLT,
/// HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Frames(Name),
    Dlt(Form),
    Http2,
}

impl ValueEnum for Coding {
    fn value_variants<'v>() -> &'v [Self] {
        &[
            Self::Frames(Name::Prefixed),
            Self::Frames(Name::CobsCrc16),
            Self::Frames(Name::CobsCrc32),
            Self::Frames(Name::Flatstream),
            Self::Frames(Name::FlatstreamCrc16),
            Self::Frames(Name::FlatstreamCrc32),
            Self::Frames(Name::FlatstreamXxh3),
            Self::Dlt(Form::File),
            Self::Dlt(Form::Stream),
            Self::Http2,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Frames(name) => name.to_possible_value(),
            Self::Dlt(Form::File) => Some(
                PossibleValue::new("dlt").help("AUTOSAR DLT with storage headers: a .dlt file"),
            ),
            Self::Dlt(Form::Stream) => Some(
                PossibleValue::new("dlt-stream")
                    .help("AUTOSAR DLT as a daemon sends it to clients"),
            ),
            Self::Http2 => Some(
                PossibleValue::new("http2")
                    .help("HTTP/2, with or without the client's preface: a line a frame"),
            ),
        }
    }
}

/// A format's name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// forebay's own: length, head check, payload, CRC-32 over all of it
    Prefixed,
    /// As cobs-crc32, with CRC-16/IBM-3740: for devices
    CobsCrc16,
    /// Byte stuffing and a zero byte after payload and CRC-32: finds the next frame after damage
    CobsCrc32,
    /// flatstream: length, payload
    Flatstream,
    /// flatstream: length, CRC-16/XMODEM, payload
    FlatstreamCrc16,
    /// flatstream: length, CRC-32, payload
    FlatstreamCrc32,
    /// flatstream: length, XXH3-64, payload
    FlatstreamXxh3,
}

impl Name {
    /// The format for payloads of at most `payload_len_max` bytes.
    pub(crate) fn codec(self, payload_len_max: usize) -> Codec {
        let flatstream = Prefixed::flatstream(payload_len_max);
        match self {
            Self::Prefixed => Codec::Prefixed(Prefixed::native(payload_len_max, Crc32Fast)),
            Self::CobsCrc16 => Codec::CobsCrc16(Cobs::new(payload_len_max, &CRC16_IBM_3740)),
            Self::CobsCrc32 => Codec::CobsCrc32(Cobs::new(payload_len_max, Crc32Fast)),
            Self::Flatstream => Codec::Flatstream(flatstream),
            Self::FlatstreamCrc16 => Codec::FlatstreamCrc16(flatstream.checksum(CRC16)),
            Self::FlatstreamCrc32 => Codec::FlatstreamCrc32(flatstream.checksum(Crc32Fast)),
            Self::FlatstreamXxh3 => Codec::FlatstreamXxh3(flatstream.checksum(Xxh3)),
        }
    }
}

/// One of the formats, chosen at run time.
#[derive(Clone, Copy)]
pub(crate) enum Codec {
    Prefixed(Prefixed<Crc32Fast>),
    CobsCrc16(Cobs<Crc16>),
    CobsCrc32(Cobs<Crc32Fast>),
    Flatstream(Prefixed<NoChecksum>),
    FlatstreamCrc16(Prefixed<Crc16>),
    FlatstreamCrc32(Prefixed<Crc32Fast>),
    FlatstreamXxh3(Prefixed<Xxh3>),
}

/// Asks the same of whichever format it is.
macro_rules! each {
    ($codec:expr, $format:ident => $answer:expr) => {
        match $codec {
            Codec::Prefixed($format) => $answer,
            Codec::CobsCrc16($format) => $answer,
            Codec::CobsCrc32($format) => $answer,
            Codec::Flatstream($format) => $answer,
            Codec::FlatstreamCrc16($format) => $answer,
            Codec::FlatstreamCrc32($format) => $answer,
            Codec::FlatstreamXxh3($format) => $answer,
        }
    };
}

impl Encode for Codec {
    fn frame_len_max(&self, payload_len: usize) -> usize {
        each!(self, format => Encode::frame_len_max(format, payload_len))
    }

    fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, EncodeError> {
        each!(self, format => format.encode(payload, out))
    }

    fn envelope(&self, payload: &[u8], out: &mut [u8]) -> Result<Option<Envelope>, EncodeError> {
        each!(self, format => format.envelope(payload, out))
    }
}

impl Decode for Codec {
    fn buffer_len_min(&self) -> usize {
        each!(self, format => Decode::buffer_len_min(format))
    }

    fn decode(&self, input: &mut [u8], seen: usize) -> Step {
        each!(self, format => format.decode(input, seen))
    }

    fn resync(&self, input: &[u8]) -> Resync {
        each!(self, format => format.resync(input))
    }
}
