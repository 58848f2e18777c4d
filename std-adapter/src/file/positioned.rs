//! One read or write at an offset, whatever the system calls it.
//!
//! The file's own position is not used, so that several threads can work on
//! one file; on Windows it is moved all the same.

#[cfg(any(unix, windows))]
use std::{fs::File, io};

#[cfg(unix)]
pub(super) fn read(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, offset)
}

#[cfg(unix)]
pub(super) fn write(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, offset)
}

#[cfg(windows)]
pub(super) fn read(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, offset)
}

#[cfg(windows)]
pub(super) fn write(file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset)
}

/// Systems of which `std` knows no positioned I/O: the position is moved, one
/// operation at a time.
#[cfg(any(test, not(any(unix, windows))))]
mod seeking {
    use std::{
        fs::File,
        io::{self, Read, Seek, SeekFrom, Write},
        sync::{Mutex, PoisonError},
    };

    static TURN: Mutex<()> = Mutex::new(());

    pub(in super::super) fn read(
        mut file: &File,
        bytes: &mut [u8],
        offset: u64,
    ) -> io::Result<usize> {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.read(bytes)
    }

    pub(in super::super) fn write(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.write(bytes)
    }
}

#[cfg(not(any(unix, windows)))]
pub(super) use seeking::{read, write};

#[cfg(test)]
mod tests {
    use std::{fs, io};

    use super::{read, seeking, write};

    #[test]
    fn both_ways_move_the_same_bytes() -> io::Result<()> {
        let path = std::env::temp_dir().join(format!("forebay-positioned-{}", std::process::id()));
        let file =
            fs::File::options().create(true).truncate(true).read(true).write(true).open(&path)?;
        fs::remove_file(&path)?;
        assert_eq!(write(&file, b"one two", 3)?, 7);
        assert_eq!(seeking::write(&file, b"ONE", 3)?, 3);
        let (mut there, mut seeked) = ([0; 9], [0; 9]);
        assert_eq!(read(&file, &mut there, 2)?, 8);
        assert_eq!(seeking::read(&file, &mut seeked, 2)?, 8);
        assert_eq!(&there, b"\0ONE two\0");
        assert_eq!(there, seeked);
        Ok(())
    }
}
