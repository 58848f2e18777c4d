//! Names of clients as files below one directory, and below it only.

#[path = "../shared/beneath.rs"]
mod beneath;

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::Path,
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, RenameFlags, fstat, open, openat, renameat_with, statat,
        unlinkat,
    },
    io::Errno,
};

use self::beneath::open_beneath;
use super::packet::{Code, Refusal, refusal};

/// The longest name of a file in a directory (`NAME_MAX`).
const COMPONENT_LEN_MAX: usize = 255;
/// How a write is called until it is whole. No client sees such files.
const UNFINISHED: &str = ".tftp-unfinished-";

/// What becomes of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    /// None is accepted.
    Refused,
    /// Files that do not exist yet.
    New,
    /// Any file.
    Any,
}

/// The directory whose files are served.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
    writes: Writes,
}

impl Root {
    pub(crate) fn open(path: &Path, writes: Writes) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { directory: open(path, flags, Mode::empty())?, writes })
    }

    /// Opens a file to read; and its length.
    pub(crate) fn read(&self, name: &[u8]) -> Result<(File, u64), Refusal> {
        let (parent, leaf) = split(name)?;
        // What is no file shall not make anybody wait (fifo(7)).
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let path = [parent, leaf].concat();
        let file = open_beneath(&self.directory, &path, flags).map_err(refused)?;
        let stat = fstat(&file).map_err(refused)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(refusal(Code::AccessViolation, "it is no file"));
        }
        Ok((file.into(), u64::try_from(stat.st_size).unwrap_or(0)))
    }

    /// Begins a file.
    pub(crate) fn write(&self, name: &[u8]) -> Result<Unfinished, Refusal> {
        if self.writes == Writes::Refused {
            return Err(refusal(Code::AccessViolation, "nothing is written here"));
        }
        let (parent, leaf) = split(name)?;
        let parent = parent.strip_suffix(b"/").unwrap_or(b".");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open_beneath(&self.directory, parent, flags).map_err(refused)?;
        match statat(&directory, leaf, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) if self.writes == Writes::New => return Err(exists()),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
                return Err(refusal(Code::AccessViolation, "it is no file"));
            }
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(refused(error)),
        }
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let temporary = format!("{UNFINISHED}{}-{count}", process::id());
            match openat(&directory, &temporary, flags, Mode::from_raw_mode(0o644)) {
                // Of a process that was killed.
                Err(Errno::EXIST) => {}
                Err(error) => return Err(refused(error)),
                Ok(file) => {
                    let replaces = self.writes == Writes::Any;
                    let leaf = leaf.to_vec();
                    return Ok(Unfinished {
                        file: file.into(),
                        directory,
                        temporary,
                        leaf,
                        replaces,
                    });
                }
            }
        }
    }
}

/// A file that is being written. Unless it is kept, it goes.
#[derive(Debug)]
pub(crate) struct Unfinished {
    file: File,
    directory: OwnedFd,
    temporary: String,
    leaf: Vec<u8>,
    replaces: bool,
}

impl Unfinished {
    /// Another descriptor of it, to write to.
    pub(crate) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Puts the file, which is whole, in its place.
    pub(crate) fn keep(mut self) -> Result<(), Refusal> {
        let flags = if self.replaces { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        renameat_with(&self.directory, &self.temporary, &self.directory, &self.leaf[..], flags)
            .map_err(|error| if error == Errno::EXIST { exists() } else { refused(error) })?;
        self.temporary.clear();
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.temporary.is_empty() {
            let _ = unlinkat(&self.directory, &self.temporary, AtFlags::empty());
        }
    }
}

/// The directories of a name, with the last slash, and what is behind them.
fn split(name: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let outside = Err(refusal(Code::AccessViolation, "the name leads out of the directory"));
    if name.first() == Some(&b'/') {
        return outside;
    }
    for component in name.split(|&byte| byte == b'/') {
        match component {
            b".." => return outside,
            b"" | b"." => return Err(refusal(Code::AccessViolation, "the name is none of a file")),
            _ if component.len() > COMPONENT_LEN_MAX => {
                return Err(refusal(Code::AccessViolation, "the name is too long"));
            }
            _ if component.contains(&0) || component.starts_with(UNFINISHED.as_bytes()) => {
                return Err(refusal(Code::AccessViolation, "the name is reserved"));
            }
            _ => {}
        }
    }
    let leaf = name.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
    Ok(name.split_at(leaf))
}

fn exists() -> Refusal {
    refusal(Code::Exists, "the file exists")
}

/// What a client is told of an error of a file that is open.
pub(crate) fn failed(error: &io::Error) -> Refusal {
    Errno::from_io_error(error).map_or(refusal(Code::Undefined, "the file failed"), refused)
}

fn refused(error: Errno) -> Refusal {
    match error {
        Errno::NOENT | Errno::NOTDIR => refusal(Code::NotFound, "there is no such file"),
        Errno::ACCESS | Errno::PERM | Errno::ROFS => {
            refusal(Code::AccessViolation, "the file may not be accessed")
        }
        Errno::XDEV | Errno::LOOP => {
            refusal(Code::AccessViolation, "the name leads out of the directory")
        }
        Errno::NAMETOOLONG => refusal(Code::AccessViolation, "the name is too long"),
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => refusal(Code::DiskFull, "the disk is full"),
        Errno::ISDIR => refusal(Code::AccessViolation, "it is no file"),
        _ => refusal(Code::Undefined, "the file failed"),
    }
}
