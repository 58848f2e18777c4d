//! Requests on one port, and a port of its own for each transfer.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::net::sockopt;
use tokio::{net::UdpSocket, sync::Semaphore, task::JoinSet};

use super::{
    files::Files,
    packet::{Code, Packet, REQUEST_LEN_MAX, Refusal, refusal},
    paths::{Root, Writes},
    read::Outcome,
    transfer::{Transfer, Wanted},
};

/// Bytes of a transfer's buffer: all that it takes beside its socket.
pub(crate) const BUFFER_LEN: usize = 64 * 1024;
/// Asked for, so that many requests can wait at once.
const RECEIVE_BUFFER_LEN: usize = 1 << 20;

/// How a server serves.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The directory whose files it serves.
    pub(crate) root: PathBuf,
    pub(crate) writes: Writes,
    /// The longest file in bytes that is written.
    pub(crate) file_len_max: u64,
    /// The most transfers at the same time.
    pub(crate) transfers_max: usize,
    /// How long an answer is awaited, if the client does not say, and until it
    /// has answered once.
    pub(crate) timeout: Duration,
    /// After so many timeouts in a row a client is given up.
    pub(crate) tries_max: u32,
}

impl Config {
    pub(crate) fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            writes: Writes::Refused,
            file_len_max: 1 << 32,
            transfers_max: 1024,
            timeout: Duration::from_secs(1),
            tries_max: 5,
        }
    }
}

/// What a server has done so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) done: AtomicU64,
    /// Refused, given up, or ended by the client.
    pub(crate) failed: AtomicU64,
    /// Requests that came again while they were served.
    pub(crate) repeated: AtomicU64,
}

/// A server that listens.
#[derive(Debug)]
pub(crate) struct Server {
    socket: UdpSocket,
    shared: Arc<Shared>,
}

/// What all transfers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) root: Root,
    pub(crate) files: Files,
    pub(crate) counts: Counts,
    /// As many writes as are whole may wait for a client that asks for the last
    /// ACK again: each takes a socket, for as long as the client said.
    pub(crate) dallies: Semaphore,
    clients: Mutex<HashMap<SocketAddr, Vec<u8>>>,
}

impl Server {
    /// Listens on `address`, port 0 for any.
    pub(crate) async fn bind(address: SocketAddr, config: Config) -> io::Result<Self> {
        let root = Root::open(&config.root, config.writes)?;
        let files = Files::new(BUFFER_LEN, config.transfers_max)?;
        let socket = UdpSocket::bind(address).await?;
        // More is better; what there is does.
        let _ = sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_LEN);
        let (counts, clients) = (Counts::default(), Mutex::default());
        let dallies = Semaphore::new(config.transfers_max);
        let shared = Arc::new(Shared { config, root, files, counts, dallies, clients });
        Ok(Self { socket, shared })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Serves until it is dropped, and with it all transfers.
    pub(crate) async fn run(self) -> io::Result<()> {
        let mut transfers = JoinSet::new();
        let mut packet = [0; REQUEST_LEN_MAX + 1];
        loop {
            let (len, client) = match self.socket.recv_from(&mut packet).await {
                Ok(received) => received,
                // An answer that went nowhere.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error),
            };
            while transfers.try_join_next().is_some() {}
            match self.begin(&packet[..len], client).await {
                Ok(Some(transfer)) => {
                    transfers.spawn(transfer);
                }
                Ok(None) => {}
                Err(refusal) => {
                    self.shared.counts.failed.fetch_add(1, Ordering::Relaxed);
                    let _ = self.socket.send_to(&refusal.packet(), client).await;
                }
            }
        }
    }

    /// The transfer that a packet asks for; none where it needs no answer.
    async fn begin(
        &self,
        packet: &[u8],
        client: SocketAddr,
    ) -> Result<Option<impl Future<Output = ()> + use<>>, Refusal> {
        let request = match Packet::decode(packet) {
            Some(Packet::Request(request)) => request,
            Some(Packet::Error { .. }) => return Ok(None),
            Some(_) => return Err(refusal(Code::UnknownTransfer, "there is no such transfer")),
            None => return Err(refusal(Code::IllegalOperation, "that is no request")),
        };
        let wanted = Wanted::of(&request)?;
        let Some(known) = Known::new(&self.shared, client, packet) else {
            // Sent again before the answer came.
            self.shared.counts.repeated.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        };
        let busy = refusal(Code::Undefined, "too many transfers, try later");
        let lease = self.shared.files.lease().await.ok_or(busy.clone())?;
        let ip = self.local_addr().map_err(|_| busy.clone())?.ip();
        let socket = UdpSocket::bind((ip, 0)).await.map_err(|_| busy)?;
        let shared = self.shared.clone();
        Ok(Some(async move {
            let counts = shared.clone();
            let outcome = Transfer { shared, socket, client, lease, known }.run(wanted).await;
            let count = match outcome {
                Outcome::Done => &counts.counts.done,
                _ => &counts.counts.failed,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }))
    }
}

/// A client that is being served, and the request for which it is.
#[derive(Debug)]
pub(crate) struct Known {
    shared: Arc<Shared>,
    client: SocketAddr,
    request: Vec<u8>,
}

impl Known {
    /// `None` when the same request is being served. Another one of the same
    /// client means that it has forgotten the first.
    fn new(shared: &Arc<Shared>, client: SocketAddr, request: &[u8]) -> Option<Self> {
        let mut clients = shared.clients();
        if clients.get(&client).is_some_and(|known| known == request) {
            return None;
        }
        clients.insert(client, request.to_vec());
        drop(clients);
        Some(Self { shared: shared.clone(), client, request: request.to_vec() })
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let mut clients = self.shared.clients();
        if clients.get(&self.client) == Some(&self.request) {
            clients.remove(&self.client);
        }
    }
}

impl Shared {
    fn clients(&self) -> MutexGuard<'_, HashMap<SocketAddr, Vec<u8>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
