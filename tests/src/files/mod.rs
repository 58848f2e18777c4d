//! What every file backend must do, whatever is behind it.
//!
//! A backend joins with a directory for the suite's files and a way to make
//! it:
//!
//! ```
//! use forebay_std::file::Threads;
//! use forebay_tests::files::conforms;
//!
//! let dir = std::env::temp_dir().join(format!("forebay-files-{}", std::process::id()));
//! std::fs::create_dir(&dir).unwrap();
//! conforms(&dir, |config| Threads::new(config).unwrap());
//! std::fs::remove_dir_all(&dir).unwrap();
//! ```
//!
//! Nothing here waits for a time; what hangs is for the caller's watchdog.

mod contents;
mod errors;
mod limits;

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
    io,
    path::{Path, PathBuf},
};

use forebay_std::file::{
    Backend, Block, Completion, Config, Done, Operation, Options, Rejected, Ticket,
};

pub use errors::full_disk;

/// Checks that the backends that `make` makes do what [`Backend`] demands, on
/// files in `dir`.
///
/// # Panics
///
/// When they do not; the message says what they do instead.
pub fn conforms<B: Backend>(dir: &Path, make: impl Fn(&Config) -> B) {
    for (name, case) in cases::<B>() {
        run(name, dir, &make, case);
    }
}

/// Checks that with `flags` of `open(2)` for unbuffered I/O the same bytes come
/// and go.
///
/// # Panics
///
/// When they do not.
pub fn conforms_unbuffered<B: Backend>(dir: &Path, flags: u32, make: impl Fn(&Config) -> B) {
    run("unbuffered", dir, &make, |files| contents::unbuffered(files, flags));
}

/// Checks what can only be checked while an operation lasts, with one that
/// does: the opening of a FIFO, until it has a writer. (An io_uring does not
/// wait for that.)
///
/// # Panics
///
/// When a wait does not end in time, or what has not begun is not given up.
#[cfg(unix)]
pub fn conforms_waiting<B: Backend>(dir: &Path, make: impl Fn(&Config) -> B) {
    run("waiting", dir, &make, limits::waiting);
    run("cancelling what has not begun", dir, &make, limits::cancelling_unbegun);
}

/// A case and its name.
type Case<B> = (&'static str, fn(&mut Files<'_, B>));

fn cases<B: Backend>() -> Vec<Case<B>> {
    vec![
        ("any order", contents::any_order),
        ("edges of a file", contents::edges),
        ("a file that shrinks", contents::shrinking),
        ("handles", contents::handles),
        ("errors of opening", errors::opening),
        ("errors of moving", errors::moving),
        ("no room on the device", errors::no_room),
        ("rejections", limits::rejections),
        ("nothing to reap", limits::nothing_to_reap),
        ("the least depth", |files| limits::depth(files, 1)),
        ("the greatest depth", |files| limits::depth(files, 4096)),
        ("leases", limits::leases),
        ("cancelling", limits::cancelling),
        ("dropping", limits::dropping),
    ]
}

fn run<B: Backend>(
    name: &str,
    dir: &Path,
    make: &dyn Fn(&Config) -> B,
    case: impl Fn(&mut Files<'_, B>),
) {
    let mut files =
        Files { backend: None, pending: HashSet::new(), ended: HashMap::new(), dir, make };
    // On a panic, the last line says where.
    println!("{name}");
    case(&mut files);
    files.settle();
}

/// A backend in the hands of a case.
struct Files<'a, B: Backend> {
    backend: Option<B>,
    /// Submitted and not reaped.
    pending: HashSet<Ticket>,
    /// Reaped and not asked for.
    ended: HashMap<Ticket, Completion<B::File, B::Lease>>,
    dir: &'a Path,
    make: &'a dyn Fn(&Config) -> B,
}

/// What an operation came to.
type Ended<B> = (io::Result<Done<<B as Backend>::File>>, Option<<B as Backend>::Lease>);

impl<B: Backend> Files<'_, B> {
    /// Begins with a new backend.
    fn with(&mut self, config: &Config) -> &mut Self {
        self.settle();
        self.backend = None;
        self.backend = Some((self.make)(config));
        self
    }

    fn backend(&mut self) -> &mut B {
        let make = self.make;
        self.backend.get_or_insert_with(|| make(&Config::default()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn try_submit(
        &mut self,
        operation: Operation<B::File, B::Lease>,
    ) -> Result<Ticket, Rejected<B::File, B::Lease>> {
        let ticket = self.backend().submit(operation)?;
        assert!(self.pending.insert(ticket), "{ticket:?} is under way already");
        assert!(!self.ended.contains_key(&ticket), "{ticket:?} was given before");
        let pending = self.pending.len();
        assert_eq!(self.backend().in_flight(), pending, "operations in flight");
        Ok(ticket)
    }

    #[track_caller]
    fn submit(&mut self, operation: Operation<B::File, B::Lease>) -> Ticket {
        match self.try_submit(operation) {
            Ok(ticket) => ticket,
            Err(rejected) => panic!("{rejected}"),
        }
    }

    /// Reaps one, of which there is one.
    #[track_caller]
    fn reap(&mut self) -> Ticket {
        assert!(!self.pending.is_empty(), "nothing is under way");
        let reaped = self.backend().reap(Block::UntilOne).expect("the backend works");
        self.note(reaped.expect("something is under way"))
    }

    #[track_caller]
    fn note(&mut self, completion: Completion<B::File, B::Lease>) -> Ticket {
        let ticket = completion.ticket;
        assert!(self.pending.remove(&ticket), "{ticket:?} is not under way");
        self.ended.insert(ticket, completion);
        ticket
    }

    /// Waits for an operation; others complete meanwhile.
    #[track_caller]
    fn end(&mut self, ticket: Ticket) -> Ended<B> {
        loop {
            if let Some(Completion { result, lease, .. }) = self.ended.remove(&ticket) {
                return (result, lease);
            }
            self.reap();
        }
    }

    #[track_caller]
    fn done(&mut self, operation: Operation<B::File, B::Lease>) -> Ended<B> {
        let ticket = self.submit(operation);
        self.end(ticket)
    }

    #[track_caller]
    fn open(&mut self, path: impl Into<PathBuf>, options: Options) -> io::Result<B::File> {
        match self.done(Operation::Open { path: path.into(), options }) {
            (Ok(Done::Opened(file)), None) => Ok(file),
            (Err(error), None) => Err(error),
            other => panic!("{other:?} of opening a file"),
        }
    }

    /// A file for reading and writing with these bytes.
    #[track_caller]
    fn file(&mut self, name: &str, bytes: &[u8]) -> B::File {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        let options = Options { read: true, write: true, ..Options::default() };
        self.open(path, options).unwrap()
    }

    #[track_caller]
    fn lease(&mut self) -> B::Lease {
        self.backend().lease().expect("a lease is left")
    }

    /// Reads into the first bytes of a lease.
    #[track_caller]
    fn read(&mut self, file: &B::File, len: usize, offset: u64) -> io::Result<Vec<u8>> {
        let lease = self.lease();
        let operation = Operation::Read { file: file.clone(), lease, range: 0..len, offset };
        let (result, lease) = self.done(operation);
        let lease = lease.expect("the lease comes back");
        Ok(lease[..moved(result)?].to_vec())
    }

    /// Writes the first bytes of a lease.
    #[track_caller]
    fn write(&mut self, file: &B::File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut lease = self.lease();
        lease[..bytes.len()].copy_from_slice(bytes);
        let range = 0..bytes.len();
        let (result, lease) =
            self.done(Operation::Write { file: file.clone(), lease, range, offset });
        assert_eq!(&lease.expect("the lease comes back")[..bytes.len()], bytes);
        moved(result)
    }

    /// Reaps all that is under way.
    fn settle(&mut self) {
        while !self.pending.is_empty() {
            self.reap();
        }
        if let Some(backend) = &mut self.backend {
            assert_eq!(backend.in_flight(), 0, "in flight after all was reaped");
            let counts = backend.counts();
            assert_eq!(counts.submitted, counts.reaped, "{counts:?}");
        }
        self.ended.clear();
    }
}

#[track_caller]
fn moved<F: Debug>(result: io::Result<Done<F>>) -> io::Result<usize> {
    result.map(|done| done.moved().unwrap_or_else(|| panic!("{done:?} of a read or write")))
}

/// Bytes that differ from place to place.
fn pattern(seed: u32, len: usize) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(2).wrapping_add(1));
    (0..len).map(|_| random.next().to_le_bytes()[3]).collect()
}

/// The same numbers each time.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 8) as usize % end
    }
}

/// Asserts equality without printing kilobytes.
#[track_caller]
fn same(left: &[u8], right: &[u8]) {
    if left != right {
        let at = left.iter().zip(right).take_while(|(left, right)| left == right).count();
        panic!("{} bytes and {} bytes differ from byte {at} on", left.len(), right.len());
    }
}
