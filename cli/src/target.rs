//! Where frames go to or come from, as named on the command line.

use std::{
    error::Error,
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use clap::builder::{OsStringValueParser, TypedValueParser};

/// A place for frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `unix:PATH`, a stream socket.
    Unix(PathBuf),
    /// `tcp:HOST:PORT`, as the resolver takes it.
    Tcp(String),
    /// `file:PATH`, a file, a FIFO, a device.
    File(PathBuf),
    /// `stdio:`, standard input or output.
    Stdio,
}

/// `KIND:PLACE` in its two parts; a place need not be text.
pub(crate) fn split(text: &OsStr) -> Option<(&str, &OsStr)> {
    let bytes = text.as_bytes();
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let kind = std::str::from_utf8(&bytes[..colon]).ok()?;
    Some((kind, OsStr::from_bytes(&bytes[colon + 1..])))
}

impl Target {
    /// For the command line.
    pub(crate) fn parser() -> impl TypedValueParser<Value = Self> {
        OsStringValueParser::new().try_map(|text: OsString| Self::parse(&text))
    }

    pub(crate) fn parse(text: &OsStr) -> Result<Self, TargetError> {
        let shown = || text.to_string_lossy().into_owned();
        let Some((kind, place)) = split(text) else { return Err(TargetError::Unknown(shown())) };
        match kind {
            "unix" | "file" if place.is_empty() => Err(TargetError::NoPath(shown())),
            "unix" => Ok(Self::Unix(place.into())),
            "file" => Ok(Self::File(place.into())),
            "tcp" => {
                match place.to_str().and_then(|address| Some((address, address.rsplit_once(':')?)))
                {
                    Some((address, (host, port)))
                        if !host.is_empty() && port.parse::<u16>().is_ok() =>
                    {
                        Ok(Self::Tcp(address.to_owned()))
                    }
                    _ => Err(TargetError::Address(shown())),
                }
            }
            "stdio" if place.is_empty() => Ok(Self::Stdio),
            _ => Err(TargetError::Unknown(shown())),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Stdio => write!(f, "stdio:"),
        }
    }
}

/// A target that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TargetError {
    Unknown(String),
    NoPath(String),
    Address(String),
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(text) => write!(
                f,
                "unknown target '{text}', known are unix:PATH, tcp:HOST:PORT, file:PATH, stdio:"
            ),
            Self::NoPath(text) => write!(f, "a path is missing behind '{text}'"),
            Self::Address(text) => {
                write!(f, "'{text}' is not tcp:HOST:PORT with a port from 0 to 65535")
            }
        }
    }
}

impl Error for TargetError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_named_as_they_are_shown() {
        for text in ["unix:a:b", "tcp:host:0", "tcp:[::1]:65535", "file:/dev/null", "stdio:"] {
            assert_eq!(Target::parse(text.as_ref()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_target_is_told_with_what_is_missing() {
        use TargetError::{Address, NoPath, Unknown};
        for text in ["", "unix", "udp:host:1", "stdio:x"] {
            assert_eq!(Target::parse(text.as_ref()), Err(Unknown(text.to_owned())));
        }
        for text in ["unix:", "file:"] {
            assert_eq!(Target::parse(text.as_ref()), Err(NoPath(text.to_owned())));
        }
        for text in ["tcp:", "tcp:host", "tcp::1", "tcp:host:", "tcp:host:65536"] {
            assert_eq!(Target::parse(text.as_ref()), Err(Address(text.to_owned())));
        }
    }
}
