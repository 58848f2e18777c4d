//! A read and a write without sockets: each is the other's peer.

use std::{collections::VecDeque, time::Duration};

use proptest::prelude::*;

use super::{
    random::Random,
    tftp_server::{
        options::{Agreed, BLOCK_LEN},
        packet::{ack, data_head},
        read::{self, Outcome, Read},
        server::BUFFER_LEN,
        write::{self, Write},
    },
};

fn agreed(block_len: usize, window: usize) -> Agreed {
    Agreed { block_len, window, timeout: Duration::from_secs(1), oack: Vec::new() }
}

/// A way of packets, with faults in a hundred of them.
struct Way {
    packets: VecDeque<Vec<u8>>,
    faults: u64,
    /// So often each packet arrives, if it is not lost.
    times: usize,
    sent: usize,
}

impl Way {
    fn new(faults: u64, times: usize) -> Self {
        Self { packets: VecDeque::new(), faults, times, sent: 0 }
    }

    fn send(&mut self, random: &mut Random, packet: &[u8]) {
        self.sent += 1;
        if random.percent(self.faults) {
            return;
        }
        for _ in 0..self.times + usize::from(random.percent(self.faults)) {
            self.packets.push_back(packet.to_vec());
        }
        if self.packets.len() > 1 && random.percent(self.faults) {
            let last = self.packets.len() - 1;
            let other = random.below(last);
            self.packets.swap(last, other);
        }
    }
}

/// A read of `file` by a write, over a bad line.
struct Transfer {
    random: Random,
    file: Vec<u8>,
    at: usize,
    read: Read,
    read_buffer: Vec<u8>,
    written: Vec<u8>,
    write: Write,
    write_buffer: Vec<u8>,
    data: Way,
    acks: Way,
}

impl Transfer {
    fn new(file: Vec<u8>, agreed: &Agreed, text: bool, faults: u64, seed: u64) -> Self {
        Self {
            random: Random(seed),
            file,
            at: 0,
            read: Read::new(agreed.clone(), BUFFER_LEN, text, 100),
            read_buffer: vec![0; BUFFER_LEN],
            written: Vec::new(),
            write: Write::new(agreed.clone(), BUFFER_LEN, text, 100),
            write_buffer: vec![0; BUFFER_LEN],
            data: Way::new(faults, 1),
            acks: Way::new(faults, 1),
        }
    }

    fn read_side(&mut self) {
        while let Some(room) = self.read.room(&mut self.read_buffer) {
            assert!(!room.is_empty());
            let left = self.file.len() - self.at;
            // A file may give less than is asked for.
            let len = room.len().min(left).min(1 + self.random.below(9000));
            self.read_buffer[room.start..room.start + len]
                .copy_from_slice(&self.file[self.at..self.at + len]);
            self.at += len;
            self.read.filled(&mut self.read_buffer, &room, len);
        }
        let before = self.data.sent;
        while let Some(send) = self.read.next(&mut self.read_buffer) {
            let read::Send::Block(block) = send else { panic!("{send:?}") };
            self.data.send(&mut self.random, &self.read_buffer[block.packet.clone()]);
            self.read.sent(&mut self.read_buffer, block);
        }
        assert!(self.data.sent - before <= self.read.agreed().window);
    }

    fn write_side(&mut self) {
        if let Some(len) = self.write.to_write() {
            self.written.extend_from_slice(&self.write_buffer[..len]);
            self.write.wrote();
        }
        if self.write.is_whole() {
            self.write.committed();
        }
        while let Some(send) = self.write.next() {
            let write::Send::Ack(block) = send else { panic!("{send:?}") };
            self.acks.send(&mut self.random, &ack(block));
        }
    }

    /// To the end of both.
    fn run(&mut self) {
        while self.read.outcome().is_none() || self.write.outcome().is_none() {
            self.read_side();
            self.write_side();
            if let Some(packet) = self.data.packets.pop_front() {
                let room = self.write.room();
                self.write_buffer[room.start..room.start + packet.len()].copy_from_slice(&packet);
                assert_eq!(self.write.received(&mut self.write_buffer, packet.len()), None);
            } else if let Some(packet) = self.acks.packets.pop_front() {
                assert_eq!(self.read.received(&packet), None);
            } else {
                // Silence. The write forgets its last ACK once it is over.
                self.read.timed_out();
                self.write.timed_out();
            }
        }
        assert_eq!(self.write.outcome(), Some(&Outcome::Done));
        assert!(self.written == self.file, "{} of {} bytes", self.written.len(), self.file.len());
    }
}

#[test]
fn each_block_is_sent_once_however_often_acks_come() {
    for window in [1, 2, 8] {
        for times in [1, 2, 5] {
            let file = Random(1).bytes(100 * 512 + 1);
            let mut transfer = Transfer::new(file, &agreed(512, window), false, 0, 1);
            transfer.acks.times = times;
            transfer.run();
            assert_eq!(transfer.read.outcome(), Some(&Outcome::Done));
            assert_eq!(transfer.data.sent, 101, "window {window}, {times} times");
            // One a window, and that of the beginning, which stands for WRQ's.
            assert_eq!(transfer.acks.sent, 1 + 101_usize.div_ceil(window));
        }
    }
}

/// Each block comes five times, as from a client that answers each ACK.
#[test]
fn a_block_is_acknowledged_again_once() {
    let mut write = Write::new(agreed(512, 1), BUFFER_LEN, false, 3);
    let mut buffer = vec![0; BUFFER_LEN];
    let mut acks = Vec::new();
    let mut drain = |write: &mut Write| {
        while let Some(write::Send::Ack(block)) = write.next() {
            acks.push(block);
        }
    };
    drain(&mut write);
    for block in 1..=3 {
        for _ in 0..5 {
            let room = write.room();
            buffer[room.start..room.start + 4].copy_from_slice(&data_head(block));
            assert_eq!(write.received(&mut buffer, 4 + 512), None);
            drain(&mut write);
        }
    }
    write.timed_out();
    drain(&mut write);
    assert_eq!(acks, [0, 1, 1, 2, 2, 3, 3, 3]);
}

/// RFC 7440, section 4: at once, and not for each block behind the gap.
#[test]
fn a_gap_is_told_once() {
    let mut write = Write::new(agreed(512, 4), BUFFER_LEN, false, 3);
    let mut buffer = vec![0; BUFFER_LEN];
    let mut acks = Vec::new();
    for block in [1, 3, 4, 2, 3, 4, 5, 7] {
        while let Some(write::Send::Ack(block)) = write.next() {
            acks.push(block);
        }
        let room = write.room();
        buffer[room.start..room.start + 4].copy_from_slice(&data_head(block));
        assert_eq!(write.received(&mut buffer, 4 + 512), None);
    }
    assert_eq!(write.next(), Some(write::Send::Ack(5)));
    // The beginning, the gap, and a window of four that began again at 2.
    assert_eq!(acks, [0, 1, 5]);
}

#[test]
fn block_numbers_go_round() {
    for faults in [0, 5] {
        let file = Random(2).bytes(8 * 70_000);
        let mut transfer = Transfer::new(file, &agreed(8, 64), false, faults, 2);
        transfer.run();
        assert!(transfer.data.sent > 70_000);
    }
}

#[test]
fn a_peer_that_is_silent_is_given_up() {
    let options = || Agreed { oack: b"\0\x06tsize\x001\0".to_vec(), ..agreed(512, 1) };
    let mut buffer = vec![0; BUFFER_LEN];
    for agreed in [agreed(512, 1), options()] {
        let mut read = Read::new(agreed.clone(), BUFFER_LEN, false, 3);
        let mut write = Write::new(agreed, BUFFER_LEN, false, 3);
        let (mut reads, mut writes) = (0, 0);
        for _ in 0..=3 {
            if let Some(room) = read.room(&mut buffer) {
                read.filled(&mut buffer, &room, 0);
            }
            while let Some(send) = read.next(&mut buffer) {
                reads += 1;
                if let read::Send::Block(block) = send {
                    read.sent(&mut buffer, block);
                }
            }
            while write.next().is_some() {
                writes += 1;
            }
            assert_eq!((read.outcome(), write.outcome()), (None, None));
            read.timed_out();
            write.timed_out();
        }
        assert_eq!((reads, writes), (4, 4));
        assert_eq!(read.outcome(), Some(&Outcome::Silent));
        assert_eq!(write.outcome(), Some(&Outcome::Silent));
    }
}

#[test]
fn a_block_that_is_too_long_is_refused() {
    let mut write = Write::new(agreed(BLOCK_LEN, 1), BUFFER_LEN, false, 3);
    let mut buffer = vec![0; BUFFER_LEN];
    buffer[..4].copy_from_slice(&data_head(1));
    assert_eq!(write.room(), 0..4 + BLOCK_LEN + 1);
    let refusal = write.received(&mut buffer, 4 + BLOCK_LEN + 1).unwrap();
    assert_eq!(write.outcome(), Some(&Outcome::Refused(refusal)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_file_arrives_over_any_line(
        len in prop_oneof![0usize..3000, Just(512), Just(1024), 60_000usize..140_000],
        // More line ends than there are in any text.
        text in any::<bool>(),
        (block_len, window) in prop_oneof![
            Just((512, 1)), Just((8, 64)), Just((1428, 45)), Just((65_464, 1)),
            (8usize..600, 1usize..20),
        ],
        faults in 0u64..25,
        seed in any::<u64>(),
    ) {
        // A block of 8 bytes takes as many turns as 64 of 512.
        let len = if block_len < 100 { len / 20 } else { len };
        let mut file = Random(seed).bytes(len);
        if text {
            for byte in &mut file {
                *byte = b"ab\r\n\0"[usize::from(*byte) % 5];
            }
        }
        Transfer::new(file, &agreed(block_len, window), text, faults, seed).run();
    }

    /// Packets of anybody do not bring a transfer down, nor make it talk.
    #[test]
    fn any_packets_are_survived(
        packets in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            (0u16..20).prop_map(|block| ack(block).to_vec()),
            (0u16..20, 0usize..40).prop_map(|(block, len)| [&data_head(block)[..], &vec![1; len]].concat()),
        ], 0..50),
        window in 1usize..8,
    ) {
        let agreed = agreed(16, window);
        let (mut read_buffer, mut write_buffer) = (vec![7; 1024], vec![7; 1024]);
        let mut read = Read::new(agreed.clone(), 1024, false, 3);
        let mut write = Write::new(agreed, 1024, false, 3);
        for packet in packets {
            while let Some(room) = read.room(&mut read_buffer) {
                read_buffer[room.clone()].fill(7);
                read.filled(&mut read_buffer, &room, room.len());
            }
            let mut sent = 0;
            while let Some(send) = read.next(&mut read_buffer) {
                sent += 1;
                if let read::Send::Block(block) = send {
                    read.sent(&mut read_buffer, block);
                }
            }
            prop_assert!(sent <= window);
            read.received(&packet);
            // What a head covered is there again.
            prop_assert!(read_buffer[4..].iter().all(|&byte| byte == 7));

            if write.to_write().is_some() {
                write.wrote();
            }
            if write.is_whole() {
                write.committed();
            }
            prop_assert!(usize::from(write.next().is_some()) + usize::from(write.next().is_some()) <= 1);
            let room = write.room();
            let len = packet.len().min(room.len());
            write_buffer[room.start..room.start + len].copy_from_slice(&packet[..len]);
            write.received(&mut write_buffer, len);
        }
    }
}
