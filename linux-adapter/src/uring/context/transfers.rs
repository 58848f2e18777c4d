//! Reads, writes and sends: at once where that is the shortest way, through
//! the ring else.

use std::ops::Range;

use rustix::{
    fs::fdatasync,
    io::{Errno, pread, pwrite},
    io_uring::IoringSetupFlags,
    net::{SendFlags, send},
};

use super::{
    super::{
        arena::Lease,
        config::Way,
        driver::Request,
        file::File,
        outcome::{Refused, Why, check_transfer},
        plain::{Cached, negative, read_cached, retry},
        slots::Ticket,
    },
    Context,
};

impl Context {
    /// Queues a read of up to `len` bytes from `offset` on into the front of
    /// `lease`. What the page cache has is read at once, see
    /// [`Config::reads`]. The offset `u64::MAX` is the file's own position, as
    /// a pipe or a terminal needs it.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the lease.
    ///
    /// [`Config::reads`]: crate::uring::Config::reads
    // A system call leaves the processor's stack of return addresses to the
    // kernel; the first return behind it that has no call there is a
    // misprediction, which takes a quarter of the time of such a read.
    #[inline(always)]
    pub fn read(
        &mut self,
        file: &File,
        mut lease: Lease,
        len: usize,
        offset: u64,
    ) -> Result<Ticket, Refused> {
        if self.reads != Way::Inline || !file.nowait() || self.room() == 0 || len > lease.len() {
            return self.read_by_ring(file, lease, 0, len, offset);
        }
        match read_cached(file, &mut lease[..len], offset) {
            Cached::All(result) => {
                self.cached_reads += 1;
                Ok(self.ready.moved(lease, result))
            }
            Cached::Only(start) => {
                self.cache_misses += 1;
                self.read_by_ring(file, lease, start, len, offset)
            }
        }
    }

    /// Reads what is behind `start`.
    #[inline(never)]
    fn read_by_ring(
        &mut self,
        file: &File,
        mut lease: Lease,
        start: usize,
        len: usize,
        offset: u64,
    ) -> Result<Ticket, Refused> {
        if let Err(why) = self.check(file, &lease, len, offset) {
            return Err(Refused { why, lease });
        }
        if file.alignment().is_none() && self.driver.has(IoringSetupFlags::IOPOLL) {
            let result = retry(|| pread(file, &mut lease[..len], offset));
            return Ok(self.ready.moved(lease, result));
        }
        self.transfer(Request::Read { file: file.clone(), lease, start, end: len, offset })
    }

    /// Queues a write of the first `len` bytes of `lease` to `offset`. A file
    /// without `O_DIRECT` is written to at once, see [`Config::writes`].
    ///
    /// # Errors
    ///
    /// [`Refused`], with the lease.
    ///
    /// [`Config::writes`]: crate::uring::Config::writes
    pub fn write(
        &mut self,
        file: &File,
        lease: Lease,
        len: usize,
        offset: u64,
    ) -> Result<Ticket, Refused> {
        if let Err(why) = self.check(file, &lease, len, offset) {
            return Err(Refused { why, lease });
        }
        let plain = self.writes == Way::Inline || self.driver.has(IoringSetupFlags::IOPOLL);
        if plain && file.alignment().is_none() {
            self.plain_writes += 1;
            let result = retry(|| pwrite(file, &lease[..len], offset));
            return Ok(self.ready.moved(lease, result));
        }
        self.transfer(Request::Write { file: file.clone(), lease, start: 0, end: len, offset })
    }

    /// Reads at once what the page cache has, into any buffer: the shortest
    /// way to it, without a ticket. `None` when a part is not there, or the
    /// context does not read so: then [`read`](Context::read).
    ///
    /// # Errors
    ///
    /// What `preadv2(2)` reports.
    #[inline]
    pub fn read_cached(
        &mut self,
        file: &File,
        bytes: &mut [u8],
        offset: u64,
    ) -> Result<Option<usize>, Errno> {
        if self.reads != Way::Inline || !file.nowait() {
            return Ok(None);
        }
        match read_cached(file, bytes, offset) {
            Cached::All(result) => {
                self.cached_reads += 1;
                result.map(Some)
            }
            Cached::Only(_) => Ok(None),
        }
    }

    /// Queues a write, and a sync of the data that begins when the write is
    /// over. If the write fails or is short, the sync is not made and
    /// completes with `ECANCELED`.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the lease; neither is queued. A context of depth 1 has
    /// no room for the two.
    pub fn write_and_sync(
        &mut self,
        file: &File,
        lease: Lease,
        len: usize,
        offset: u64,
    ) -> Result<(Ticket, Ticket), Refused> {
        if let Err(why) = self.check(file, &lease, len, offset) {
            return Err(Refused { why, lease });
        }
        if self.driver.has(IoringSetupFlags::IOPOLL) {
            return self.write_and_sync_at_once(file, lease, len, offset);
        }
        let requests = [
            Request::Write { file: file.clone(), lease, start: 0, end: len, offset },
            Request::Sync { file: file.clone(), data_only: true },
        ];
        let requests = if self.room() < 2 { Err(requests) } else { self.driver.start(requests) };
        match requests {
            Ok([write, sync]) => Ok((write, sync)),
            Err([write, _]) => Err(self.full(write)),
        }
    }

    /// Queues a send of the bytes `range` of `lease` to a socket
    /// (`send(2)` without SIGPIPE).
    ///
    /// `zero_copy` sends the pages themselves (Linux 6.0, not to UNIX sockets);
    /// the lease is then back when the network has let go of them.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the lease.
    pub fn send(
        &mut self,
        socket: &File,
        lease: Lease,
        range: Range<usize>,
        zero_copy: bool,
    ) -> Result<Ticket, Refused> {
        let Range { start, end } = range;
        if let Err(why) = self.check(socket, &lease, end.max(start), 0) {
            return Err(Refused { why, lease });
        }
        let start = start.min(end);
        if self.driver.has(IoringSetupFlags::IOPOLL) {
            let result = retry(|| send(socket, &lease[start..end], SendFlags::NOSIGNAL));
            return Ok(self.ready.moved(lease, result));
        }
        self.transfer(Request::Send { file: socket.clone(), lease, start, end, zero_copy })
    }

    // ------------------------------------------------------------- details

    /// A ring for polled devices knows no syncs.
    fn write_and_sync_at_once(
        &mut self,
        file: &File,
        lease: Lease,
        len: usize,
        offset: u64,
    ) -> Result<(Ticket, Ticket), Refused> {
        if self.room() < 2 {
            return Err(Refused { why: Why::Full { depth: self.depth }, lease });
        }
        let wrote = retry(|| pwrite(file, &lease[..len], offset));
        let synced = match wrote {
            Ok(wrote) if wrote == len => retry(|| fdatasync(file)),
            _ => Err(Errno::CANCELED),
        };
        let write = self.ready.moved(lease, wrote);
        let sync = Request::Sync { file: file.clone(), data_only: true };
        match self.done(sync, synced.map_or_else(negative, |()| 0)) {
            Ok(sync) => Ok((write, sync)),
            Err(_) => unreachable!("there is room for two"),
        }
    }

    fn check(&self, file: &File, lease: &Lease, len: usize, offset: u64) -> Result<(), Why> {
        // Before a plain call too, so that what is not taken has an end.
        self.has_room()?;
        check_transfer(file, lease, len, offset)
    }

    fn full(&self, request: Request) -> Refused {
        let why = Why::Full { depth: self.depth };
        match request.into_lease() {
            Some(lease) => Refused { why, lease },
            None => unreachable!("a transfer has a lease"),
        }
    }

    fn transfer(&mut self, request: Request) -> Result<Ticket, Refused> {
        match self.start_one(request) {
            Ok(ticket) => Ok(ticket),
            Err(request) => Err(self.full(request)),
        }
    }
}
