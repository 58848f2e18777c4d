//! `forebay copy` on real files: of every size, interrupted, damaged, refused.

mod common;

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use common::{Dir, Running, assert_same, await_that, forebay, read, stderr, watch};
use rustix::{
    fs::{FlockOperation, flock},
    process::Signal,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

const CHUNK: usize = 4096;
const BACKENDS: [&str; 3] = ["auto", "uring", "threads"];

/// The backends that there are here.
fn backends() -> impl Iterator<Item = &'static str> {
    let dir = Dir::new();
    fs::write(dir.path("source"), b"bytes").unwrap();
    let done = copy(&dir, &["--backend", "uring"]);
    let has_uring = done.status.success();
    if !has_uring {
        println!("SKIPPED: {}", stderr(&done).trim());
    }
    BACKENDS.into_iter().filter(move |name| has_uring || *name != "uring")
}

/// Copies `source` to `target` in the directory.
fn copy(dir: &Dir, more: &[&str]) -> Output {
    let child = forebay(&["copy"])
        .args([dir.path("source"), dir.path("target")])
        .args(more)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _watch = watch(&child);
    child.wait_with_output().unwrap()
}

#[track_caller]
fn succeeds(done: &Output) {
    assert!(done.status.success(), "{}: {}", done.status, stderr(done));
}

#[track_caller]
fn fails(done: &Output, status: i32, text: &str) {
    assert_eq!(done.status.code(), Some(status), "{}", stderr(done));
    assert!(stderr(done).contains(text), "no '{text}' in: {}", stderr(done));
}

/// How many chunks were kept, of how many.
#[track_caller]
fn kept(done: &Output) -> (usize, usize) {
    succeeds(done);
    let line = stderr(done).lines().find_map(|line| line.strip_prefix("copied: ")).unwrap();
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
    let all = numbers.next().unwrap();
    (numbers.next().unwrap(), all)
}

fn bytes(len: usize) -> Vec<u8> {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut step = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| step().to_le_bytes()).collect();
    bytes.truncate(len);
    bytes
}

/// The names in a directory.
fn names(dir: &Dir) -> Vec<String> {
    let entries = fs::read_dir(dir.path("")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Hashes that are on record.
fn recorded(dir: &Dir) -> usize {
    let text = fs::read_to_string(dir.path("target.forebay-chunks")).unwrap_or_default();
    // Behind the three lines of the head.
    text.lines().count().saturating_sub(3)
}

fn flip(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}

#[test]
fn files_of_every_size() {
    let sizes = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK, 5 * CHUNK + 17, 200 * CHUNK + 511];
    for backend in backends() {
        for direct in [&[][..], &["--direct"]] {
            for len in sizes {
                let dir = Dir::new();
                let content = bytes(len);
                fs::write(dir.path("source"), &content).unwrap();
                let rights = fs::Permissions::from_mode(0o640);
                fs::set_permissions(dir.path("source"), rights.clone()).unwrap();
                let how = [&["--backend", backend, "--chunk", "4096"], direct].concat();
                assert_eq!(kept(&copy(&dir, &how)), (0, len.div_ceil(CHUNK)), "{how:?} {len}");
                assert_same(&read(&dir.path("target")), &content);
                let there = fs::metadata(dir.path("target")).unwrap().permissions();
                assert_eq!(there.mode() & 0o7777, 0o640);
                assert_eq!(names(&dir), ["source", "target"]);

                succeeds(&copy(&dir, &[&how[..], &["--verify"]].concat()));
                // Again, over what is there.
                assert_eq!(kept(&copy(&dir, &how)), (0, len.div_ceil(CHUNK)));
                assert_same(&read(&dir.path("target")), &content);
            }
        }
    }
}

/// 64 MiB with the defaults, at the least depth, and deeper than it has chunks.
#[test]
fn a_large_file() {
    let dir = Dir::new();
    let content = bytes((64 << 20) + 12_345);
    fs::write(dir.path("source"), &content).unwrap();
    for how in [&[][..], &["--queue-depth", "1"], &["--queue-depth", "100", "--chunk", "16777216"]]
    {
        let chunks = if how.len() == 4 { 5 } else { 65 };
        assert_eq!(kept(&copy(&dir, how)), (0, chunks));
        assert_same(&read(&dir.path("target")), &content);
    }
}

#[test]
fn into_a_directory() {
    let dir = Dir::new();
    fs::write(dir.path("source"), b"content").unwrap();
    fs::create_dir(dir.path("target")).unwrap();
    succeeds(&copy(&dir, &[]));
    assert_eq!(read(&dir.path("target/source")), b"content");
}

/// Interrupted again and again, at last gone on with: what is on record is not
/// copied again.
#[test]
fn an_interrupted_copy_goes_on() {
    const LEN: usize = 48 << 20;
    let content = bytes(LEN);
    for (backend, signal) in backends().zip([Signal::KILL, Signal::INT, Signal::KILL]) {
        let dir = Dir::new();
        fs::write(dir.path("source"), &content).unwrap();
        let how = ["--backend", backend, "--queue-depth", "2", "--chunk", "4096"];
        let (source, target) = (dir.path("source"), dir.path("target"));
        let mut args = vec!["copy", source.to_str().unwrap(), target.to_str().unwrap()];
        args.extend(how);

        let (mut before, mut interruptions, mut attempts) = (0, 0, 0);
        while interruptions < 3 {
            let mut running = Running::spawn(&args, Stdio::null(), Stdio::null());
            let mut ended = false;
            await_that("some chunks are on record", || {
                ended = running.child.try_wait().unwrap().is_some();
                ended || recorded(&dir) >= before + 20
            });
            running.signal(signal);
            let (status, told) = running.end();
            if status.success() {
                // It was faster than this test.
                attempts += 1;
                assert!(attempts < 10, "a copy that cannot be interrupted");
                (before, interruptions) = (0, 0);
                continue;
            }
            assert!(!ended, "{status}: {told}");
            assert!(
                names(&dir)
                    .ends_with(&["target.forebay-chunks".into(), "target.forebay-partial".into()])
            );
            assert!(recorded(&dir) >= before + 20);
            before = recorded(&dir);
            interruptions += 1;
        }
        // The last line may have been cut.
        let (kept, all) = kept(&copy(&dir, &how));
        assert_eq!(all, LEN / CHUNK);
        assert!(kept >= before - 1 && kept < all, "{kept} of {before} kept, {all} in all");
        assert_same(&read(&dir.path("target")), &content);
        assert_eq!(names(&dir), ["source", "target"]);
    }
}

/// A copy that ends at the same place each time: the limit of a file's length
/// kills it at `limit` bytes, a multiple of 1024, or fails it if `survives`.
fn limited(dir: &Dir, limit: usize, survives: bool, more: &[&str]) -> Output {
    let trap = if survives { "trap '' XFSZ;" } else { "" };
    let script = format!("{trap} ulimit -f {}; exec \"$@\"", limit / 1024);
    let child = Command::new("bash")
        .args(["-c", &script, "bash", env!("CARGO_BIN_EXE_forebay"), "copy", "--chunk", "4096"])
        .args([dir.path("source"), dir.path("target")])
        .args(more)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _watch = watch(&child);
    child.wait_with_output().unwrap()
}

/// A copy of 20 chunks, of which 10 are on record.
fn half(backend: &str) -> (Dir, Vec<u8>) {
    let dir = Dir::new();
    let content = bytes(20 * CHUNK);
    fs::write(dir.path("source"), &content).unwrap();
    let done = limited(&dir, 10 * CHUNK, false, &["--queue-depth", "1", "--backend", backend]);
    assert!(!done.status.success());
    assert_eq!(recorded(&dir), 10, "{}", stderr(&done));
    (dir, content)
}

const HOW: [&str; 2] = ["--chunk", "4096"];

#[test]
fn what_an_interruption_left_is_not_believed() {
    for backend in backends() {
        let (dir, content) = half(backend);
        assert_eq!(kept(&copy(&dir, &HOW)), (10, 20), "undisturbed");
        assert_same(&read(&dir.path("target")), &content);

        // Damage in two chunks of the partial file, and in the list.
        let (dir, content) = half(backend);
        flip(&dir.path("target.forebay-partial"), 3 * CHUNK as u64 + 17);
        flip(&dir.path("target.forebay-partial"), 9 * CHUNK as u64);
        assert_eq!(kept(&copy(&dir, &HOW)), (8, 20), "two chunks damaged");
        assert_same(&read(&dir.path("target")), &content);

        let (dir, content) = half(backend);
        let list = fs::read_to_string(dir.path("target.forebay-chunks")).unwrap();
        let (cut, _) = list.split_at(list.len() - 10);
        fs::write(dir.path("target.forebay-chunks"), cut).unwrap();
        assert_eq!(kept(&copy(&dir, &HOW)), (9, 20), "the last line cut");
        assert_same(&read(&dir.path("target")), &content);

        // Cut, gone on with, and interrupted once more.
        let (dir, content) = half(backend);
        let list = fs::read_to_string(dir.path("target.forebay-chunks")).unwrap();
        let (cut, _) = list.split_at(list.len() - 10);
        fs::write(dir.path("target.forebay-chunks"), cut).unwrap();
        let how = ["--queue-depth", "1", "--backend", backend];
        assert!(!limited(&dir, 15 * CHUNK, false, &how).status.success());
        assert_eq!(kept(&copy(&dir, &HOW)), (15, 20), "the last line cut, and others behind it");
        assert_same(&read(&dir.path("target")), &content);

        let (dir, content) = half(backend);
        let partial = File::options().write(true).open(dir.path("target.forebay-partial")).unwrap();
        partial.set_len(5 * CHUNK as u64 + 1).unwrap();
        assert_eq!(kept(&copy(&dir, &HOW)), (5, 20), "the partial file cut");
        assert_same(&read(&dir.path("target")), &content);

        let (dir, content) = half(backend);
        flip(&dir.path("target.forebay-chunks"), 0);
        let done = copy(&dir, &HOW);
        assert_eq!(kept(&done), (0, 20), "the list unreadable");
        assert!(stderr(&done).contains("its list of chunks cannot be read"), "{}", stderr(&done));
        assert_same(&read(&dir.path("target")), &content);
    }
}

#[test]
fn a_source_that_has_changed_is_copied_anew() {
    // One byte, with the time of before.
    let (dir, mut content) = half("auto");
    let source = File::options().write(true).open(dir.path("source")).unwrap();
    let modified = source.metadata().unwrap().modified().unwrap();
    content[5] ^= 1;
    source.write_all_at(&content[5..6], 5).unwrap();
    source.set_modified(modified).unwrap();
    let done = copy(&dir, &HOW);
    assert_eq!(kept(&done), (0, 20));
    assert!(stderr(&done).contains("the source is not what it was"), "{}", stderr(&done));
    assert_same(&read(&dir.path("target")), &content);

    // Another file, with chunks of another length.
    let (dir, content) = half("auto");
    let done = copy(&dir, &["--chunk", "8192"]);
    assert_eq!(kept(&done), (0, 10));
    assert!(stderr(&done).contains("its chunks had another length"), "{}", stderr(&done));
    assert_same(&read(&dir.path("target")), &content);

    // A shorter one, so that the partial file is too long.
    let (dir, content) = half("auto");
    fs::write(dir.path("source"), &content[..3 * CHUNK + 1]).unwrap();
    assert_eq!(kept(&copy(&dir, &HOW)), (0, 4));
    assert_same(&read(&dir.path("target")), &content[..3 * CHUNK + 1]);
}

/// Stopped in mid-copy, the source changed, let go on.
#[test]
fn a_source_that_changes_meanwhile_is_an_error() {
    let dir = Dir::new();
    fs::write(dir.path("source"), bytes(48 << 20)).unwrap();
    let (source, target) = (dir.path("source"), dir.path("target"));
    let args = ["copy", source.to_str().unwrap(), target.to_str().unwrap(), "--chunk", "4096"];
    for attempt in 0..10 {
        let mut running = Running::spawn(&args, Stdio::null(), Stdio::null());
        await_that("some chunks are on record", || {
            running.child.try_wait().unwrap().is_some() || recorded(&dir) >= 20
        });
        running.signal(Signal::STOP);
        await_that("it has stopped, or ended", || matches!(running.state(), 'T' | 'Z'));
        flip(&source, 5);
        running.signal(Signal::CONT);
        let (status, told) = running.end();
        if status.success() {
            // It was faster than this test.
            fs::remove_file(&target).unwrap();
            assert!(attempt < 9, "a copy that cannot be stopped");
            continue;
        }
        assert_eq!(status.code(), Some(2), "{told}");
        assert!(told.contains("source: has changed while it was copied"), "{told}");
        assert!(!target.exists());
        break;
    }
    // From the start, as it is another one now.
    assert_eq!(kept(&copy(&dir, &HOW)), (0, (48 << 20) / CHUNK));
    assert_same(&read(&target), &read(&source));
}

#[test]
fn damaged_chunks_are_named() {
    for backend in backends() {
        let dir = Dir::new();
        let content = bytes(20 * CHUNK + 5);
        fs::write(dir.path("source"), &content).unwrap();
        let verify = ["--chunk", "4096", "--verify", "--backend", backend];
        fails(&copy(&dir, &verify), 2, "No such file");
        succeeds(&copy(&dir, &HOW));

        let target = dir.path("target");
        flip(&target, 7 * CHUNK as u64 + 100);
        flip(&target, 20 * CHUNK as u64);
        let done = copy(&dir, &verify);
        fails(&done, 1, "target: chunk 7, 4096 bytes from offset 28672: BLAKE3 ");
        fails(&done, 1, "target: chunk 20, 5 bytes from offset 81920: BLAKE3 ");
        assert_eq!(stderr(&done).lines().count(), 2, "{}", stderr(&done));
        flip(&target, 7 * CHUNK as u64 + 100);
        flip(&target, 20 * CHUNK as u64);
        succeeds(&copy(&dir, &verify));

        File::options().write(true).open(&target).unwrap().set_len(20 * CHUNK as u64 - 1).unwrap();
        let done = copy(&dir, &verify);
        fails(&done, 1, "target: 81919 bytes, and the source has 81925");
        fails(&done, 1, "target: chunk 19, 4096 bytes from offset 77824: the file ends here");
        fails(&done, 1, "target: chunk 20, 5 bytes from offset 81920: the file ends here");
        assert_eq!(names(&dir), ["source", "target"], "verifying leaves nothing");
    }
}

#[test]
fn errors_name_file_chunk_and_offset() {
    for backend in backends() {
        let dir = Dir::new();
        fs::write(dir.path("source"), bytes(20 * CHUNK)).unwrap();
        let how = ["--queue-depth", "1", "--backend", backend];
        let done = limited(&dir, 10 * CHUNK, true, &how);
        fails(&done, 2, "target.forebay-partial: writing chunk 10 at offset 40960: File too large");
        // With room it goes on.
        assert_eq!(kept(&copy(&dir, &HOW)), (10, 20));
    }
    let dir = Dir::new();
    fails(&copy(&dir, &[]), 2, "source: No such file or directory");
    fs::create_dir(dir.path("source")).unwrap();
    fails(&copy(&dir, &[]), 2, "source: not a regular file");
    fs::remove_dir(dir.path("source")).unwrap();
    fs::write(dir.path("source"), b"bytes").unwrap();
    fs::hard_link(dir.path("source"), dir.path("target")).unwrap();
    fails(&copy(&dir, &[]), 2, "target: is the source");
    fs::remove_file(dir.path("target")).unwrap();
    fails(&copy(&dir, &["--queue-depth", "4097"]), 2, "queue_depth 4097: from 1 to 4096");
    fails(&copy(&dir, &["--queue-depth", "0"]), 2, "queue_depth 0: from 1 to 4096");
    fails(&copy(&dir, &["--chunk", "4097"]), 2, "4097 bytes: a multiple of 4096");
    assert_eq!(names(&dir), ["source"]);
    assert_eq!(read(&dir.path("source")), b"bytes");
}

/// A bar for who looks at it, and only for them.
#[test]
fn a_terminal_gets_a_bar() {
    let dir = Dir::new();
    fs::write(dir.path("source"), bytes(100 * CHUNK)).unwrap();
    let done = copy(&dir, &HOW);
    assert_eq!(kept(&done), (0, 100));
    assert!(!stderr(&done).contains(['\r', '\u{1b}']), "{}", stderr(&done));

    let mut master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let terminal = File::options().read(true).write(true).open(name).unwrap();
    let mut command = forebay(&["copy"]);
    command.args([dir.path("source"), dir.path("target")]).args(HOW).stderr(terminal);
    let mut child = command.spawn().unwrap();
    let _watch = watch(&child);
    // The terminal is held by the child alone.
    drop(command);
    let mut told = Vec::new();
    let mut some = [0; 4096];
    // It ends with an error when nobody holds the terminal any more.
    while let Ok(len @ 1..) = rustix::io::read(&mut master, &mut some) {
        told.extend_from_slice(&some[..len]);
    }
    assert!(child.wait().unwrap().success());
    let told = String::from_utf8_lossy(&told);
    let (bar, behind) = told.rsplit_once("KiB/400.00 KiB").unwrap_or_else(|| panic!("{told}"));
    assert!(!bar.contains("copied: ") && behind.contains("copied: 100 chunks"), "{told}");
}

#[test]
fn two_copies_to_one_target_are_one_too_many() {
    let dir = Dir::new();
    fs::write(dir.path("source"), b"bytes").unwrap();
    let list: PathBuf = dir.path("target.forebay-chunks");
    let held = File::create(&list).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    fails(&copy(&dir, &[]), 2, "target.forebay-chunks: another copy to this target is under way");
    drop(held);
    succeeds(&copy(&dir, &[]));
    assert_eq!(names(&dir), ["source", "target"]);
}
