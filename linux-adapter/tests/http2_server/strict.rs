//! The `h2` crate, which is strict: as a client of the server, and as the far
//! end of every frame type that this library writes.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use forebay_std::{
    forebay::{
        Decoder,
        frame::http2::{
            BlockOrder, ErrorCode, Frame, Head, Http2, Increment, Kind, PREFACE, Priority, Setting,
            Settings, StreamId,
        },
    },
    http2::{Flight, Group, Limits, Payload, Queue, Urgency},
};
use h2::{Reason, RecvStream, client};
use http::{Method, Request, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::TcpStream,
    task::JoinSet,
};

use super::{
    Server,
    raw::{encoded, raw_frame},
};

/// Runs `test`, for a minute at most.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await.unwrap() });
}

fn request(method: Method, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://localhost/{path}")).body(()).unwrap()
}

/// A body, its windows given back, and its trailers.
async fn body(response: Response<RecvStream>) -> (Vec<u8>, Option<http::HeaderMap>) {
    assert_eq!(response.status(), 200);
    let mut stream = response.into_body();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data.unwrap();
        stream.flow_control().release_capacity(data.len()).unwrap();
        body.extend_from_slice(&data);
    }
    (body, stream.trailers().await.unwrap())
}

#[test]
fn a_strict_client_is_served() {
    let server = Server::start();
    let files: Vec<_> =
        [0, 100, 20_000, 300_000].map(|len| server.file(&len.to_string(), len)).into();
    run(async {
        let socket = TcpStream::connect(server.address).await.unwrap();
        let (requests, mut connection) = client::Builder::new()
            .initial_window_size(10_000)
            .initial_connection_window_size(100_000)
            .max_frame_size(1 << 20)
            .handshake::<_, Bytes>(socket)
            .await
            .unwrap();
        let mut pings = connection.ping_pong().unwrap();
        let driven = tokio::spawn(connection);
        let mut all = JoinSet::new();
        // As many at once as the server allows.
        let mut requests = requests.ready().await.unwrap();
        for number in 0..100 {
            let len = files[number % 4].len();
            requests = requests.ready().await.unwrap();
            let (response, _) =
                requests.send_request(request(Method::GET, &len.to_string()), true).unwrap();
            all.spawn(async move { (number % 4, body(response.await.unwrap()).await.0) });
        }
        while let Some(done) = all.join_next().await {
            let (file, body) = done.unwrap();
            assert!(body == files[file]);
        }
        pings.ping(h2::Ping::opaque()).await.unwrap();

        // An upload with trailers, echoed while it goes on.
        requests = requests.ready().await.unwrap();
        let (response, mut upload) =
            requests.send_request(request(Method::POST, "echo"), false).unwrap();
        let sent = files[3].clone();
        let sender = tokio::spawn(async move {
            for part in sent.chunks(7_000) {
                upload.reserve_capacity(part.len());
                while upload.capacity() < part.len() {
                    std::future::poll_fn(|context| upload.poll_capacity(context))
                        .await
                        .unwrap()
                        .unwrap();
                }
                upload.send_data(Bytes::copy_from_slice(part), false).unwrap();
            }
            let mut trailers = http::HeaderMap::new();
            trailers.insert("sum", http::HeaderValue::from_static("none"));
            upload.send_trailers(trailers).unwrap();
        });
        assert!(body(response.await.unwrap()).await.0 == files[3]);
        sender.await.unwrap();
        drop(requests);
        driven.await.unwrap().unwrap();
    });
    let report = server.report();
    assert_eq!((report.requests, report.goaway, report.error), (101, None, None));
}

fn id(number: u32) -> StreamId {
    StreamId::new(number).unwrap()
}

/// The library's end of a connection in memory.
struct Far {
    io: DuplexStream,
    decoder: Decoder<Http2, Vec<u8>>,
    order: BlockOrder,
}

impl Far {
    async fn new(mut io: DuplexStream) -> Self {
        let mut preface = [0; PREFACE.len()];
        io.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, PREFACE);
        let decoder = Decoder::new(Http2::new(0), vec![0; 1 << 16]).unwrap();
        Self { io, decoder, order: BlockOrder::new(8) }
    }

    async fn send(&mut self, frame: &Frame<'_>) {
        self.io.write_all(&encoded(frame)).await.unwrap();
    }

    /// The next frame's bytes; `None` at the end.
    async fn next(&mut self) -> Option<(Head, Vec<u8>)> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                let (head, _) = Head::split(frame.payload).unwrap();
                self.order.check(head).unwrap();
                return Some((head, frame.payload.to_vec()));
            }
            match self.io.read(self.decoder.free()).await.unwrap() {
                0 => return None,
                len => self.decoder.received(len),
            }
        }
    }

    async fn find(&mut self, kind: Kind) -> Vec<u8> {
        loop {
            let (head, bytes) = self.next().await.expect("the connection has ended");
            if head.kind == kind {
                return bytes;
            }
        }
    }

    /// Everything that a queue lets leave.
    async fn leave(&mut self, queue: &mut Queue) {
        let mut flight = Flight::new();
        while queue.fill(&mut flight) {
            let bytes = flight.slices().concat();
            flight.wrote(bytes.len()).unwrap();
            self.io.write_all(&bytes).await.unwrap();
        }
    }
}

/// A client and the library's end, after SETTINGS and the first request.
async fn pair() -> (client::ResponseFuture, client::SendRequest<Bytes>, Far, Driven) {
    let (near, far) = duplex(1 << 20);
    let handshake = client::Builder::new()
        .enable_push(true)
        .max_concurrent_streams(10)
        .handshake::<_, Bytes>(near);
    let (requests, connection) = handshake.await.unwrap();
    let driven = tokio::spawn(connection);
    let mut far = Far::new(far).await;
    let list = [Setting::MaxConcurrentStreams(10), Setting::Unknown { id: 0xFFEE, value: 1 }];
    let mut bytes = [0; 12];
    far.send(&Frame::Settings(Settings::write(&list, &mut bytes).unwrap())).await;
    far.send(&Frame::SettingsAck).await;
    let mut requests = requests.ready().await.unwrap();
    let (response, _) = requests.send_request(request(Method::GET, "page"), true).unwrap();
    let headers = far.find(Kind::HEADERS).await;
    let headers = Frame::parse(&headers).unwrap();
    assert!(matches!(headers, Frame::Headers { end_stream: true, end_headers: true, .. }));
    (response, requests, far, driven)
}

type Driven = tokio::task::JoinHandle<Result<(), h2::Error>>;

/// A header block of a status and a field of so many bytes, or of a request.
fn block(first: &[u8], len: usize) -> Vec<u8> {
    let mut block = first.to_vec();
    // Literals that are not indexed, of 100 bytes each.
    for _ in 0..len / 106 {
        block.extend(b"\0\x04long\x64");
        block.extend([b'v'; 100]);
    }
    block
}

/// Each of the ten types, taken by `h2` for what it is.
#[test]
fn a_strict_peer_takes_every_frame_type() {
    run(async {
        let (mut response, mut requests, mut far, driven) = pair().await;
        let mut pushes = response.push_promises();
        let priority = Priority { exclusive: true, dependency: 0, weight: 255 };
        far.send(&Frame::Priority { stream: id(1), priority }).await;
        far.send(&Frame::Unknown { kind: Kind(0xBE), flags: 0xFF, stream: 1, payload: b"x" }).await;
        let increment = Increment::new(1_000).unwrap();
        far.send(&Frame::WindowUpdate { stream: None, increment }).await;
        far.send(&Frame::WindowUpdate { stream: Some(id(1)), increment }).await;
        far.send(&Frame::Ping { ack: false, data: *b"are you?" }).await;

        // A promise and a response, each in HEADERS and CONTINUATIONs, and the
        // promised response, by the queue.
        let mut queue = Queue::new(Limits::default());
        for stream in [1, 2] {
            queue.open(id(stream), Urgency::DEFAULT).unwrap();
        }
        let promise = b"\x82\x86\x04\x06/style\x01\x09localhost";
        let data = Payload::new(vec![5; 30_000]);
        let group = Group::new(id(1))
            .push_promise(id(2), &block(promise, 10_000))
            .headers(&block(b"\x88", 12_000))
            .padded_data(data.clone(), 255)
            .headers(b"\0\x03sum\x02ok")
            .end();
        queue.offer(group).unwrap();
        let pushed = Group::new(id(2)).headers(b"\x88").data(data.slice(0..9).unwrap()).end();
        queue.offer(pushed).unwrap();
        far.leave(&mut queue).await;

        let (got, trailers) = body(response.await.unwrap()).await;
        assert!(got == [5; 30_000]);
        assert_eq!(trailers.unwrap()["sum"], "ok");
        let (promised, pushed) = pushes.push_promise().await.unwrap().unwrap().into_parts();
        assert_eq!(promised.uri().path(), "/style");
        assert_eq!(body(pushed.await.unwrap()).await.0, [5; 9]);

        let ping = far.find(Kind::PING).await;
        assert_eq!(Frame::parse(&ping), Ok(Frame::Ping { ack: true, data: *b"are you?" }));

        // Priority fields and padding in HEADERS, by hand.
        let (response, _) = requests.send_request(request(Method::GET, "more"), true).unwrap();
        far.find(Kind::HEADERS).await;
        far.send(&Frame::Headers {
            stream: id(3),
            end_stream: false,
            end_headers: false,
            priority: Some(priority),
            padding: Some(7),
            fragment: b"",
        })
        .await;
        far.send(&Frame::Continuation { stream: id(3), end_headers: true, fragment: b"\x88" })
            .await;
        far.send(&Frame::Data { stream: id(3), end_stream: false, padding: Some(9), data: b"" })
            .await;
        far.send(&Frame::Data { stream: id(3), end_stream: true, padding: None, data: b"end" })
            .await;
        assert_eq!(body(response.await.unwrap()).await.0, b"end");

        let (response, _) = requests.send_request(request(Method::GET, "reset"), true).unwrap();
        far.find(Kind::HEADERS).await;
        far.send(&Frame::RstStream { stream: id(5), code: ErrorCode::ENHANCE_YOUR_CALM }).await;
        let error = response.await.unwrap_err();
        assert!(error.is_reset() && error.is_remote());
        assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));

        let (response, _) = requests.send_request(request(Method::GET, "away"), true).unwrap();
        far.find(Kind::HEADERS).await;
        let code = ErrorCode::HTTP_1_1_REQUIRED;
        far.send(&Frame::GoAway { last_stream: Some(id(5)), code, debug: b"enough" }).await;
        let error = response.await.unwrap_err();
        assert!(error.is_go_away() && error.is_remote(), "{error}");
        assert_eq!(error.reason(), Some(Reason::HTTP_1_1_REQUIRED));
        drop((requests, far));
        let _ = driven.await.unwrap();
    });
}

/// What the rules here call violations, `h2` does, too, with the same code.
#[test]
fn a_strict_peer_refuses_what_is_refused_here() {
    let block = raw_frame(1, 0, 1, b"\x88");
    let cases: [(&str, Vec<u8>, ErrorCode); 6] = [
        ("CONTINUATION first", raw_frame(9, 4, 1, b"\x88"), ErrorCode::PROTOCOL_ERROR),
        (
            "PING within a block",
            [&block[..], &raw_frame(6, 0, 0, &[0; 8])].concat(),
            ErrorCode::PROTOCOL_ERROR,
        ),
        ("a long frame", raw_frame(0, 0, 1, &[0; 16_385]), ErrorCode::FRAME_SIZE_ERROR),
        ("PING on a stream", raw_frame(6, 0, 1, &[0; 8]), ErrorCode::PROTOCOL_ERROR),
        ("DATA on stream 0", raw_frame(0, 0, 0, b"x"), ErrorCode::PROTOCOL_ERROR),
        ("padding over the payload", raw_frame(0, 8, 1, b"\x05"), ErrorCode::PROTOCOL_ERROR),
    ];
    run(async {
        for (name, bytes, code) in cases {
            let (response, requests, mut far, driven) = pair().await;
            far.io.write_all(&bytes).await.unwrap();
            let told = far.find(Kind::GOAWAY).await;
            let Ok(Frame::GoAway { code: told, .. }) = Frame::parse(&told) else {
                panic!("{name}")
            };
            assert_eq!(told, code, "{name}");
            response.await.unwrap_err();
            drop(requests);
            driven.await.unwrap().unwrap_err();
        }
    });
}
