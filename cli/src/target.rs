//! Where frames go to or come from, as named on the command line.

use std::{error::Error, fmt, path::PathBuf, str::FromStr};

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

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let unknown = || TargetError::Unknown(text.to_owned());
        let (kind, place) = text.split_once(':').ok_or_else(unknown)?;
        match (kind, place) {
            ("unix" | "file", "") => Err(TargetError::NoPath(text.to_owned())),
            ("unix", path) => Ok(Self::Unix(path.into())),
            ("file", path) => Ok(Self::File(path.into())),
            ("tcp", address) => match address.rsplit_once(':') {
                Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                    Ok(Self::Tcp(address.to_owned()))
                }
                _ => Err(TargetError::Address(text.to_owned())),
            },
            ("stdio", "") => Ok(Self::Stdio),
            _ => Err(unknown()),
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
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_target_is_told_with_what_is_missing() {
        use TargetError::{Address, NoPath, Unknown};
        for text in ["", "unix", "udp:host:1", "stdio:x"] {
            assert_eq!(text.parse::<Target>(), Err(Unknown(text.to_owned())));
        }
        for text in ["unix:", "file:"] {
            assert_eq!(text.parse::<Target>(), Err(NoPath(text.to_owned())));
        }
        for text in ["tcp:", "tcp:host", "tcp::1", "tcp:host:", "tcp:host:65536"] {
            assert_eq!(text.parse::<Target>(), Err(Address(text.to_owned())));
        }
    }
}
