//! What the file backend of threads does beyond the common suite (which is in
//! `forebay-tests`), and its configuration.

mod common;

use std::{
    collections::HashSet,
    fs,
    path::PathBuf,
    process,
    sync::{Arc, mpsc::channel},
    thread::{self, ThreadId},
};

use common::watchdog;
use forebay_std::file::{
    Backend, BadConfig, Block, Config, Done, Operation, Options, THREADS_MAX, Threads,
};

/// A file, gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("forebay-file-{name}-{}", process::id()));
        fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn options_are_checked() {
    let good = Config::default();
    assert_eq!(good.check(), Ok(()));
    let out =
        |option, value, least, most| Err(BadConfig::OutOfRange { option, value, least, most });
    let multiple = |value| Err(BadConfig::NotAMultiple { option: "buffer_len", value, of: 4096 });
    let cases = [
        (Config { queue_depth: 0, ..good }, out("queue_depth", 0, 1, 4096)),
        (Config { queue_depth: 1, ..good }, Ok(())),
        (Config { queue_depth: 4096, ..good }, Ok(())),
        (Config { queue_depth: 4097, ..good }, out("queue_depth", 4097, 1, 4096)),
        (Config { buffers: Some(0), ..good }, out("buffers", 0, 1, 16_384)),
        (Config { buffers: Some(16_384), ..good }, Ok(())),
        (Config { buffers: Some(16_385), ..good }, out("buffers", 16_385, 1, 16_384)),
        (Config { buffer_len: 0, ..good }, out("buffer_len", 0, 4096, 1 << 24)),
        (Config { buffer_len: 4096, ..good }, Ok(())),
        (Config { buffer_len: 4097, ..good }, multiple(4097)),
        (Config { buffer_len: 1 << 24, ..good }, Ok(())),
        (
            Config { buffer_len: (1 << 24) + 4096, ..good },
            out("buffer_len", (1 << 24) + 4096, 4096, 1 << 24),
        ),
        (Config { sqpoll_cpu: Some(3), ..good }, Err(BadConfig::CpuWithoutSqpoll { cpu: 3 })),
        (Config { sqpoll: true, sqpoll_cpu: Some(3), ..good }, Ok(())),
    ];
    for (config, expected) in cases {
        assert_eq!(config.check(), expected, "{config:?}");
        assert_eq!(Threads::new(&config).map(drop), expected, "{config:?}");
    }
    let texts = [
        (multiple(4097), "buffer_len 4097: a multiple of 4096"),
        (Err(BadConfig::CpuWithoutSqpoll { cpu: 3 }), "sqpoll_cpu 3: only together with sqpoll"),
    ];
    for (error, text) in texts {
        assert_eq!(error.unwrap_err().to_string(), text);
    }
}

/// Each completion wakes, on one of a bounded number of threads.
#[test]
fn completions_wake_from_few_threads() {
    let _watchdog = watchdog("completions that wake");
    let scratch = Scratch::new("wake", b"bytes");
    for threads in [1, 2, THREADS_MAX] {
        let (woken, wakes) = channel::<ThreadId>();
        let mut files = Threads::new(&Config::default())
            .unwrap()
            .threads_max(threads)
            .on_completion(move || woken.send(thread::current().id()).unwrap());
        let file = files.attach(fs::File::open(&scratch.0).unwrap()).unwrap();
        for round in 0..10 {
            for _ in 0..128 {
                files.submit(Operation::Len { file: file.clone() }).unwrap();
            }
            let seen: HashSet<ThreadId> = (0..128).map(|_| wakes.recv().unwrap()).collect();
            assert!(seen.len() <= threads, "{} threads, {threads} allowed", seen.len());
            assert!(!seen.contains(&thread::current().id()));
            // Whoever was woken reaps without waiting.
            for number in 0..128 {
                let completion = files.reap(Block::Never).unwrap();
                let done = completion.unwrap_or_else(|| panic!("{round}: {number} of 128"));
                assert!(matches!(done.result, Ok(Done::Len(5))));
            }
        }
        drop(files);
        assert!(wakes.recv().is_err(), "a wake-up of nothing");
    }
}

/// A completion that nobody reaped does not keep its file, nor its buffer.
#[test]
fn dropping_waits_for_what_has_begun() {
    let _watchdog = watchdog("dropping threads");
    let scratch = Scratch::new("drop", &[7; 1 << 20]);
    for reaped in 0..8 {
        // Held by whatever thread there is.
        let held = Arc::new(());
        let by_threads = held.clone();
        let mut files = Threads::new(&Config::default()).unwrap().on_completion(move || {
            let _ = &by_threads;
        });
        files.submit(Operation::Open { path: scratch.0.clone(), options: Options::READ }).unwrap();
        let opened = files.reap(Block::UntilOne).unwrap().unwrap();
        let Done::Opened(file) = opened.result.unwrap() else { panic!("not opened") };
        for place in 0..16_u64 {
            let lease = files.lease().unwrap();
            let offset = place << 16;
            let operation =
                Operation::Read { file: file.clone(), lease, range: 0..1 << 16, offset };
            files.submit(operation).unwrap();
        }
        for _ in 0..reaped {
            assert_eq!(
                files.reap(Block::UntilOne).unwrap().unwrap().result.unwrap().moved(),
                Some(1 << 16)
            );
        }
        drop(files);
        assert_eq!(Arc::strong_count(&held), 1, "a thread is still there");
        // Nobody else has the file: its handle is the last one.
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd;
            let link = format!("/proc/self/fd/{}", file.as_raw_fd());
            drop(file);
            let there = fs::read_link(link);
            assert!(there.is_err() || there.unwrap() != scratch.0, "the file is still open");
        }
    }
}

/// What waits for a thread when the backend is dropped is not begun.
#[test]
fn dropping_begins_nothing() {
    let _watchdog = watchdog("dropping a queue");
    let scratch = Scratch::new("queue", &[7; 1 << 16]);
    let gave_up = (0..100).any(|_| {
        let (woken, wakes) = channel();
        let mut files = Threads::new(&Config::default())
            .unwrap()
            .threads_max(1)
            .on_completion(move || woken.send(()).unwrap());
        let file = files.attach(fs::File::open(&scratch.0).unwrap()).unwrap();
        for _ in 0..128 {
            let (file, lease) = (file.clone(), files.lease().unwrap());
            files.submit(Operation::Read { file, lease, range: 0..1 << 16, offset: 0 }).unwrap();
        }
        drop(files);
        wakes.iter().count() < 128
    });
    assert!(gave_up, "each of 100 drops has read everything first");
}

/// Memory is made when it is needed, and no more than configured.
#[test]
fn leases_come_back_and_are_used_again() {
    let mut files = Threads::new(&Config { buffers: Some(2), ..Config::default() }).unwrap();
    let mut first = files.lease().unwrap();
    first.fill(9);
    let address = first.as_ptr();
    drop(first);
    let again = files.lease().unwrap();
    assert_eq!((again.as_ptr(), again[0]), (address, 9), "the same memory");
    let second = files.lease().unwrap();
    assert_ne!(second.as_ptr(), address);
    assert!(files.lease().is_none());
    // From another thread, and behind the backend's end.
    drop(files);
    thread::spawn(move || drop((again, second))).join().unwrap();
}
