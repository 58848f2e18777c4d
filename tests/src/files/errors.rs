//! What the system refuses, told with the system's own number.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use forebay_std::file::{Backend, Config, Operation, Options};

use super::{Files, moved, pattern, run, same};

/// Each refusal of `open(2)`, as `std` tells it on the same file.
pub(super) fn opening<B: Backend>(files: &mut Files<'_, B>) {
    let file = files.path("opening-file");
    fs::write(&file, b"there").unwrap();
    let closed = files.path("opening-closed");
    fs::write(&closed, b"there").unwrap();
    shut(&closed);
    let write = Options { write: true, ..Options::default() };
    let create_new = Options { write: true, create_new: true, ..Options::default() };
    let cases = [
        (files.path("absent"), Options::READ, Some(ErrorKind::NotFound)),
        (files.path("absent/below"), Options::CREATE, Some(ErrorKind::NotFound)),
        (file.join("below"), Options::READ, Some(ErrorKind::NotADirectory)),
        (files.dir.to_owned(), write, Some(ErrorKind::IsADirectory)),
        (file.clone(), create_new, Some(ErrorKind::AlreadyExists)),
        // Not refused to root.
        (closed.clone(), Options::READ, None),
        (closed, write, None),
        (files.dir.join("n".repeat(300)), Options::CREATE, None),
        ("nul\0inside".into(), Options::READ, None),
        (file, Options::default(), None),
    ];
    for (path, options, kind) in cases {
        let expected = options.open(&path).map(drop);
        if let (Some(kind), Err(error)) = (kind, &expected) {
            assert_eq!(error.kind(), kind, "{}", path.display());
        }
        assert!(kind.is_none() || expected.is_err(), "{} is opened", path.display());
        let opened = files.open(&path, options).map(drop);
        same_error(&path.display().to_string(), opened, expected);
    }
    same(&fs::read(files.path("opening-file")).unwrap(), b"there");
}

/// Each refusal of reading, writing and syncing.
pub(super) fn moving<B: Backend>(files: &mut Files<'_, B>) {
    let path = files.path("moving");
    fs::write(&path, b"there").unwrap();
    let counts = files.backend().counts();

    let reader = files.open(&path, Options::READ).unwrap();
    let refused = files.write(&reader, b"x", 0).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(EBADF), "{refused}");
    let writer = files.open(&path, Options { write: true, ..Options::default() }).unwrap();
    let refused = files.read(&writer, 1, 0).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(EBADF), "{refused}");

    let directory = files.open(files.dir, Options::READ).unwrap();
    let refused = files.read(&directory, 1, 0).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::IsADirectory, "{refused}");

    // An offset is a signed number to the system, and a file has a greatest
    // length.
    for offset in [1 << 63, u64::MAX] {
        let refused = files.read(&reader, 1, offset).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(EINVAL), "{refused}");
    }
    let refused = files.write(&writer, b"x", i64::MAX as u64).unwrap_err();
    assert!(matches!(refused.raw_os_error(), Some(EINVAL | EFBIG)), "{refused}");

    assert_eq!(files.backend().counts().failed - counts.failed, 6);
    same(&fs::read(path).unwrap(), b"there");
}

/// A device that is full, as far as any user has one.
pub(super) fn no_room<B: Backend>(files: &mut Files<'_, B>) {
    let full = Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    let file = files.open(full, Options { write: true, ..Options::default() }).unwrap();
    for len in [1, 4096, 65_536] {
        let refused = files.write(&file, &vec![1; len], 0).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StorageFull, "{refused}");
    }
}

/// Checks what the backends that `make` makes do on a file system that is
/// filled to its end, which is that of `dir`: every write says how much of it
/// is there.
///
/// # Panics
///
/// When it is not so, or the file system takes more than `capacity`.
pub fn full_disk<B: Backend>(dir: &Path, capacity: u64, make: impl Fn(&Config) -> B) {
    run("a full disk", dir, &make, |files| {
        let path = files.path("filling");
        let file = files.open(&path, Options::CREATE).unwrap();
        let bytes = pattern(5, 60_000);
        let mut model = Vec::new();
        let mut cut = 0;
        let refused = loop {
            match files.write(&file, &bytes, model.len() as u64) {
                Ok(len) => {
                    assert!(len > 0, "nothing written, and no error");
                    cut += u32::from(len < bytes.len());
                    model.extend_from_slice(&bytes[..len]);
                }
                Err(error) => break error,
            }
            assert!(model.len() as u64 <= capacity, "more than there is room for");
        };
        assert!(
            matches!(refused.kind(), ErrorKind::StorageFull | ErrorKind::FileTooLarge),
            "{refused}"
        );
        assert!(cut <= 1, "{cut} writes were cut");
        assert_eq!(files.backend().counts().short, u64::from(cut));
        same(&fs::read(&path).unwrap(), &model);

        // Room that is made is used.
        let shorter = fs::File::options().write(true).open(&path).unwrap();
        shorter.set_len(model.len() as u64 - 8192).unwrap();
        let offset = model.len() as u64 - 8192;
        assert_eq!(files.write(&file, &bytes[..4096], offset).unwrap(), 4096);
        let lease = files.lease();
        let (result, _) = files.done(Operation::Write { file, lease, range: 0..0, offset: 0 });
        assert_eq!(moved(result).unwrap(), 0);
    });
}

// Linux, macOS and Windows' C library agree on these.
const EBADF: i32 = 9;
const EINVAL: i32 = 22;
const EFBIG: i32 = 27;

/// Takes all rights to a file away.
fn shut(path: &Path) {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    #[cfg(not(unix))]
    let _ = path;
}

#[track_caller]
fn same_error(what: &str, left: io::Result<()>, right: io::Result<()>) {
    let told = |result: &io::Result<()>| match result {
        Ok(()) => None,
        Err(error) => Some((error.kind(), error.raw_os_error())),
    };
    assert_eq!(told(&left), told(&right), "{what}: {left:?}, and by std {right:?}");
}
