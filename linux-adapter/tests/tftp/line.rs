//! A line between client and server that loses, doubles and reorders packets,
//! by a seed.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{net::UdpSocket, task::JoinSet};

use super::{random::Random, served::runtime};

/// How bad a line is, in packets of a hundred.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// Held back until the next one of the same way has passed.
    pub(crate) late: u64,
    /// The fourth one to each client is lost in any case.
    pub(crate) fourth: bool,
}

/// What has happened to packets so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Happened {
    pub(crate) passed: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) late: u64,
}

/// A line that is there until it is dropped.
pub(crate) struct Line {
    /// Where clients send their requests.
    pub(crate) address: SocketAddr,
    happened: Arc<Mutex<Happened>>,
    _runtime: tokio::runtime::Runtime,
}

/// One way, or both ways of one client.
struct Way {
    faults: Faults,
    random: Random,
    held: Option<Vec<u8>>,
    /// How many packets come until one is lost in any case.
    until_lost: u64,
    happened: Arc<Mutex<Happened>>,
}

/// The socket towards the server for a client, where it sends, and how.
type Known = (Arc<UdpSocket>, Arc<Mutex<SocketAddr>>, Way);

impl Way {
    async fn pass(&mut self, packet: &[u8], socket: &UdpSocket, to: SocketAddr) {
        let count = |change: fn(&mut Happened)| change(&mut self.happened.lock().unwrap());
        self.until_lost = self.until_lost.wrapping_sub(1);
        if self.until_lost == 0 || self.random.percent(self.faults.lost) {
            return count(|it| it.lost += 1);
        }
        if self.held.is_none() && self.random.percent(self.faults.late) {
            self.held = Some(packet.to_vec());
            return count(|it| it.late += 1);
        }
        count(|it| it.passed += 1);
        let _ = socket.send_to(packet, to).await;
        if self.random.percent(self.faults.doubled) {
            count(|it| it.doubled += 1);
            let _ = socket.send_to(packet, to).await;
        }
        if let Some(held) = self.held.take() {
            let _ = socket.send_to(&held, to).await;
        }
    }
}

impl Line {
    /// A line to the server. Towards a client it uses one port, as a server
    /// may that has only one transfer with it.
    pub(crate) fn new(server: SocketAddr, faults: Faults, seed: u64) -> Self {
        println!("a line with {faults:?}, seed {seed:#x}");
        let happened = Arc::<Mutex<Happened>>::default();
        let counts = happened.clone();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let socket = Arc::new(runtime.block_on(UdpSocket::bind("127.0.0.1:0")).unwrap());
        let address = socket.local_addr().unwrap();
        let mut seeds = Random(seed);
        let mut way = move || {
            let random = Random(seeds.word());
            Way { faults, random, held: None, until_lost: 0, happened: counts.clone() }
        };
        runtime.spawn(async move {
            let mut clients: HashMap<SocketAddr, Known> = HashMap::new();
            let mut back_ways = JoinSet::new();
            let mut packet = vec![0; 65_536];
            loop {
                let (len, client) = socket.recv_from(&mut packet).await.unwrap();
                let (up, to, there) = match clients.entry(client) {
                    std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                    std::collections::hash_map::Entry::Vacant(free) => {
                        let up = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                        let to = Arc::new(Mutex::new(server));
                        let (up_too, to_too, down) = (up.clone(), to.clone(), socket.clone());
                        let mut back = way();
                        back.until_lost = if faults.fourth { 4 } else { 0 };
                        back_ways.spawn(async move {
                            let mut packet = vec![0; 65_536];
                            loop {
                                let (len, from) = up_too.recv_from(&mut packet).await.unwrap();
                                *to_too.lock().unwrap() = from;
                                back.pass(&packet[..len], &down, client).await;
                            }
                        });
                        free.insert((up, to, way()))
                    }
                };
                // A request goes to the server's own port.
                if matches!(packet[1], 1 | 2) {
                    *to.lock().unwrap() = server;
                }
                let to = *to.lock().unwrap();
                there.pass(&packet[..len], up, to).await;
            }
        });
        Self { address, happened, _runtime: runtime }
    }

    pub(crate) fn happened(&self) -> Happened {
        *self.happened.lock().unwrap()
    }
}

/// Files of every kind of length both ways, over a line that does its worst.
#[test]
fn a_harsh_line_costs_time_alone() {
    let served = super::served::Served::new(|config| {
        config.writes = super::tftp_server::paths::Writes::New;
        config.timeout = std::time::Duration::from_millis(30);
        config.tries_max = 30;
    });
    let faults = Faults { lost: 5, doubled: 5, late: 5, fourth: false };
    let line = Line::new(served.address, faults, 0x7F7_0001);
    let mut random = Random(7);
    let mut files = Vec::new();
    for len in [0, 1, 511, 512, 513, 5000, 40_000] {
        let name = format!("of-{len}");
        let bytes = random.bytes(len);
        served.put(&name, &bytes);
        files.push((name, bytes));
    }
    runtime().block_on(async {
        for options in [&[][..], &[("blksize", 1024)], &[("blksize", 700), ("windowsize", 8)]] {
            let mut client = super::client::Client::new(line.address, options);
            client.patience = std::time::Duration::from_millis(20);
            for (name, bytes) in &files {
                let (read, _) = client.get(name).await.unwrap();
                super::served::assert_same(&read, bytes, name);
                let copy = format!("{name}-{}", options.len());
                client.put(&copy, bytes).await.unwrap();
                let written = std::fs::read(served.root(&copy)).unwrap();
                super::served::assert_same(&written, bytes, &copy);
            }
        }
    });
    let happened = line.happened();
    println!("{happened:?}");
    assert!(happened.lost > 10 && happened.doubled > 10 && happened.late > 10);
    assert!(served.names().iter().all(|name| name.starts_with("of-")));
}
