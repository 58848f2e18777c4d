//! The ring's context as a file backend.

use std::{
    collections::{HashMap, VecDeque},
    fs, io,
    ops::Range,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use forebay_std::file::{
    Backend, Block, Completion, Config, Done, Operation, Options, Rejected, Tally, Ticket, Why,
};
use rustix::{fs::OFlags, io::Errno};

use super::Refusal;
use crate::uring::{self, Context, Degraded, File, Lease, OpenOptions, Outcome};

/// For how long a polling thread of the kernel looks before it sleeps.
const SQPOLL_IDLE: Duration = Duration::from_millis(100);

/// Does file operations through an io_uring of its thread.
///
/// ```
/// use forebay_linux::file::Uring;
/// use forebay_std::file::{Backend, Block, Config, Operation};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut files = match Uring::new(&Config::default()) {
///     Ok(files) => files,
///     Err(why) => return Ok(println!("SKIPPED: {why}; {}", why.advice())),
/// };
/// let file = files.attach(std::fs::File::open("/proc/self/stat")?)?;
/// let lease = files.lease().ok_or("all are out")?;
/// files.submit(Operation::Read { file, lease, range: 0..100, offset: 0 })?;
/// let completion = files.reap(Block::UntilOne)?.ok_or("nothing is under way")?;
/// assert!(completion.result?.moved().is_some_and(|len| len > 0));
/// # Ok(())
/// # }
/// ```
///
/// # Implementation
///
/// What [`Context`] does not do through the ring has its completion here at
/// once, in `over`: a [`Close`](Operation::Close), an
/// [`Open`](Operation::Open) that the kernel would not be asked for, and an
/// offset that the kernel would take for another one.
///
/// The context moves the front of a lease. A range that begins behind it is
/// turned to the front, and back when the operation is over, so that the other
/// bytes stay what they were.
#[derive(Debug)]
pub struct Uring {
    context: Context,
    tally: Tally,
    under_way: HashMap<uring::Ticket, Entry>,
    over: VecDeque<Finished>,
}

/// What is to be known when an operation is over.
#[derive(Debug)]
struct Entry {
    ticket: Ticket,
    range: Range<usize>,
    cancelled: bool,
}

#[derive(Debug)]
struct Finished {
    completion: Completion<File, Lease>,
    asked: usize,
}

/// What became of a submission.
type Submitted = Result<Option<uring::Ticket>, (Operation<File, Lease>, Why)>;

impl Uring {
    /// A backend with a ring.
    ///
    /// # Errors
    ///
    /// Why there is none.
    ///
    /// # Panics
    ///
    /// If an option is wrong, see [`Config::check`].
    pub fn new(config: &Config) -> Result<Self, Refusal> {
        if let Err(error) = config.check() {
            panic!("{error}");
        }
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let mut wanted = uring::Config::new()
            .queue_depth(number(config.queue_depth))
            .buffers(number(config.buffer_count()))
            .buffer_len(config.buffer_len)
            .registered_buffers(config.registered_buffers);
        if config.sqpoll {
            wanted = wanted.sqpoll(config.sqpoll_cpu, SQPOLL_IDLE);
        }
        Self::over(&wanted)
    }

    /// A backend over a context with options of its own.
    ///
    /// # Errors
    ///
    /// Why there is no ring.
    pub fn over(config: &uring::Config) -> Result<Self, Refusal> {
        let context = Context::new(config)?;
        Ok(Self {
            context,
            tally: Tally::new(config.queue_depth as usize),
            under_way: HashMap::new(),
            over: VecDeque::new(),
        })
    }

    /// What was configured or is usual, and is missing here, with the reasons.
    #[must_use]
    pub fn lacks(&self) -> &[Degraded] {
        self.context.lacks()
    }

    /// Which ways the operations took.
    #[must_use]
    pub fn ways(&self) -> uring::Counts {
        self.context.counts()
    }

    fn begin(&mut self, ticket: Ticket, operation: Operation<File, Lease>) -> Submitted {
        match operation {
            Operation::Read { file, lease, range, offset } => {
                self.transfer(ticket, false, file, lease, range, offset)
            }
            Operation::Write { file, lease, range, offset } => {
                self.transfer(ticket, true, file, lease, range, offset)
            }
            Operation::Open { path, options } => {
                let Some(wanted) = open_options(options) else {
                    let opened = options.open(&path);
                    let opened = opened.map(|file| Done::Opened(self.context.adopt(file)));
                    return Ok(self.finish(ticket, opened, None));
                };
                match self.context.open(&path, wanted) {
                    Ok(under_way) => Ok(Some(under_way)),
                    // `std` knows how to say what is wrong with it.
                    Err(uring::Why::Path { .. }) => {
                        let opened = options.open(&path);
                        let opened = opened.map(|file| Done::Opened(self.context.adopt(file)));
                        Ok(self.finish(ticket, opened, None))
                    }
                    Err(why) => Err((Operation::Open { path, options }, self.why(why))),
                }
            }
            Operation::Sync { file, data_only } => match self.context.sync(&file, data_only) {
                Ok(under_way) => Ok(Some(under_way)),
                Err(why) => Err((Operation::Sync { file, data_only }, self.why(why))),
            },
            Operation::Len { file } => match self.context.status(&file) {
                Ok(under_way) => Ok(Some(under_way)),
                Err(why) => Err((Operation::Len { file }, self.why(why))),
            },
            Operation::Close { file } => {
                drop(file);
                Ok(self.finish(ticket, Ok(Done::Closed), None))
            }
            // A kind that this version does not know.
            other => Err((other, Why::Foreign)),
        }
    }

    fn transfer(
        &mut self,
        ticket: Ticket,
        write: bool,
        file: File,
        mut lease: Lease,
        range: Range<usize>,
        offset: u64,
    ) -> Submitted {
        // To the kernel it is a signed number, of which -1 means the file's
        // own position.
        if i64::try_from(offset).is_err() {
            let error = io::Error::from(Errno::INVAL);
            return Ok(self.finish(ticket, Err(error), Some(lease)));
        }
        lease[..range.end].rotate_left(range.start);
        let submitted = if write {
            self.context.write(&file, lease, range.len(), offset)
        } else {
            self.context.read(&file, lease, range.len(), offset)
        };
        submitted.map(Some).map_err(|refused| {
            let mut lease = refused.lease;
            lease[..range.end].rotate_right(range.start);
            let why = self.why(refused.why);
            let operation = if write {
                Operation::Write { file, lease, range, offset }
            } else {
                Operation::Read { file, lease, range, offset }
            };
            (operation, why)
        })
    }

    /// Notes an operation that is over at once.
    fn finish(
        &mut self,
        ticket: Ticket,
        result: io::Result<Done<File>>,
        lease: Option<Lease>,
    ) -> Option<uring::Ticket> {
        self.over
            .push_back(Finished { completion: Completion { ticket, result, lease }, asked: 0 });
        None
    }

    fn why(&self, why: uring::Why) -> Why {
        match why {
            uring::Why::Misaligned(wrong) => {
                Why::Misaligned { value: wrong.have, align: u64::from(wrong.multiple_of) }
            }
            uring::Why::TooLong { len, buffer_len } => {
                Why::Range { start: 0, end: len, len: buffer_len }
            }
            _ => Why::Full { depth: self.tally.depth() },
        }
    }

    /// What a completion of the context means here.
    fn finished(&mut self, completion: uring::Completion) -> Option<Finished> {
        let Entry { ticket, range, cancelled } = self.under_way.remove(&completion.ticket)?;
        let (result, lease) = match completion.outcome {
            Outcome::Moved(mut lease, result) => {
                lease[..range.end].rotate_right(range.start);
                (result.map(Done::Moved), Some(lease))
            }
            Outcome::Synced(result) => (result.map(|()| Done::Synced), None),
            Outcome::Opened(result) => (result.map(Done::Opened), None),
            Outcome::Status(result) => (result.map(|status| Done::Len(status.len)), None),
        };
        let result = match result {
            Err(Errno::CANCELED) if cancelled => Ok(Done::Cancelled),
            result => result.map_err(io::Error::from),
        };
        Some(Finished { completion: Completion { ticket, result, lease }, asked: range.len() })
    }
}

impl Backend for Uring {
    type File = File;
    type Lease = Lease;

    fn name(&self) -> &'static str {
        "io_uring"
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn attach(&mut self, file: fs::File) -> io::Result<File> {
        Ok(self.context.adopt(OwnedFd::from(file)))
    }

    fn lease(&mut self) -> Option<Lease> {
        self.context.lease()
    }

    fn submit(
        &mut self,
        operation: Operation<File, Lease>,
    ) -> Result<Ticket, Rejected<File, Lease>> {
        let range = match &operation {
            Operation::Read { range, .. } | Operation::Write { range, .. } => range.clone(),
            _ => 0..0,
        };
        let begun = match self.tally.ticket(&operation) {
            Ok(ticket) => self.begin(ticket, operation).map(|under_way| (ticket, under_way)),
            Err(why) => Err((operation, why)),
        };
        match begun {
            Ok((ticket, under_way)) => {
                if let Some(under_way) = under_way {
                    self.under_way.insert(under_way, Entry { ticket, range, cancelled: false });
                }
                self.tally.submitted();
                Ok(ticket)
            }
            Err((operation, why)) => {
                self.tally.rejected();
                Err(Rejected { operation, why })
            }
        }
    }

    fn cancel(&mut self, ticket: Ticket) -> bool {
        let Some((under_way, entry)) =
            self.under_way.iter_mut().find(|(_, entry)| entry.ticket == ticket)
        else {
            return false;
        };
        // Once is enough, and a second time there may be no room for it.
        entry.cancelled = entry.cancelled || self.context.cancel(*under_way);
        entry.cancelled
    }

    fn reap(&mut self, block: Block) -> io::Result<Option<Completion<File, Lease>>> {
        let finished = loop {
            if let Some(finished) = self.over.pop_front() {
                break finished;
            }
            if self.tally.in_flight() == 0 {
                return Ok(None);
            }
            let completion = match block {
                Block::Never => match self.context.poll()? {
                    None => {
                        self.context.submit()?;
                        self.context.poll()?
                    }
                    some => some,
                },
                Block::Until(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    self.context.wait(Some(left))?
                }
                Block::UntilOne => self.context.wait(None)?,
            };
            match completion.map(|completion| self.finished(completion)) {
                Some(Some(finished)) => break finished,
                // Of nothing that is known here.
                Some(None) => {}
                None if block == Block::UntilOne => {}
                None => return Ok(None),
            }
        };
        self.tally.reaped(&finished.completion.result, finished.asked);
        Ok(Some(finished.completion))
    }
}

/// What `std` makes of these options; `None` if they are for it to refuse, or
/// are such that the context has no word for.
fn open_options(options: Options) -> Option<OpenOptions> {
    const MODE: u32 = 0o666;
    let Options { read, write, truncate, create, create_new, flags } = options;
    if (truncate || create || create_new) && !write {
        return None;
    }
    let mut wanted = match (read, write) {
        (true, false) => OpenOptions::read_only(),
        (false, true) => OpenOptions::write_only(),
        (true, true) => OpenOptions::read_write(),
        (false, false) => return None,
    };
    if create_new {
        wanted = wanted.create_new(MODE);
    } else {
        if create {
            wanted = wanted.create(MODE);
        }
        if truncate {
            wanted = wanted.truncate();
        }
    }
    match OFlags::from_bits_retain(flags) {
        OFlags::DIRECT => Some(wanted.direct()),
        none if none.is_empty() => Some(wanted),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What has been cancelled stays so, also if there is no room to ask again.
    #[test]
    #[cfg_attr(miri, ignore = "by the real kernel")]
    fn an_operation_may_be_cancelled_twice() {
        let config = uring::Config::new().queue_depth(1).reads(uring::Way::Ring);
        let mut files = match Uring::over(&config) {
            Ok(files) => files,
            Err(why) => return println!("SKIPPED: {why}"),
        };
        let (reader, _writer) = io::pipe().unwrap();
        let file = files.attach(fs::File::from(OwnedFd::from(reader))).unwrap();
        let lease = files.lease().unwrap();
        let ticket =
            files.submit(Operation::Read { file, lease, range: 0..10, offset: 0 }).unwrap();
        assert!(files.reap(Block::Never).unwrap().is_none());
        assert!(files.cancel(ticket));
        assert!(files.cancel(ticket));
        let completion = files.reap(Block::UntilOne).unwrap().unwrap();
        assert!(matches!(completion.result, Ok(Done::Cancelled)), "{:?}", completion.result);
        assert!(!files.cancel(ticket), "it is over");
    }
}
