//! A transfer: its state, a socket, a file and the time.

use std::{fs::File, net::SocketAddr, sync::Arc, time::Duration};

use forebay_linux::tokio::Lease;
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout_at},
};

use super::{
    files::{self, off},
    options::{Agreed, Size, Terms, agree},
    packet::{BARE_LEN_MAX, Code, Options, Refusal, Request, ack, refusal},
    paths::{Unfinished, failed},
    read::{self, Outcome, Read},
    server::{BUFFER_LEN, Known, Shared},
    write::{self, Write},
};

/// What a client asks for.
#[derive(Debug)]
pub(crate) struct Wanted {
    name: Vec<u8>,
    writes: bool,
    /// netascii.
    text: bool,
    options: Vec<u8>,
}

impl Wanted {
    /// # Errors
    ///
    /// Another mode than octet and netascii: code 4.
    pub(crate) fn of(request: &Request<'_>) -> Result<Self, Refusal> {
        let text = request.mode.eq_ignore_ascii_case(b"netascii");
        if !text && !request.mode.eq_ignore_ascii_case(b"octet") {
            return Err(refusal(Code::IllegalOperation, "the mode is neither octet nor netascii"));
        }
        let (name, writes) = (request.name.to_vec(), request.writes);
        Ok(Self { name, writes, text, options: request.options.bytes().to_vec() })
    }
}

/// A transfer with all that it takes.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) socket: UdpSocket,
    pub(crate) client: SocketAddr,
    pub(crate) lease: Lease,
    pub(crate) known: Known,
}

impl Transfer {
    /// Serves the client to the end.
    pub(crate) async fn run(self, wanted: Wanted) -> Outcome {
        let (shared, name) = (self.shared.clone(), wanted.name.clone());
        if wanted.writes {
            match off(move || shared.root.write(&name)).await {
                Ok(unfinished) => self.write(&wanted, unfinished).await,
                Err(refusal) => self.refuse(refusal).await,
            }
        } else {
            match off(move || shared.root.read(&name)).await {
                Ok((file, len)) => self.read(&wanted, file, len).await,
                Err(refusal) => self.refuse(refusal).await,
            }
        }
    }

    async fn read(self, wanted: &Wanted, file: File, len: u64) -> Outcome {
        let size = if wanted.text { Size::Unknown } else { Size::Is(len) };
        let agreed = match self.agree(wanted, size) {
            Ok(agreed) => agreed,
            Err(refusal) => return self.refuse(refusal).await,
        };
        let tries_max = self.shared.config.tries_max;
        let mut read = Read::new(agreed, BUFFER_LEN, wanted.text, tries_max);
        let Self { shared, socket, client, mut lease, known: _known } = self;
        let file = shared.files.adopt(file);
        let unproven = shared.config.timeout;
        let mut peer = Peer::new(socket, client, unproven);
        let mut packet = [0; BARE_LEN_MAX];
        let mut offset = 0;
        loop {
            while let Some(room) = read.room(&mut lease) {
                let (back, result) = files::read(&file, lease, room.clone(), offset).await;
                lease = back;
                match result {
                    Ok(len) => {
                        offset += len as u64;
                        read.filled(&mut lease, &room, len);
                    }
                    Err(error) => peer.tell(read.refuse(failed(&error))).await,
                }
            }
            while let Some(send) = read.next(&mut lease) {
                match send {
                    read::Send::Options => peer.send(&read.agreed().oack).await,
                    read::Send::Block(block) => {
                        peer.send(&lease[block.packet.clone()]).await;
                        read.sent(&mut lease, block);
                    }
                }
                peer.await_answer(read.patience(unproven));
            }
            if let Some(outcome) = read.outcome() {
                return outcome.clone();
            }
            match peer.receive(&mut packet).await {
                Some(len) => {
                    let refusal = read.received(&packet[..len]);
                    peer.tell(refusal).await;
                }
                None => {
                    read.timed_out();
                    peer.await_answer(read.patience(unproven));
                }
            }
        }
    }

    async fn write(self, wanted: &Wanted, unfinished: Unfinished) -> Outcome {
        let size = Size::AtMost(self.shared.config.file_len_max);
        let opened = self.agree(wanted, size).and_then(|agreed| {
            let file = unfinished.file().map_err(|error| failed(&error))?;
            Ok((agreed, self.shared.files.adopt(file)))
        });
        let (agreed, file) = match opened {
            Ok(opened) => opened,
            Err(refusal) => return self.refuse(refusal).await,
        };
        let file_len_max = self.shared.config.file_len_max;
        let tries_max = self.shared.config.tries_max;
        let mut write = Write::new(agreed, BUFFER_LEN, wanted.text, tries_max);
        let Self { shared, socket, client, mut lease, known } = self;
        let unproven = shared.config.timeout;
        let mut peer = Peer::new(socket, client, unproven);
        let mut offset = 0;
        let mut unfinished = Some(unfinished);
        while write.outcome().is_none() && !write.is_dallying() {
            if let Some(len) = write.to_write() {
                if offset + len as u64 > file_len_max {
                    let refusal = refusal(Code::DiskFull, "the file is longer than is taken");
                    peer.tell(write.refuse(refusal)).await;
                    continue;
                }
                let (back, result) = files::write(&file, lease, len, offset).await;
                lease = back;
                if let Err(error) = result {
                    peer.tell(write.refuse(failed(&error))).await;
                    continue;
                }
                offset += len as u64;
                write.wrote();
            }
            if write.is_whole() {
                let Some(whole) = unfinished.take() else { break };
                let kept = match file.sync_all().await {
                    Ok(()) => off(move || whole.keep()).await,
                    Err(error) => Err(failed(&error)),
                };
                match kept {
                    Ok(()) => write.committed(),
                    Err(refusal) => peer.tell(write.refuse(refusal)).await,
                }
                continue;
            }
            peer.answer(&mut write).await;
            let room = write.room();
            match peer.receive(&mut lease[room]).await {
                Some(len) => {
                    let refusal = write.received(&mut lease, len);
                    peer.tell(refusal).await;
                }
                None => {
                    write.timed_out();
                    peer.await_answer(write.patience(unproven));
                }
            }
        }
        // What is left takes neither buffer nor file, and the client may ask
        // again; if too many do that, it is not waited for.
        drop((lease, known, file));
        let place = shared.dallies.try_acquire();
        if write.is_dallying() && place.is_err() {
            peer.answer(&mut write).await;
            return Outcome::Done;
        }
        let mut packet = [0; BARE_LEN_MAX];
        loop {
            peer.answer(&mut write).await;
            if let Some(outcome) = write.outcome() {
                return outcome.clone();
            }
            match peer.receive(&mut packet).await {
                Some(len) => {
                    let refusal = write.received(&mut packet, len);
                    peer.tell(refusal).await;
                }
                None => write.timed_out(),
            }
        }
    }

    fn agree(&self, wanted: &Wanted, size: Size) -> Result<Agreed, Refusal> {
        let timeout = self.shared.config.timeout;
        let options = Options::decode(&wanted.options);
        let malformed = refusal(Code::Options, "the options are none");
        agree(&options.ok_or(malformed)?, Terms { buffer_len: BUFFER_LEN, timeout, size })
    }

    async fn refuse(self, refusal: Refusal) -> Outcome {
        let _ = self.socket.send_to(&refusal.packet(), self.client).await;
        Outcome::Refused(refusal)
    }
}

/// The client's end.
struct Peer {
    socket: UdpSocket,
    client: SocketAddr,
    deadline: Instant,
    unproven: Duration,
}

impl Peer {
    fn new(socket: UdpSocket, client: SocketAddr, unproven: Duration) -> Self {
        Self { socket, client, deadline: Instant::now(), unproven }
    }

    /// Sends a packet. One that does not leave is one that got lost.
    async fn send(&self, packet: &[u8]) {
        let _ = self.socket.send_to(packet, self.client).await;
    }

    async fn tell(&self, refusal: Option<Refusal>) {
        if let Some(refusal) = refusal {
            self.send(&refusal.packet()).await;
        }
    }

    /// Sends what is due.
    async fn answer(&mut self, write: &mut Write) {
        while let Some(send) = write.next() {
            match send {
                write::Send::Options => self.send(&write.agreed().oack).await,
                write::Send::Ack(block) => self.send(&ack(block)).await,
            }
            self.await_answer(write.patience(self.unproven));
        }
    }

    /// Waits from now on. Packets that lead to nothing do not make it longer.
    fn await_answer(&mut self, patience: Duration) {
        self.deadline = Instant::now() + patience;
    }

    /// The length of a packet of the client, or `None` when the time is over.
    async fn receive(&self, room: &mut [u8]) -> Option<usize> {
        loop {
            match timeout_at(self.deadline, self.socket.recv_from(room)).await {
                Err(_) => return None,
                Ok(Ok((len, from))) if from == self.client => return Some(len),
                Ok(Ok((_, stranger))) => {
                    let refusal = refusal(Code::UnknownTransfer, "this is another's transfer");
                    let _ = self.socket.send_to(&refusal.packet(), stranger).await;
                }
                // An answer that went nowhere.
                Ok(Err(_)) => {}
            }
        }
    }
}
