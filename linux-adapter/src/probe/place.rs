//! What the file system of a path allows.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, IoSliceMut},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, fstatfs, major, minor, openat, statx},
    io::{Errno, ReadWriteFlags, preadv2},
};

/// Whether files can be read and written past the page cache (`O_DIRECT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direct {
    /// They can; addresses, and offsets and lengths, are multiples of these.
    /// Without `STATX_DIOALIGN` (Linux 6.1) the file system does not say of
    /// which.
    Possible {
        /// What an address in memory is a multiple of, in bytes.
        memory: Option<u32>,
        /// What an offset and a length are multiples of, in bytes.
        offset: Option<u32>,
    },
    /// They cannot.
    Impossible,
}

impl Direct {
    /// What the file system says of a file that is open so
    /// (`STATX_DIOALIGN`).
    pub(crate) fn of(file: impl AsFd) -> Result<Self, Errno> {
        let status = match statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN) {
            Ok(status) => status,
            // Linux before 4.11, and filters that do not know the call.
            Err(Errno::NOSYS | Errno::PERM) => {
                return Ok(Self::Possible { memory: None, offset: None });
            }
            Err(error) => return Err(error),
        };
        let told = status.stx_mask & StatxFlags::DIOALIGN.bits() != 0;
        Ok(match (status.stx_dio_mem_align, status.stx_dio_offset_align) {
            (0, _) | (_, 0) if told => Self::Impossible,
            (memory, offset) if told => {
                Self::Possible { memory: Some(memory), offset: Some(offset) }
            }
            _ => Self::Possible { memory: None, offset: None },
        })
    }
}

/// What the file system of a path allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its kind as a number (`statfs(2)`), see
    /// [`file_system`](Place::file_system).
    pub magic: u64,
    /// Reading and writing past the page cache.
    pub direct: Direct,
    /// Whether a read says that it would have to wait (`RWF_NOWAIT`,
    /// `preadv2(2)`).
    pub nowait: bool,
    /// Whether its device can be polled for completions
    /// (`/sys/dev/block/*/queue/io_poll`); `None` without a block device.
    pub polls: Option<bool>,
}

impl Place {
    /// Looks at the file at `path`, or for a directory at a new file in it,
    /// which has no name and is gone at once.
    ///
    /// # Errors
    ///
    /// What the system reports of opening these.
    pub fn look(path: &Path) -> io::Result<Self> {
        let directory = fs::metadata(path)?.is_dir();
        let (file, direct) = if directory {
            let make = |flags| {
                let mode = Mode::RUSR | Mode::WUSR;
                openat(CWD, path, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC | flags, mode)
            };
            let file = File::from(make(OFlags::empty())?);
            // A page, so that there is something to read.
            io::Write::write_all(&mut &file, &[0; 4096])?;
            (file, make(OFlags::DIRECT).map(File::from).map_err(io::Error::from))
        } else {
            let direct = OFlags::DIRECT.bits().cast_signed();
            let direct = File::options().read(true).custom_flags(direct).open(path);
            (File::open(path)?, direct)
        };
        let direct = match direct {
            Ok(file) => Direct::of(&file)?,
            Err(error) if error.kind() == ErrorKind::InvalidInput => Direct::Impossible,
            Err(error) => return Err(error),
        };
        let magic = fstatfs(&file)?.f_type;
        #[allow(
            clippy::unnecessary_cast,
            clippy::cast_sign_loss,
            reason = "its type differs by target"
        )]
        let magic = magic as u64 & 0xFFFF_FFFF;
        Ok(Self { magic, direct, nowait: nowait(&file)?, polls: polls(&file)? })
    }

    /// The kind of the file system, if it is a common one.
    #[must_use]
    pub fn file_system(&self) -> Option<&'static str> {
        // linux/magic.h, and the file systems' own headers.
        Some(match self.magic {
            0xEF53 => "ext4",
            0x5846_5342 => "xfs",
            0x9123_683E => "btrfs",
            0x0102_1994 => "tmpfs",
            0x794C_7630 => "overlayfs",
            0x6969 => "nfs",
            0xF2F5_2010 => "f2fs",
            0x2FC1_2FC1 => "zfs",
            0x6573_5546 => "fuse",
            0x0102_1997 => "9p",
            _ => return None,
        })
    }
}

fn nowait(file: &File) -> io::Result<bool> {
    let mut byte = [0];
    match preadv2(file, &mut [IoSliceMut::new(&mut byte)], 0, ReadWriteFlags::NOWAIT) {
        Ok(_) | Err(Errno::AGAIN) => Ok(true),
        // The file system's no, and that of a kernel before 4.14 or a filter.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn polls(file: &File) -> io::Result<Option<bool>> {
    let device = rustix::fs::fstat(file)?.st_dev;
    let at = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    // A partition has no queue of its own, its disk is above it.
    for queue in [format!("{at}/queue/io_poll"), format!("{at}/../queue/io_poll")] {
        if let Ok(text) = fs::read_to_string(queue) {
            return Ok(Some(text.trim() == "1"));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_directories_are_looked_at() {
        let dir = std::env::temp_dir();
        let place = Place::look(&dir).unwrap();
        let path = dir.join(format!("forebay-place-{}", std::process::id()));
        fs::write(&path, [0; 4096]).unwrap();
        let file = Place::look(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(place, file);
        if let Direct::Possible { memory: Some(memory), offset: Some(offset) } = place.direct {
            assert!(memory.is_power_of_two() && offset.is_power_of_two(), "{place:?}");
        }
        let absent = Place::look(&path).unwrap_err();
        assert_eq!(absent.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn proc_has_no_direct_files() {
        let place = Place::look(Path::new("/proc/self/status")).unwrap();
        assert_eq!((place.direct, place.polls), (Direct::Impossible, None));
        assert_eq!(place.file_system(), None);
    }
}
