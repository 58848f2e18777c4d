//! What the firmware images and the host say to each other: the payloads of
//! COBS frames, in both directions.
//!
//! | first byte | direction | then |
//! |---|---|---|
//! | `T` | to the host | number, filler: see [`tick`] |
//! | `e` | to the device | any bytes, answered by the same ones |
//! | `E` | to the host | the bytes of the command |
//! | `A` | to the host | number of a tick, its complement: see [`alarm`] |
//! | `H` | to the host | ticks offered at both ends of a hold: see [`held`] |
//! | `t` | to the device | ticks to add, ticks an interrupt |
//! | `h` | to the device | ticks until which to hold a record open |
//! | `r` | to the device | nothing; answered by a report |
//! | `R` | to the host | [`Report`]; one unasked when the device is ready |
//! | `x` | to the device | nothing; the device sends all it has and exits |
//!
//! Numbers are `u32`, little-endian.

#![no_std]
#![forbid(unsafe_code)]

use forebay::{
    checksum::crc::{CRC_16_IBM_3740, CRC_32_ISO_HDLC, Crc, Digest, Table},
    frame::Cobs,
};

/// The longest payload in either direction.
pub const PAYLOAD_LEN_MAX: usize = 80;

/// The longest frame in either direction.
pub const FRAME_LEN_MAX: usize = Format::frame_len_max(PAYLOAD_LEN_MAX);

/// The frames in either direction.
pub type Format = Cobs<&'static Crc<u16, Table<1>>>;

/// Its value over nothing is not zero and depends on leading zeros, so that
/// bytes that the line drops or adds there are noticed.
static CHECKSUM: Crc<u16, Table<1>> = Crc::<u16, Table<1>>::new(&CRC_16_IBM_3740);

/// The frames in either direction.
pub const FORMAT: Format = Cobs::new(PAYLOAD_LEN_MAX, &CHECKSUM);

/// The longest payload of a tick.
pub const TICK_LEN_MAX: usize = 5 + 40;

/// Length of the payload of tick `number`.
#[must_use]
pub const fn tick_len(number: u32) -> usize {
    // Below 41, whatever the number.
    #[allow(clippy::cast_possible_truncation)]
    let filler = (number % 41) as usize;
    5 + filler
}

/// Writes the payload of tick `number` to the front of `out`, as far as it
/// fits: bytes that depend on the number and often are zero.
pub fn tick(number: u32, out: &mut [u8]) {
    let filler = (0..40).map(|at| {
        let [low, ..] = (number >> (at & 15)).to_le_bytes();
        low & 0b1001_0101
    });
    let bytes = [b'T'].into_iter().chain(number.to_le_bytes()).chain(filler);
    for (to, from) in out.iter_mut().zip(bytes).take(tick_len(number)) {
        *to = from;
    }
}

/// Length of the payload of an alarm.
pub const ALARM_LEN: usize = 1 + 4 * 2;

/// Whether an alarm comes while tick `number` is half written, on a machine
/// whose interrupts interrupt each other.
#[must_use]
pub const fn has_alarm(number: u32) -> bool {
    number % 4 == 1
}

/// The payload of the alarm that came while tick `number` was half written.
#[must_use]
pub fn alarm(number: u32) -> [u8; ALARM_LEN] {
    payload(b'A', [number, !number])
}

/// Length of the payload of a held record.
pub const HELD_LEN: usize = 1 + 4 * 2;

/// The payload of a record that the main loop held open: ticks offered when it
/// was claimed, and when it was committed.
#[must_use]
pub fn held(claimed: u32, committed: u32) -> [u8; HELD_LEN] {
    payload(b'H', [claimed, committed])
}

/// A first byte and numbers.
fn payload<const COUNT: usize, const LEN: usize>(kind: u8, numbers: [u32; COUNT]) -> [u8; LEN] {
    const { assert!(LEN == 1 + 4 * COUNT) };
    let mut payload = [0; LEN];
    let bytes = [kind].into_iter().chain(numbers.into_iter().flat_map(u32::to_le_bytes));
    for (to, from) in payload.iter_mut().zip(bytes) {
        *to = from;
    }
    payload
}

/// What one interrupt offered to its ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// Messages offered.
    pub offered: u32,
    /// Messages accepted.
    pub accepted: u32,
    /// Messages refused.
    pub refused: u32,
    /// CRC-32 over the payloads that were accepted, one after the other.
    pub crc: u32,
}

/// What the device knows of the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Ticks that were asked for.
    pub wanted: u32,
    /// What the timer's interrupt offered.
    pub ticks: Lane,
    /// What the interrupt that interrupts the timer's offered.
    pub alarms: Lane,
    /// What the receiving interrupt offered, this report excluded.
    pub answers: Lane,
    /// Commands received whole.
    pub commands: u32,
    /// Damages found among the received bytes.
    pub damages: u32,
    /// Bytes given up among them.
    pub bytes_lost: u32,
}

/// Bytes of a report's payload.
pub const REPORT_LEN: usize = 1 + 4 * 16;

impl Report {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> [u8; REPORT_LEN] {
        let Self { wanted, ticks, alarms, answers, commands, damages, bytes_lost } = *self;
        let numbers = [
            wanted,
            ticks.offered,
            ticks.accepted,
            ticks.refused,
            ticks.crc,
            alarms.offered,
            alarms.accepted,
            alarms.refused,
            alarms.crc,
            answers.offered,
            answers.accepted,
            answers.refused,
            answers.crc,
            commands,
            damages,
            bytes_lost,
        ];
        payload(b'R', numbers)
    }

    /// The report of a payload, if it is one.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let (b'R', numbers) = payload.split_first()? else { return None };
        let (numbers, []) = numbers.as_chunks::<4>() else { return None };
        let mut numbers = numbers.iter().map(|number| u32::from_le_bytes(*number));
        let mut next = || numbers.next();
        let report = Self {
            wanted: next()?,
            ticks: Lane { offered: next()?, accepted: next()?, refused: next()?, crc: next()? },
            alarms: Lane { offered: next()?, accepted: next()?, refused: next()?, crc: next()? },
            answers: Lane { offered: next()?, accepted: next()?, refused: next()?, crc: next()? },
            commands: next()?,
            damages: next()?,
            bytes_lost: next()?,
        };
        next().is_none().then_some(report)
    }
}

/// What the host asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'p> {
    /// Answer with these bytes.
    Echo(&'p [u8]),
    /// Send so many more ticks.
    Ticks {
        /// How many.
        more: u32,
        /// How many each interrupt offers.
        at_once: u32,
    },
    /// Hold a record open until so many ticks have been offered.
    Hold {
        /// How many since the start.
        until: u32,
    },
    /// Answer with a [`Report`].
    Report,
    /// Send what there is and exit.
    Exit,
}

impl<'p> Command<'p> {
    /// The command of a payload, if it is one.
    #[must_use]
    pub fn decode(payload: &'p [u8]) -> Option<Self> {
        match payload.split_first()? {
            (b'e', bytes) => Some(Self::Echo(bytes)),
            (b'r', []) => Some(Self::Report),
            (b'x', []) => Some(Self::Exit),
            (b'h', number) => match number.as_chunks::<4>() {
                ([until], []) => Some(Self::Hold { until: u32::from_le_bytes(*until) }),
                _ => None,
            },
            (b't', numbers) => match numbers.as_chunks::<4>() {
                ([more, at_once], []) => Some(Self::Ticks {
                    more: u32::from_le_bytes(*more),
                    at_once: u32::from_le_bytes(*at_once),
                }),
                _ => None,
            },
            _ => None,
        }
    }

    /// The payload, at the front of `out`; its length.
    ///
    /// # Panics
    ///
    /// If it is longer than [`PAYLOAD_LEN_MAX`].
    pub fn encode(&self, out: &mut [u8; PAYLOAD_LEN_MAX]) -> usize {
        let (kind, parts): (u8, [&[u8]; 2]) = match self {
            Self::Echo(bytes) => (b'e', [bytes, &[]]),
            Self::Ticks { more, at_once } => (b't', [&more.to_le_bytes(), &at_once.to_le_bytes()]),
            Self::Hold { until } => (b'h', [&until.to_le_bytes(), &[]]),
            Self::Report => (b'r', [&[]; 2]),
            Self::Exit => (b'x', [&[]; 2]),
        };
        out[0] = kind;
        let mut len = 1;
        for part in parts {
            out[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        len
    }
}

static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

/// CRC-32 over payloads as they come.
#[derive(Clone)]
pub struct Running(Digest<'static, u32, Table<1>>);

impl Running {
    /// Over nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(CRC.digest())
    }

    /// Adds a payload.
    pub fn add(&mut self, payload: &[u8]) {
        self.0.update(payload);
    }

    /// The value over all payloads so far.
    #[must_use]
    pub fn value(&self) -> u32 {
        self.0.clone().finalize()
    }
}

impl Default for Running {
    fn default() -> Self {
        Self::new()
    }
}
