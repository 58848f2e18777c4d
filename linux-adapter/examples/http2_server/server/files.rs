//! Files under one directory, and none outside of it.

#[path = "../../shared/beneath.rs"]
pub(crate) mod beneath;

use std::{
    fs::File,
    io,
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::Path,
};

use rustix::{
    fs::{FileType, Mode, OFlags, fstat, open},
    io::Errno,
};

use self::beneath::open_beneath;

/// The directory that is served.
pub(crate) struct Root {
    directory: OwnedFd,
}

/// A regular file and its length when it was opened.
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) len: u64,
}

impl Opened {
    /// Reads exactly `len` bytes from `at` on. A file that has become shorter
    /// is an error.
    pub(crate) fn read(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { directory: open(path, flags, Mode::empty())? })
    }

    /// Opens the regular file that a request's path names; `None` when there
    /// is none.
    ///
    /// # Errors
    ///
    /// What this process or this machine has no more of, for now.
    pub(crate) fn file(&self, path: &[u8]) -> io::Result<Option<Opened>> {
        let Some(name) = relative(path) else { return Ok(None) };
        // A FIFO without a writer must not block.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match open_beneath(&self.directory, &name, flags) {
            Ok(file) => File::from(file),
            Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => return Err(error.into()),
            Err(_) => return Ok(None),
        };
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        Ok(Some(Opened { file, len: u64::try_from(stat.st_size).unwrap_or(0) }))
    }
}

/// A request's path as a name under the directory: without its query, percent
/// decoded, `index.html` for a directory. `None` for one that is no such name.
pub(crate) fn relative(path: &[u8]) -> Option<Vec<u8>> {
    let path = path.split(|&byte| byte == b'?').next()?.strip_prefix(b"/")?;
    let mut name = decode(path)?;
    if name.is_empty() || name.ends_with(b"/") {
        name.extend(b"index.html");
    }
    let good = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
    name.split(|&byte| byte == b'/').all(good).then_some(name)
}

fn decode(path: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    Some(decoded)
}
