//! A client of the test's own, which does not wait long.

use std::{collections::HashMap, io, net::SocketAddr, time::Duration};

use tokio::{net::UdpSocket, time::timeout};

/// What a client asks for, and how long it waits.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) server: SocketAddr,
    pub(crate) mode: &'static str,
    pub(crate) options: Vec<(&'static str, u64)>,
    pub(crate) patience: Duration,
}

/// An ERROR packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: u16,
    pub(crate) text: String,
}

/// What came of a transfer besides bytes.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The options that the server agreed to.
    pub(crate) agreed: HashMap<String, u64>,
    /// DATA packets, of any kind, that were received.
    pub(crate) received: u64,
}

/// The opcode and the number that follows it.
fn parse(packet: &[u8]) -> (u16, u16) {
    let number = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    (number(0), number(2))
}

fn number(opcode: u16, number: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (opcode.to_be_bytes(), number.to_be_bytes());
    [a, b, c, d]
}

impl Client {
    pub(crate) fn new(server: SocketAddr, options: &[(&'static str, u64)]) -> Self {
        let patience = Duration::from_millis(300);
        Self { server, mode: "octet", options: options.to_vec(), patience }
    }

    pub(crate) fn request(&self, opcode: u16, name: &[u8]) -> Vec<u8> {
        let mut packet = [&opcode.to_be_bytes(), name, b"\0", self.mode.as_bytes(), b"\0"].concat();
        for (name, value) in &self.options {
            packet.extend(format!("{name}\0{value}\0").as_bytes());
        }
        packet
    }

    /// Reads a file and gives its blocks to `take`.
    pub(crate) async fn read(
        &self,
        name: &str,
        mut take: impl FnMut(&[u8]),
    ) -> Result<Report, Refused> {
        let mut line = Line::new(self).await;
        let (mut block_len, mut window) = (512, 1);
        let (mut expected, mut behind) = (1_u16, 0);
        let mut report = Report::default();
        let mut answer = self.request(1, name.as_bytes());
        line.send(&answer).await;
        let mut packet = vec![0; 65_536];
        let mut gap_told = false;
        loop {
            let Some(len) = line.receive(&mut packet).await else {
                gap_told = false;
                line.send(&answer).await;
                continue;
            };
            match parse(&packet) {
                (3, block) => {
                    report.received += 1;
                    let data = &packet[4..len];
                    assert!(data.len() <= block_len, "{} bytes", data.len());
                    if block != expected {
                        // The last one again, or one behind a gap.
                        let ahead = block.wrapping_sub(expected);
                        if ahead == u16::MAX || (usize::from(ahead) < window && !gap_told) {
                            gap_told = true;
                            line.send(&answer).await;
                        }
                        continue;
                    }
                    take(data);
                    (expected, behind, gap_told) = (block.wrapping_add(1), behind + 1, false);
                    answer = number(4, block).to_vec();
                    let last = data.len() < block_len;
                    if last || behind == window {
                        line.send(&answer).await;
                        behind = 0;
                    }
                    if last {
                        line.linger(&answer).await;
                        return Ok(report);
                    }
                }
                (5, code) => return Err(refused(code, &packet[4..len])),
                (6, _) if expected == 1 => {
                    report.agreed = options(&packet[2..len]);
                    (block_len, window) = agreed(&report.agreed);
                    answer = number(4, 0).to_vec();
                    line.send(&answer).await;
                }
                (6, _) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Reads a file as a whole.
    pub(crate) async fn get(&self, name: &str) -> Result<(Vec<u8>, Report), Refused> {
        let mut bytes = Vec::new();
        let report = self.read(name, |data| bytes.extend_from_slice(data)).await?;
        Ok((bytes, report))
    }

    /// Writes a file.
    pub(crate) async fn put(&self, name: &str, bytes: &[u8]) -> Result<Report, Refused> {
        let mut line = Line::new(self).await;
        let request = self.request(2, name.as_bytes());
        line.send(&request).await;
        let mut packet = vec![0; 600];
        let mut report = Report::default();
        let (mut block_len, mut window) = (512, 1);
        // The first block that is not acknowledged, from 1.
        let (mut base, mut begun) = (1_usize, false);
        loop {
            let count = bytes.len() / block_len + 1;
            if begun {
                for block in base..=count.min(base + window - 1) {
                    let from = (block - 1) * block_len;
                    let data = &bytes[from..bytes.len().min(from + block_len)];
                    let [low, high, ..] = block.to_le_bytes();
                    let packet = [&number(3, u16::from_le_bytes([low, high]))[..], data].concat();
                    line.send(&packet).await;
                }
            }
            loop {
                let Some(len) = line.receive(&mut packet).await else {
                    if !begun {
                        line.send(&request).await;
                        continue;
                    }
                    break;
                };
                match parse(&packet) {
                    (4, 0) if !begun => {
                        begun = true;
                        break;
                    }
                    (4, block) => {
                        let [low, high, ..] = (base - 1).to_le_bytes();
                        let ahead =
                            usize::from(block.wrapping_sub(u16::from_le_bytes([low, high])));
                        if ahead == 0 || ahead > window {
                            continue;
                        }
                        base += ahead;
                        if base > count {
                            return Ok(report);
                        }
                        break;
                    }
                    (5, code) => return Err(refused(code, &packet[4..len])),
                    (6, _) if !begun => {
                        report.agreed = options(&packet[2..len]);
                        (block_len, window) = agreed(&report.agreed);
                        begun = true;
                        break;
                    }
                    (6, _) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

fn refused(code: u16, text: &[u8]) -> Refused {
    let text = text.strip_suffix(b"\0").expect("a text ends with a zero byte");
    Refused { code, text: String::from_utf8(text.to_vec()).unwrap() }
}

fn options(bytes: &[u8]) -> HashMap<String, u64> {
    let texts: Vec<&str> =
        bytes.split(|&byte| byte == 0).map(|text| str::from_utf8(text).unwrap()).collect();
    // Nothing is behind the last zero byte.
    let (last, texts) = texts.split_last().unwrap();
    assert_eq!((*last, texts.len() % 2), ("", 0));
    texts.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].parse().unwrap())).collect()
}

fn agreed(options: &HashMap<String, u64>) -> (usize, usize) {
    let value = |name, or| options.get(name).map_or(or, |&value| usize::try_from(value).unwrap());
    (value("blksize", 512), value("windowsize", 1))
}

/// A socket that follows the server to the transfer's port.
struct Line {
    socket: UdpSocket,
    peer: SocketAddr,
    bound: bool,
    patience: Duration,
    left: u32,
}

impl Line {
    async fn new(client: &Client) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let Client { server: peer, patience, .. } = *client;
        Self { socket, peer, bound: false, patience, left: 200 }
    }

    async fn send(&self, packet: &[u8]) {
        self.socket.send_to(packet, self.peer).await.unwrap();
    }

    /// The length of the next packet; `None` when none has come.
    async fn receive(&mut self, packet: &mut [u8]) -> Option<usize> {
        let received: io::Result<_> =
            match timeout(self.patience, self.socket.recv_from(packet)).await {
                Ok(received) => received,
                Err(_) => {
                    self.left -= 1;
                    assert!(self.left > 0, "the server is silent");
                    return None;
                }
            };
        let (len, from) = received.unwrap();
        if !self.bound {
            (self.peer, self.bound) = (from, true);
        }
        assert_eq!(from, self.peer, "the port changed");
        Some(len)
    }

    /// Answers the last block again for as long as it comes.
    async fn linger(&mut self, answer: &[u8]) {
        let mut packet = [0; 4];
        while timeout(self.patience, self.socket.recv_from(&mut packet)).await.is_ok() {
            self.send(answer).await;
        }
    }
}
