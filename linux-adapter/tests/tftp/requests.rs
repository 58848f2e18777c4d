//! Requests that are refused, and what a transfer keeps out.

use std::{
    fs,
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    os::unix::fs::symlink,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::{
    client::{Client, Refused},
    random::Random,
    served::{Served, assert_same, runtime},
    tftp_server::paths::Writes,
};

/// A socket that sends what it is told to.
pub(crate) struct Raw(UdpSocket);

impl Raw {
    pub(crate) fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(socket)
    }

    pub(crate) fn send(&self, to: SocketAddr, packet: &[u8]) {
        self.0.send_to(packet, to).unwrap();
    }

    pub(crate) fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut packet = vec![0; 65_536];
        let (len, from) = self.0.recv_from(&mut packet).unwrap();
        packet.truncate(len);
        (packet, from)
    }

    /// Whether a packet has come. What was sent before has been answered by
    /// now, where something else has been answered since.
    fn has_more(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let result = self.0.peek_from(&mut [0; 4]);
        self.0.set_nonblocking(false).unwrap();
        !result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

/// Waits until `condition` holds, for ten seconds at most.
fn await_that(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(10), "waited until {what}");
        std::thread::yield_now();
    }
}

/// The code and the text of an ERROR.
fn error(packet: &[u8]) -> (u8, String) {
    assert_eq!(packet[..3], [0, 5, 0], "{packet:?}");
    let text = packet[4..].strip_suffix(b"\0").unwrap();
    (packet[3], String::from_utf8(text.to_vec()).unwrap())
}

fn get(served: &Served, name: &str) -> Result<Vec<u8>, Refused> {
    let client = Client::new(served.address, &[]);
    runtime().block_on(client.get(name)).map(|(bytes, _)| bytes)
}

fn put(served: &Served, name: &str, bytes: &[u8]) -> Result<(), Refused> {
    let client = Client::new(served.address, &[]);
    runtime().block_on(client.put(name, bytes)).map(|_| ())
}

#[test]
fn nothing_outside_the_directory_is_touched() {
    let served = Served::new(|config| config.writes = Writes::Any);
    fs::write(served.beside("secret"), "secret").unwrap();
    fs::create_dir(served.root("inside")).unwrap();
    served.put("inside/file", b"served");
    symlink("../secret", served.root("out")).unwrap();
    symlink(served.beside("secret"), served.root("far-out")).unwrap();
    symlink("..", served.root("up")).unwrap();
    symlink("inside/file", served.root("in")).unwrap();
    mknodat(CWD, served.root("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();

    assert_eq!(get(&served, "inside/file").unwrap(), b"served");
    assert_eq!(get(&served, "in").unwrap(), b"served");
    let absolute = served.root("inside/file").to_str().unwrap().to_owned();
    let overlong = "n".repeat(256);
    for name in [
        "../secret",
        "inside/../../secret",
        "inside/../inside/file",
        "/etc/passwd",
        &absolute,
        "out",
        "far-out",
        "up/secret",
        "up/root/inside/file",
        "inside",
        "fifo",
        "inside/",
        "./in",
        "",
        &overlong,
        ".tftp-unfinished-1-1",
    ] {
        let refused = get(&served, name).unwrap_err();
        assert_eq!(refused.code, 2, "read {name}: {}", refused.text);
        let refused = put(&served, name, b"overwritten").unwrap_err();
        assert_eq!(refused.code, 2, "write {name}: {}", refused.text);
    }
    for name in ["absent", "absent/file", "in/file"] {
        assert_eq!(get(&served, name).unwrap_err().code, 1, "{name}");
    }
    assert_eq!(fs::read(served.beside("secret")).unwrap(), b"secret");
    assert_eq!(served.names(), ["far-out", "fifo", "in", "inside", "out", "up"]);
}

/// Where a filter forbids `openat2(2)`, or a kernel has none, no link is
/// followed; files are served and written all the same.
#[test]
fn nothing_outside_the_directory_is_touched_without_openat2() {
    for words in ["openat2=1", "openat2=38"] {
        let served = Served::restricted(words, |config| config.writes = Writes::Any);
        fs::write(served.beside("secret"), "secret").unwrap();
        fs::create_dir(served.root("inside")).unwrap();
        served.put("inside/file", b"served");
        symlink("../secret", served.root("out")).unwrap();
        symlink("..", served.root("up")).unwrap();
        assert_eq!(get(&served, "inside/file").unwrap(), b"served");
        put(&served, "inside/new", b"written").unwrap();
        put(&served, "new", b"written").unwrap();
        for new in ["new", "inside/new"] {
            assert_eq!(fs::read(served.root(new)).unwrap(), b"written");
        }
        for name in ["out", "up/secret", "up/root/new", "../secret", "/etc/passwd", "inside"] {
            let refused = get(&served, name).unwrap_err();
            assert!([1, 2].contains(&refused.code), "read {name}: {}", refused.text);
            let refused = put(&served, name, b"overwritten").unwrap_err();
            assert!([1, 2].contains(&refused.code), "write {name}: {}", refused.text);
        }
        assert_eq!(fs::read(served.beside("secret")).unwrap(), b"secret");
        assert_eq!(served.names(), ["inside", "new", "out", "up"]);
    }
}

#[test]
fn writes_are_accepted_as_configured() {
    for (writes, new, old) in [
        (Writes::Refused, Some(2), Some(2)),
        (Writes::New, None, Some(6)),
        (Writes::Any, None, None),
    ] {
        let served = Served::new(|config| config.writes = writes);
        served.put("old", b"old");
        let code = |result: Result<(), Refused>| result.err().map(|refused| refused.code);
        assert_eq!(code(put(&served, "new", b"new")), new, "{writes:?}");
        assert_eq!(code(put(&served, "old", b"new")), old, "{writes:?}");
        let left: &[u8] = if old.is_none() { b"new" } else { b"old" };
        assert_eq!(fs::read(served.root("old")).unwrap(), left);
        assert_eq!(fs::read(served.root("new")).is_ok(), new.is_none());
        // Nothing unfinished stays.
        assert_eq!(served.names().len(), 1 + usize::from(new.is_none()));
    }
}

/// Named before, or found out on the way.
#[test]
fn a_file_that_is_too_long_is_refused() {
    let served = Served::new(|config| {
        config.writes = Writes::New;
        config.file_len_max = 100_000;
    });
    let bytes = vec![7; 100_001];
    for options in [&[("tsize", 100_001)][..], &[]] {
        let client = Client::new(served.address, options);
        let refused = runtime().block_on(client.put("long", &bytes)).unwrap_err();
        assert_eq!(refused.code, 3, "{}", refused.text);
    }
    put(&served, "right", &bytes[1..]).unwrap();
    assert_eq!(served.names(), ["right"]);
}

#[test]
fn what_is_no_request_is_refused() {
    let served = Served::new(|_| {});
    served.put("file", b"content");
    let raw = Raw::new();
    let overlong = [b"\0\x01file\0octet\0x\0", &[b'1'; 500][..], b"\0"].concat();
    for (packet, code) in [
        (&b"\0\x01file\0mail\0"[..], 4),
        (b"\0\x01file\0octet", 4),
        (b"\0\x01file\0octet\0blksize\0", 4),
        (b"\0\x09", 4),
        (b"\0", 4),
        (&overlong, 4),
        (b"\0\x03\0\x01data", 5),
        (b"\0\x04\0\x01", 5),
        (b"\0\x01file\0octet\0blksize\x007\0", 8),
        (b"\0\x02file\0octet\0", 2),
    ] {
        raw.send(served.address, packet);
        let (told, text) = error(&raw.receive().0);
        assert_eq!(told, code, "{}: {text}", packet.escape_ascii());
        assert!(!text.is_empty());
    }
    // An error is not answered, and the server goes on.
    raw.send(served.address, b"\0\x05\0\0text\0");
    raw.send(served.address, b"\0\x01file\0OcTeT\0");
    assert_eq!(raw.receive().0, b"\0\x03\0\x01content");
    assert!(!raw.has_more());
}

/// It is told, and the transfer goes on.
#[test]
fn a_stranger_does_not_disturb_a_transfer() {
    let served = Served::new(|config| config.timeout = Duration::from_secs(60));
    served.put("file", &[7; 600]);
    let (raw, stranger) = (Raw::new(), Raw::new());
    raw.send(served.address, b"\0\x01file\0octet\0");
    let (first, transfer) = raw.receive();
    assert_eq!((&first[..4], first.len()), (&b"\0\x03\0\x01"[..], 516));
    for packet in [&b"\0\x04\0\x01"[..], b"\0\x05\0\0stop\0", b"junk"] {
        stranger.send(transfer, packet);
        assert_eq!(error(&stranger.receive().0).0, 5);
    }
    assert!(!raw.has_more());
    raw.send(transfer, b"\0\x04\0\x01");
    assert_eq!(raw.receive().0.len(), 4 + 88);
    raw.send(transfer, b"\0\x04\0\x02");
}

/// The sorcerer's apprentice.
#[test]
fn acks_that_come_again_are_not_answered() {
    let served = Served::new(|config| config.timeout = Duration::from_secs(60));
    served.put("file", &[7; 3000]);
    let raw = Raw::new();
    raw.send(served.address, b"\0\x01file\0octet\0");
    let (_, transfer) = raw.receive();
    for block in 1..=5 {
        for _ in 0..3 {
            raw.send(transfer, &[0, 4, 0, block]);
        }
        raw.send(transfer, &[0, 4, 0, block - 1]);
        let (packet, _) = raw.receive();
        assert_eq!(packet[..4], [0, 3, 0, block + 1]);
    }
    raw.send(transfer, &[0, 4, 0, 6]);
    while served.shared.counts.done.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    assert!(!raw.has_more());
}

#[test]
fn a_request_that_comes_again_is_served_once() {
    let served = Served::new(|config| config.timeout = Duration::from_secs(60));
    served.put("file", b"content");
    let raw = Raw::new();
    for _ in 0..3 {
        raw.send(served.address, b"\0\x01file\0octet\0");
    }
    let (first, transfer) = raw.receive();
    assert_eq!(first, b"\0\x03\0\x01content");
    while served.shared.counts.repeated.load(Ordering::Relaxed) < 2 {
        std::thread::yield_now();
    }
    assert!(!raw.has_more());
    // Another request of the same client is another transfer.
    raw.send(served.address, b"\0\x01file\0netascii\0");
    let (again, other) = raw.receive();
    assert_eq!(again, first);
    assert_ne!(other, transfer);
}

#[test]
fn one_transfer_too_many_is_told_so() {
    let served = Served::new(|config| {
        config.transfers_max = 2;
        config.timeout = Duration::from_secs(60);
    });
    served.put("file", b"content");
    let raws = [Raw::new(), Raw::new(), Raw::new()];
    let mut transfers = Vec::new();
    for raw in &raws[..2] {
        raw.send(served.address, b"\0\x01file\0octet\0");
        transfers.push(raw.receive().1);
    }
    raws[2].send(served.address, b"\0\x01file\0octet\0");
    assert_eq!(error(&raws[2].receive().0), (0, "too many transfers, try later".to_owned()));
    assert_eq!(served.shared.files.lent(), (2, 2));
    // One that ends makes room.
    raws[0].send(transfers[0], b"\0\x04\0\x01");
    while served.shared.files.lent().0 == 2 {
        std::thread::yield_now();
    }
    raws[2].send(served.address, b"\0\x01file\0octet\0");
    assert_eq!(raws[2].receive().0, b"\0\x03\0\x01content");
}

/// The file is not there until it is whole, and goes if it never is.
#[test]
fn an_unfinished_write_leaves_nothing() {
    let served = Served::new(|config| {
        config.writes = Writes::New;
        config.timeout = Duration::from_secs(60);
    });
    let raw = Raw::new();
    raw.send(served.address, b"\0\x02file\0octet\0");
    let (_, transfer) = raw.receive();
    raw.send(transfer, &[&b"\0\x03\0\x01"[..], &[7; 512]].concat());
    assert_eq!(served.names().len(), 1);
    assert!(served.names()[0].starts_with(".tftp-unfinished-"));
    raw.send(transfer, b"\0\x05\0\0enough\0");
    while served.shared.counts.failed.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    assert_eq!(served.names(), [""; 0]);
    assert_eq!(served.shared.files.lent().0, 0);
}

/// A client that asks for long waits and never answers: a request whose sender
/// is forged must not hold a buffer for minutes.
#[test]
fn a_timeout_holds_once_the_client_has_answered() {
    let served = Served::new(|config| {
        config.writes = Writes::New;
        config.timeout = Duration::from_millis(50);
        config.tries_max = 3;
    });
    served.put("file", b"content");
    for (number, request) in
        [b"\0\x01file\0octet\0timeout\x00255\0", b"\0\x02made\0octet\0timeout\x00255\0"]
            .into_iter()
            .enumerate()
    {
        let raw = Raw::new();
        raw.send(served.address, request);
        for _ in 0..=3 {
            assert_eq!(raw.receive().0, b"\0\x06timeout\x00255\0");
        }
        await_that("it is given up", || {
            served.shared.counts.failed.load(Ordering::Relaxed) == number as u64 + 1
        });
        assert_eq!(served.shared.files.lent().0, 0);
    }
    // One that has answered is waited for as it has asked.
    let raw = Raw::new();
    raw.send(served.address, b"\0\x01file\0octet\0timeout\x00255\0");
    let (_, transfer) = raw.receive();
    raw.send(transfer, b"\0\x04\0\0");
    let mut packet = raw.receive().0;
    while packet[1] == 6 {
        packet = raw.receive().0;
    }
    assert_eq!(packet, b"\0\x03\0\x01content");
    // Others' timeouts pass meanwhile.
    let other = Raw::new();
    other.send(served.address, b"\0\x01file\0octet\0");
    for _ in 0..=3 {
        assert_eq!(other.receive().0, b"\0\x03\0\x01content");
    }
    assert!(!raw.has_more());
    raw.send(transfer, b"\0\x04\0\x01");
    await_that("it is done", || served.shared.counts.done.load(Ordering::Relaxed) == 1);
}

/// Writes that are whole and wait for a client that asks again are no more
/// than transfers may be, however long each is to wait.
#[test]
fn only_so_many_writes_wait_behind_their_end() {
    let served = Served::new(|config| {
        config.writes = Writes::New;
        config.transfers_max = 2;
        config.timeout = Duration::from_secs(60);
    });
    let done = || served.shared.counts.done.load(Ordering::Relaxed);
    let raws: Vec<_> = (0..4).map(|_| Raw::new()).collect();
    for (number, raw) in raws.iter().enumerate() {
        raw.send(served.address, format!("\0\x02file-{number}\0octet\0").as_bytes());
        let (answer, transfer) = raw.receive();
        assert_eq!(answer, b"\0\x04\0\0");
        raw.send(transfer, b"\0\x03\0\x01content");
        assert_eq!(raw.receive().0, b"\0\x04\0\x01");
        let beyond = (number + 1).saturating_sub(2) as u64;
        await_that("those beyond have ended", || done() == beyond);
        assert_eq!(fs::read(served.root(&format!("file-{number}"))).unwrap(), b"content");
    }
}

/// A read and a write of the same bytes, with every option, are the file.
#[test]
fn every_block_length_and_window() {
    every_block_length_and_window_of(&Served::new(|config| config.writes = Writes::New));
}

/// The same where the kernel has no io_uring for this process.
#[test]
fn every_block_length_and_window_without_io_uring() {
    // EPERM, as from a container's filter.
    let served = Served::restricted("setup=1", |config| config.writes = Writes::New);
    assert!(served.shared.files.how().starts_with("files by threads: "));
    every_block_length_and_window_of(&served);
    let names: Vec<_> = (0..40).map(|number| format!("of-{number}")).collect();
    for (name, seed) in names.iter().zip(0..) {
        served.put(name, &Random(seed).bytes(200_000));
    }
    // All at once.
    runtime().block_on(async {
        let reads = names.iter().map(|name| {
            let (client, name) = (Client::new(served.address, &[("blksize", 8192)]), name.clone());
            tokio::spawn(async move { client.get(&name).await.unwrap().0 })
        });
        for (read, seed) in reads.collect::<Vec<_>>().into_iter().zip(0..) {
            assert_same(&read.await.unwrap(), &Random(seed).bytes(200_000), "one of many");
        }
    });
    assert!(served.shared.files.lent().1 > 1);
}

fn every_block_length_and_window_of(served: &Served) {
    let mut random = Random(3);
    for (block_len, window) in
        [(8, 1), (8, 64), (512, 1), (1428, 16), (1428, 64), (8192, 7), (65_464, 1), (65_464, 64)]
    {
        for len in
            [0, block_len - 1, block_len, block_len + 1, 3 * block_len, 100 * block_len.min(900)]
        {
            let bytes = random.bytes(len);
            let name = format!("{block_len}-{window}-{len}");
            let options = [
                ("blksize", block_len as u64),
                ("windowsize", window as u64),
                ("tsize", len as u64),
            ];
            let mut client = Client::new(served.address, &options);
            client.patience = Duration::from_millis(20);
            let (read, report) = runtime().block_on(async {
                client.put(&name, &bytes).await.unwrap();
                client.get(&name).await.unwrap()
            });
            assert_same(&read, &bytes, &name);
            assert_eq!(report.agreed["blksize"], block_len as u64);
            assert_eq!(report.agreed["windowsize"], window.min(65_531 / block_len) as u64);
            assert_eq!(report.agreed.get("tsize").copied().unwrap_or(0), len as u64);
            assert!(report.received >= (len / block_len + 1) as u64);
        }
    }
}
