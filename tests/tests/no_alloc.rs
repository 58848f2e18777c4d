//! The way of a message through the core allocates nothing.
//!
//! Buffers and rings are made first; then each step is run many times, its
//! refusals and errors included. The adapters' tests of this name go on with
//! their sinks.

#[path = "../../std-adapter/tests/common/counting.rs"]
mod counting;

use core::convert::Infallible;
use std::hint::black_box;

use counting::allocations;
use forebay::{
    Batch, Decoder, Progress, Pump, Sink,
    checksum::{CRC32, CRC64, Crc32Fast, Xxh3},
    frame::{Cobs, Decode, Encode, Plain, Prefixed},
    pump::Drive,
    ring::{Ring, heap},
};

const ROUNDS: usize = 500;

/// A sink in memory that takes at most `most` bytes of a call and blocks on
/// every third.
struct Memory {
    bytes: Vec<u8>,
    most: usize,
    calls: usize,
}

impl Memory {
    fn new(capacity: usize, most: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), most, calls: 0 }
    }
}

impl Sink for Memory {
    type Error = Infallible;

    fn write(&mut self, slices: &[&[u8]]) -> Result<Progress, Infallible> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) {
            return Ok(Progress::Blocked);
        }
        let before = self.bytes.len();
        let end = self.bytes.capacity().min(before + self.most);
        for slice in slices {
            let len = slice.len().min(end - self.bytes.len());
            self.bytes.extend_from_slice(&slice[..len]);
        }
        Ok(Progress::Wrote(self.bytes.len() - before))
    }
}

#[test]
fn the_count_counts() {
    assert_eq!(allocations(|| drop(black_box(vec![1; 100]))), 1);
}

#[test]
fn encoding() {
    fn check(format: impl Encode) {
        let payload = [7; 200];
        let mut out = [0; 512];
        let count = allocations(|| {
            for len in 0..200 {
                format.encode(&payload[..len], &mut out).unwrap();
                let _ = black_box(format.encode(&payload[..len], &mut out[..len / 2]));
                let _ = black_box(format.envelope(&payload[..len], &mut out));
            }
        });
        assert_eq!(count, 0);
    }
    check(Plain);
    check(Cobs::new(256, CRC32));
    check(Prefixed::flatstream(256).checksum(Xxh3));
    check(Prefixed::native(256, CRC64));
    check(Prefixed::native(256, Crc32Fast));
}

#[test]
fn decoding() {
    fn check(format: impl Encode + Decode + Copy) {
        let mut wire = vec![0; 20_000];
        let mut len = 0;
        for number in 0..50 {
            len += format.encode(&[number; 100], &mut wire[len..]).unwrap();
        }
        wire[150] ^= 0xFF;
        let mut decoder = Decoder::new(format, vec![0; 512]).unwrap();
        let (mut frames, mut damages) = (0, 0);
        let count = allocations(|| {
            for chunk in wire[..len].chunks(37) {
                decoder.free()[..chunk.len()].copy_from_slice(chunk);
                decoder.received(chunk.len());
                loop {
                    match decoder.next_frame() {
                        Ok(Some(_)) => frames += 1,
                        Ok(None) => break,
                        Err(_) => damages += 1,
                    }
                }
            }
        });
        assert_eq!(count, 0);
        assert!(frames >= 48 && damages >= 1, "{frames} frames, {damages} damages");
    }
    check(Cobs::new(256, CRC32));
    check(Prefixed::native(256, CRC32));
}

#[test]
fn a_ring() {
    let mut inline = Ring::<256>::new();
    for (mut producer, mut consumer) in [inline.split(), heap::ring(256).unwrap()] {
        let count = allocations(|| {
            for _ in 0..ROUNDS {
                let mut grant = producer.reserve(20).unwrap();
                grant.fill(1);
                grant.commit();
                producer.reserve(30).unwrap().commit_first(3);
                drop(producer.reserve(40).unwrap());
                while producer.push(&[2; 16]).is_ok() {}
                assert!(consumer.records().count() > 2);
                assert!(consumer.release(usize::MAX) > 2);
            }
            drop(consumer);
            assert!(producer.is_abandoned());
        });
        assert_eq!(count, 0);
    }
}

#[test]
fn a_ring_of_many_producers() {
    let (mut first, mut consumer) = heap::shared(256).unwrap();
    let count = allocations(|| {
        for _ in 0..ROUNDS {
            let mut second = first.clone();
            drop(first.reserve(40).unwrap());
            while first.push(&[1; 16]).is_ok() && second.push(&[2; 16]).is_ok() {}
            assert!(consumer.records().count() > 2);
            consumer.release(usize::MAX);
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn a_batch() {
    let format = Prefixed::native(1 << 20, CRC32);
    let large = vec![3; 10_000];
    let mut buffer = [0; 1024];
    let count = allocations(|| {
        for _ in 0..ROUNDS {
            let mut batch: Batch<&mut [u8], 9> = Batch::new(&mut buffer);
            batch.push(&format, b"small").unwrap();
            batch.push(&format, &large).unwrap();
            while batch.push(&format, &[4; 50]).is_ok() {}
            assert_eq!(batch.slices().len(), 3);
            while !batch.is_empty() {
                let len = batch.len_bytes().min(777);
                batch.advance(len).unwrap();
            }
            batch.advance(1).unwrap_err();
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn a_pump() {
    let (mut small, consumer) = heap::ring(1 << 12).unwrap();
    let mut ring = Ring::<16384>::new();
    let (mut large, other) = ring.split();
    let mut pump: Pump<_, _, 2> = Pump::new(Prefixed::native(1 << 16, CRC32), vec![0; 2048]);
    pump.add(consumer).unwrap();
    pump.add(other).unwrap();
    let mut sink = Memory::new(1 << 24, 1500);
    let count = allocations(|| {
        for _ in 0..ROUNDS {
            while small.push(b"a small message").is_ok() {}
            while large.push(&[5; 5000]).is_ok() {}
            let len = pump.fill().len_bytes();
            pump.wrote(len / 2).unwrap();
            for _ in 0..6 {
                assert_ne!(pump.drive(&mut sink).unwrap(), Drive::Idle);
            }
        }
    });
    assert_eq!(count, 0);
    assert!(pump.ledger().delivered > ROUNDS as u64, "{}", pump.ledger());
    assert!(pump.counts().blocked > 0 && pump.counts().short > 0, "{:?}", pump.counts());
}
