//! What can be set about a drainer, from code or from the environment.

use std::{
    env,
    error::Error,
    ffi::{OsStr, OsString},
    fmt,
    ops::RangeInclusive,
};

use forebay::{
    batch::BORROW_FROM_DEFAULT,
    ring::{CAPACITY_MAX, CAPACITY_MIN},
};

/// Limits of a [`Drainer`](crate::Drainer); none needs to be set.
///
/// | variable | method | unit | default |
/// |---|---|---|---|
/// | `FOREBAY_BATCH` | [`batch_len`](Config::batch_len) | bytes | 128 KiB |
/// | `FOREBAY_RING` | [`ring_capacity`](Config::ring_capacity) | bytes, a power of two | 64 KiB |
/// | `FOREBAY_BORROW_FROM` | [`borrow_from`](Config::borrow_from) | bytes | 4 KiB |
/// | `FOREBAY_FRAMES_MAX` | [`frames_max`](Config::frames_max) | frames | no limit |
/// | `FOREBAY_WRITE_MAX` | [`write_len_max`](Config::write_len_max) | bytes | no limit |
///
/// Bytes may be written with a unit: `64K` is 65,536, `1M` 1,048,576.
///
/// ```
/// use forebay_std::{Config, Drainer, WriteSink, forebay::frame::Plain};
///
/// let config = Config::from_env()?.write_len_max(4096)?;
/// let drainer = Drainer::with_config(&config, Plain, WriteSink::new(vec![]));
/// # drop(drainer);
/// # Ok::<(), forebay_std::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    pub(crate) batch_len: usize,
    pub(crate) ring_capacity: usize,
    pub(crate) borrow_from: usize,
    pub(crate) frames_max: usize,
    pub(crate) write_len_max: usize,
}

/// The setting of one number.
struct Setting {
    name: &'static str,
    variable: &'static str,
    range: RangeInclusive<usize>,
    power_of_two: bool,
    place: fn(&mut Config) -> &mut usize,
}

const BATCH_LEN: Setting = Setting {
    name: "batch_len",
    variable: "FOREBAY_BATCH",
    range: 64..=1 << 30,
    power_of_two: false,
    place: |config| &mut config.batch_len,
};
const RING_CAPACITY: Setting = Setting {
    name: "ring_capacity",
    variable: "FOREBAY_RING",
    range: CAPACITY_MIN..=CAPACITY_MAX,
    power_of_two: true,
    place: |config| &mut config.ring_capacity,
};
const BORROW_FROM: Setting = Setting {
    name: "borrow_from",
    variable: "FOREBAY_BORROW_FROM",
    range: 0..=usize::MAX,
    power_of_two: false,
    place: |config| &mut config.borrow_from,
};
const FRAMES_MAX: Setting = Setting {
    name: "frames_max",
    variable: "FOREBAY_FRAMES_MAX",
    range: 1..=usize::MAX,
    power_of_two: false,
    place: |config| &mut config.frames_max,
};
const WRITE_LEN_MAX: Setting = Setting {
    name: "write_len_max",
    variable: "FOREBAY_WRITE_MAX",
    range: 1..=usize::MAX,
    power_of_two: false,
    place: |config| &mut config.write_len_max,
};
const SETTINGS: [Setting; 5] = [BATCH_LEN, RING_CAPACITY, BORROW_FROM, FRAMES_MAX, WRITE_LEN_MAX];

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            batch_len: 128 * 1024,
            ring_capacity: 64 * 1024,
            borrow_from: BORROW_FROM_DEFAULT,
            frames_max: usize::MAX,
            write_len_max: usize::MAX,
        }
    }

    /// The defaults, but for what the process's environment says.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first variable whose value is no number or out
    /// of range.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_vars(|variable| env::var_os(variable))
    }

    /// The defaults, but for what `vars` says of a variable of the table above.
    ///
    /// ```
    /// use forebay_std::Config;
    ///
    /// let vars = |name: &str| (name == "FOREBAY_RING").then(|| "1M".into());
    /// assert_eq!(Config::from_vars(vars), Config::new().ring_capacity(1 << 20));
    /// let vars = |name: &str| (name == "FOREBAY_RING").then(|| "1000".into());
    /// assert_eq!(
    ///     Config::from_vars(vars).unwrap_err().to_string(),
    ///     "FOREBAY_RING is '1000': a power of two from 16 to 1073741824"
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// As [`from_env`](Config::from_env).
    pub fn from_vars(vars: impl Fn(&str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let mut config = Self::new();
        for setting in SETTINGS {
            if let Some(value) = vars(setting.variable) {
                let number = value.to_str().and_then(parsed);
                let error = setting.error(setting.variable, Value::of(&value));
                config = config.set(&setting, number.ok_or(error)?, error)?;
            }
        }
        Ok(config)
    }

    /// Sets the bytes of a batch: what one write takes at most, large messages
    /// aside.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] unless it is from 64 bytes to 1 GiB.
    pub fn batch_len(self, len: usize) -> Result<Self, ConfigError> {
        self.set_number(&BATCH_LEN, len)
    }

    /// Sets the capacity of a channel's ring in bytes, where the channel does
    /// not.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] unless it is a power of two in the range of a ring.
    pub fn ring_capacity(self, capacity: usize) -> Result<Self, ConfigError> {
        self.set_number(&RING_CAPACITY, capacity)
    }

    /// Sets the message length in bytes from which messages are written from
    /// where they lie in the ring, not copied into the batch.
    ///
    /// # Errors
    ///
    /// None today.
    pub fn borrow_from(self, len: usize) -> Result<Self, ConfigError> {
        self.set_number(&BORROW_FROM, len)
    }

    /// Sets the most frames of a batch.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when it is zero.
    pub fn frames_max(self, frames: usize) -> Result<Self, ConfigError> {
        self.set_number(&FRAMES_MAX, frames)
    }

    /// Sets the most bytes of a write, `PIPE_BUF` for a shared FIFO; a longer
    /// frame goes alone.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when it is zero.
    pub fn write_len_max(self, len: usize) -> Result<Self, ConfigError> {
        self.set_number(&WRITE_LEN_MAX, len)
    }

    fn set_number(self, setting: &Setting, number: usize) -> Result<Self, ConfigError> {
        self.set(setting, number, setting.error(setting.name, Value::Number(number)))
    }

    fn set(
        mut self,
        setting: &Setting,
        number: usize,
        error: ConfigError,
    ) -> Result<Self, ConfigError> {
        if !setting.range.contains(&number) || (setting.power_of_two && !number.is_power_of_two()) {
            return Err(error);
        }
        *(setting.place)(&mut self) = number;
        Ok(self)
    }
}

impl Setting {
    fn error(&self, name: &'static str, value: Value) -> ConfigError {
        let (least, most) = (*self.range.start(), *self.range.end());
        ConfigError { name, value, least, most, power_of_two: self.power_of_two }
    }
}

/// The number that an environment variable's value gives: digits, perhaps with
/// a unit, `64K` or `1M`.
///
/// ```
/// use forebay_std::config::number;
///
/// assert_eq!(number("MY_LIMIT", "64K".as_ref(), 1..=1 << 20), Ok(65_536));
/// assert_eq!(
///     number("MY_LIMIT", "2M".as_ref(), 1..=1 << 20).unwrap_err().to_string(),
///     "MY_LIMIT is '2M': a whole number from 1 to 1048576"
/// );
/// ```
///
/// # Errors
///
/// [`ConfigError`] with the variable, its value and the range, when it is no
/// number or out of `range`.
pub fn number(
    variable: &'static str,
    value: &OsStr,
    range: RangeInclusive<usize>,
) -> Result<usize, ConfigError> {
    let number = value.to_str().and_then(parsed).filter(|number| range.contains(number));
    let (least, most) = (*range.start(), *range.end());
    let value = Value::of(value);
    number.ok_or(ConfigError { name: variable, value, least, most, power_of_two: false })
}

/// A number of bytes or frames, perhaps with a unit.
fn parsed(text: &str) -> Option<usize> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 1 << 10),
        b'M' | b'm' => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    // `parse` would take a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

/// A setting's value is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The environment variable, or the method of [`Config`].
    pub name: &'static str,
    value: Value,
    /// The least value.
    pub least: usize,
    /// The greatest value.
    pub most: usize,
    /// Whether it must be a power of two.
    pub power_of_two: bool,
}

/// What was given; of a text, as much as fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Number(usize),
    Text { bytes: [u8; TEXT_LEN_MAX], len: usize },
}

const TEXT_LEN_MAX: usize = 32;

impl Value {
    fn of(value: &OsStr) -> Self {
        let text = value.to_string_lossy();
        let mut bytes = [0; TEXT_LEN_MAX];
        let ends = |len: &usize| text.is_char_boundary(*len);
        let len = (0..=text.len().min(TEXT_LEN_MAX)).rev().find(ends).unwrap_or(0);
        bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        Self::Text { bytes, len }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, least, most, power_of_two } = self;
        match value {
            Value::Number(number) => write!(f, "{name} is {number}: ")?,
            Value::Text { bytes, len } => {
                write!(f, "{name} is '{}': ", String::from_utf8_lossy(&bytes[..*len]))?;
            }
        }
        let what = if *power_of_two { "a power of two" } else { "a whole number" };
        match *most {
            usize::MAX => write!(f, "{what} from {least}"),
            most => write!(f, "{what} from {least} to {most}"),
        }
    }
}

impl Error for ConfigError {}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn from(vars: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let vars: HashMap<&str, &str> = vars.iter().copied().collect();
        Config::from_vars(|name| vars.get(name).map(OsString::from))
    }

    #[test]
    fn every_variable_sets_its_own() {
        let config = from(&[
            ("FOREBAY_BATCH", "256K"),
            ("FOREBAY_RING", "1M"),
            ("FOREBAY_BORROW_FROM", "0"),
            ("FOREBAY_FRAMES_MAX", "64"),
            ("FOREBAY_WRITE_MAX", "4k"),
        ]);
        let expected = Config {
            batch_len: 256 << 10,
            ring_capacity: 1 << 20,
            borrow_from: 0,
            frames_max: 64,
            write_len_max: 4096,
        };
        assert_eq!(config, Ok(expected));
        let by_code = Config::new().batch_len(256 << 10).unwrap().ring_capacity(1 << 20).unwrap();
        let by_code = by_code.borrow_from(0).unwrap().frames_max(64).unwrap();
        assert_eq!(by_code.write_len_max(4096), Ok(expected));
        assert_eq!(from(&[]), Ok(Config::default()));
    }

    #[test]
    fn a_bad_value_is_named_with_its_range() {
        for (name, value, says) in [
            (
                "FOREBAY_BATCH",
                "many",
                "FOREBAY_BATCH is 'many': a whole number from 64 to 1073741824",
            ),
            ("FOREBAY_BATCH", "63", "FOREBAY_BATCH is '63': a whole number from 64 to 1073741824"),
            ("FOREBAY_BATCH", "-1", "FOREBAY_BATCH is '-1': a whole number from 64 to 1073741824"),
            (
                "FOREBAY_BATCH",
                "+64",
                "FOREBAY_BATCH is '+64': a whole number from 64 to 1073741824",
            ),
            ("FOREBAY_RING", "", "FOREBAY_RING is '': a power of two from 16 to 1073741824"),
            ("FOREBAY_RING", "8", "FOREBAY_RING is '8': a power of two from 16 to 1073741824"),
            ("FOREBAY_RING", "96", "FOREBAY_RING is '96': a power of two from 16 to 1073741824"),
            (
                "FOREBAY_RING",
                "2048M",
                "FOREBAY_RING is '2048M': a power of two from 16 to 1073741824",
            ),
            ("FOREBAY_FRAMES_MAX", "0", "FOREBAY_FRAMES_MAX is '0': a whole number from 1"),
            ("FOREBAY_WRITE_MAX", "K", "FOREBAY_WRITE_MAX is 'K': a whole number from 1"),
            ("FOREBAY_BORROW_FROM", "1.5", "FOREBAY_BORROW_FROM is '1.5': a whole number from 0"),
            (
                "FOREBAY_WRITE_MAX",
                "99999999999999999999999999999999999999999999999",
                "FOREBAY_WRITE_MAX is '99999999999999999999999999999999': a whole number from 1",
            ),
        ] {
            assert_eq!(from(&[(name, value)]).unwrap_err().to_string(), says);
        }
        let error = Config::new().ring_capacity(1000).unwrap_err();
        assert_eq!(
            error.to_string(),
            "ring_capacity is 1000: a power of two from 16 to 1073741824"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_no_text_is_named_as_well_as_can_be() {
        use std::os::unix::ffi::OsStringExt;
        let value = |_: &str| Some(OsString::from_vec(vec![b'9', 0xFF]));
        let error = Config::from_vars(value).unwrap_err();
        assert!(error.to_string().starts_with("FOREBAY_BATCH is '9\u{FFFD}': "), "{error}");
    }
}
