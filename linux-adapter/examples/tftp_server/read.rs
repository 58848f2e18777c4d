//! A read: the file goes out in blocks, as packets come in.
//!
//! Neither sockets nor files here. Whoever drives it fills
//! [`room`](Read::room) from the file, sends what [`next`](Read::next) says
//! until there is nothing, and then waits for a packet
//! ([`received`](Read::received)) or for the time to pass
//! ([`timed_out`](Read::timed_out)).
//!
//! Invariant: the buffer holds the bytes from block `base` on, the first that
//! is not acknowledged, at `begin..begin + len`, and the head of a packet has
//! room before `begin`. Blocks `base..base + sent_max` have been sent, `next`
//! of them since the last acknowledgement or timeout.

use std::{ops::Range, time::Duration};

use super::{
    netascii,
    options::Agreed,
    packet::{Code, HEAD_LEN, Packet, Refusal, data_head, refusal},
};

/// A read under way.
#[derive(Debug)]
pub(crate) struct Read {
    agreed: Agreed,
    buffer_len: usize,
    text: Option<netascii::Encoder>,
    state: State,
    base: u64,
    begin: usize,
    len: usize,
    /// All of the file is in the buffer.
    ended: bool,
    next: usize,
    sent_max: usize,
    tries: u32,
    tries_max: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The options are to be sent, or acknowledged.
    Options {
        sent: bool,
    },
    Blocks,
    Over(Outcome),
}

/// How a transfer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All was acknowledged.
    Done,
    /// The peer gave up.
    Ended { code: u16 },
    /// The peer was told.
    Refused(Refusal),
    /// The peer fell silent.
    Silent,
}

/// What is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Send {
    /// [`Agreed::oack`].
    Options,
    /// These bytes of the buffer; [`Read::sent`] is to be called then.
    Block(Block),
}

/// A packet in the buffer, which covers a part of the block before it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) packet: Range<usize>,
    covered: [u8; HEAD_LEN],
}

impl Read {
    /// A read through a buffer of `buffer_len` bytes; a peer that is silent
    /// for `tries_max` timeouts is given up.
    pub(crate) fn new(agreed: Agreed, buffer_len: usize, text: bool, tries_max: u32) -> Self {
        debug_assert!(agreed.window * agreed.block_len + HEAD_LEN < buffer_len);
        let state =
            if agreed.oack.is_empty() { State::Blocks } else { State::Options { sent: false } };
        let text = text.then(netascii::Encoder::default);
        let (base, begin, len, next, sent_max, tries) = (1, HEAD_LEN, 0, 0, 0, 0);
        let ended = false;
        Self {
            agreed,
            buffer_len,
            text,
            state,
            base,
            begin,
            len,
            ended,
            next,
            sent_max,
            tries,
            tries_max,
        }
    }

    pub(crate) fn agreed(&self) -> &Agreed {
        &self.agreed
    }

    /// How long an answer is awaited; see [`Agreed::patience`].
    pub(crate) fn patience(&self, unproven: Duration) -> Duration {
        let answered = !matches!(self.state, State::Options { .. });
        self.agreed.patience(answered, unproven)
    }

    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        if let State::Over(outcome) = &self.state { Some(outcome) } else { None }
    }

    /// Where the file's next bytes are wanted, if they are.
    pub(crate) fn room(&mut self, buffer: &mut [u8]) -> Option<Range<usize>> {
        if self.ended || self.state != State::Blocks || self.blocks() >= self.agreed.window {
            return None;
        }
        buffer.copy_within(self.begin..self.begin + self.len, HEAD_LEN);
        self.begin = HEAD_LEN;
        if let Some(byte) = self.text.as_mut().and_then(netascii::Encoder::take_pending) {
            buffer[self.end()] = byte;
            self.len += 1;
        }
        let free = self.buffer_len - self.end();
        let len = if self.text.is_some() { (free / 2).max(1) } else { free };
        Some(self.buffer_len - len..self.buffer_len)
    }

    /// Says that the first `len` bytes of [`room`](Read::room) are the file's
    /// next; none at its end.
    pub(crate) fn filled(&mut self, buffer: &mut [u8], room: &Range<usize>, len: usize) {
        let end = self.end();
        match &mut self.text {
            _ if len == 0 => self.ended = true,
            Some(text) => {
                let to = text.encode(buffer, end, room.start..room.start + len);
                self.len += to - end;
            }
            None => self.len += len,
        }
        self.invariants();
    }

    /// What is to be sent now, if anything.
    pub(crate) fn next(&mut self, buffer: &mut [u8]) -> Option<Send> {
        match &mut self.state {
            State::Options { sent: true } | State::Over(_) => return None,
            State::Options { sent } => {
                *sent = true;
                return Some(Send::Options);
            }
            State::Blocks => {}
        }
        if self.next >= self.blocks().min(self.agreed.window) {
            return None;
        }
        let begin = self.begin + self.next * self.agreed.block_len;
        let packet = begin - HEAD_LEN..(begin + self.agreed.block_len).min(self.end());
        let head = data_head(wire(self.base + self.next as u64));
        let place = buffer[packet.start..].first_chunk_mut().expect("a head has room");
        let covered = std::mem::replace(place, head);
        Some(Send::Block(Block { packet, covered }))
    }

    /// Says that a block has been sent, and restores what its head covered.
    pub(crate) fn sent(&mut self, buffer: &mut [u8], block: Block) {
        buffer[block.packet.start..][..HEAD_LEN].copy_from_slice(&block.covered);
        self.next += 1;
        self.sent_max = self.sent_max.max(self.next);
        self.invariants();
    }

    /// Takes a packet of the peer; what it is to be told in answer, if that is
    /// the end.
    pub(crate) fn received(&mut self, packet: &[u8]) -> Option<Refusal> {
        match Packet::decode(packet) {
            Some(Packet::Ack { block }) => self.acknowledged(block),
            Some(Packet::Error { code, .. }) => self.state = State::Over(Outcome::Ended { code }),
            _ => return self.refuse(refusal(Code::IllegalOperation, "an ACK is expected")),
        }
        None
    }

    fn acknowledged(&mut self, block: u16) {
        if let State::Options { sent: true } = self.state {
            if block == 0 {
                self.state = State::Blocks;
                self.tries = 0;
            }
            return;
        }
        // How many of the blocks that were sent it acknowledges. None: the
        // ACK is an old one. Nothing is sent in answer to that: it would come
        // in twos from then on (the sorcerer's apprentice, RFC 1123, 4.2.3.1).
        let count = usize::from(block.wrapping_sub(wire(self.base - 1)));
        if self.state != State::Blocks || count == 0 || count > self.sent_max {
            return;
        }
        if self.ended && count == self.blocks() {
            self.state = State::Over(Outcome::Done);
            return;
        }
        self.base += count as u64;
        self.begin += count * self.agreed.block_len;
        self.len -= count * self.agreed.block_len;
        self.sent_max -= count;
        // The peer has nothing behind that block (RFC 7440, section 4).
        self.next = 0;
        self.tries = 0;
        self.invariants();
    }

    /// Says that nothing has come for as long as was agreed.
    pub(crate) fn timed_out(&mut self) {
        self.tries += 1;
        match &mut self.state {
            State::Over(_) => {}
            state if self.tries > self.tries_max => *state = State::Over(Outcome::Silent),
            State::Options { sent } => *sent = false,
            State::Blocks => self.next = 0,
        }
    }

    /// Ends the transfer, for a reason that the peer is to be told.
    pub(crate) fn refuse(&mut self, refusal: Refusal) -> Option<Refusal> {
        self.state = State::Over(Outcome::Refused(refusal.clone()));
        Some(refusal)
    }

    /// Blocks in the buffer; the last of the file is shorter than the others,
    /// or empty.
    fn blocks(&self) -> usize {
        self.len / self.agreed.block_len + usize::from(self.ended)
    }

    fn end(&self) -> usize {
        self.begin + self.len
    }

    fn invariants(&self) {
        debug_assert!(self.begin >= HEAD_LEN && self.end() <= self.buffer_len);
        debug_assert!(self.next <= self.sent_max && self.sent_max <= self.agreed.window);
    }
}

/// Block numbers have 16 bits on the wire; after 65,535 comes 0.
pub(crate) fn wire(block: u64) -> u16 {
    let [a, b, ..] = block.to_le_bytes();
    u16::from_le_bytes([a, b])
}
