//! What is dropped, forgotten, cancelled or reused while operations are under
//! way.

use std::{
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    time::Duration,
};

use forebay_linux::uring::{Config, OpenOptions, Outcome, Way, leaked};
use rustix::io::Errno;

use crate::common::{Directory, bytes, complete_move, context, open};

const ALL_BY_RING: Config = Config::new().reads(Way::Ring).writes(Way::Ring);

/// How many descriptors of this process name `path`.
fn descriptors(path: &std::path::Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
    links.filter(|fd| fs::read_link(fd.path()).is_ok_and(|target| target == path)).count()
}

/// A descriptor closed between the request and its submission would be the
/// number of another file.
#[test]
fn a_file_dropped_before_the_submission_is_the_one_that_is_read() {
    let directory = Directory::new();
    let (one, other) = (directory.path("one"), directory.path("other"));
    fs::write(&one, b"one").unwrap();
    fs::write(&other, b"other").unwrap();
    for registered in [false, true] {
        let Some(mut context) = context(&ALL_BY_RING) else { return };
        let mut options = OpenOptions::read_only();
        if registered {
            options = options.registered();
        }
        let file = open(&mut context, &one, options);
        let lease = context.lease().unwrap();
        let ticket = context.read(&file, lease, 10, 0).unwrap();
        drop(file);
        // They take the lowest numbers that are free.
        let others: Vec<fs::File> = (0..8).map(|_| fs::File::open(&other).unwrap()).collect();
        let (lease, len) = complete_move(&mut context, ticket);
        assert_eq!((len, &lease[..3]), (Ok(3), &b"one"[..]));
        drop(others);
        context.submit().unwrap();
        assert_eq!(descriptors(&one), 0, "the file is still open");
    }
}

/// A registered file is let go of when its last user has gone.
#[test]
fn places_of_the_table_are_used_again() {
    let directory = Directory::new();
    let path = directory.file("file", 100);
    let Some(mut context) = context(&ALL_BY_RING.registered_files(2)) else { return };
    for _ in 0..10 {
        let options = OpenOptions::read_only().registered();
        // The third finds no place and does without.
        let files: Vec<_> = (0..3).map(|_| open(&mut context, &path, options)).collect();
        for file in &files {
            let lease = context.lease().unwrap();
            let ticket = context.read(file, lease, 100, 0).unwrap();
            assert_eq!(complete_move(&mut context, ticket).1, Ok(100));
        }
    }
    assert_eq!(context.lacks(), []);
}

#[test]
fn a_forgotten_open_leaks_no_descriptor() {
    let directory = Directory::new();
    let path = directory.file("file", 100);
    let Some(mut context) = context(&ALL_BY_RING) else { return };
    for _ in 0..50 {
        let ticket = context.open(&path, OpenOptions::read_only()).unwrap();
        context.submit().unwrap();
        context.cancel(ticket);
        context.forget(ticket);
    }
    while context.under_way() > 0 {
        assert!(context.wait(None).unwrap().is_none(), "a forgotten one is told");
    }
    assert_eq!(context.counts().orphans, 50);
    assert_eq!(descriptors(&path), 0);
    // And those that are over when the context goes.
    for _ in 0..10 {
        context.open(&path, OpenOptions::read_only()).unwrap();
    }
    context.wait_for_many(10, None).unwrap();
    drop(context);
    assert_eq!(descriptors(&path), 0);
}

#[test]
fn a_cancelled_read_completes_with_its_lease() {
    let Some(mut context) = context(&ALL_BY_RING) else { return };
    let (reader, _writer) = std::io::pipe().unwrap();
    let pipe = context.adopt(reader);
    let lease = context.lease().unwrap();
    let ticket = context.read(&pipe, lease, 10, u64::MAX).unwrap();
    context.submit().unwrap();
    assert!(context.cancel(ticket));
    assert_eq!(complete_move(&mut context, ticket).1, Err(Errno::CANCELED));
    assert!(!context.cancel(ticket), "it is over");
}

/// 100 reads that never end, given up in every way.
#[test]
fn endless_reads_end_with_their_context() {
    let before = leaked();
    for way in 0..3 {
        let Some(mut context) = context(&ALL_BY_RING.queue_depth(100)) else { return };
        let (reader, _writer) = std::io::pipe().unwrap();
        let pipe = context.adopt(reader);
        for index in 0..100 {
            let lease = context.lease().unwrap();
            let ticket = context.read(&pipe, lease, 10, u64::MAX).unwrap();
            if index % 3 == 0 {
                context.forget(ticket);
            }
            if index == 50 {
                context.submit().unwrap();
            }
        }
        match way {
            0 => drop(context),
            1 => assert_eq!(context.close(Duration::from_secs(10)), 0),
            _ => {
                let panicked = std::thread::spawn(|| {
                    let context = crate::common::context(&ALL_BY_RING).unwrap();
                    let _context = context;
                    std::panic::resume_unwind(Box::new("in the middle"));
                });
                assert!(panicked.join().is_err());
            }
        }
    }
    assert_eq!(leaked(), before);
}

/// A lease outlives its context, and is nobody else's meanwhile.
#[test]
fn a_lease_outlives_its_context() {
    let Some(context) = context(&Config::new()) else { return };
    let mut lease = context.lease().unwrap();
    drop(context);
    lease.fill(7);
    assert!(lease.iter().all(|byte| *byte == 7));
    // It may be given to another one, which has not registered it.
    let Some(mut other) = crate::common::context(&ALL_BY_RING) else { return };
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"elsewhere").unwrap();
    let pipe = other.adopt(reader);
    let ticket = other.read(&pipe, lease, 9, u64::MAX).unwrap();
    let (lease, len) = complete_move(&mut other, ticket);
    assert_eq!((len, &lease[..9]), (Ok(9), &b"elsewhere"[..]));
}

/// The sync behind a write that fails or is short is not made, and that is
/// told.
#[test]
fn a_link_breaks_at_an_error_and_at_a_short_write() {
    let directory = Directory::new();
    let Some(mut context) = context(&ALL_BY_RING) else { return };
    let options = OpenOptions::write_only().create(0o600);
    let file = open(&mut context, &directory.path("file"), options);
    let full = open(&mut context, "/dev/full".as_ref(), OpenOptions::write_only());
    let (_reader, writer) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    let pipe = context.adopt(writer);
    let cases = [
        (&file, 0, Ok(8192), Ok(())),
        (&full, 0, Err(Errno::NOSPC), Err(Errno::CANCELED)),
        // A sync of a pipe would be EINVAL.
        (&pipe, u64::MAX, Ok(4096), Err(Errno::CANCELED)),
    ];
    for (file, offset, expected_write, expected_sync) in cases {
        let mut lease = context.lease().unwrap();
        lease[..8192].copy_from_slice(&bytes(8192));
        let (write, sync) = context.write_and_sync(file, lease, 8192, offset).unwrap();
        let Outcome::Synced(synced) = context.complete(sync).unwrap() else { panic!() };
        assert_eq!(complete_move(&mut context, write).1, expected_write);
        assert_eq!(synced, expected_sync);
    }
    assert_eq!(fs::read(directory.path("file")).unwrap(), bytes(8192));
}

fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// A send without copies has two completions; the lease is back at the second.
#[test]
fn a_send_without_copies_gives_its_lease_back_once() {
    let Some(mut context) = context(&Config::new()) else { return };
    let (near, mut far) = connection();
    let socket = context.adopt(near);
    let mut received = vec![0; 20_000];
    for round in 0..20 {
        let mut lease = context.lease().unwrap();
        lease[..20_000].copy_from_slice(&bytes(20_000));
        let ticket = context.send(&socket, lease, 0..20_000, round % 2 == 0).unwrap();
        let (mut lease, sent) = complete_move(&mut context, ticket);
        if sent == Err(Errno::INVAL) {
            println!("SKIPPED: SEND_ZC is unknown here");
            return;
        }
        // As far as the network is concerned it can be anything now.
        lease.fill(0);
        let sent = sent.unwrap();
        std::io::Read::read_exact(&mut far, &mut received[..sent]).unwrap();
        assert_eq!(received[..sent], bytes(20_000)[..sent]);
    }
    assert_eq!(context.counts().stray, 0);
}

#[test]
fn a_unix_socket_refuses_a_send_without_copies() {
    let Some(mut context) = context(&Config::new()) else { return };
    let (near, _far) = std::os::unix::net::UnixStream::pair().unwrap();
    let socket = context.adopt(OwnedFd::from(near));
    let lease = context.lease().unwrap();
    let ticket = context.send(&socket, lease, 0..10, true).unwrap();
    let result = complete_move(&mut context, ticket).1;
    assert!(matches!(result, Err(Errno::OPNOTSUPP | Errno::INVAL)), "{result:?}");
}
