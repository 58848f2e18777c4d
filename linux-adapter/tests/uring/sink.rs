//! Sinks through a ring beyond the conformance suite: many connections in one
//! call, waits, sinks that are dropped while their bytes are with the kernel.

use std::{
    io::{Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    thread,
    time::Duration,
};

use forebay_linux::uring::{Config, RingSink, SetupError, SinkSet, leaked};
use forebay_std::{
    Drainer, FrameReader, Wait,
    forebay::{Progress, Sink, checksum::CRC32, frame::Prefixed},
};

fn set(config: &Config) -> Option<SinkSet> {
    match SinkSet::new(config) {
        Ok(set) => Some(set),
        Err(why @ SetupError::Ring(_)) => {
            println!("SKIPPED: {why}");
            None
        }
        Err(why) => panic!("{why}"),
    }
}

#[test]
fn a_hundred_connections_are_served_by_one_call() {
    let Some(set) = set(&Config::new().buffer_len(4096)) else { return };
    let mut lines: Vec<(RingSink, UnixStream)> = (0..100)
        .map(|_| {
            let (near, far) = UnixStream::pair().unwrap();
            (set.add(near).unwrap(), far)
        })
        .collect();
    for round in 1..=20u8 {
        let message = [round; 1000];
        for (sink, _) in &mut lines {
            assert_eq!(sink.write(&[&message]).unwrap(), Progress::Blocked);
        }
        set.submit(100, None).unwrap();
        for (sink, far) in &mut lines {
            assert_eq!(sink.write(&[&message]).unwrap(), Progress::Wrote(1000));
            let mut received = [0; 1000];
            far.read_exact(&mut received).unwrap();
            assert_eq!(received, message);
        }
        assert_eq!(set.enters(), round.into());
    }
}

/// A `Drainer` that flushes waits for completions.
#[test]
fn a_drainer_flushes_into_a_slow_reader() {
    let format = Prefixed::native(4096, CRC32);
    for nonblocking in [false, true] {
        let (near, far) = UnixStream::pair().unwrap();
        near.set_nonblocking(nonblocking).unwrap();
        let Ok(sink) = RingSink::new(near) else {
            println!("SKIPPED: no io_uring");
            return;
        };
        let mut drainer = Drainer::new(format, sink);
        let mut sender = drainer.sender(1 << 20).unwrap();
        let reader = thread::spawn(move || {
            let mut frames = FrameReader::new(far, format);
            let mut count = 0u32;
            while frames.fill().unwrap() {
                while let Some(frame) = frames.next_frame().unwrap() {
                    assert_eq!(frame.payload, message(count));
                    count += 1;
                }
            }
            count
        });
        let mut sent = 0;
        for _ in 0..20 {
            while sender.send(&message(sent)).is_ok() {
                sent += 1;
            }
            drainer.flush().unwrap();
            assert_eq!(drainer.ledger().delivered, u64::from(sent));
        }
        drop(drainer);
        assert_eq!(reader.join().unwrap(), sent);
        assert!(sent > 1000);
    }
}

fn message(number: u32) -> Vec<u8> {
    vec![number.to_le_bytes()[0]; usize::try_from(number % 3000).unwrap()]
}

#[test]
fn a_sink_dropped_in_the_middle_of_a_send_leaves_nothing_behind() {
    let before = leaked();
    let Some(set) = set(&Config::new().queue_depth(4).buffer_len(4096)) else { return };
    for _ in 0..50 {
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut filler = near.try_clone().unwrap();
        while filler.write(&[0; 4096]).is_ok() {}
        near.set_nonblocking(false).unwrap();
        let mut sink = set.add(near).unwrap();
        assert_eq!(sink.write(&[&[1; 4096]]).unwrap(), Progress::Blocked);
        set.submit(0, None).unwrap();
        assert_eq!(sink.write(&[&[1; 4096]]).unwrap(), Progress::Blocked);
        drop(sink);
        drop(filler);
        set.submit(1, Some(Duration::from_secs(10))).unwrap();
        // The socket is closed, so that its end can be read.
        let mut rest = vec![];
        far.read_to_end(&mut rest).unwrap();
        assert!(rest.iter().all(|byte| *byte == 0), "a cancelled send has left");
    }
    drop(set);
    assert_eq!(leaked(), before);
}

/// What the kernel took is told even if less is given the second time.
#[test]
fn bytes_that_are_given_in_parts_are_told_in_parts() {
    let Some(set) = set(&Config::new()) else { return };
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut sink = set.add(near).unwrap();
    assert_eq!(sink.write(&[b"four", b"teen bytes"]).unwrap(), Progress::Blocked);
    set.submit(1, None).unwrap();
    assert_eq!(sink.write(&[b"four"]).unwrap(), Progress::Wrote(4));
    assert_eq!(sink.write(&[b"teen"]).unwrap(), Progress::Wrote(4));
    assert_eq!(sink.write(&[b" bytes"]).unwrap(), Progress::Wrote(6));
    drop(sink);
    let mut received = String::new();
    far.read_to_string(&mut received).unwrap();
    assert_eq!(received, "fourteen bytes");
}

#[test]
fn what_is_no_stream_socket_is_refused() {
    let Some(set) = set(&Config::new().queue_depth(1)) else { return };
    let (reader, _writer) = std::io::pipe().unwrap();
    let datagrams = std::os::unix::net::UnixDatagram::unbound().unwrap();
    for fd in [OwnedFd::from(reader), datagrams.into()] {
        assert_eq!(set.add(fd).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    }
    let (near, far) = UnixStream::pair().unwrap();
    let kept = (set.add(near).unwrap(), set.add(far).unwrap());
    let (near, _far) = UnixStream::pair().unwrap();
    assert_eq!(set.add(near).unwrap_err().kind(), std::io::ErrorKind::OutOfMemory);
    drop(kept);
}

#[test]
fn a_wait_ends_at_its_deadline() {
    let (near, _far) = UnixStream::pair().unwrap();
    let Ok(mut sink) = RingSink::new(near) else {
        println!("SKIPPED: no io_uring");
        return;
    };
    while let Progress::Wrote(_) = sink.write(&[&[0; 65536]]).unwrap() {}
    let deadline = std::time::Instant::now() + Duration::from_millis(5);
    sink.wait(Some(deadline)).unwrap();
    assert_eq!(sink.write(&[&[0; 65536]]).unwrap(), Progress::Blocked);
    assert!(std::time::Instant::now() >= deadline);
}
