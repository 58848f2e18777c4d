//! Send buffers of real sockets: doubled, clamped, never shrunk, grown under
//! load; and what they hold.

mod common;

use std::{
    fs::File,
    io::{self, Read},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixStream},
    },
    thread,
};

use common::{number_in, watchdog};
use forebay_linux::{AutoTune, FdSink, SendBuffer, unsent};
use forebay_std::forebay::{Progress, Sink};
use rustix::{io::Errno, net::sockopt};

fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// A UNIX and a TCP socket with the smallest buffers that there are, and their
/// peers.
fn small() -> [(OwnedFd, OwnedFd); 2] {
    let (near, far) = UnixStream::pair().unwrap();
    sockopt::set_socket_send_buffer_size(&near, 1).unwrap();
    let unix = (near.into(), far.into());
    let (near, far) = tcp();
    sockopt::set_socket_send_buffer_size(&near, 1).unwrap();
    [unix, (near.into(), far.into())]
}

/// What `net.core.wmem_max` is; without it there is nothing to compare with.
fn wmem_max() -> Option<usize> {
    number_in("/proc/sys/net/core/wmem_max")
}

#[test]
fn the_kernel_doubles_what_it_is_asked_for() {
    let Some(wmem_max) = wmem_max() else { return };
    for (socket, _far) in small() {
        let before = sockopt::socket_send_buffer_size(&socket).unwrap();
        let requested = wmem_max / 2;
        let buffer = SendBuffer::grow(&socket, requested).unwrap();
        assert_eq!(buffer, SendBuffer { requested, before, effective: 2 * requested });
        assert!(!buffer.is_clamped());
        assert_eq!(sockopt::socket_send_buffer_size(&socket).unwrap(), buffer.effective);
    }
}

#[test]
fn the_kernel_clamps_it_to_wmem_max() {
    let Some(wmem_max) = wmem_max() else { return };
    for requested in [wmem_max + 1, i32::MAX as usize, usize::MAX] {
        for (socket, _far) in small() {
            let buffer = SendBuffer::grow(&socket, requested).unwrap();
            assert_eq!((buffer.requested, buffer.effective), (requested, 2 * wmem_max));
            assert!(buffer.is_clamped());
        }
    }
    let (socket, _far) = &small()[0];
    assert!(!SendBuffer::grow(socket, wmem_max).unwrap().is_clamped());
}

#[test]
fn it_is_never_shrunk() {
    let Some(wmem_max) = wmem_max() else { return };
    for (socket, _far) in small() {
        let large = SendBuffer::grow(&socket, wmem_max / 2).unwrap().effective;
        for requested in [0, 1, wmem_max / 4, wmem_max / 2] {
            let buffer = SendBuffer::grow(&socket, requested).unwrap();
            assert_eq!(buffer, SendBuffer { requested, before: large, effective: large });
        }
    }
}

/// As a TCP socket's is that has grown by itself, and as one that a
/// privileged program has set.
#[test]
fn what_is_larger_than_the_kernel_gives_stays() {
    let Some(wmem_max) = wmem_max() else { return };
    let (socket, _far) = UnixStream::pair().unwrap();
    match sockopt::set_socket_send_buffer_size_force(&socket, 2 * wmem_max) {
        Err(Errno::PERM) => {
            println!("SKIPPED: no right to exceed wmem_max");
            return;
        }
        result => result.unwrap(),
    }
    let buffer = SendBuffer::grow(&socket, 4 * wmem_max).unwrap();
    assert_eq!((buffer.before, buffer.effective), (4 * wmem_max, 4 * wmem_max));
    assert!(buffer.is_clamped());
    assert_eq!(sockopt::socket_send_buffer_size(&socket).unwrap(), 4 * wmem_max);
}

#[test]
fn what_is_no_socket_has_no_send_buffer() {
    let file = File::open("/dev/null").unwrap();
    let error = SendBuffer::grow(&file, 1000).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::NOTSOCK.raw_os_error()));
    for fd in [file.into(), OwnedFd::from(io::pipe().unwrap().1)] {
        let error = unsent(&fd).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::NOTTY.raw_os_error()));
    }
}

/// Writes whether it can or not, with nobody reading.
#[test]
fn it_grows_while_writes_block_and_stops_at_its_maximum() {
    let Some(wmem_max) = wmem_max() else { return };
    let len_max = wmem_max / 2;
    let (socket, _far) = UnixStream::pair().unwrap();
    // The maximum lies between two doublings.
    sockopt::set_socket_send_buffer_size(&socket, len_max / 12).unwrap();
    let first = sockopt::socket_send_buffer_size(&socket).unwrap();
    let mut sink = FdSink::new(&socket).unwrap().auto_tune(AutoTune::new(len_max));
    let chunk = vec![7; len_max / 16];
    let mut sizes = vec![first];
    for _ in 0..10_000 {
        sink.write(&[&chunk]).unwrap();
        let size = sockopt::socket_send_buffer_size(&socket).unwrap();
        if sizes.last() != Some(&size) {
            sizes.push(size);
            assert_eq!(sink.tune().unwrap().last().unwrap().effective, size);
        }
        if sink.tune().unwrap().is_done() {
            break;
        }
    }
    assert_eq!(sizes, [first, 2 * first, 4 * first, 8 * first, 2 * len_max]);
    // Done is done.
    for _ in 0..1000 {
        while sink.write(&[&chunk]).unwrap() != Progress::Blocked {}
    }
    assert_eq!(sockopt::socket_send_buffer_size(&socket).unwrap(), 2 * len_max);
}

#[test]
fn it_stops_where_the_kernel_gives_no_more() {
    let Some(wmem_max) = wmem_max() else { return };
    let (socket, _far) = UnixStream::pair().unwrap();
    sockopt::set_socket_send_buffer_size(&socket, wmem_max / 2).unwrap();
    let mut sink = FdSink::new(&socket).unwrap().auto_tune(AutoTune::new(usize::MAX));
    let chunk = vec![7; 1 << 16];
    while !sink.tune().unwrap().is_done() {
        sink.write(&[&chunk]).unwrap();
    }
    assert_eq!(sockopt::socket_send_buffer_size(&socket).unwrap(), 2 * wmem_max);
}

#[test]
fn it_stays_while_the_reader_keeps_up() {
    let (socket, mut far) = UnixStream::pair().unwrap();
    let mut sink = FdSink::new(&socket).unwrap().auto_tune(AutoTune::new(1 << 20));
    let chunk = vec![7; 1024];
    let mut room = vec![0; 1024];
    for _ in 0..1000 {
        assert_eq!(sink.write(&[&chunk]).unwrap(), Progress::Wrote(1024));
        far.read_exact(&mut room).unwrap();
    }
    assert_eq!(sink.tune().unwrap().last(), None);
    assert!(!sink.tune().unwrap().is_done());
}

/// A pipe has none that could grow; it is written to all the same.
#[test]
fn what_is_no_socket_is_not_tuned() {
    let (_far, near) = io::pipe().unwrap();
    let mut sink = FdSink::nonblocking(near).unwrap().auto_tune(AutoTune::new(1 << 20));
    let chunk = vec![7; 4096];
    for _ in 0..1000 {
        sink.write(&[&chunk]).unwrap();
    }
    assert!(sink.counts().blocked > 900);
    assert_eq!(sink.tune().unwrap().last(), None);
    assert!(!sink.tune().unwrap().is_done(), "it was tried");
}

#[test]
fn unsent_counts_what_a_unix_peer_has_not_read() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut sink = FdSink::new(near).unwrap();
    assert_eq!(unsent(sink.fd()).unwrap(), 0);
    let mut last = 0;
    for _ in 0..10 {
        sink.write(&[&[7; 1000]]).unwrap();
        let now = unsent(sink.fd()).unwrap();
        assert_eq!(sink.unsent().unwrap(), now);
        assert!(now >= last + 1000, "{now} after {last}");
        last = now;
    }
    far.read_exact(&mut [0; 10_000]).unwrap();
    assert_eq!(unsent(sink.fd()).unwrap(), 0);
}

#[test]
fn unsent_counts_what_a_tcp_peer_has_not_acknowledged() {
    let _held = watchdog("an acknowledgement");
    let (near, mut far) = tcp();
    let mut sink = FdSink::new(near).unwrap();
    assert_eq!(unsent(sink.fd()).unwrap(), 0);
    let chunk = vec![7; 1 << 16];
    let mut sent = 0;
    while let Progress::Wrote(len) = sink.write(&[&chunk]).unwrap() {
        sent += len;
    }
    let waiting = unsent(sink.fd()).unwrap();
    assert!(waiting > 0 && waiting < sent, "{waiting} of {sent}");
    far.read_exact(&mut vec![0; sent]).unwrap();
    while unsent(sink.fd()).unwrap() > 0 {
        thread::yield_now();
    }
}

#[test]
fn a_socket_that_listens_sends_nothing() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let error = unsent(&listener).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::INVAL.raw_os_error()));
    // One that has never been connected has a queue, and nothing in it.
    assert_eq!(unsent(UnixDatagram::unbound().unwrap()).unwrap(), 0);
}
