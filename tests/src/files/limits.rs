//! Depth, leases, giving up, and the end of a backend.

use std::{
    collections::HashSet,
    fs,
    time::{Duration, Instant},
};

use forebay_std::file::{ALIGN, Backend, Block, Config, Done, Operation, Options, Why};

use super::{Files, moved, pattern, same};

/// What is rejected is given back as it was, and nothing is done.
pub(super) fn rejections<B: Backend>(files: &mut Files<'_, B>) {
    let file = files.file("rejections", b"untouched");
    let counts = files.backend().counts();
    let mut lease = files.lease();
    let len = lease.len();
    assert_eq!(len, Config::default().buffer_len);
    #[expect(clippy::reversed_empty_ranges, reason = "a range that is wrong")]
    let wrong = [0..len + 1, len..len + 1, len + 1..len + 1, 5..4, 0..usize::MAX];
    for (number, range) in wrong.into_iter().enumerate() {
        lease.fill(number.to_le_bytes()[0]);
        let (file, offset) = (file.clone(), 0);
        let operation = if number % 2 == 0 {
            Operation::Write { file, lease, range: range.clone(), offset }
        } else {
            Operation::Read { file, lease, range: range.clone(), offset }
        };
        let rejected = files.try_submit(operation).unwrap_err();
        assert_eq!(rejected.why, Why::Range { start: range.start, end: range.end, len });
        lease = rejected.operation.into_lease().expect("the lease comes back");
        assert!(lease.iter().all(|byte| *byte == number.to_le_bytes()[0]));
    }
    assert_eq!(files.backend().counts().rejected - counts.rejected, 5);
    assert_eq!(files.backend().counts().submitted, counts.submitted);
    assert_eq!(files.backend().in_flight(), 0);
    same(&fs::read(files.path("rejections")).unwrap(), b"untouched");
}

/// Reaping ends at once when nothing is under way.
pub(super) fn nothing_to_reap<B: Backend>(files: &mut Files<'_, B>) {
    let later = Instant::now() + Duration::from_secs(3600);
    for block in [Block::Never, Block::Until(later), Block::UntilOne] {
        assert!(files.backend().reap(block).unwrap().is_none(), "{block:?}");
    }
}

/// As many operations as the depth says, and no more.
pub(super) fn depth<B: Backend>(files: &mut Files<'_, B>, depth: usize) {
    files.with(&Config { queue_depth: depth, buffer_len: ALIGN, ..Config::default() });
    assert_eq!(files.backend().depth(), depth);
    let bytes = pattern(6, depth * ALIGN);
    let file = files.file("depth", &bytes);
    for round in 0..3 {
        let tickets: Vec<_> = (0..depth)
            .map(|place| {
                let (file, lease) = (file.clone(), files.lease());
                let offset = (place * ALIGN) as u64;
                files.submit(Operation::Read { file, lease, range: 0..ALIGN, offset })
            })
            .collect();
        let full = files.try_submit(Operation::Len { file: file.clone() }).unwrap_err();
        assert_eq!(full.why, Why::Full { depth });
        // One reaped is room for one, with nothing else.
        files.reap();
        let last = files.submit(Operation::Len { file: file.clone() });
        let full = files.try_submit(Operation::Len { file: file.clone() }).unwrap_err();
        assert_eq!(full.why, Why::Full { depth });
        let distinct: HashSet<_> = tickets.iter().chain([&last]).collect();
        assert_eq!(distinct.len(), depth + 1, "tickets of round {round}");
        for (place, ticket) in tickets.into_iter().enumerate() {
            let (result, lease) = files.end(ticket);
            assert_eq!(moved(result).unwrap(), ALIGN);
            same(&lease.unwrap(), &bytes[place * ALIGN..][..ALIGN]);
        }
        let (result, _) = files.end(last);
        assert!(matches!(result, Ok(Done::Len(len)) if len == bytes.len() as u64), "{result:?}");
    }
}

/// So many leases as were configured, each of its own bytes; they come back
/// and outlive the backend.
pub(super) fn leases<B: Backend>(files: &mut Files<'_, B>) {
    files.with(&Config {
        queue_depth: 8,
        buffers: Some(3),
        buffer_len: 2 * ALIGN,
        ..Config::default()
    });
    let mut held: Vec<_> = (0..3).map(|_| files.lease()).collect();
    assert!(files.backend().lease().is_none(), "a fourth lease of three");
    for (number, lease) in held.iter_mut().enumerate() {
        assert_eq!(lease.len(), 2 * ALIGN);
        assert_eq!(lease.as_ptr().addr() % ALIGN, 0, "the address of a lease");
        lease.fill(number.to_le_bytes()[0] + 1);
    }
    for (number, lease) in held.iter().enumerate() {
        assert!(lease.iter().all(|byte| *byte == number.to_le_bytes()[0] + 1), "lease {number}");
    }
    held.pop();
    held.push(files.lease());
    assert!(files.backend().lease().is_none(), "a fourth lease of three");

    // While it is under way a lease is out, too.
    let file = files.file("leases", b"some bytes");
    let lease = held.pop().unwrap();
    let ticket = files.submit(Operation::Read { file, lease, range: 0..10, offset: 0 });
    assert!(files.backend().lease().is_none(), "the lease of an operation");
    let (result, lease) = files.end(ticket);
    assert_eq!(moved(result).unwrap(), 10);
    drop(lease);
    held.push(files.lease());

    files.settle();
    files.backend = None;
    held[0].fill(9);
    assert!(held[0].iter().all(|byte| *byte == 9));
    drop(held);
}

/// Each operation that is to be given up completes once, given up or done, and
/// its lease comes back.
pub(super) fn cancelling<B: Backend>(files: &mut Files<'_, B>) {
    files.with(&Config { queue_depth: 64, ..Config::default() });
    let bytes = pattern(8, 64 * 1024);
    let file = files.file("cancelling", &bytes);
    let first = files.submit(Operation::Len { file: file.clone() });
    files.end(first).0.unwrap();
    assert!(!files.backend().cancel(first), "it was reaped");

    let mut ended = [0; 2];
    for _ in 0..20 {
        let tickets: Vec<_> = (0..64)
            .map(|_| {
                let (file, lease) = (file.clone(), files.lease());
                files.submit(Operation::Read { file, lease, range: 0..bytes.len(), offset: 0 })
            })
            .collect();
        for ticket in &tickets {
            files.backend().cancel(*ticket);
        }
        for ticket in tickets {
            let (result, lease) = files.end(ticket);
            let lease = lease.expect("the lease comes back");
            match result.unwrap() {
                Done::Cancelled => ended[0] += 1,
                done => {
                    let len = done.moved().expect("of a read");
                    same(&lease[..len], &bytes[..len]);
                    ended[1] += 1;
                }
            }
        }
    }
    assert_eq!(ended[0] + ended[1], 20 * 64);
}

/// A backend dropped with writes and reads under way: afterwards nothing is
/// written any more, and each write has happened or has not.
pub(super) fn dropping<B: Backend>(files: &mut Files<'_, B>) {
    const BLOCK: usize = 16 * 1024;
    const BLOCKS: usize = 64;

    for round in 0..20 {
        files.with(&Config { queue_depth: 2 * BLOCKS, ..Config::default() });
        let file = files.file("dropping", &vec![1; BLOCKS * BLOCK]);
        for block in 0..BLOCKS {
            let (offset, range) = ((block * BLOCK) as u64, 0..BLOCK);
            let mut lease = files.lease();
            lease.fill(2);
            let (file, range) = (file.clone(), range.clone());
            files.submit(Operation::Write {
                file: file.clone(),
                lease,
                range: range.clone(),
                offset,
            });
            let lease = files.lease();
            files.submit(Operation::Read { file, lease, range, offset });
        }
        // Some begin.
        for _ in 0..round {
            files.reap();
        }
        files.backend = None;
        files.pending.clear();
        files.ended.clear();
        let after = fs::read(files.path("dropping")).unwrap();
        assert_eq!(after.len(), BLOCKS * BLOCK);
        assert!(after.iter().all(|byte| matches!(byte, 1 | 2)), "bytes of no write");
        fs::write(files.path("dropping"), vec![3; BLOCKS * BLOCK]).unwrap();
        drop(file);
        same(&fs::read(files.path("dropping")).unwrap(), &vec![3; BLOCKS * BLOCK]);
    }
}

/// Reaping ends in time when what is under way does not end.
#[cfg(unix)]
pub(super) fn waiting<B: Backend>(files: &mut Files<'_, B>) {
    let fifo = Fifo::new(files);
    let ticket = files.submit(fifo.open());
    let soon = Instant::now() + Duration::from_millis(2);
    for block in [Block::Never, Block::Until(Instant::now()), Block::Until(soon)] {
        assert!(files.backend().reap(block).unwrap().is_none(), "{block:?}");
    }
    assert!(Instant::now() >= soon, "too early");
    let writer = fifo.writer();
    assert!(matches!(files.end(ticket).0, Ok(Done::Opened(_))));
    drop(writer);
}

/// What has not begun is given up at once: more openings of a FIFO than there
/// are threads, so that the last ones wait for the first.
#[cfg(unix)]
pub(super) fn cancelling_unbegun<B: Backend>(files: &mut Files<'_, B>) {
    let file = files.file("unbegun", &pattern(9, 100));
    let fifo = Fifo::new(files);
    let opens: Vec<_> = (0..16).map(|_| files.submit(fifo.open())).collect();
    let lease = files.lease();
    let read = files.submit(Operation::Read { file, lease, range: 0..100, offset: 0 });
    assert!(files.backend().cancel(opens[15]), "it cannot have begun");
    let (result, lease) = files.end(opens[15]);
    assert!(matches!(result, Ok(Done::Cancelled)), "{result:?}");
    assert!(lease.is_none());
    assert!(files.backend().cancel(read), "it cannot have begun");
    let (result, lease) = files.end(read);
    assert!(matches!(result, Ok(Done::Cancelled)), "{result:?}");
    assert!(lease.is_some(), "the lease comes back");
    let writer = fifo.writer();
    for ticket in &opens[..15] {
        assert!(matches!(files.end(*ticket).0, Ok(Done::Opened(_))));
    }
    drop(writer);
    assert_eq!(files.backend().counts().cancelled, 2);
}

/// A FIFO, which gets a writer when a case fails: a backend that waits for the
/// openings that have begun could else not be dropped.
#[cfg(unix)]
struct Fifo(std::path::PathBuf);

#[cfg(unix)]
impl Fifo {
    fn new<B: Backend>(files: &Files<'_, B>) -> Self {
        use rustix::fs::{CWD, Mode, mkfifoat};
        let path = files.path("fifo");
        let _ = fs::remove_file(&path);
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        Self(path)
    }

    /// An opening that lasts until there is a writer.
    fn open<F, L>(&self) -> Operation<F, L> {
        Operation::Open { path: self.0.clone(), options: Options::READ }
    }

    /// A writer, once somebody opens it for reading.
    fn writer(&self) -> fs::File {
        fs::File::options().write(true).open(&self.0).unwrap()
    }
}

#[cfg(unix)]
impl Drop for Fifo {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Until the program ends.
            std::mem::forget(fs::File::options().read(true).write(true).open(&self.0));
        }
    }
}
