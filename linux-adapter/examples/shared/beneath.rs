//! Opening what lies beneath a directory, and nothing outside of it.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat, openat2},
    io::{Errno, Result},
};

/// Opens `name`, which has no component `..`, from `directory` on.
///
/// The kernel keeps the whole way beneath it, symbolic links and all
/// (openat2(2)). Where there is no such call, or a filter forbids it, no link
/// is followed at all.
pub(crate) fn open_beneath(directory: &OwnedFd, name: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match openat2(directory, name, flags, Mode::empty(), beneath) {
        Err(Errno::NOSYS | Errno::PERM) => open_by_steps(directory, name, flags),
        result => result,
    }
}

/// The way without that call.
pub(crate) fn open_by_steps(directory: &OwnedFd, name: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let mut parts = name.split(|&byte| byte == b'/').peekable();
    let mut at = None;
    while let Some(part) = parts.next() {
        let from = at.as_ref().unwrap_or(directory);
        if parts.peek().is_none() {
            return openat(from, part, flags | OFlags::NOFOLLOW, Mode::empty());
        }
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        at = Some(openat(from, part, step, Mode::empty())?);
    }
    Err(Errno::NOENT)
}
