//! Bytes that come and go, at every place of a file.

use std::fs;

use forebay_std::file::{ALIGN, Backend, Config, Done, Operation, Options};

use super::{Files, Random, moved, pattern, same};

/// Reads and writes of many lengths at many places, many at once and at last
/// all of them, against a model in memory. Those under way at once are of
/// different bytes, so that any order gives the same.
pub(super) fn any_order<B: Backend>(files: &mut Files<'_, B>) {
    const LANE: usize = 3 * 64 * 1024 + 77;
    const LANES: usize = 8;
    const ROUNDS: usize = 40;

    files.with(&Config { queue_depth: LANES, ..Config::default() });
    let mut model = pattern(1, LANES * LANE);
    let file = files.file("any-order", &model);
    let mut random = Random(7);
    for _ in 0..ROUNDS {
        let mut reads = Vec::new();
        for lane in 0..LANES {
            let mut lease = files.lease();
            let start = random.below(lease.len());
            let len = random.below(lease.len() - start + 1);
            let range = start..start + len;
            let place = lane * LANE + random.below(LANE - len);
            let offset = place as u64;
            let file = file.clone();
            if random.below(2) == 0 {
                let bytes = pattern(random.next(), len);
                lease[range.clone()].copy_from_slice(&bytes);
                model[place..place + len].copy_from_slice(&bytes);
                let ticket = files.submit(Operation::Write { file, lease, range, offset });
                reads.push((ticket, None, len));
            } else {
                lease[range.clone()].fill(0xEE);
                let ticket =
                    files.submit(Operation::Read { file, lease, range: range.clone(), offset });
                reads.push((ticket, Some((range, place)), len));
            }
        }
        while let Some((ticket, read, len)) = reads.pop() {
            let (result, lease) = files.end(ticket);
            assert_eq!(moved(result).unwrap(), len);
            let lease = lease.expect("the lease comes back");
            if let Some((range, place)) = read {
                same(&lease[range], &model[place..place + len]);
            }
        }
    }
    for data_only in [true, false] {
        let (result, lease) = files.done(Operation::Sync { file: file.clone(), data_only });
        assert!(matches!(result, Ok(Done::Synced)), "{result:?}");
        assert!(lease.is_none());
    }
    same(&fs::read(files.path("any-order")).unwrap(), &model);
}

/// Where a file ends, behind its end, and a hole.
pub(super) fn edges<B: Backend>(files: &mut Files<'_, B>) {
    let bytes = pattern(2, 10_000);
    let file = files.file("edges", &bytes);
    let before = files.backend().counts();
    same(&files.read(&file, 4096, 0).unwrap(), &bytes[..4096]);
    assert_eq!(files.backend().counts().short, before.short, "a whole read is not short");
    same(&files.read(&file, 4096, 8192).unwrap(), &bytes[8192..]);
    same(&files.read(&file, 1, 9999).unwrap(), &bytes[9999..]);
    for offset in [10_000, 10_001, 1 << 40] {
        same(&files.read(&file, 100, offset).unwrap(), &[]);
    }
    same(&files.read(&file, 0, 5).unwrap(), &[]);
    let after = files.backend().counts();
    assert_eq!(after.short - before.short, 4, "one read that the end cut, three behind it");
    assert_eq!(after.bytes - before.bytes, 4096 + 1808 + 1);

    assert_eq!(files.write(&file, b"", 20_000).unwrap(), 0);
    assert_eq!(len(files, &file), 10_000);
    assert_eq!(files.write(&file, b"behind a hole", 20_000).unwrap(), 13);
    assert_eq!(len(files, &file), 20_013);
    same(&files.read(&file, 20, 19_995).unwrap(), b"\0\0\0\0\0behind a hole");

    // An empty file is no error.
    let empty = files.file("empty", b"");
    same(&files.read(&empty, 10, 0).unwrap(), b"");
    assert_eq!(len(files, &empty), 0);
}

/// A file that loses its second half while its reads are under way: they give
/// bytes that were there, and no others.
pub(super) fn shrinking<B: Backend>(files: &mut Files<'_, B>) {
    const BLOCK: usize = 64 * 1024;
    const BLOCKS: usize = 64;
    const LEFT: usize = BLOCKS / 2 * BLOCK - 1000;

    let bytes = pattern(3, BLOCKS * BLOCK);
    let file = files.file("shrinking", &bytes);
    let tickets: Vec<_> = (0..BLOCKS)
        .map(|block| {
            let (file, lease) = (file.clone(), files.lease());
            let offset = (block * BLOCK) as u64;
            files.submit(Operation::Read { file, lease, range: 0..BLOCK, offset })
        })
        .collect();
    let shrunk = fs::File::options().write(true).open(files.path("shrinking")).unwrap();
    shrunk.set_len(LEFT as u64).unwrap();
    for (block, ticket) in tickets.into_iter().enumerate() {
        let (result, lease) = files.end(ticket);
        let len = moved(result).unwrap();
        let there = &bytes[block * BLOCK..];
        same_or_cleared(&lease.unwrap()[..len], there, LEFT.saturating_sub(block * BLOCK));
        assert!(len >= BLOCK.min(LEFT.saturating_sub(block * BLOCK)), "{len} bytes");
    }
    // From now on it is as short as it is.
    let offset = (LEFT - 100) as u64;
    same(&files.read(&file, BLOCK, offset).unwrap(), &bytes[LEFT - 100..LEFT]);
    same(&files.read(&file, BLOCK, LEFT as u64).unwrap(), &[]);
    assert_eq!(len(files, &file), LEFT as u64);
}

/// Behind the new end the system may have cleared what it is reading.
#[track_caller]
fn same_or_cleared(read: &[u8], there: &[u8], kept: usize) {
    let kept = kept.min(read.len());
    same(&read[..kept], &there[..kept]);
    let wrong =
        read.iter().zip(there).skip(kept).find(|(read, there)| **read != 0 && read != there);
    assert_eq!(wrong, None, "bytes that never were in the file");
}

/// Handles: cloned, attached, given up, and a new file in their place.
pub(super) fn handles<B: Backend>(files: &mut Files<'_, B>) {
    let file = files.file("handles", b"one");
    let clone = file.clone();
    let (result, lease) = files.done(Operation::Close { file });
    assert!(matches!(result, Ok(Done::Closed)), "{result:?}");
    assert!(lease.is_none());
    same(&files.read(&clone, 10, 0).unwrap(), b"one");

    let path = files.path("attached");
    fs::write(&path, b"attached").unwrap();
    let attached = files.backend().attach(fs::File::open(&path).unwrap()).unwrap();
    same(&files.read(&attached, 10, 0).unwrap(), b"attached");

    // The descriptor of a file that was closed is that of the next one; an
    // operation that was submitted before must still be of the first.
    for number in 0..200_u32 {
        let content = number.to_le_bytes();
        let file = files.file("reused", &content);
        let lease = files.lease();
        let read =
            files.submit(Operation::Read { file: file.clone(), lease, range: 0..4, offset: 0 });
        let close = files.submit(Operation::Close { file });
        let other = files.open(files.path("handles"), Options::READ).unwrap();
        let (result, lease) = files.end(read);
        assert_eq!(moved(result).unwrap(), 4);
        same(&lease.unwrap()[..4], &content);
        assert!(matches!(files.end(close).0, Ok(Done::Closed)));
        same(&files.read(&other, 3, 0).unwrap(), b"one");
    }
}

pub(super) fn unbuffered<B: Backend>(files: &mut Files<'_, B>, flags: u32) {
    let bytes = pattern(4, 5 * ALIGN);
    let path = files.path("unbuffered");
    let options = Options {
        read: true,
        write: true,
        create: true,
        truncate: true,
        flags,
        ..Options::default()
    };
    let file = files.open(&path, options).unwrap();
    assert_eq!(files.write(&file, &bytes, 0).unwrap(), bytes.len());
    same(&files.read(&file, 2 * ALIGN, ALIGN as u64).unwrap(), &bytes[ALIGN..3 * ALIGN]);
    same(&fs::read(&path).unwrap(), &bytes);
    // The end is no multiple of anything.
    fs::File::options().write(true).open(&path).unwrap().set_len(4 * ALIGN as u64 + 5).unwrap();
    same(&files.read(&file, ALIGN, 4 * ALIGN as u64).unwrap(), &bytes[4 * ALIGN..][..5]);
}

#[track_caller]
fn len<B: Backend>(files: &mut Files<'_, B>, file: &B::File) -> u64 {
    match files.done(Operation::Len { file: file.clone() }) {
        (Ok(Done::Len(len)), None) => len,
        other => panic!("{other:?} of a file's length"),
    }
}
