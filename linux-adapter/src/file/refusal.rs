//! Why there is no io_uring, and what helps.

use std::{error::Error, fmt, io};

use rustix::io::Errno;

use crate::{
    probe::{Kernel, Limit, Machine, Seccomp},
    uring::SetupError,
};

/// The first kernel whose io_uring has plain reads and writes, without which it
/// is of no use here.
const FIRST: Kernel = Kernel { major: 5, minor: 6 };

/// Why there is no io_uring for a file backend.
///
/// Its text is the reason, [`advice`](Refusal::advice) says what helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not wanted ([`enabled`](forebay_std::file::Config::enabled)).
    NotEnabled,
    /// The kernel is older than Linux 5.6, whose io_uring has the operations that
    /// are used here (`ENOSYS`).
    OldKernel(Kernel),
    /// The kernel would have it, but says that it does not (`ENOSYS`): a
    /// filter says so, or it was built without.
    Hidden {
        /// Whether there are filters.
        seccomp: bool,
    },
    /// `kernel.io_uring_disabled` forbids it (`EPERM`).
    Disabled {
        /// 1 for who is not privileged, 2 for all.
        level: u32,
    },
    /// A filter of system calls or a security module forbids it (`EPERM`,
    /// `EACCES`).
    Forbidden {
        /// Whether there are filters.
        seccomp: bool,
    },
    /// No memory for it (`ENOMEM`), which is that of the limit if there is one.
    Memory {
        /// The limit of locked memory.
        memlock: Limit,
    },
    /// No descriptor for it (`EMFILE`, `ENFILE`).
    Descriptors {
        /// The limit of open descriptors.
        nofile: Limit,
    },
    /// Another error of the system.
    Other {
        /// Its number.
        errno: i32,
    },
}

impl Refusal {
    /// What is behind an error of `io_uring_setup(2)` or of a first operation
    /// on this machine.
    #[must_use]
    pub fn of(error: Errno, machine: &Machine) -> Self {
        let seccomp = matches!(machine.seccomp, Some(Seccomp::Filter | Seccomp::Strict));
        match error {
            Errno::NOSYS if machine.kernel < FIRST => Self::OldKernel(machine.kernel),
            Errno::NOSYS => Self::Hidden { seccomp },
            Errno::PERM | Errno::ACCESS => match machine.io_uring_disabled {
                Some(level @ 1..) => Self::Disabled { level },
                _ => Self::Forbidden { seccomp },
            },
            Errno::NOMEM => Self::Memory { memlock: machine.memlock },
            Errno::MFILE | Errno::NFILE => Self::Descriptors { nofile: machine.nofile },
            other => Self::Other { errno: other.raw_os_error() },
        }
    }

    /// What helps.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NotEnabled => "enable it in the configuration",
            Self::OldKernel(_) => {
                "Linux 5.6 has the io_uring that is needed here, 6.1 nearly all of it"
            }
            Self::Hidden { seccomp: true } => {
                "let the container's seccomp profile allow io_uring_setup, io_uring_enter and io_uring_register"
            }
            Self::Hidden { seccomp: false } => "use a kernel with CONFIG_IO_URING",
            Self::Disabled { level: 1 } => {
                "sysctl kernel.io_uring_disabled=0, or join the group of kernel.io_uring_group"
            }
            Self::Disabled { .. } => "sysctl kernel.io_uring_disabled=0",
            Self::Forbidden { seccomp: true } => {
                "let the container's seccomp profile allow io_uring_setup, io_uring_enter and io_uring_register"
            }
            Self::Forbidden { seccomp: false } => {
                "look for a denial by a security module in the kernel's log"
            }
            Self::Memory { .. } => {
                "raise the limit of locked memory (ulimit -l, LimitMEMLOCK=), or lower queue_depth"
            }
            Self::Descriptors { .. } => "raise the limit of open descriptors (ulimit -n)",
            Self::Other { .. } => "look the error up in io_uring_setup(2)",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEnabled => f.write_str("it is not enabled"),
            Self::OldKernel(kernel) => {
                write!(f, "Linux {kernel} is older than 5.6 and its io_uring (ENOSYS)")
            }
            Self::Hidden { seccomp: true } => {
                f.write_str("a seccomp filter hides io_uring (ENOSYS)")
            }
            Self::Hidden { seccomp: false } => {
                f.write_str("this kernel was built without io_uring (ENOSYS)")
            }
            Self::Disabled { level } => {
                write!(f, "kernel.io_uring_disabled is {level} (EPERM)")
            }
            Self::Forbidden { seccomp: true } => {
                f.write_str("a seccomp filter forbids io_uring (EPERM)")
            }
            Self::Forbidden { seccomp: false } => {
                f.write_str("a security module forbids io_uring (EPERM)")
            }
            Self::Memory { memlock } => {
                write!(f, "no memory (ENOMEM), with a limit of locked memory of {memlock}")
            }
            Self::Descriptors { nofile } => {
                write!(f, "no descriptor is left (EMFILE), with a limit of {nofile}")
            }
            Self::Other { errno } => io::Error::from_raw_os_error(*errno).fmt(f),
        }
    }
}

impl Error for Refusal {}

/// Looks at the machine for what is behind the error.
impl From<SetupError> for Refusal {
    fn from(error: SetupError) -> Self {
        let errno = match error {
            SetupError::Ring(errno) | SetupError::Buffers(errno) => errno,
            // An option that is wrong.
            _ => Errno::INVAL,
        };
        Self::of(errno, &Machine::look())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_reason() {
        let limit = Limit { soft: Some(65_536), hard: Some(65_536) };
        let machine = Machine {
            kernel: Kernel { major: 6, minor: 1 },
            io_uring_disabled: Some(0),
            seccomp: Some(Seccomp::Off),
            memlock: limit,
            nofile: limit,
            ..Machine::look()
        };
        let filtered = Machine { seccomp: Some(Seccomp::Filter), ..machine };
        let old =
            Machine { kernel: Kernel { major: 5, minor: 5 }, io_uring_disabled: None, ..machine };
        let disabled = |level| Machine { io_uring_disabled: Some(level), ..machine };
        let cases = [
            (Errno::NOSYS, machine, "this kernel was built without io_uring (ENOSYS)"),
            (Errno::NOSYS, filtered, "a seccomp filter hides io_uring (ENOSYS)"),
            (Errno::NOSYS, old, "Linux 5.5 is older than 5.6 and its io_uring (ENOSYS)"),
            (Errno::PERM, machine, "a security module forbids io_uring (EPERM)"),
            (Errno::PERM, old, "a security module forbids io_uring (EPERM)"),
            (Errno::ACCESS, filtered, "a seccomp filter forbids io_uring (EPERM)"),
            (Errno::PERM, disabled(1), "kernel.io_uring_disabled is 1 (EPERM)"),
            (Errno::PERM, disabled(2), "kernel.io_uring_disabled is 2 (EPERM)"),
            (Errno::NOMEM, machine, "no memory (ENOMEM), with a limit of locked memory of 65536"),
            (Errno::MFILE, machine, "no descriptor is left (EMFILE), with a limit of 65536"),
            (Errno::IO, machine, "Input/output error (os error 5)"),
        ];
        for (error, machine, text) in cases {
            let refusal = Refusal::of(error, &machine);
            assert_eq!(refusal.to_string(), text);
            assert!(!refusal.advice().is_empty());
        }
        assert_ne!(
            Refusal::Disabled { level: 1 }.advice(),
            Refusal::Disabled { level: 2 }.advice()
        );
    }
}
