//! The files of a copy: the source, the partial file, the manifest.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, Permissions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FallocateFlags, FlockOperation, OFlags, fallocate, flock},
    io::Errno,
};

use super::manifest::Identity;

/// An error of a file, with its name.
#[derive(Debug)]
pub(super) struct At {
    pub(super) path: PathBuf,
    pub(super) error: io::Error,
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.error)
    }
}

impl std::error::Error for At {}

/// Names the file of an error.
pub(super) fn at<T>(path: &Path, result: Result<T, impl Into<io::Error>>) -> Result<T, At> {
    result.map_err(|error| At { path: path.to_owned(), error: error.into() })
}

/// Opens for reading, and for unbuffered reading if the file is `direct`.
pub(super) fn open(path: &Path, direct: bool) -> Result<File, At> {
    // A pipe would be waited for.
    identity(path, fs::metadata(path))?;
    at(
        path,
        unbuffered_or(File::options().read(true).custom_flags(flags(direct)).open(path), direct),
    )
}

fn flags(direct: bool) -> i32 {
    if direct { OFlags::DIRECT.bits().cast_signed() } else { 0 }
}

fn unbuffered_or(opened: io::Result<File>, direct: bool) -> io::Result<File> {
    match opened {
        Err(error) if direct && error.kind() == ErrorKind::InvalidInput => {
            Err(io::Error::other("this file system has no unbuffered files (--direct)"))
        }
        opened => opened,
    }
}

/// What a file is by its metadata; an error for all but regular ones.
pub(super) fn identity(path: &Path, metadata: io::Result<Metadata>) -> Result<Identity, At> {
    let metadata = at(path, metadata)?;
    if !metadata.is_file() {
        return at(path, Err(io::Error::other("not a regular file")));
    }
    Ok(Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
        len: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// An error if a file has more than its `len` bytes, as those of `/proc` have
/// and one that grows.
pub(super) fn ends_at(path: &Path, file: &File, len: u64) -> Result<(), At> {
    match file.read_at(&mut [0], len) {
        Ok(0) => Ok(()),
        Ok(_) => {
            at(path, Err(io::Error::other(format!("has more than the {len} bytes of its length"))))
        }
        Err(error) => at(path, Err(error)),
    }
}

/// `path` with more at the end of its name.
fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(more);
    name.into()
}

/// The files that a copy has until it is whole.
#[derive(Debug)]
pub(super) struct Unfinished {
    target: PathBuf,
    pub(super) partial_path: PathBuf,
    /// For reading and writing.
    pub(super) partial: File,
    manifest_path: PathBuf,
    /// Locked, so that no two copies write one target.
    manifest: File,
}

impl Unfinished {
    /// Opens or makes them.
    pub(super) fn open(target: &Path, direct: bool) -> Result<Self, At> {
        let manifest_path = beside(target, ".forebay-chunks");
        let mut options = File::options();
        // Nobody else's until it is known who may read it.
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let manifest = loop {
            let manifest = at(&manifest_path, options.open(&manifest_path))?;
            match flock(&manifest, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    let error = io::Error::other("another copy to this target is under way");
                    return at(&manifest_path, Err(error));
                }
                Err(error) => return at(&manifest_path, Err(error)),
            }
            // A copy that ended meanwhile has removed its own.
            if fs::metadata(&manifest_path)
                .is_ok_and(|there| manifest.metadata().is_ok_and(|mine| mine.ino() == there.ino()))
            {
                break manifest;
            }
        };
        let partial_path = beside(target, ".forebay-partial");
        let partial = options.custom_flags(flags(direct)).open(&partial_path);
        let partial = at(&partial_path, unbuffered_or(partial, direct))?;
        Ok(Self { target: target.to_owned(), partial_path, partial, manifest_path, manifest })
    }

    /// What the manifest has.
    pub(super) fn recorded(&mut self) -> Result<Vec<u8>, At> {
        let mut text = Vec::new();
        at(&self.manifest_path, self.manifest.read_to_end(&mut text))?;
        Ok(text)
    }

    /// Empties both, and writes the manifest's head.
    pub(super) fn begin_anew(&mut self, head: &str) -> Result<(), At> {
        at(&self.partial_path, self.partial.set_len(0))?;
        at(&self.manifest_path, self.manifest.set_len(0))?;
        at(&self.manifest_path, io::Seek::rewind(&mut self.manifest))?;
        self.record(head)
    }

    /// Goes on behind the last whole line.
    pub(super) fn go_on(&mut self, recorded: &[u8]) -> Result<(), At> {
        let whole = recorded.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        at(&self.manifest_path, self.manifest.set_len(whole as u64))?;
        let end = io::SeekFrom::Start(whole as u64);
        at(&self.manifest_path, io::Seek::seek(&mut self.manifest, end)).map(drop)
    }

    /// Adds lines to the manifest.
    pub(super) fn record(&mut self, lines: &str) -> Result<(), At> {
        at(&self.manifest_path, self.manifest.write_all(lines.as_bytes()))
    }

    /// Takes the room that the file will need, where the file system can; a
    /// full disk is an error now and not after an hour.
    pub(super) fn reserve(&self, len: u64) -> Result<(), At> {
        if len == 0 {
            return Ok(());
        }
        match fallocate(&self.partial, FallocateFlags::KEEP_SIZE, 0, len) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => Ok(()),
            Err(error) => {
                // What it did find is for others.
                let len = self.partial.metadata().and_then(|it| self.partial.set_len(it.len()));
                at(&self.partial_path, len)?;
                at(&self.partial_path, Err(error))
            }
        }
    }

    /// Gives the partial file its length, and the rights of the source, but for
    /// those that go with its owner (set-user-id). Then it is to be synced.
    pub(super) fn complete(&self, len: u64, mode: u32) -> Result<(), At> {
        at(&self.partial_path, self.partial.set_len(len))?;
        let permissions = Permissions::from_mode(mode & 0o777);
        at(&self.partial_path, self.partial.set_permissions(permissions))
    }

    /// Gives the partial file, which is on the device, the target's name.
    pub(super) fn finish(self) -> Result<(), At> {
        at(&self.target, fs::rename(&self.partial_path, &self.target))?;
        at(&self.manifest_path, fs::remove_file(&self.manifest_path))?;
        let directory = match self.target.parent() {
            Some(path) if path != Path::new("") => path,
            _ => Path::new("."),
        };
        at(directory, File::open(directory).and_then(|directory| directory.sync_all()))
    }
}
