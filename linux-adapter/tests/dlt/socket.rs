//! The daemon as a stream socket, in both directions.

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
};

use forebay_linux::{
    PIPE_BUF,
    dlt::{Client, Endpoint, Level, SendError},
};
use forebay_std::forebay::{
    Decoder,
    frame::dlt::{Dlt, UserRecord},
};
use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::{
    await_that,
    common::{Scratch, watchdog},
    fake::{APP, CONTEXT, LONG, Seen, seen, texts},
};

/// The far end of one connection.
struct Far {
    stream: UnixStream,
    decoder: Decoder<Dlt, Vec<u8>>,
}

impl Far {
    fn accept(listener: &UnixListener) -> Self {
        let stream = listener.accept().unwrap().0;
        stream.set_read_timeout(Some(LONG)).unwrap();
        // Little room, so that writes are short.
        set_socket_recv_buffer_size(&stream, 1).unwrap();
        Self { stream, decoder: Decoder::new(Dlt::user(65_535), vec![0; 1 << 17]).unwrap() }
    }

    fn await_seen(&mut self, count: usize) -> Vec<Seen> {
        let mut all = Vec::new();
        while all.len() < count {
            let len = self.stream.read(self.decoder.free()).unwrap();
            assert_ne!(len, 0, "the client is gone");
            self.decoder.received(len);
            while let Some(frame) = self.decoder.next_frame().unwrap() {
                all.push(seen(frame.payload));
            }
        }
        all
    }
}

#[test]
fn long_and_short_messages_go_whole_and_the_daemon_is_heard() {
    let _held = watchdog("a socket");
    let scratch = Scratch::new();
    let path = scratch.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let endpoint = Endpoint::Socket(path);
    let client = Client::builder(APP).endpoint(endpoint).ring_len(1 << 22).start().unwrap();
    let mut context = client.context(CONTEXT, "");
    let mut far = Far::accept(&listener);
    let sent: Vec<String> = (0..200_usize)
        .map(|number| "x".repeat([5, 100, PIPE_BUF, 60_000][number % 4] + number))
        .collect();
    for text in &sent {
        context.log(Level::Info, text).unwrap();
    }
    let too_long = context.log(Level::Info, &"x".repeat(65_495)).unwrap_err();
    assert_eq!(too_long, SendError::TooLong { len: 65_536, len_max: 65_535 });
    let all = far.await_seen(203);
    assert_eq!(texts(&all), sent);
    assert_eq!(all.iter().filter(|seen| matches!(seen, Seen::Overflow(1))).count(), 1);

    let mut out = [0; 64];
    let level = UserRecord::LogLevel { level: 2, trace: 0, position: 0 };
    let len = level.put(&mut out).unwrap();
    far.stream.write_all(&out[..len]).unwrap();
    await_that("the level changes", || context.level() == Some(Level::Error));

    assert!(client.flush(LONG));
    let counts = client.close(LONG);
    assert_eq!(far.await_seen(2), [Seen::ContextEnd, Seen::AppEnd]);
    assert_eq!((counts.ledger.delivered, counts.connects), (200, 1));
    assert!(counts.blocked > 0, "{counts:?}");
}

/// A connection that ends in the middle of a record: the next one begins with
/// who is there, and then with that record, whole.
#[test]
fn a_new_connection_begins_with_a_whole_record() {
    let _held = watchdog("a new connection");
    let scratch = Scratch::new();
    let path = scratch.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let endpoint = Endpoint::Socket(path.clone());
    let client = Client::builder(APP).endpoint(endpoint).ring_len(1 << 23).start().unwrap();
    let mut context = client.context(CONTEXT, "");
    let sent: Vec<String> = (0..100).map(|number| format!("{number:030000}")).collect();
    let mut far = Far::accept(&listener);
    for text in &sent {
        context.log(Level::Info, text).unwrap();
    }
    await_that("the socket is full", || client.counts().blocked > 0);
    let before = far.await_seen(12);
    let delivered = usize::try_from(client.counts().ledger.delivered).unwrap();
    assert!(delivered < 100);
    drop(far);
    let mut far = Far::accept(&listener);
    let missing = 100 - usize::try_from(client.counts().ledger.delivered).unwrap();
    let mut after = far.await_seen(2);
    // A socket's unread bytes are gone with it, so what follows is what had
    // not been taken.
    while !texts(&after).contains(&sent[99].as_str()) {
        after.extend(far.await_seen(1));
    }
    assert!(matches!(after[..2], [Seen::App(_), Seen::Context { .. }]));
    let (before, after) = (texts(&before), texts(&after));
    assert_eq!(before, sent[..before.len()]);
    assert_eq!(after, sent[100 - after.len()..]);
    assert!(after.len() >= missing);
    assert!(client.flush(LONG));
    let counts = client.counts();
    assert_eq!((counts.connects, counts.ledger.delivered), (2, 100));
    assert!(counts.ledger.balances(0));
}
