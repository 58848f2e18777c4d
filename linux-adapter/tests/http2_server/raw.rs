//! A client that sends what it is told to.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use forebay_std::{
    FrameReader,
    forebay::frame::http2::{
        ErrorCode, Frame, Head, Http2, Kind, PREFACE, Setting, Settings, flags,
    },
};

use super::Server;

/// So long for anything that does not fail.
const PATIENCE: Duration = Duration::from_secs(20);

/// A frame as it came.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) head: Head,
    bytes: Vec<u8>,
}

impl Came {
    pub(crate) fn frame(&self) -> Frame<'_> {
        Frame::parse(&self.bytes).unwrap()
    }
}

pub(crate) struct Raw {
    socket: TcpStream,
    frames: FrameReader<TcpStream, Http2>,
}

impl Raw {
    /// Connects and sends nothing.
    pub(crate) fn silent(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        // What does not come at all is a failure, not a hang.
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let frames = FrameReader::new(socket.try_clone().unwrap(), Http2::new(1 << 20));
        Self { socket, frames }
    }

    /// Connects, sends preface and these SETTINGS, and awaits their
    /// acknowledgement.
    pub(crate) fn to(address: SocketAddr, settings: &[Setting]) -> Self {
        let mut raw = Self::silent(address);
        raw.send(PREFACE);
        let mut bytes = vec![0; 6 * settings.len()];
        raw.frame(&Frame::Settings(Settings::write(settings, &mut bytes).unwrap()));
        assert!(matches!(raw.next().unwrap().frame(), Frame::Settings(_)), "first are SETTINGS");
        let ack = raw.find(|came| came.head.kind == Kind::SETTINGS);
        assert_eq!(ack.frame(), Frame::SettingsAck);
        raw.frame(&Frame::SettingsAck);
        raw
    }

    pub(crate) fn with(server: &Server, settings: &[Setting]) -> Self {
        Self::to(server.address, settings)
    }

    pub(crate) fn new(server: &Server) -> Self {
        Self::with(server, &[])
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// As `send`, to a server that may have ended.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Sends byte by byte, each after a look whether the server says something;
    /// how many bytes it took until it did.
    pub(crate) fn drip(&mut self, bytes: &[u8]) -> usize {
        self.socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let speaks = |at: &usize| {
            let sent = self.socket.write_all(&bytes[*at..=*at]);
            sent.is_err() || self.socket.peek(&mut [0]).is_ok()
        };
        let taken = (0..bytes.len()).find(speaks).unwrap_or(bytes.len());
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        taken
    }

    pub(crate) fn frame(&mut self, frame: &Frame<'_>) {
        self.send(&encoded(frame));
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) fn next(&mut self) -> Option<Came> {
        loop {
            if let Some(frame) = self.frames.next_frame().unwrap() {
                let (head, _) = Head::split(frame.payload).unwrap();
                return Some(Came { head, bytes: frame.payload.to_vec() });
            }
            if !self.frames.fill().unwrap() {
                return None;
            }
        }
    }

    /// The next frame of which `wanted` is true.
    pub(crate) fn find(&mut self, wanted: impl Fn(&Came) -> bool) -> Came {
        loop {
            let came = self.next().expect("the connection has ended");
            if let (false, Frame::GoAway { debug, .. }) = (wanted(&came), came.frame()) {
                panic!("GOAWAY: {}", debug.escape_ascii());
            }
            if wanted(&came) {
                return came;
            }
        }
    }

    /// Awaits a GOAWAY with `code`, and the end of the connection.
    pub(crate) fn expect_goaway(&mut self, code: ErrorCode) {
        let came = self.find(|came| came.head.kind == Kind::GOAWAY);
        let Frame::GoAway { code: came, debug, .. } = came.frame() else { unreachable!() };
        assert_eq!(came, code, "{}", String::from_utf8_lossy(debug));
        assert!(!debug.is_empty() || code == ErrorCode::NO_ERROR);
        assert!(self.next().is_none(), "nothing comes after GOAWAY");
    }

    /// Awaits a RST_STREAM of `stream` with `code`, and that the connection
    /// goes on.
    pub(crate) fn expect_reset(&mut self, stream: u32, code: ErrorCode) {
        let came = self.find(|came| came.head.kind == Kind::RST_STREAM);
        assert_eq!(came.head.stream, stream);
        let Frame::RstStream { code: came, .. } = came.frame() else { unreachable!() };
        assert_eq!(came, code);
        self.ping();
    }

    /// Awaits the answer to a PING.
    pub(crate) fn ping(&mut self) {
        self.frame(&Frame::Ping { ack: false, data: *b"stillon?" });
        let came = self.find(|came| came.head.kind == Kind::PING);
        assert_eq!(came.frame(), Frame::Ping { ack: true, data: *b"stillon?" });
    }

    /// Takes a response: the first byte of its header block, and its body.
    pub(crate) fn response(&mut self, stream: u32) -> (u8, Vec<u8>) {
        let (mut first, mut body) = (0, Vec::new());
        loop {
            let came = self.find(|came| came.head.stream == stream);
            match came.frame() {
                Frame::Headers { fragment, .. } => first = fragment[0],
                Frame::Data { data, .. } => body.extend(data),
                Frame::WindowUpdate { .. } => continue,
                other => panic!("{other:?}"),
            }
            if came.head.has(flags::END_STREAM) {
                return (first, body);
            }
        }
    }

    /// Reads and drops everything until the connection ends.
    pub(crate) fn end(mut self) {
        self.socket.shutdown(std::net::Shutdown::Write).unwrap();
        while self.next().is_some() {}
    }
}

pub(crate) fn encoded(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = vec![0; frame.frame_len()];
    frame.encode(&mut bytes).unwrap();
    bytes
}

/// Any head and payload.
pub(crate) fn raw_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let payload_len = u32::try_from(payload.len()).unwrap();
    let head = Head { payload_len, kind: Kind(kind), flags, stream };
    [&head.encode(), payload].concat()
}

/// The field block of a request: the static table's fields, a literal path.
pub(crate) fn block(method: u8, path: &str) -> Vec<u8> {
    let mut block = vec![0x80 | method, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path.as_bytes());
    block
}

pub(crate) const GET: u8 = 2;
pub(crate) const POST: u8 = 3;

/// A whole GET.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    raw_frame(1, flags::END_STREAM | flags::END_HEADERS, stream, &block(GET, path))
}

/// The header section of a POST.
pub(crate) fn post(stream: u32, path: &str) -> Vec<u8> {
    raw_frame(1, flags::END_HEADERS, stream, &block(POST, path))
}
