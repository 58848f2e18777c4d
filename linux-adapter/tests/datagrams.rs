//! Thousands of datagrams, with receivers that are slow, stop and go: none is
//! lost where the kernel holds the sender back, and the error says so where a
//! peer is gone.

mod common;

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, UdpSocket},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixDatagram,
    },
    sync::mpsc::channel,
    thread,
    time::Instant,
};

use common::{Scratch, message, names, watchdog};
use forebay_linux::datagram::{DatagramReader, DatagramSink, Each, Truncated, UDP_LEN_MAX};
use forebay_std::{
    Drained, Drainer,
    forebay::{
        Progress, Sink,
        checksum::CRC32,
        frame::{Decode, Encode, Plain, Prefixed, Step},
    },
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair, sockopt};

const LEN_MAX: usize = 10_000;

type Line<Fd> = Drainer<Each<Plain>, DatagramSink<Fd>>;

fn line<Fd: AsFd>(fd: Fd) -> Line<Fd> {
    Drainer::new(Each::new(Plain, LEN_MAX), DatagramSink::new(fd))
}

/// A sender's message: its names and as many bytes more as follow from these.
/// Some are so long that they are lent, one in seven is as short as can be.
fn payload(sender: u32, number: u32) -> Vec<u8> {
    let more = [0, 3, 300, 17, 5000, 64, 0][number as usize % 7];
    let mut payload = message(sender, number).to_vec();
    payload.resize(payload.len() + more, number.to_le_bytes()[0]);
    payload
}

/// Takes `count` datagrams of `senders`, all of them whole, each sender's in
/// their order.
fn receive<Fd: AsFd>(datagrams: &mut DatagramReader<Fd>, senders: u32, each: u32) {
    let mut next = vec![0; senders as usize];
    let mut left = senders * each;
    while left > 0 {
        assert!(datagrams.fill().unwrap() > 0);
        while let Some(datagram) = datagrams.next_datagram() {
            let datagram = datagram.unwrap();
            let (sender, number) = names(&datagram[..8]);
            let next = &mut next[sender as usize];
            assert_eq!(number, *next, "of sender {sender}");
            assert!(datagram == payload(sender, number));
            *next += 1;
            left -= 1;
        }
    }
}

/// A socket and its connected peers' socket, in three ways.
fn pairs(scratch: &Scratch) -> [(&'static str, OwnedFd, OwnedFd); 3] {
    let (near, far) = UnixDatagram::pair().unwrap();
    sockopt::set_socket_send_buffer_size(&near, 8192).unwrap();
    let pair = ("pair", near.into(), far.into());

    // Here the receiver's queue is what is full.
    let far = UnixDatagram::bind(scratch.path("socket")).unwrap();
    let near = UnixDatagram::unbound().unwrap();
    near.connect(scratch.path("socket")).unwrap();
    let named = ("named", near.into(), far.into());

    let kind = SocketType::SEQPACKET;
    let (near, far) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
    sockopt::set_socket_send_buffer_size(&near, 8192).unwrap();
    [pair, named, ("seqpacket", near, far)]
}

#[test]
fn thousands_arrive_though_the_receiver_stops() {
    const SENDERS: u32 = 3;
    const EACH: u32 = 2000;
    let scratch = Scratch::new();
    for (name, near, far) in pairs(&scratch) {
        let _held = watchdog(name);
        let mut drainer = line(near);
        for sender in 0..SENDERS {
            let mut producer = drainer.sender(1 << 22).unwrap();
            (0..EACH).for_each(|number| producer.send(&payload(sender, number)).unwrap());
        }
        // Nobody receives yet.
        while drainer.counts().blocked == 0 {
            assert_eq!(drainer.run_until(Instant::now()).unwrap(), Drained::Deadline);
        }
        assert!(drainer.ledger().delivered < u64::from(SENDERS * EACH));
        thread::scope(|threads| {
            threads.spawn(|| receive(&mut DatagramReader::new(far, LEN_MAX), SENDERS, EACH));
            drainer.run().unwrap();
        });
        let (ledger, counts) = (drainer.ledger(), drainer.sink().counts());
        assert_eq!(ledger.delivered, u64::from(SENDERS * EACH), "{name}");
        assert_eq!(ledger.undeliverable, 0);
        assert_eq!(counts.datagrams, ledger.delivered, "{name}");
        assert_eq!(counts.blocked, drainer.counts().blocked);
        assert!(counts.polls > 0 && counts.polls <= counts.blocked, "{name} {counts:?}");
        assert_eq!(drainer.counts().writes, counts.calls, "{name}");
    }
}

/// UDP holds nobody back, so the receiver's answers do.
#[test]
fn udp_loses_nothing_of_a_window_that_is_answered() {
    const COUNT: u32 = 5000;
    const WINDOW: u32 = 50;
    let _held = watchdog("UDP");
    let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // What the kernel keeps of one with its bookkeeping, twice.
    sockopt::set_socket_recv_buffer_size(&far, 1 << 20).unwrap();
    let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    near.connect(far.local_addr().unwrap()).unwrap();
    let short = |number| payload(7, number * 7 + 2);
    let (answer, answers) = channel();
    let mut drainer = line(near);
    thread::scope(|threads| {
        threads.spawn(move || {
            let mut datagrams = DatagramReader::new(far, LEN_MAX);
            for window in 0..COUNT / WINDOW {
                let mut number = window * WINDOW;
                while number < (window + 1) * WINDOW {
                    datagrams.fill().unwrap();
                    while let Some(datagram) = datagrams.next_datagram() {
                        assert!(datagram.unwrap() == short(number), "datagram {number}");
                        number += 1;
                    }
                }
                answer.send(()).unwrap();
            }
            assert!(datagrams.calls() <= u64::from(COUNT));
        });
        let mut sender = drainer.sender(1 << 16).unwrap();
        for number in 0..COUNT {
            sender.send(&short(number)).unwrap();
            if (number + 1) % WINDOW == 0 {
                drainer.flush().unwrap();
                answers.recv().unwrap();
            }
        }
    });
    let counts = drainer.sink().counts();
    assert_eq!(counts.datagrams, u64::from(COUNT));
    assert!(counts.calls <= u64::from(2 * COUNT / WINDOW), "{counts:?}");
}

#[test]
fn frames_are_whole_datagrams() {
    let format = Prefixed::native(9000, CRC32);
    let (near, far) = UnixDatagram::pair().unwrap();
    let mut drainer = Drainer::new(Each::new(format, LEN_MAX), DatagramSink::new(near));
    let mut sender = drainer.sender(1 << 20).unwrap();
    let lens = [0, 1, 5000, 9000, 17];
    lens.iter().for_each(|len| sender.send(&vec![7; *len]).unwrap());
    drainer.flush().unwrap();
    let mut datagrams = DatagramReader::new(far, LEN_MAX);
    assert_eq!(datagrams.fill().unwrap(), lens.len());
    for len in lens {
        let mut frame = datagrams.next_datagram().unwrap().unwrap().to_vec();
        let all = frame.len();
        let Step::Frame { payload, frame_len } = format.decode(&mut frame, 0) else {
            panic!("{len}");
        };
        assert_eq!((frame_len, payload.len()), (all, len));
        assert!(frame[payload].iter().all(|byte| *byte == 7));
    }
}

#[test]
fn one_over_the_maximum_is_undeliverable_and_costs_no_other() {
    let (near, far) = UnixDatagram::pair().unwrap();
    let mut drainer = line(near);
    let mut sender = drainer.sender(1 << 20).unwrap();
    for len in [1, LEN_MAX + 1, LEN_MAX, 2] {
        sender.send(&vec![7; len]).unwrap();
    }
    drainer.flush().unwrap();
    assert_eq!((drainer.ledger().delivered, drainer.ledger().undeliverable), (3, 1));
    let mut datagrams = DatagramReader::new(far, LEN_MAX);
    assert_eq!(datagrams.fill().unwrap(), 3);
    for len in [1, LEN_MAX, 2] {
        assert_eq!(datagrams.next_datagram().unwrap().unwrap().len(), len);
    }
}

#[test]
fn one_that_is_too_long_for_the_reader_is_told_with_its_length() {
    let (near, far) = UnixDatagram::pair().unwrap();
    for len in [3, 4, 5, 70_000, 0] {
        near.send(&vec![7; len]).unwrap();
    }
    let mut datagrams = DatagramReader::new(far, 4);
    assert_eq!(datagrams.fill().unwrap(), 5);
    let truncated = |len| Some(Err(Truncated { len, len_max: 4 }));
    assert_eq!(datagrams.next_datagram(), Some(Ok(&[7; 3][..])));
    assert_eq!(datagrams.next_datagram(), Some(Ok(&[7; 4][..])));
    assert_eq!(datagrams.next_datagram(), truncated(5));
    assert_eq!(datagrams.next_datagram(), truncated(70_000));
    assert_eq!(datagrams.next_datagram(), Some(Ok(&[][..])));
    assert_eq!(datagrams.next_datagram(), None);
}

/// A reader of nothing but empty ones has room all the same.
#[test]
fn a_reader_of_any_length_has_room_for_one() {
    let (near, far) = UnixDatagram::pair().unwrap();
    near.send(b"").unwrap();
    near.send(b"x").unwrap();
    let mut datagrams = DatagramReader::new(&far, 0);
    assert_eq!(datagrams.fill().unwrap(), 2);
    assert_eq!(datagrams.next_datagram(), Some(Ok(&[][..])));
    assert_eq!(datagrams.next_datagram(), Some(Err(Truncated { len: 1, len_max: 0 })));

    near.send(&[7; 60_000]).unwrap();
    near.send(&[8; 60_000]).unwrap();
    let mut datagrams = DatagramReader::new(far, 2 << 20);
    for byte in [7, 8] {
        assert_eq!(datagrams.fill().unwrap(), 1);
        assert_eq!(datagrams.next_datagram(), Some(Ok(&[byte; 60_000][..])));
    }
}

#[test]
fn a_reader_that_does_not_block_says_that_there_is_none() {
    let (_near, far) = UnixDatagram::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    let error = DatagramReader::new(far, 10).fill().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_peer_that_is_gone_is_an_error_and_the_datagrams_stay() {
    let (near, far) = UnixDatagram::pair().unwrap();
    let mut drainer = line(near);
    let mut sender = drainer.sender(1 << 20).unwrap();
    (0..100).for_each(|number| sender.send(&payload(0, number)).unwrap());
    drop(far);
    let error = drainer.flush().unwrap_err();
    assert!(
        [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset].contains(&error.kind()),
        "{error}"
    );
    assert_eq!(drainer.ledger().delivered, 0);
    let (near, far) = UnixDatagram::pair().unwrap();
    *drainer.sink_mut() = DatagramSink::new(near);
    assert_eq!(drainer.rewind(), 0);
    thread::scope(|threads| {
        threads.spawn(|| receive(&mut DatagramReader::new(far, LEN_MAX), 1, 100));
        drainer.flush().unwrap();
    });
    assert_eq!(drainer.ledger().delivered, 100);
}

/// Told by the call after the one that it is of, which sends nothing; then it
/// goes on.
#[test]
fn a_port_that_nobody_listens_on_is_told_later() {
    let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = far.local_addr().unwrap();
    near.connect(address).unwrap();
    drop(far);
    let mut sink = DatagramSink::new(near);
    let one = [&3u32.to_ne_bytes()[..], b"one"].concat();
    let error = loop {
        match sink.write(&[&one]) {
            Ok(progress) => assert_eq!(progress, Progress::Wrote(one.len())),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(sink.write(&[&one]).unwrap(), Progress::Wrote(one.len()));
}

#[test]
fn the_longest_of_udp_is_taken_and_no_longer_one() {
    let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    near.connect(far.local_addr().unwrap()).unwrap();
    let mut drainer = Drainer::new(Each::new(Plain, UDP_LEN_MAX), DatagramSink::new(near));
    let mut sender = drainer.sender(1 << 20).unwrap();
    sender.send(&[7; UDP_LEN_MAX + 1]).unwrap();
    sender.send(&[7; UDP_LEN_MAX]).unwrap();
    drainer.flush().unwrap();
    assert_eq!((drainer.ledger().delivered, drainer.ledger().undeliverable), (1, 1));
    let mut datagrams = DatagramReader::new(far, UDP_LEN_MAX);
    assert_eq!(datagrams.fill().unwrap(), 1);
    assert_eq!(datagrams.next_datagram(), Some(Ok(&[7; UDP_LEN_MAX][..])));
}

/// By what its maximum says it could be sent, but the socket never takes it.
#[test]
fn one_that_the_socket_never_takes_is_told_with_the_figures() {
    let (near, _far) = UnixDatagram::pair().unwrap();
    sockopt::set_socket_send_buffer_size(&near, 1).unwrap();
    let send_buffer = sockopt::socket_send_buffer_size(&near).unwrap();
    let mut drainer = line(near);
    let mut sender = drainer.sender(1 << 16).unwrap();
    sender.send(&[7; LEN_MAX]).unwrap();
    let error = drainer.flush().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        error.to_string(),
        format!(
            "the socket takes no datagram of {LEN_MAX} bytes (EMSGSIZE); \
             its send buffer has {send_buffer}"
        )
    );
    assert_eq!((drainer.ledger().delivered, drainer.ledger().undeliverable), (0, 0));
}

/// `count` datagrams of `len` bytes, as the pump gives them.
fn wire(count: usize, len: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    for number in 0..count {
        let mut out = vec![0; 4 + len];
        let payload = vec![number.to_le_bytes()[0]; len];
        let each = Each::new(Plain, len);
        let len = each.encode(&payload, &mut out).unwrap();
        wire.extend_from_slice(&out[..len]);
    }
    wire
}

/// Cut into slices anywhere, they are the same datagrams.
#[test]
fn slices_of_every_length_are_the_same_datagrams() {
    let wire = wire(20, 9);
    for len in [1, 2, 3, 4, 5, 12, 13, 14, 26, 100, 1000] {
        let (near, far) = UnixDatagram::pair().unwrap();
        let mut sink = DatagramSink::new(near);
        let mut left = &wire[..];
        while !left.is_empty() {
            let slices: Vec<&[u8]> = left.chunks(len).flat_map(|slice| [&[], slice]).collect();
            let Progress::Wrote(moved) = sink.write(&slices).unwrap() else { panic!("blocked") };
            assert_eq!(moved % 13, 0, "whole ones");
            left = &left[moved..];
        }
        assert_eq!(sink.counts().calls, 1, "{len}");
        let mut datagrams = DatagramReader::new(far, 100);
        assert_eq!(datagrams.fill().unwrap(), 20);
        for number in 0..20 {
            assert_eq!(datagrams.next_datagram(), Some(Ok(&[number; 9][..])), "{len}");
        }
    }
}

#[test]
fn more_than_one_call_takes_wait_for_the_next() {
    let (near, _far) = UnixDatagram::pair().unwrap();
    let mut sink = DatagramSink::new(near);
    // 64 datagrams, 256 parts.
    assert_eq!(sink.write(&[&wire(65, 1)]).unwrap(), Progress::Wrote(64 * 5));
    let parts = wire(10, 100);
    let slices: Vec<&[u8]> = parts.chunks(1).collect();
    assert_eq!(sink.write(&slices).unwrap(), Progress::Wrote(2 * 104));
    assert_eq!((sink.counts().calls, sink.counts().datagrams), (2, 66));
}

#[test]
fn what_is_no_list_of_datagrams_is_refused_before_anything_is_sent() {
    let (near, far) = UnixDatagram::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    let mut sink = DatagramSink::new(near);
    let whole = wire(1, 300);
    let scattered: Vec<&[u8]> = whole.chunks(1).collect();
    let cases: [(&[&[u8]], &str); 4] = [
        (&[b"abc"], "3 of a datagram's 4 bytes were given: its format is not `Each`"),
        (&[&whole[..303]], "299 of a datagram's 300 bytes were given: its format is not `Each`"),
        (&[b"no", b" datagram"], "7 of a datagram's "),
        (&scattered, "a datagram of 300 bytes lies in more than 256 slices"),
    ];
    for (slices, text) in cases {
        let error = sink.write(slices).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(text), "{error}");
    }
    assert_eq!(sink.counts().calls, 0);
    assert_eq!(far.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
}
