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

/// Sets whose memory is the program's alone, and registered.
fn sets(config: &Config) -> impl Iterator<Item = SinkSet> {
    let both = [false, true].map(|registered| config.clone().registered_buffers(registered));
    both.into_iter().filter_map(|config| set(&config))
}

#[test]
fn a_hundred_connections_are_served_by_one_call() {
    for set in sets(&Config::new().buffer_len(4096)) {
        serves_a_hundred_by_one_call(&set);
    }
}

fn serves_a_hundred_by_one_call(set: &SinkSet) {
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
    for nonblocking in [false, true] {
        let pair = || {
            let (near, far) = UnixStream::pair().unwrap();
            near.set_nonblocking(nonblocking).unwrap();
            (near, far)
        };
        let (near, far) = pair();
        let Ok(sink) = RingSink::new(near) else {
            println!("SKIPPED: no io_uring");
            return;
        };
        flushes_into_a_slow_reader(sink, far);
        for set in sets(&Config::new().queue_depth(2)) {
            let (near, far) = pair();
            flushes_into_a_slow_reader(set.add(near).unwrap(), far);
        }
    }
}

fn flushes_into_a_slow_reader(sink: RingSink, far: UnixStream) {
    let format = Prefixed::native(4096, CRC32);
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

fn message(number: u32) -> Vec<u8> {
    vec![number.to_le_bytes()[0]; usize::try_from(number % 3000).unwrap()]
}

#[test]
fn a_sink_dropped_in_the_middle_of_a_send_leaves_nothing_behind() {
    let before = leaked();
    for set in sets(&Config::new().queue_depth(4).buffer_len(4096)) {
        (0..50).for_each(|_| drop_in_the_middle_of_a_send(&set));
    }
    assert_eq!(leaked(), before);
}

fn drop_in_the_middle_of_a_send(set: &SinkSet) {
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

/// What the kernel took is told even if less is given the second time.
#[test]
fn bytes_that_are_given_in_parts_are_told_in_parts() {
    sets(&Config::new()).for_each(|set| tells_in_parts(&set));
}

fn tells_in_parts(set: &SinkSet) {
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

/// What does not fit into the socket stays, and does not wait for room.
#[test]
fn a_send_that_does_not_fit_is_short() {
    for set in sets(&Config::new().queue_depth(2)) {
        let (near, _far) = UnixStream::pair().unwrap();
        let mut sink = set.add(near).unwrap();
        rustix::net::sockopt::set_socket_send_buffer_size(&sink, 10_000).unwrap();
        assert_eq!(sink.write(&[&[7; 65_536]]).unwrap(), Progress::Blocked);
        set.submit(1, None).unwrap();
        let progress = sink.write(&[&[7; 65_536]]).unwrap();
        assert!(matches!(progress, Progress::Wrote(1..65_536)), "{progress:?}");
    }
}

/// A peer that is gone is an error each time, and the next peer is served.
#[test]
fn another_peer_takes_the_place_of_one_that_is_gone() {
    for set in sets(&Config::new().queue_depth(2)) {
        let (near, far) = UnixStream::pair().unwrap();
        let mut sink = set.add(near).unwrap();
        drop(far);
        for _ in 0..3 {
            assert_eq!(sink.write(&[b"to nobody"]).unwrap(), Progress::Blocked);
            set.submit(1, None).unwrap();
            let error = sink.write(&[b"to nobody"]).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        }
        // With a send under way that has no end.
        let (near, far) = UnixStream::pair().unwrap();
        sink.replace(near).unwrap();
        while sink.write(&[&[1; 65_536]]).unwrap() == Progress::Blocked {
            set.submit(1, Some(Duration::ZERO)).unwrap();
            if sink.write(&[&[1; 65_536]]).unwrap() == Progress::Blocked {
                break;
            }
        }
        let (near, mut other) = UnixStream::pair().unwrap();
        sink.replace(near).unwrap();
        assert_eq!(sink.write(&[b"to somebody"]).unwrap(), Progress::Blocked);
        set.submit(1, None).unwrap();
        assert_eq!(sink.write(&[b"to somebody"]).unwrap(), Progress::Wrote(11));
        drop(sink);
        let mut received = String::new();
        other.read_to_string(&mut received).unwrap();
        assert_eq!(received, "to somebody");
        drop(far);
    }
}
