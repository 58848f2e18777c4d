//! From what was found to what is said of it. No I/O.

use forebay_linux::{
    PIPE_BUF,
    probe::{Direct, Kernel, Machine, Place, Ring, Seccomp},
};
use forebay_std::file::Config;

use super::Findings;

/// One thing, and the advice if it is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) advice: Option<String>,
}

/// The kernel that has all that is used here of io_uring.
const WHOLE: Kernel = Kernel { major: 6, minor: 1 };
/// The kernel with `RWF_NOSIGNAL`.
const NOSIGNAL: Kernel = Kernel { major: 6, minor: 18 };
/// As many descriptors as a thousand transfers take, and some.
const DESCRIPTORS: u64 = 2048;
/// A buffer that holds what leaves in some ten milliseconds at 1 Gbit/s.
const SOCKET_BUFFER: u64 = 1 << 20;
const PIPE: u64 = 1 << 20;

/// What is said, in its order.
pub(super) fn rows(findings: &Findings) -> Vec<Row> {
    let mut rows = Rows(Vec::new());
    rows.kernel(&findings.machine);
    match &findings.ring {
        Ok(ring) => rows.ring(ring),
        Err(refusal) => rows.no("io_uring", refusal.to_string(), refusal.advice()),
    }
    rows.process(&findings.machine);
    rows.buffers(&findings.machine);
    if let Some(place) = &findings.place {
        rows.place(place, findings.polls);
    }
    rows.0
}

struct Rows(Vec<Row>);

impl Rows {
    fn ok(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push(Row { name, value: value.into(), advice: None });
    }

    fn no(&mut self, name: &'static str, value: impl Into<String>, advice: impl Into<String>) {
        self.0.push(Row { name, value: value.into(), advice: Some(advice.into()) });
    }

    /// `no` if the condition does not hold.
    fn unless(
        &mut self,
        holds: bool,
        name: &'static str,
        value: impl Into<String>,
        advice: impl Into<String>,
    ) {
        if holds { self.ok(name, value) } else { self.no(name, value, advice) }
    }

    fn kernel(&mut self, machine: &Machine) {
        let kernel = machine.kernel;
        let advice = "Linux 6.1 has all that is used here of io_uring; older ones do with less";
        self.unless(kernel >= WHOLE, "kernel", format!("Linux {kernel}"), advice);
        let quiet = if kernel >= NOSIGNAL { "never raises SIGPIPE" } else { "raises SIGPIPE" };
        let advice = "ignore SIGPIPE, as Rust programs do from their start; Linux 6.18 need not";
        self.unless(kernel >= NOSIGNAL, "writing to a pipe without a reader", quiet, advice);
        match machine.io_uring_disabled {
            None => self.ok("kernel.io_uring_disabled", "not there, so io_uring is for all"),
            Some(0) => self.ok("kernel.io_uring_disabled", "0, for all"),
            Some(1) => self.no(
                "kernel.io_uring_disabled",
                "1, for the privileged alone",
                "sysctl kernel.io_uring_disabled=0, or join the group of kernel.io_uring_group",
            ),
            Some(level) => self.no(
                "kernel.io_uring_disabled",
                format!("{level}, for nobody"),
                "sysctl kernel.io_uring_disabled=0",
            ),
        }
    }

    fn ring(&mut self, ring: &Ring) {
        self.ok("io_uring", "works");
        let missing: Vec<&str> =
            ring.operations.iter().filter(|(_, there)| !there).map(|(name, _)| *name).collect();
        if missing.is_empty() {
            self.ok("io_uring operations", "all that are used");
        } else {
            let advice = "plain calls take their place; a newer kernel has them, if no filter forbids io_uring_register";
            self.no("io_uring operations", format!("without {}", missing.join(", ")), advice);
        }
        for lack in &ring.lacks {
            // Its text ends with what helps and the error.
            let text = lack.to_string();
            let (what, advice) = text.split_once(": ").unwrap_or((&text, ""));
            self.no("io_uring feature", what, advice);
        }
        match ring.sqpoll {
            Ok(()) => self.ok("io_uring polling thread (SQPOLL)", "possible"),
            Err(errno) => self.no(
                "io_uring polling thread (SQPOLL)",
                errno.to_string(),
                "Linux 5.11 gives it to all, older ones to CAP_SYS_NICE; it is off unless asked for",
            ),
        }
    }

    fn process(&mut self, machine: &Machine) {
        match machine.seccomp {
            Some(Seccomp::Off) => self.ok("seccomp", "no filter"),
            Some(Seccomp::Filter) => self.ok("seccomp", "filters system calls"),
            Some(Seccomp::Strict) => self.no("seccomp", "strict", "nothing can be opened here"),
            None => self.ok("seccomp", "unknown, as /proc/self/status does not tell"),
        }
        let config = Config::default();
        let needed = (config.buffer_count() * config.buffer_len) as u64;
        let value = if machine.locks_all == Some(true) {
            format!("{}, which does not bind this user", machine.memlock)
        } else {
            machine.memlock.to_string()
        };
        self.unless(
            !machine.memlock_is_below(needed),
            "limit of locked memory, in bytes",
            value,
            format!(
                "{} buffers of {} bytes are registered with io_uring by default, which go \
                 unregistered here: ulimit -l {}, or LimitMEMLOCK= of a service",
                config.buffer_count(),
                config.buffer_len,
                needed / 1024 * 2
            ),
        );
        self.unless(
            !machine.nofile.is_below(DESCRIPTORS),
            "limit of open descriptors",
            machine.nofile.to_string(),
            format!("a thousand transfers take more: ulimit -n {DESCRIPTORS}"),
        );
    }

    fn buffers(&mut self, machine: &Machine) {
        let at_least = |value: u64, name: &str, least: u64| {
            (value >= least, format!("sysctl {name}={least} lets a program ask for more"))
        };
        if let Some(wmem) = machine.wmem_max {
            let (holds, advice) = at_least(wmem, "net.core.wmem_max", SOCKET_BUFFER);
            self.unless(
                holds,
                "longest send buffer of a socket, in bytes",
                wmem.to_string(),
                advice,
            );
        }
        if let Some(rmem) = machine.rmem_max {
            let (holds, advice) = at_least(rmem, "net.core.rmem_max", SOCKET_BUFFER);
            self.unless(
                holds,
                "longest receive buffer of a socket, in bytes",
                rmem.to_string(),
                advice,
            );
        }
        if let Some([least, first, most]) = machine.tcp_wmem {
            self.unless(
                most >= SOCKET_BUFFER,
                "send buffer of TCP, in bytes",
                format!("{least} to {most}, {first} at first"),
                format!("sysctl net.ipv4.tcp_wmem='{least} {first} {SOCKET_BUFFER}'"),
            );
        }
        self.ok("bytes that go into a pipe unmixed (PIPE_BUF)", PIPE_BUF.to_string());
        if let Some(most) = machine.pipe_max_size {
            let (holds, advice) = at_least(most, "fs.pipe-max-size", PIPE);
            self.unless(holds, "longest pipe, in bytes", most.to_string(), advice);
        }
    }

    fn place(&mut self, place: &Place, polls: Option<bool>) {
        match place.file_system() {
            Some(name) => self.ok("file system", name),
            None => self.ok("file system", format!("number {:#x}", place.magic)),
        }
        match place.direct {
            Direct::Possible { memory: Some(memory), offset: Some(offset) } => self.ok(
                "unbuffered files (O_DIRECT)",
                format!("addresses in multiples of {memory}, offsets and lengths of {offset}"),
            ),
            Direct::Possible { .. } => self.ok(
                "unbuffered files (O_DIRECT)",
                "multiples of what is unknown before Linux 6.1; of 4096 nearly always",
            ),
            Direct::Impossible => self.no(
                "unbuffered files (O_DIRECT)",
                "not on this file system",
                "leave them out, or take a path on a disk's file system",
            ),
        }
        self.unless(
            place.nowait,
            "reads of what is cached alone (RWF_NOWAIT)",
            if place.nowait { "possible" } else { "not on this file system" },
            "every read goes through io_uring or a thread, also of what is cached",
        );
        let device = "polled device (IOPOLL)";
        let advice = "interrupts do for most; a queue for polling is up to the driver, such as nvme.poll_queues=";
        match (polls, place.polls) {
            (Some(true), _) => self.ok(device, "works"),
            (Some(false), _) => self.no(device, "does not work", advice),
            (None, Some(true)) => self.ok(device, "has queues for it; name a file to try"),
            (None, Some(false)) => self.no(device, "has no queue for it", advice),
            (None, None) => self.no(device, "no block device", advice),
        }
    }
}

#[cfg(test)]
mod tests {
    use forebay_linux::{file::Refusal, probe::Limit};

    use super::*;

    fn machine() -> Machine {
        let unlimited = Limit { soft: None, hard: None };
        Machine {
            kernel: Kernel { major: 6, minor: 18 },
            io_uring_disabled: Some(0),
            seccomp: Some(Seccomp::Off),
            memlock: unlimited,
            locks_all: Some(false),
            nofile: unlimited,
            wmem_max: Some(SOCKET_BUFFER),
            rmem_max: Some(SOCKET_BUFFER),
            tcp_wmem: Some([1, 2, SOCKET_BUFFER]),
            pipe_max_size: Some(PIPE),
        }
    }

    fn ring() -> Ring {
        Ring { lacks: vec![], operations: [("read", true); 11], sqpoll: Ok(()) }
    }

    fn place() -> Place {
        let direct = Direct::Possible { memory: Some(4), offset: Some(512) };
        Place { magic: 0xEF53, direct, nowait: true, polls: Some(true) }
    }

    fn findings() -> Findings {
        Findings { machine: machine(), ring: Ok(ring()), place: Some(place()), polls: Some(true) }
    }

    #[test]
    fn a_good_machine_needs_no_advice() {
        let rows = rows(&findings());
        assert_eq!(rows.len(), 18);
        for row in rows {
            assert_eq!(row.advice, None, "{row:?}");
        }
    }

    /// Each thing that is missing makes one `no`, with advice.
    #[test]
    fn each_no_has_its_advice() {
        let small = Limit { soft: Some(65_536), hard: Some(65_536) };
        let few = Limit { soft: Some(1024), hard: None };
        let with = |change: &dyn Fn(&mut Findings)| {
            let mut findings = findings();
            change(&mut findings);
            findings
        };
        let cases: [(Findings, &str, &str); 17] = [
            (
                with(&|it| it.machine.kernel = Kernel { major: 6, minor: 17 }),
                "writing to a pipe",
                "SIGPIPE",
            ),
            (
                with(&|it| it.machine.io_uring_disabled = Some(1)),
                "kernel.io_uring_disabled",
                "group",
            ),
            (
                with(&|it| it.machine.io_uring_disabled = Some(2)),
                "kernel.io_uring_disabled",
                "sysctl",
            ),
            (
                with(&|it| it.ring = Err(Refusal::Forbidden { seccomp: true })),
                "io_uring",
                "profile",
            ),
            (
                with(&|it| {
                    if let Ok(ring) = &mut it.ring {
                        ring.operations[3] = ("statx", false);
                    }
                }),
                "io_uring operations",
                "newer kernel",
            ),
            (
                with(&|it| {
                    if let Ok(ring) = &mut it.ring {
                        ring.sqpoll = Err(rustix::io::Errno::PERM);
                    }
                }),
                "io_uring polling thread",
                "CAP_SYS_NICE",
            ),
            (with(&|it| it.machine.seccomp = Some(Seccomp::Strict)), "seccomp", "opened"),
            (with(&|it| it.machine.memlock = small), "limit of locked memory", "ulimit -l 16384"),
            (with(&|it| it.machine.nofile = few), "limit of open descriptors", "ulimit -n 2048"),
            (
                with(&|it| it.machine.wmem_max = Some(212_992)),
                "longest send",
                "net.core.wmem_max=1048576",
            ),
            (
                with(&|it| it.machine.rmem_max = Some(212_992)),
                "longest receive",
                "net.core.rmem_max=1048576",
            ),
            (
                with(&|it| it.machine.tcp_wmem = Some([1, 2, 3])),
                "send buffer of TCP",
                "'1 2 1048576'",
            ),
            (
                with(&|it| it.machine.pipe_max_size = Some(65_536)),
                "longest pipe",
                "fs.pipe-max-size=",
            ),
            (
                with(&|it| it.place = Some(Place { direct: Direct::Impossible, ..place() })),
                "unbuffered files",
                "leave them out",
            ),
            (
                with(&|it| it.place = Some(Place { nowait: false, ..place() })),
                "reads of what is cached",
                "thread",
            ),
            (with(&|it| it.polls = Some(false)), "polled device", "driver"),
            (
                with(&|it| {
                    it.polls = None;
                    it.place = Some(Place { polls: None, ..place() });
                }),
                "polled device",
                "driver",
            ),
        ];
        for (findings, name, advice) in cases {
            let mut noes = rows(&findings).into_iter().filter(|row| row.advice.is_some());
            let no = noes.next().unwrap_or_else(|| panic!("{name}: no advice"));
            assert!(no.name.starts_with(name), "{name}: {no:?}");
            assert!(no.advice.as_ref().is_some_and(|it| it.contains(advice)), "{advice}: {no:?}");
            assert_eq!(noes.next(), None, "{name}");
        }
        // Old enough for both.
        let old = with(&|it| it.machine.kernel = Kernel { major: 5, minor: 4 });
        assert_eq!(rows(&old).iter().filter(|row| row.advice.is_some()).count(), 2);
        // A limit that does not bind.
        let root = with(&|it| {
            it.machine.memlock = small;
            it.machine.locks_all = Some(true);
        });
        assert!(rows(&root).iter().all(|row| row.advice.is_none()));
    }
}
