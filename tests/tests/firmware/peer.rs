//! The host's end of the line.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use forebay::{Decoder, frame::Encode};
use forebay_protocol::{Command, FORMAT, FRAME_LEN_MAX, Format, PAYLOAD_LEN_MAX, Report};

use crate::damage::Damage;

/// The frame of a command.
pub(crate) fn encode(command: &Command<'_>) -> Vec<u8> {
    let mut payload = [0; PAYLOAD_LEN_MAX];
    let len = command.encode(&mut payload);
    let mut frame = [0; FRAME_LEN_MAX];
    let len = FORMAT.encode(&payload[..len], &mut frame).unwrap();
    frame[..len].to_vec()
}

/// Ticks that had been offered when a record was claimed and when it was
/// committed.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) claimed: u32,
    pub(crate) committed: u32,
}

/// Sends commands and sorts what comes back.
pub(crate) struct Peer {
    line: TcpStream,
    decoder: Decoder<Format, [u8; FRAME_LEN_MAX]>,
    to_device: Damage,
    to_host: Damage,
    sent_frames: usize,
    ticks: Vec<Vec<u8>>,
    /// Ticks, alarms and held records, as they came.
    produced: Vec<Vec<u8>>,
    /// Echoes and reports.
    answers: Vec<Vec<u8>>,
}

impl Peer {
    pub(crate) fn new(line: TcpStream) -> Self {
        Self {
            line,
            decoder: Decoder::new(FORMAT, [0; FRAME_LEN_MAX]).unwrap(),
            to_device: Damage::none(),
            to_host: Damage::none(),
            sent_frames: 0,
            ticks: Vec::new(),
            produced: Vec::new(),
            answers: Vec::new(),
        }
    }

    pub(crate) fn damage_sent(&mut self, damage: Damage) {
        self.to_device = damage;
        self.sent_frames = 0;
    }

    pub(crate) fn damage_received(&mut self, damage: Damage) {
        self.to_host = damage;
    }

    pub(crate) fn send(&mut self, command: Command<'_>) {
        self.sent_frames += 1;
        self.send_bytes(&encode(&command));
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let bytes = self.to_device.pass(bytes);
        self.line.write_all(&bytes).unwrap();
    }

    /// Waits for the report that says that the device is ready.
    pub(crate) fn ready(&mut self) {
        self.receive_until(|peer| peer.last_report().is_some());
        assert_eq!(self.last_report(), Some(Report::default()));
    }

    /// Asks for a report and waits for it.
    pub(crate) fn report(&mut self) -> Report {
        self.send(Command::Report);
        self.next_report()
    }

    /// As [`report`](Peer::report), asking until one is answered: a question
    /// may be lost. A byte of idle filler ends what was damaged before it.
    pub(crate) fn report_through_damage(&mut self) {
        loop {
            let events = self.to_device.events;
            self.send_bytes(&[0]);
            self.send(Command::Report);
            if self.to_device.events == events {
                self.next_report();
                return;
            }
        }
    }

    fn next_report(&mut self) -> Report {
        let before = self.answers.len();
        self.receive_until(|peer| {
            peer.answers[before..].iter().any(|answer| Report::decode(answer).is_some())
        });
        self.last_report().unwrap()
    }

    fn last_report(&self) -> Option<Report> {
        self.answers.iter().rev().find_map(|answer| Report::decode(answer))
    }

    /// Waits until there are so many ticks.
    pub(crate) fn ticks(&mut self, count: usize) -> Vec<Vec<u8>> {
        self.receive_until(|peer| peer.ticks.len() >= count);
        self.ticks.clone()
    }

    /// Waits for the tick of that number.
    pub(crate) fn ticks_until(&mut self, number: u32) -> Vec<Vec<u8>> {
        self.receive_until(|peer| {
            peer.ticks.last().is_some_and(|tick| tick[1..5] == number.to_le_bytes())
        });
        std::mem::take(&mut self.ticks)
    }

    /// The ticks, alarms and held records so far, as they came.
    pub(crate) fn produced(&self) -> &[Vec<u8>] {
        &self.produced
    }

    /// Waits for the record that the main loop held open.
    pub(crate) fn held(&mut self) -> Held {
        let is_held = |payload: &&Vec<u8>| payload[0] == b'H';
        self.receive_until(|peer| peer.produced.iter().any(|payload| is_held(&payload)));
        let payload = self.produced.iter().find(is_held).unwrap();
        let number = |at: usize| u32::from_le_bytes(payload[at..at + 4].try_into().unwrap());
        let held = Held { claimed: number(1), committed: number(5) };
        assert_eq!(payload[..], forebay_protocol::held(held.claimed, held.committed));
        held
    }

    /// The alarms so far.
    pub(crate) fn alarms(&self) -> Vec<Vec<u8>> {
        self.produced.iter().filter(|payload| payload[0] == b'A').cloned().collect()
    }

    /// The bytes of the echoes so far.
    pub(crate) fn echoes(&self) -> Vec<Vec<u8>> {
        let echoes = self.answers.iter().filter(|answer| answer[0] == b'E');
        echoes.map(|answer| answer[1..].to_vec()).collect()
    }

    /// The answers before the last one, which is a report.
    pub(crate) fn answers_before_report(&self) -> &[Vec<u8>] {
        self.answers.split_last().unwrap().1
    }

    pub(crate) fn received(&self) -> u64 {
        self.decoder.counts().frames
    }

    pub(crate) fn damages(&self) -> u64 {
        self.decoder.counts().damages
    }

    pub(crate) fn received_events(&self) -> usize {
        self.to_host.events
    }

    pub(crate) fn sent_events(&self) -> usize {
        self.to_device.events
    }

    pub(crate) fn sent_frames(&self) -> usize {
        self.sent_frames
    }

    fn receive_until(&mut self, enough: impl Fn(&Self) -> bool) {
        let mut bytes = [0; 4096];
        while !enough(self) {
            let len = match self.line.read(&mut bytes) {
                Ok(len @ 1..) => len,
                other => panic!("the line is silent: {other:?}, {:?}", self.decoder.counts()),
            };
            let bytes = self.to_host.pass(&bytes[..len]);
            self.decode(&bytes);
        }
    }

    fn decode(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let free = self.decoder.free();
            let (now, later) = bytes.split_at(bytes.len().min(free.len()));
            free[..now.len()].copy_from_slice(now);
            self.decoder.received(now.len());
            bytes = later;
            loop {
                match self.decoder.next_frame() {
                    Ok(Some(frame)) => match frame.payload.first() {
                        Some(kind @ (b'T' | b'A' | b'H')) => {
                            self.produced.push(frame.payload.to_vec());
                            if *kind == b'T' {
                                self.ticks.push(frame.payload.to_vec());
                            }
                        }
                        Some(b'E' | b'R') => self.answers.push(frame.payload.to_vec()),
                        _ => panic!("a wrong frame was delivered: {frame:?}"),
                    },
                    Ok(None) => break,
                    // Counted by the decoder.
                    Err(_) => {}
                }
            }
        }
    }
}
