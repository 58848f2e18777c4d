//! What SETTINGS carry.

use super::{Http2, StreamId, Violation};
use crate::frame::{EncodeError, room};

/// Bytes of one setting.
const LEN: usize = 6;

const HEADER_TABLE_SIZE: u16 = 0x1;
const ENABLE_PUSH: u16 = 0x2;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 0x4;
const MAX_FRAME_SIZE: u16 = 0x5;
const MAX_HEADER_LIST_SIZE: u16 = 0x6;

/// One setting (RFC 9113, section 6.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Setting {
    /// `SETTINGS_HEADER_TABLE_SIZE`, in bytes; 4,096 at first.
    HeaderTableSize(u32),
    /// `SETTINGS_ENABLE_PUSH`; true at first.
    EnablePush(bool),
    /// `SETTINGS_MAX_CONCURRENT_STREAMS`; without bound at first.
    MaxConcurrentStreams(u32),
    /// `SETTINGS_INITIAL_WINDOW_SIZE`, in bytes, at most 2^31 - 1; 65,535 at
    /// first.
    InitialWindowSize(u32),
    /// `SETTINGS_MAX_FRAME_SIZE`, in bytes, 2^14 (at first) to 2^24 - 1.
    MaxFrameSize(u32),
    /// `SETTINGS_MAX_HEADER_LIST_SIZE`, in bytes; without bound at first.
    MaxHeaderListSize(u32),
    /// One that RFC 9113 does not know, to be ignored.
    Unknown {
        /// Its identifier.
        id: u16,
        /// Its value.
        value: u32,
    },
}

impl Setting {
    /// The setting with identifier `id`, if its value is in range.
    fn of(id: u16, value: u32) -> Result<Self, Violation> {
        let (least, greatest) = match id {
            ENABLE_PUSH => (0, 1),
            INITIAL_WINDOW_SIZE => (0, StreamId::GREATEST),
            MAX_FRAME_SIZE => (Http2::PAYLOAD_LEN_MAX_LEAST, Http2::PAYLOAD_LEN_MAX_GREATEST),
            _ => (0, u32::MAX),
        };
        if value < least || value > greatest {
            return Err(Violation::SettingValue { setting: id, value, least, greatest });
        }
        Ok(match id {
            HEADER_TABLE_SIZE => Self::HeaderTableSize(value),
            ENABLE_PUSH => Self::EnablePush(value == 1),
            MAX_CONCURRENT_STREAMS => Self::MaxConcurrentStreams(value),
            INITIAL_WINDOW_SIZE => Self::InitialWindowSize(value),
            MAX_FRAME_SIZE => Self::MaxFrameSize(value),
            MAX_HEADER_LIST_SIZE => Self::MaxHeaderListSize(value),
            id => Self::Unknown { id, value },
        })
    }

    /// Its identifier and value as they are sent.
    #[must_use]
    pub const fn wire(self) -> (u16, u32) {
        match self {
            Self::HeaderTableSize(value) => (HEADER_TABLE_SIZE, value),
            Self::EnablePush(value) => (ENABLE_PUSH, value as u32),
            Self::MaxConcurrentStreams(value) => (MAX_CONCURRENT_STREAMS, value),
            Self::InitialWindowSize(value) => (INITIAL_WINDOW_SIZE, value),
            Self::MaxFrameSize(value) => (MAX_FRAME_SIZE, value),
            Self::MaxHeaderListSize(value) => (MAX_HEADER_LIST_SIZE, value),
            Self::Unknown { id, value } => (id, value),
        }
    }
}

/// The settings of one frame, each in its range.
///
/// ```
/// use forebay::frame::http2::{Setting, Settings};
///
/// let list = [Setting::EnablePush(false), Setting::InitialWindowSize(1 << 20)];
/// let mut bytes = [0; 12];
/// let settings = Settings::write(&list, &mut bytes).unwrap();
/// assert!(settings.iter().eq(list));
///
/// let error = Settings::parse(b"\0\x02\0\0\0\x02").unwrap_err();
/// assert_eq!(error.to_string(), "setting 0x2 of 2, allowed are 0 to 1 (PROTOCOL_ERROR)");
/// ```
///
/// Invariant: a whole number of settings, each of which `Setting::of`
/// accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Settings<'p>(&'p [u8]);

impl<'p> Settings<'p> {
    /// The settings that `payload` holds.
    ///
    /// # Errors
    ///
    /// [`Violation::SettingsLen`] or [`Violation::SettingValue`].
    pub fn parse(payload: &'p [u8]) -> Result<Self, Violation> {
        let (entries, rest) = payload.as_chunks::<LEN>();
        if !rest.is_empty() {
            let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            return Err(Violation::SettingsLen { len });
        }
        for &entry in entries {
            let (id, value) = split(entry);
            Setting::of(id, value)?;
        }
        Ok(Self(payload))
    }

    /// Writes `settings` to the front of `out`.
    ///
    /// # Errors
    ///
    /// [`SettingsError::NoRoom`] when `out` has fewer than six bytes a
    /// setting, [`SettingsError::Value`] for a value out of its range.
    pub fn write(settings: &[Setting], out: &'p mut [u8]) -> Result<Self, SettingsError> {
        let out = room(out, settings.len().saturating_mul(LEN)).map_err(SettingsError::NoRoom)?;
        for (setting, entry) in settings.iter().zip(out.as_chunks_mut::<LEN>().0) {
            let (id, value) = setting.wire();
            Setting::of(id, value).map_err(SettingsError::Value)?;
            let ([i0, i1], [v0, v1, v2, v3]) = (id.to_be_bytes(), value.to_be_bytes());
            *entry = [i0, i1, v0, v1, v2, v3];
        }
        Ok(Self(out))
    }

    /// The settings in the order in which they take effect.
    pub fn iter(&self) -> impl Iterator<Item = Setting> + use<'p> {
        self.0.as_chunks().0.iter().filter_map(|&entry| {
            let (id, value) = split(entry);
            Setting::of(id, value).ok()
        })
    }

    /// The payload.
    #[must_use]
    pub const fn as_bytes(&self) -> &'p [u8] {
        self.0
    }
}

const fn split([i0, i1, v0, v1, v2, v3]: [u8; LEN]) -> (u16, u32) {
    (u16::from_be_bytes([i0, i1]), u32::from_be_bytes([v0, v1, v2, v3]))
}

/// Why settings were not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SettingsError {
    /// The output is too short.
    NoRoom(EncodeError),
    /// A value is out of its range.
    Value(Violation),
}

impl core::fmt::Display for SettingsError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoRoom(error) => error.fmt(f),
            Self::Value(violation) => violation.fmt(f),
        }
    }
}

impl core::error::Error for SettingsError {}
