//! Every operation, every way of waiting, and every error.

use std::{fs, os::unix::fs::FileExt, time::Duration};

use forebay_linux::uring::{Config, Context, Counts, OpenOptions, Outcome, Ticket, Wait, Way, Why};
use rustix::io::Errno;

use crate::common::{Directory, bytes, complete_move, context, moved, open, read_all, try_open};

/// All ways to read and to wait.
fn configs() -> Vec<Config> {
    let mut configs = vec![];
    for wait in [Wait::Block, Wait::Poll, Wait::Hybrid(Duration::from_micros(20))] {
        for way in [Way::Inline, Way::Ring] {
            let config = Config::new().queue_depth(8).buffer_len(4096);
            configs.push(config.wait(wait).reads(way).writes(way));
        }
    }
    configs.push(Config::new().registered_buffers(false).registered_files(0));
    configs.push(Config::new().queue_depth(1).reads(Way::Ring).writes(Way::Ring));
    configs
}

#[test]
fn what_is_written_is_read_synced_and_measured() {
    let directory = Directory::new();
    for config in configs() {
        let Some(mut context) = context(&config) else { return };
        let path = directory.path("file");
        let options = OpenOptions::read_write().create(0o600).truncate().registered();
        let file = open(&mut context, &path, options);

        let expected = bytes(20_000);
        for (index, part) in expected.chunks(3000).enumerate() {
            let mut lease = context.lease().unwrap();
            lease[..part.len()].copy_from_slice(part);
            let ticket = context.write(&file, lease, part.len(), index as u64 * 3000).unwrap();
            assert_eq!(complete_move(&mut context, ticket).1, Ok(part.len()));
        }
        let sync = context.sync(&file, false).unwrap();
        assert!(matches!(context.complete(sync).unwrap(), Outcome::Synced(Ok(()))));
        let status = context.status(&file).unwrap();
        let Outcome::Status(Ok(status)) = context.complete(status).unwrap() else { panic!() };
        assert_eq!((status.len, status.mode & 0o777), (20_000, 0o600));

        assert_eq!(fs::read(&path).unwrap(), expected);
        assert_eq!(read_all(&mut context, &file, expected.len()), expected);
        assert_eq!(context.counts().stray, 0);
        assert_eq!(context.under_way(), 0);
    }
}

#[test]
fn a_read_at_the_end_is_short_and_past_it_empty() {
    let directory = Directory::new();
    let path = directory.file("file", 5000);
    for config in configs() {
        let Some(mut context) = context(&config) else { return };
        let file = open(&mut context, &path, OpenOptions::read_only());
        for (offset, expected) in [(4000, 1000), (5000, 0), (1 << 40, 0)] {
            let lease = context.lease().unwrap();
            let ticket = context.read(&file, lease, 4096, offset).unwrap();
            assert_eq!(complete_move(&mut context, ticket).1, Ok(expected), "{config:?}");
        }
    }
}

/// Goal 7: nothing that the kernel says is lost.
#[test]
fn errors_of_the_kernel_are_surfaced() {
    let directory = Directory::new();
    let path = directory.file("file", 10);
    for config in configs() {
        let Some(mut context) = context(&config) else { return };
        let read = OpenOptions::read_only();
        assert_eq!(
            try_open(&mut context, &directory.path("absent"), read).unwrap_err(),
            Errno::NOENT
        );
        let new = OpenOptions::write_only().create_new(0o600);
        assert_eq!(try_open(&mut context, &path, new).unwrap_err(), Errno::EXIST);
        let folder = directory.path(".");
        let folder = open(&mut context, &folder, read);
        let lease = context.lease().unwrap();
        let ticket = context.read(&folder, lease, 10, 0).unwrap();
        assert_eq!(complete_move(&mut context, ticket).1, Err(Errno::ISDIR));

        let read_only = open(&mut context, &path, read);
        let lease = context.lease().unwrap();
        let ticket = context.write(&read_only, lease, 10, 0).unwrap();
        assert_eq!(complete_move(&mut context, ticket).1, Err(Errno::BADF));

        let write_only = open(&mut context, &path, OpenOptions::write_only());
        let lease = context.lease().unwrap();
        let ticket = context.read(&write_only, lease, 10, 0).unwrap();
        assert_eq!(complete_move(&mut context, ticket).1, Err(Errno::BADF));
        let lease = context.lease().unwrap();
        let ticket = context.write(&write_only, lease, 10, u64::MAX - 5).unwrap();
        assert_eq!(complete_move(&mut context, ticket).1, Err(Errno::INVAL));

        let full = open(&mut context, "/dev/full".as_ref(), OpenOptions::write_only());
        let lease = context.lease().unwrap();
        let ticket = context.write(&full, lease, 10, 0).unwrap();
        assert_eq!(complete_move(&mut context, ticket).1, Err(Errno::NOSPC));
        let ticket = context.sync(&full, true).unwrap();
        assert!(matches!(context.complete(ticket).unwrap(), Outcome::Synced(Err(Errno::INVAL))));
    }
}

#[test]
fn a_full_context_says_so_and_gives_the_lease_back() {
    let directory = Directory::new();
    let path = directory.file("file", 4096);
    for way in [Way::Inline, Way::Ring] {
        let config = Config::new().queue_depth(4).buffers(6).reads(way);
        let Some(mut context) = context(&config) else { return };
        let file = open(&mut context, &path, OpenOptions::read_only());
        let mut tickets = vec![];
        for _ in 0..4 {
            let lease = context.lease().unwrap();
            tickets.push(context.read(&file, lease, 10, 0).unwrap());
        }
        let lease = context.lease().unwrap();
        let refused = context.read(&file, lease, 10, 0).unwrap_err();
        assert_eq!(refused.why, Why::Full { depth: 4 });
        assert_eq!(refused.to_string(), "all 4 operations of the context are under way");
        assert_eq!(context.sync(&file, true).unwrap_err(), Why::Full { depth: 4 });
        let refused = context.write_and_sync(&file, refused.lease, 10, 0).unwrap_err();
        assert_eq!(refused.why, Why::Full { depth: 4 });
        drop(refused);
        for ticket in tickets {
            assert_eq!(complete_move(&mut context, ticket).1, Ok(10));
        }
        assert!(context.sync(&file, true).is_ok());
    }
}

#[test]
fn a_wrong_request_is_refused_before_any_call() {
    let directory = Directory::new();
    let path = directory.file("file", 10);
    let Some(mut context) = context(&Config::new().buffer_len(4096)) else { return };
    let file = open(&mut context, &path, OpenOptions::read_only());
    let lease = context.lease().unwrap();
    let refused = context.read(&file, lease, 4097, 0).unwrap_err();
    assert_eq!(refused.why, Why::TooLong { len: 4097, buffer_len: 4096 });
    let lease = refused.lease;
    let refused = context.write(&file, lease, usize::MAX, 0).unwrap_err();
    assert_eq!(refused.why, Why::TooLong { len: usize::MAX, buffer_len: 4096 });

    let long = "x".repeat(4096);
    let refused = context.open(&long, OpenOptions::read_only()).unwrap_err();
    assert_eq!(refused, Why::Path { len: 4096 });
    let refused = context.open("a\0b", OpenOptions::read_only()).unwrap_err();
    assert_eq!(refused, Why::Path { len: 3 });
    // One less is the kernel's to refuse.
    let path = long[..4095].to_owned();
    assert_eq!(
        try_open(&mut context, path.as_ref(), OpenOptions::read_only()).unwrap_err(),
        Errno::NAMETOOLONG
    );
}

#[test]
fn depths_are_1_to_4096() {
    for depth in [0, 4097, u32::MAX] {
        let error = Context::new(&Config::new().queue_depth(depth)).unwrap_err();
        assert_eq!(error.to_string(), format!("a queue depth of {depth} is not within 1 to 4096"));
    }
    let directory = Directory::new();
    let path = directory.file("file", 100);
    for depth in [1, 2, 3, 100, 4096] {
        let config = Config::new().queue_depth(depth).buffer_len(4096).reads(Way::Ring);
        let Some(mut context) = context(&config) else { return };
        let file = open(&mut context, &path, OpenOptions::read_only());
        for _ in 0..depth {
            let lease = context.lease().unwrap();
            context.read(&file, lease, 100, 0).unwrap();
        }
        let mut count = 0;
        while let Some(completion) = context.wait(None).unwrap() {
            assert_eq!(moved(completion.outcome).1, Ok(100));
            count += 1;
        }
        assert_eq!(count, depth);
        assert_eq!(context.counts().overflows, 0);
    }
}

/// Many operations a call: goal 5.
#[test]
fn a_batch_is_one_system_call() {
    let directory = Directory::new();
    let path = directory.file("file", 1 << 20);
    let config = Config::new().queue_depth(64).buffer_len(4096).reads(Way::Ring);
    let Some(mut context) = context(&config) else { return };
    let file = open(&mut context, &path, OpenOptions::read_only());
    let before = context.counts();
    for round in 0..10u64 {
        for index in 0..64u64 {
            let lease = context.lease().unwrap();
            context.read(&file, lease, 4096, (round * 64 + index) % 256 * 4096).unwrap();
        }
        context.wait_for_many(64, None).unwrap();
        for _ in 0..64 {
            let completion = context.poll().unwrap().unwrap();
            assert_eq!(moved(completion.outcome).1, Ok(4096));
        }
    }
    let enters = context.counts().enters - before.enters;
    assert!(enters <= 11, "{enters} calls for 10 batches of 64");
}

#[test]
fn a_wait_with_nothing_under_way_does_not_wait() {
    for config in configs() {
        let Some(mut context) = context(&config) else { return };
        assert!(context.wait(None).unwrap().is_none());
        assert!(context.poll().unwrap().is_none());
        context.wait_for_many(5, None).unwrap();
        assert_eq!(context.counts().enters, 0);
    }
}

#[test]
fn a_wait_for_two_with_one_under_way_ends() {
    let directory = Directory::new();
    let path = directory.file("file", 100);
    let Some(mut context) = context(&Config::new().reads(Way::Ring)) else { return };
    let file = open(&mut context, &path, OpenOptions::read_only());
    let lease = context.lease().unwrap();
    context.read(&file, lease, 100, 0).unwrap();
    context.wait_for_many(2, None).unwrap();
    assert!(context.poll().unwrap().is_some());
}

#[test]
fn a_wait_ends_at_its_timeout_and_the_operation_goes_on() {
    for wait in [Wait::Block, Wait::Poll] {
        let Some(mut context) = context(&Config::new().wait(wait)) else { return };
        let (reader, writer) = std::io::pipe().unwrap();
        let pipe = context.adopt(reader);
        let lease = context.lease().unwrap();
        let ticket = context.read(&pipe, lease, 10, u64::MAX).unwrap();
        assert!(context.wait(Some(Duration::from_millis(5))).unwrap().is_none());
        assert_eq!(context.under_way(), 1);
        rustix::io::write(&writer, b"late").unwrap();
        let (lease, len) = complete_move(&mut context, ticket);
        assert_eq!((len, &lease[..4]), (Ok(4), &b"late"[..]));
    }
}

#[test]
fn completions_come_with_their_tickets_and_once() {
    let directory = Directory::new();
    let path = directory.file("file", 100);
    let Some(mut context) = context(&Config::new().reads(Way::Ring)) else { return };
    let file = open(&mut context, &path, OpenOptions::read_only());
    let mut tickets = vec![];
    for offset in 0..10 {
        let lease = context.lease().unwrap();
        tickets.push(context.read(&file, lease, 1, offset).unwrap());
    }
    let (lease, _) = complete_move(&mut context, tickets[7]);
    assert_eq!(lease[0], bytes(8)[7]);
    assert_eq!(context.complete(tickets[7]).unwrap_err(), Errno::INVAL);
    let mut seen = vec![7];
    while let Some(completion) = context.wait(None).unwrap() {
        let index = tickets.iter().position(|ticket| *ticket == completion.ticket).unwrap();
        assert_eq!(moved(completion.outcome).0[0], bytes(10)[index]);
        seen.push(index);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
}

/// The way a transfer takes shows in the counters.
#[test]
fn cached_reads_and_buffered_writes_are_plain_calls() {
    let directory = Directory::new();
    let path = directory.file("file", 8192);
    let Some(mut context) = context(&Config::new()) else { return };
    let file = open(&mut context, &path, OpenOptions::read_write());
    let before = context.counts();
    read_all(&mut context, &file, 8192);
    let lease = context.lease().unwrap();
    context.write(&file, lease, 10, 0).unwrap();
    assert!(context.poll().unwrap().is_some());
    let counts = context.counts();
    assert!(counts.cached_reads >= 1 && counts.cache_misses == 0, "{counts:?}");
    assert_eq!(counts.plain_writes, 1);
    assert_eq!(counts.enters, before.enters);

    // Without a ticket, into any buffer.
    let mut buffer = [0; 100];
    assert_eq!(context.read_cached(&file, &mut buffer, 8150), Ok(Some(42)));
    assert_eq!(buffer[..42], bytes(8192)[8150..]);
    let counts = Counts { cached_reads: counts.cached_reads + 1, ..counts };

    // What is not in the cache goes by the ring, whole.
    let raw = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    raw.write_all_at(&bytes(8192), 0).unwrap();
    raw.sync_all().unwrap();
    let len = std::num::NonZeroU64::new(8192);
    rustix::fs::fadvise(&raw, 0, len, rustix::fs::Advice::DontNeed).unwrap();
    assert_eq!(context.read_cached(&file, &mut buffer, 8100), Ok(None));
    rustix::fs::fadvise(&raw, 0, len, rustix::fs::Advice::DontNeed).unwrap();
    assert_eq!(read_all(&mut context, &file, 8192), bytes(8192));
    let after = context.counts();
    assert_eq!(after.cached_reads + after.cache_misses, counts.cached_reads + 1);
    assert_eq!(after.cache_misses, 1, "the file was still in the cache");
}

/// A range of which the page cache has a part is read whole: by a plain call
/// as far as it goes, by the ring from there on.
#[test]
fn a_read_of_which_a_part_is_cached_is_whole() {
    const LEN: usize = 1 << 16;
    let directory = Directory::new();
    let path = directory.file("file", LEN);
    let raw = fs::File::open(&path).unwrap();
    raw.sync_all().unwrap();
    let Some(mut context) = context(&Config::new()) else { return };
    let file = open(&mut context, &path, OpenOptions::read_only());
    let mut parts = 0;
    for kept in [4096, 16384, 32768] {
        // Nothing in the cache but the front, and no reading ahead.
        rustix::fs::fadvise(&raw, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        rustix::fs::fadvise(&raw, 0, None, rustix::fs::Advice::Random).unwrap();
        raw.read_exact_at(&mut vec![0; kept], 0).unwrap();
        let before = context.counts();
        let lease = context.lease().unwrap();
        let ticket = context.read(&file, lease, LEN, 0).unwrap();
        let (lease, len) = complete_move(&mut context, ticket);
        assert_eq!(len, Ok(LEN));
        assert!(lease[..] == bytes(LEN), "other bytes than those of the file");
        parts += context.counts().cache_misses - before.cache_misses;
    }
    assert!(parts > 0, "all was in the cache");
}

/// One that was waited for by its ticket, or forgotten, is no completion to
/// the next wait, which waits for another one.
#[test]
fn a_wait_is_not_ended_by_what_was_taken_before() {
    let Some(mut context) = context(&Config::new().reads(Way::Ring)) else { return };
    let zero = context.adopt(fs::File::open("/dev/zero").unwrap());
    let (reader, writer) = std::io::pipe().unwrap();
    let pipe = context.adopt(reader);
    let read = |context: &mut Context, file, offset| {
        let lease = context.lease().unwrap();
        context.read(file, lease, 4, offset).unwrap()
    };
    let first = [0; 3].map(|_| read(&mut context, &zero, 0));
    context.wait_for_many(3, None).unwrap();
    assert_eq!(complete_move(&mut context, first[1]).1, Ok(4));
    context.forget(first[0]);
    assert_eq!(complete_move(&mut context, first[2]).1, Ok(4));
    let late = read(&mut context, &pipe, u64::MAX);
    assert!(context.poll().unwrap().is_none());
    rustix::io::write(&writer, b"late").unwrap();
    assert_eq!(context.wait(None).unwrap().unwrap().ticket, late);
}

#[test]
fn reads_that_are_done_at_once_are_told_once_in_any_order() {
    let directory = Directory::new();
    let path = directory.file("file", 4096);
    let config = Config::new().queue_depth(4).buffers(4);
    let Some(mut context) = context(&config) else { return };
    let file = open(&mut context, &path, OpenOptions::read_only());
    let read = |context: &mut Context, offset| {
        let lease = context.lease().unwrap();
        context.read(&file, lease, 1, offset).unwrap()
    };
    let tickets: Vec<Ticket> = (0..4).map(|offset| read(&mut context, offset)).collect();
    if context.counts().cached_reads != 4 {
        println!("SKIPPED: the page cache has not all of a new file");
        return;
    }
    assert!(context.lease().is_none());
    // The newest, one in the midst, the oldest by its turn.
    for at in [3, 1] {
        let (lease, len) = moved(context.complete(tickets[at]).unwrap());
        assert_eq!((len, lease[0]), (Ok(1), bytes(4)[at]));
        drop(lease);
        assert_eq!(context.complete(tickets[at]).unwrap_err(), Errno::INVAL);
    }
    assert!(!context.cancel(tickets[2]));
    context.forget(tickets[2]);
    assert_eq!(context.complete(tickets[2]).unwrap_err(), Errno::INVAL);
    let first = context.poll().unwrap().unwrap();
    assert_eq!(first.ticket, tickets[0]);
    drop(first);
    assert!(context.poll().unwrap().is_none());
    // All four have room again, and other tickets.
    let again: Vec<Ticket> = (0..4).map(|offset| read(&mut context, offset)).collect();
    assert!(again.iter().all(|ticket| !tickets.contains(ticket)));
}
