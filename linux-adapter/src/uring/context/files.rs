//! Files come and go, and are asked.

use std::{
    ffi::CString,
    os::{
        fd::{IntoRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, StatxFlags, fdatasync, fsync, statx},
    io_uring::IoringSetupFlags,
};

use super::{
    super::{
        config::{Degraded, Feature},
        driver::Request,
        file::{File, OpenOptions},
        outcome::Why,
        plain::negative,
        scratch::Scratch,
        slots::Ticket,
        table::Place,
    },
    Context,
};

impl Context {
    /// Takes over an open file, and registers it while there is room for it,
    /// so that the kernel need not look it up for each operation.
    pub fn adopt(&mut self, fd: impl Into<OwnedFd>) -> File {
        let fd = fd.into();
        let flags = rustix::fs::fcntl_getfl(&fd).unwrap_or(rustix::fs::OFlags::empty());
        let place = self.place(&fd);
        File::new(fd, flags.contains(rustix::fs::OFlags::DIRECT), place)
    }

    /// Queues an open.
    ///
    /// # Errors
    ///
    /// [`Why`] not.
    pub fn open(&mut self, path: impl AsRef<Path>, options: OpenOptions) -> Result<Ticket, Why> {
        let path = path.as_ref().as_os_str().as_bytes();
        let wrong = Why::Path { len: path.len() };
        let path = CString::new(path).map_err(|_| wrong)?;
        if !Scratch::takes_path(&path) {
            return Err(wrong);
        }
        if self.by_plain_calls() {
            self.has_room()?;
            let result = match options.open(&path) {
                Ok(fd) => fd.into_raw_fd(),
                Err(errno) => negative(errno),
            };
            return self.done(Request::Open { path, options }, result);
        }
        self.start(Request::Open { path, options })
    }

    /// Queues a question for the metadata.
    ///
    /// # Errors
    ///
    /// [`Why`] not.
    pub fn status(&mut self, file: &File) -> Result<Ticket, Why> {
        if self.by_plain_calls() {
            self.has_room()?;
            let status = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS);
            let result = status.as_ref().map_or_else(|errno| negative(*errno), |_| 0);
            let known = status.ok().map(Box::new);
            return self.done(Request::Status { file: file.clone(), known }, result);
        }
        self.start(Request::Status { file: file.clone(), known: None })
    }

    /// Queues a sync: of the data and what is needed to find it
    /// (`fdatasync(2)`), or of all metadata too.
    ///
    /// # Errors
    ///
    /// [`Why`] not.
    pub fn sync(&mut self, file: &File, data_only: bool) -> Result<Ticket, Why> {
        let request = Request::Sync { file: file.clone(), data_only };
        if self.driver.has(IoringSetupFlags::IOPOLL) {
            self.has_room()?;
            let result = if data_only { fdatasync(file) } else { fsync(file) };
            return self.done(request, result.map_or_else(negative, |()| 0));
        }
        self.start(request)
    }

    // ------------------------------------------------------------- details

    /// A place in the table, if there is one.
    pub(super) fn place(&mut self, fd: &OwnedFd) -> Option<Place> {
        self.driver.place(fd).unwrap_or_else(|errno| {
            self.lacks.push(Degraded { feature: Feature::RegisteredFiles, errno });
            None
        })
    }

    /// Whether the ring is not for opens and metadata.
    fn by_plain_calls(&self) -> bool {
        self.driver.has(IoringSetupFlags::IOPOLL)
            || self.lacks.iter().any(|lack| lack.feature == Feature::OpenAndStatus)
    }
}
