//! Every optional mode of a ring: what it does where it works, and the reason
//! where it does not.

use std::time::Duration;

use forebay_linux::uring::{Config, Feature, OpenOptions, Outcome, Wait, Way};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::common::{Directory, bytes, complete_move, context, open, read_all};

/// Reads, writes and syncs a file.
fn works(config: &Config) -> Option<Vec<forebay_linux::uring::Degraded>> {
    let directory = Directory::new();
    let path = directory.file("file", 100_000);
    let mut context = context(config)?;
    let file = open(&mut context, &path, OpenOptions::read_write().registered());
    assert_eq!(read_all(&mut context, &file, 100_000), bytes(100_000));
    let mut lease = context.lease().unwrap();
    lease[..5000].fill(7);
    let ticket = context.write(&file, lease, 5000, 95_000).unwrap();
    assert_eq!(complete_move(&mut context, ticket).1, Ok(5000));
    let sync = context.sync(&file, true).unwrap();
    assert!(matches!(context.complete(sync).unwrap(), Outcome::Synced(Ok(()))));
    let status = context.status(&file).unwrap();
    let Outcome::Status(status) = context.complete(status).unwrap() else { panic!() };
    assert_eq!(status.unwrap().len, 100_000);
    let lacks = context.lacks().to_vec();
    for lack in &lacks {
        // A reason that can be printed.
        assert!(lack.to_string().starts_with("no "), "{lack}");
    }
    Some(lacks)
}

const ALL_BY_RING: Config = Config::new().reads(Way::Ring).writes(Way::Ring);

#[test]
fn this_kernel_lacks_what_it_says() {
    let Some(lacks) = works(&ALL_BY_RING) else { return };
    let release = rustix::system::uname().release().to_str().unwrap().to_owned();
    let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap(), numbers.next().unwrap_or(0));
    if version >= (6, 1) {
        assert_eq!(lacks, [], "on Linux {release}");
    }
}

#[test]
fn a_polling_thread_works_or_says_why_not() {
    let idle = Duration::from_millis(2);
    for wait in [Wait::Block, Wait::Poll] {
        let config = ALL_BY_RING.sqpoll(None, idle).wait(wait);
        let Some(lacks) = works(&config) else { return };
        assert!(lacks.iter().all(|lack| lack.feature == Feature::SqPoll), "{lacks:?}");
    }
    // One that sticks to a processor, and one that is not there.
    let Some(lacks) = works(&ALL_BY_RING.sqpoll(Some(0), idle)) else { return };
    assert_eq!(lacks, []);
    let lacks = works(&ALL_BY_RING.sqpoll(Some(100_000), idle)).unwrap();
    assert!(lacks.iter().any(|lack| lack.feature == Feature::SqPollCpu), "{lacks:?}");
}

#[test]
fn a_polled_device_is_probed() {
    let directory = Directory::new();
    let path = directory.file("probe", 65536);
    let config = ALL_BY_RING.iopoll(&path);
    let Some(lacks) = works(&config) else { return };
    for lack in lacks {
        assert_eq!(lack.feature, Feature::IoPoll);
        println!("{lack}");
    }
    let Some(lacks) = works(&ALL_BY_RING.iopoll(directory.path("absent"))) else { return };
    assert_eq!(lacks.len(), 1);
    assert_eq!((lacks[0].feature, lacks[0].errno), (Feature::IoPoll, rustix::io::Errno::NOENT));
}

#[test]
fn registration_is_optional() {
    for config in [
        ALL_BY_RING.registered_buffers(false),
        ALL_BY_RING.registered_files(0),
        ALL_BY_RING.registered_files(1),
    ] {
        let Some(lacks) = works(&config) else { return };
        assert_eq!(lacks, []);
    }
    // More files than there may be descriptors.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(1000), ..limit }).unwrap();
    let lacks = works(&ALL_BY_RING.registered_files(u32::MAX));
    setrlimit(Resource::Nofile, limit).unwrap();
    let Some(lacks) = lacks else { return };
    assert_eq!(lacks.len(), 1);
    assert_eq!(lacks[0].feature, Feature::RegisteredFiles);
}

/// Locked memory, as a user without privileges: what does not fit is not
/// registered, and what was registered is given back at once.
#[test]
fn a_limit_of_locked_memory_is_a_reason_and_is_given_back() {
    let limit = Rlimit { current: Some(8 << 20), maximum: getrlimit(Resource::Memlock).maximum };
    if let Err(errno) = setrlimit(Resource::Memlock, limit) {
        println!("SKIPPED: the limit of locked memory cannot be set: {errno}");
        return;
    }
    std::thread::spawn(|| {
        if rustix::process::geteuid().is_root() {
            // Of this thread alone, and a user of its own: the kernel adds up
            // what a user has locked.
            let number = 50_000 + std::process::id() % 10_000;
            let user = rustix::thread::Uid::from_raw(number);
            rustix::thread::set_thread_res_uid(user, user, user).unwrap();
        }
        // 6 of 8 MiB, again and again.
        for _ in 0..50 {
            let Some(context) = context(&ALL_BY_RING.queue_depth(96)) else { return };
            assert_eq!(context.lacks(), []);
        }
        let Some(mut context) = context(&ALL_BY_RING.queue_depth(256)) else { return };
        let lacks = context.lacks();
        assert_eq!(lacks.len(), 1, "{lacks:?}");
        assert_eq!(lacks[0].feature, Feature::RegisteredBuffers);
        assert_eq!(lacks[0].errno, rustix::io::Errno::NOMEM);
        let zero = context.adopt(std::fs::File::open("/dev/zero").unwrap());
        let lease = context.lease().unwrap();
        let ticket = context.read(&zero, lease, 100, 0).unwrap();
        assert_eq!(complete_move(&mut context, ticket).1, Ok(100));
    })
    .join()
    .unwrap();
}
