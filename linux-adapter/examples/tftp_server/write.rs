//! A write: blocks come in, and the file is made of them.
//!
//! Neither sockets nor files here. Whoever drives it writes
//! [`to_write`](Write::to_write) to the file, sends what [`next`](Write::next)
//! says until there is nothing, and then receives into [`room`](Write::room)
//! and says so ([`received`](Write::received)), or lets the time pass
//! ([`timed_out`](Write::timed_out)). Once the file
//! [is whole](Write::is_whole) and in its place, it says that
//! ([`committed`](Write::committed)): the last ACK goes out after that.
//!
//! Invariant: `buffer[..len]` are the next bytes of the file, and behind them
//! is room for a packet unless there is something to write.

use std::{ops::Range, time::Duration};

use super::{
    netascii,
    options::Agreed,
    packet::{Code, HEAD_LEN, Packet, Refusal, refusal},
    read::{Outcome, wire},
};

/// A write under way.
#[derive(Debug)]
pub(crate) struct Write {
    agreed: Agreed,
    buffer_len: usize,
    text: Option<netascii::Decoder>,
    state: State,
    /// The block that comes next.
    expected: u64,
    /// Blocks since the last ACK.
    since_ack: usize,
    /// An ACK of what has come so far is to be sent.
    ack_due: bool,
    /// An ACK has said that a block is missing.
    gap_told: bool,
    /// The last block has come again, and has been acknowledged again.
    repeat_told: bool,
    len: usize,
    tries: u32,
    tries_max: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The options are the answer to the request, until the first block.
    Options {
        sent: bool,
    },
    Blocks,
    /// The last block has come.
    Whole,
    /// The last ACK has been sent; it may get lost.
    Dally,
    Over(Outcome),
}

/// What is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Send {
    /// [`Agreed::oack`].
    Options,
    /// An ACK of this block.
    Ack(u16),
}

impl Write {
    /// A write through a buffer of `buffer_len` bytes; a peer that is silent
    /// for `tries_max` timeouts is given up.
    pub(crate) fn new(agreed: Agreed, buffer_len: usize, text: bool, tries_max: u32) -> Self {
        debug_assert!(agreed.block_len + HEAD_LEN < buffer_len);
        let options = !agreed.oack.is_empty();
        let state = if options { State::Options { sent: false } } else { State::Blocks };
        let text = text.then(netascii::Decoder::default);
        let (expected, since_ack, len, tries) = (1, 0, 0, 0);
        let (ack_due, gap_told, repeat_told) = (!options, false, false);
        Self {
            agreed,
            buffer_len,
            text,
            state,
            expected,
            since_ack,
            ack_due,
            gap_told,
            repeat_told,
            len,
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

    /// Whether the last block has come and is to be [committed](Write::committed)
    /// once it is written.
    pub(crate) fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    /// Whether all that is left is to repeat the last ACK.
    pub(crate) fn is_dallying(&self) -> bool {
        self.state == State::Dally
    }

    /// How many bytes, from the buffer's first on, are to be written to the
    /// file before anything else.
    pub(crate) fn to_write(&self) -> Option<usize> {
        let full = self.len + self.packet_len_max() > self.buffer_len;
        (self.len > 0 && (full || self.is_whole())).then_some(self.len)
    }

    /// Says that it has been written.
    pub(crate) fn wrote(&mut self) {
        self.len = 0;
    }

    /// What is to be sent now, if anything.
    pub(crate) fn next(&mut self) -> Option<Send> {
        match &mut self.state {
            State::Options { sent } if !*sent => {
                *sent = true;
                Some(Send::Options)
            }
            State::Blocks | State::Dally if self.ack_due => {
                self.ack_due = false;
                self.since_ack = 0;
                Some(Send::Ack(wire(self.expected - 1)))
            }
            _ => None,
        }
    }

    /// Where a packet is to be received.
    pub(crate) fn room(&self) -> Range<usize> {
        self.len..self.len + self.packet_len_max()
    }

    /// Takes a packet of the peer, the first `len` bytes of the
    /// [`room`](Write::room); what it is to be told in answer, if that is the
    /// end.
    pub(crate) fn received(&mut self, buffer: &mut [u8], len: usize) -> Option<Refusal> {
        let room = self.room();
        match Packet::decode(&buffer[room.start..room.start + len]) {
            Some(Packet::Data { block, data }) => {
                let data = data.len();
                if data > self.agreed.block_len {
                    return self.refuse(refusal(Code::IllegalOperation, "the block is too long"));
                }
                let wire = room.start + HEAD_LEN..room.start + HEAD_LEN + data;
                self.block(block, buffer, wire);
            }
            Some(Packet::Error { code, .. }) => {
                // The file is in its place already.
                let outcome =
                    if self.is_dallying() { Outcome::Done } else { Outcome::Ended { code } };
                self.state = State::Over(outcome);
            }
            _ => return self.refuse(refusal(Code::IllegalOperation, "DATA is expected")),
        }
        None
    }

    fn block(&mut self, block: u16, buffer: &mut [u8], data: Range<usize>) {
        if let State::Options { .. } = self.state {
            self.state = State::Blocks;
        }
        let ahead = block.wrapping_sub(wire(self.expected));
        if self.state != State::Blocks || ahead != 0 {
            // The last one again: perhaps its ACK was lost. It is told once,
            // since some clients answer each ACK (curl): what is doubled would
            // stay so for all blocks that follow.
            if ahead == u16::MAX && (!self.repeat_told || self.is_dallying()) {
                self.repeat_told = true;
                self.ack_due = true;
            }
            // One behind a gap, which is told once (RFC 7440, section 4).
            if usize::from(ahead) < self.agreed.window && !self.gap_told {
                self.gap_told = true;
                self.ack_due = true;
            }
            return;
        }
        let last = data.len() < self.agreed.block_len;
        self.len = match &mut self.text {
            Some(text) => text.decode(buffer, self.len, data),
            None => {
                let end = self.len + data.len();
                buffer.copy_within(data, self.len);
                end
            }
        };
        self.expected += 1;
        self.since_ack += 1;
        (self.gap_told, self.repeat_told, self.tries) = (false, false, 0);
        if last {
            if let Some(byte) = self.text.as_mut().and_then(netascii::Decoder::end) {
                buffer[self.len] = byte;
                self.len += 1;
            }
            self.state = State::Whole;
        } else if self.since_ack >= self.agreed.window {
            self.ack_due = true;
        }
    }

    /// Says that the file is whole and in its place.
    pub(crate) fn committed(&mut self) {
        debug_assert!(self.is_whole() && self.len == 0);
        self.state = State::Dally;
        self.ack_due = true;
    }

    /// Says that nothing has come for as long as was agreed.
    pub(crate) fn timed_out(&mut self) {
        self.tries += 1;
        match &mut self.state {
            State::Over(_) | State::Whole => {}
            state @ State::Dally => *state = State::Over(Outcome::Done),
            state if self.tries > self.tries_max => *state = State::Over(Outcome::Silent),
            State::Options { sent } => *sent = false,
            State::Blocks => {
                self.ack_due = true;
                (self.gap_told, self.repeat_told) = (false, false);
            }
        }
    }

    /// Ends the transfer, for a reason that the peer is to be told.
    pub(crate) fn refuse(&mut self, refusal: Refusal) -> Option<Refusal> {
        self.state = State::Over(Outcome::Refused(refusal.clone()));
        Some(refusal)
    }

    /// A packet of a block, and a byte by which one that is longer is known.
    fn packet_len_max(&self) -> usize {
        HEAD_LEN + self.agreed.block_len + 1
    }
}
