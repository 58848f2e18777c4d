//! What this machine and this process may do: the kernel, its limits, and what
//! a file's place allows.
//!
//! ```
//! use forebay_linux::probe::{Machine, Place, Ring};
//!
//! let machine = Machine::look();
//! println!("Linux {}, locked memory: {}", machine.kernel, machine.memlock);
//! let place = Place::look(&std::env::temp_dir())?;
//! println!("O_DIRECT: {:?}", place.direct);
//! match Ring::look() {
//!     Ok(ring) => println!("a polling thread: {}", ring.sqpoll.is_ok()),
//!     Err(why) => println!("no io_uring: {why}; {}", why.advice()),
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Looking changes nothing that lasts. What cannot be read is `None`: an old
//! kernel lacks it, or a container hides it.

mod place;
mod ring;

use std::{fmt, fs, str::FromStr};

pub use place::{Direct, Place};
pub use ring::Ring;
use rustix::{
    process::{Resource, Rlimit, getrlimit},
    system::uname,
};

/// The first two numbers of a kernel's release, by which its features go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kernel {
    /// As the 6 of 6.18.
    pub major: u32,
    /// As the 18 of 6.18.
    pub minor: u32,
}

impl Kernel {
    /// The one that runs this.
    pub(crate) fn running() -> Self {
        Self::of(&uname().release().to_string_lossy())
    }

    /// A release such as `6.18.44-generic`; zeros if it is none.
    fn of(release: &str) -> Self {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
        Self { major: next(), minor: next() }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A limit of this process, `getrlimit(2)`; `None` is without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What counts now.
    pub soft: Option<u64>,
    /// To what the process may raise it by itself.
    pub hard: Option<u64>,
}

impl Limit {
    fn of(resource: Resource) -> Self {
        let Rlimit { current, maximum } = getrlimit(resource);
        Self { soft: current, hard: maximum }
    }

    /// Whether `needed` is more than the limit.
    #[must_use]
    pub fn is_below(self, needed: u64) -> bool {
        self.soft.is_some_and(|soft| soft < needed)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.soft, self.hard) {
            (None, _) => f.write_str("unlimited"),
            (Some(soft), None) => write!(f, "{soft}, which may be raised"),
            (Some(soft), Some(hard)) if hard > soft => {
                write!(f, "{soft}, which may be raised to {hard}")
            }
            (Some(soft), Some(_)) => write!(f, "{soft}"),
        }
    }
}

/// Whether system calls of this process are filtered, `seccomp(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seccomp {
    /// No.
    Off,
    /// All but four are forbidden.
    Strict,
    /// By filters, as in most containers.
    Filter,
}

/// What this machine and this process may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The kernel.
    pub kernel: Kernel,
    /// `kernel.io_uring_disabled`: 0 for everybody, 1 for who has
    /// `CAP_SYS_ADMIN` or is of `kernel.io_uring_group`, 2 for nobody. Since
    /// Linux 6.6.
    pub io_uring_disabled: Option<u32>,
    /// Filters of system calls.
    pub seccomp: Option<Seccomp>,
    /// The limit of locked memory in bytes, which registered buffers count
    /// against.
    pub memlock: Limit,
    /// Whether the process is above that limit (`CAP_IPC_LOCK`).
    pub locks_all: Option<bool>,
    /// The limit of open descriptors.
    pub nofile: Limit,
    /// The longest send buffer that a socket may ask for, in bytes;
    /// `net.core.wmem_max`.
    pub wmem_max: Option<u64>,
    /// The longest receive buffer; `net.core.rmem_max`.
    pub rmem_max: Option<u64>,
    /// Least, initial and greatest send buffer of TCP; `net.ipv4.tcp_wmem`.
    pub tcp_wmem: Option<[u64; 3]>,
    /// The longest pipe of a user, in bytes; `fs.pipe-max-size`.
    pub pipe_max_size: Option<u64>,
}

impl Machine {
    /// Looks.
    #[must_use]
    pub fn look() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            kernel: Kernel::running(),
            io_uring_disabled: number("kernel/io_uring_disabled"),
            seccomp: seccomp(&status),
            memlock: Limit::of(Resource::Memlock),
            locks_all: has_capability(&status, CAP_IPC_LOCK),
            nofile: Limit::of(Resource::Nofile),
            wmem_max: number("net/core/wmem_max"),
            rmem_max: number("net/core/rmem_max"),
            tcp_wmem: numbers("net/ipv4/tcp_wmem"),
            pipe_max_size: number("fs/pipe-max-size"),
        }
    }

    /// Whether so many bytes cannot be locked.
    #[must_use]
    pub fn memlock_is_below(&self, bytes: u64) -> bool {
        self.locks_all != Some(true) && self.memlock.is_below(bytes)
    }
}

/// `linux/capability.h`.
const CAP_IPC_LOCK: u32 = 14;

/// A line of `/proc/self/status`, `proc_pid_status(5)`.
fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn seccomp(status: &str) -> Option<Seccomp> {
    match field(status, "Seccomp")? {
        "0" => Some(Seccomp::Off),
        "1" => Some(Seccomp::Strict),
        "2" => Some(Seccomp::Filter),
        _ => None,
    }
}

fn has_capability(status: &str, capability: u32) -> Option<bool> {
    let effective = u64::from_str_radix(field(status, "CapEff")?, 16).ok()?;
    Some(effective >> capability & 1 == 1)
}

/// A number of `sysctl(8)`.
fn number<T: FromStr>(name: &str) -> Option<T> {
    fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().parse().ok()
}

fn numbers(name: &str) -> Option<[u64; 3]> {
    let text = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
    three(&text)
}

fn three(text: &str) -> Option<[u64; 3]> {
    let numbers: Option<Vec<u64>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        let cases = [
            ("6.18.44-generic", (6, 18)),
            ("5.4", (5, 4)),
            ("4.14-rc3", (4, 14)),
            ("7", (7, 0)),
            ("what", (0, 0)),
            ("", (0, 0)),
        ];
        for (release, (major, minor)) in cases {
            assert_eq!(Kernel::of(release), Kernel { major, minor }, "{release}");
        }
        assert!(Kernel::of("5.10") > Kernel::of("5.9"));
    }

    #[test]
    fn the_status_of_a_process_is_read() {
        let status = "Name:\tx\nCapEff:\t0000000000004000\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        assert_eq!(seccomp(status), Some(Seccomp::Filter));
        assert_eq!(has_capability(status, CAP_IPC_LOCK), Some(true));
        assert_eq!(has_capability(status, CAP_IPC_LOCK - 1), Some(false));
        assert_eq!(seccomp("Seccomp:\t0\n"), Some(Seccomp::Off));
        assert_eq!(seccomp("Seccomp:\t9\n"), None);
        assert_eq!(seccomp("Seccomp_filters:\t0\n"), None);
        assert_eq!(has_capability("", CAP_IPC_LOCK), None);
        assert_eq!(three("4096\t16384\t4194304\n"), Some([4096, 16_384, 4_194_304]));
        assert_eq!(three("1 2"), None);
        assert_eq!(three("1 2 x"), None);
    }

    #[test]
    fn limits_are_told() {
        let limit = |soft, hard| Limit { soft, hard };
        assert_eq!(limit(None, None).to_string(), "unlimited");
        assert_eq!(limit(Some(5), Some(5)).to_string(), "5");
        assert_eq!(limit(Some(5), Some(9)).to_string(), "5, which may be raised to 9");
        assert_eq!(limit(Some(5), None).to_string(), "5, which may be raised");
        assert!(limit(Some(5), None).is_below(6));
        assert!(!limit(Some(5), None).is_below(5));
        assert!(!limit(None, None).is_below(u64::MAX));
    }

    #[test]
    fn this_machine_is_a_linux() {
        let machine = Machine::look();
        assert!(machine.kernel.major >= 3, "{machine:?}");
        assert!(machine.seccomp.is_some(), "{machine:?}");
        assert!(machine.nofile.soft.is_none_or(|most| most > 3), "{machine:?}");
    }
}
