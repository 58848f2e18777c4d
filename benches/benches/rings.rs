//! One producer and one consumer, each on a core of its own: forebay's ring
//! beside others.
//!
//! The consumer copies what is there into at most 16 KiB and makes one write
//! of it to `/dev/null`: what a drainer does. Every ring has 64 KiB. Rings of
//! items carry arrays of the record's length; forebay's alone carries records
//! whose lengths need not be known.

#![allow(missing_docs, clippy::unwrap_used)]

use std::{fs::File, hint::black_box, slice::from_mut, sync::mpsc, time::Duration};

use crossbeam_queue::ArrayQueue;
use forebay::{
    Pump,
    frame::Plain,
    pump::Drive,
    ring::{Producer, heap},
};
use forebay_benches::{
    carry::{Out, RING_LEN, WRITE_LEN, carry, one_by_one, records},
    peers::{array_queue, ring, rtrb_lanes, sync_channel},
    probe,
    rounds::{Goal, Group, Round, of, of_best},
};
use forebay_linux::FdSink;
use ringbuf::{
    HeapRb,
    traits::{Consumer as _, Producer as _, Split},
};

const BUDGET: Duration = Duration::from_secs(9);

const RTRB_BYTES: &str = "rtrb of bytes";
const BOUND: &str = "copy and write, one thread";

fn main() {
    one_thread();
    // Goals are times, so the reciprocals of rates.
    size::<16, 4097>(&[of_best(1.0)]);
    size::<64, 1025>(&[of(1.0 / 1.6, RTRB_BYTES), of_best(1.0 / 1.1), of(1.0 / 0.65, BOUND)]);
    size::<256, 257>(&[of_best(1.0 / 1.25), of(1.0 / 0.95, BOUND)]);
    size::<1024, 65>(&[]);
}

/// Records of `N` bytes; `SLOTS` is one more than as many as 64 KiB hold.
fn size<const N: usize, const SLOTS: usize>(goals: &[Goal]) {
    let mut forebay = heap::ring(RING_LEN).unwrap();
    let (mut producer, consumer) = heap::ring(RING_LEN).unwrap();
    let mut pump: Pump<_, _, 1> = Pump::new(Plain, vec![0; WRITE_LEN].into_boxed_slice());
    pump.add(consumer).unwrap();
    let mut bytes = rtrb::RingBuffer::new(RING_LEN);
    let mut items = rtrb::RingBuffer::<[u8; N]>::new(RING_LEN / N);
    let mut ringbuf = HeapRb::<[u8; N]>::new(RING_LEN / N).split();
    let mut queue = Box::new(heapless::spsc::Queue::<[u8; N], SLOTS>::new());
    let (mut enqueue, mut dequeue) = queue.split();
    let array = ArrayQueue::<[u8; N]>::new(RING_LEN / N);
    let (sender, mut receiver) = mpsc::sync_channel::<[u8; N]>(RING_LEN / N);

    Group::new(format!("one producer, records of {N} B"))
        .peer(RTRB_BYTES, || rtrb_bytes::<N>(&mut bytes))
        .peer("rtrb of arrays", || rtrb_lanes(from_mut(&mut items.0), from_mut(&mut items.1)))
        .peer("ringbuf of arrays", || {
            let (producer, consumer) = &mut ringbuf;
            one_by_one(vec![|record: &[u8; N]| producer.try_push(*record).is_ok()], || {
                consumer.try_pop()
            })
        })
        .peer("heapless spsc of arrays", || {
            one_by_one(vec![|record: &[u8; N]| enqueue.enqueue(*record).is_ok()], || {
                dequeue.dequeue()
            })
        })
        .peer("crossbeam ArrayQueue of arrays", || array_queue(&array, 1))
        .peer("std sync_channel of arrays", || sync_channel(&sender, &mut receiver, 1))
        .bound(BOUND, copy_and_write::<N>)
        .ours("ring", goals, || ring::<N, _>(from_mut(&mut forebay.0), &mut forebay.1))
        .ours("ring, Pump, FdSink", &[], || pumped::<N>(&mut producer, &mut pump))
        .classify(probe::cores)
        .run(BUDGET);
}

fn pumped<const N: usize>(
    producer: &mut Producer<'_>,
    pump: &mut Pump<'_, Plain, Box<[u8]>, 1>,
) -> Round {
    let mut sink = FdSink::new(File::create("/dev/null").unwrap()).unwrap();
    carry::<N, _>(vec![|record: &[u8; N]| producer.push(record).is_ok()], |out| {
        match pump.drive(&mut sink).unwrap() {
            Drive::Moved { frames, .. } => {
                out.calls += 1;
                frames
            }
            Drive::Idle | Drive::Blocked => 0,
        }
    })
}

fn rtrb_bytes<const N: usize>(
    (producer, consumer): &mut (rtrb::Producer<u8>, rtrb::Consumer<u8>),
) -> Round {
    carry::<N, _>(vec![|record: &[u8; N]| producer.push_entire_slice(record).is_ok()], |out| {
        let len = consumer.slots().min(out.free()) / N * N;
        if len > 0 {
            let chunk = consumer.read_chunk(len).unwrap();
            let (first, second) = chunk.as_slices();
            out.copy(first);
            out.copy(second);
            out.write();
            chunk.commit_all();
        }
        len / N
    })
}

/// Without a ring: what the consumer does, on the producer's thread.
fn copy_and_write<const N: usize>() -> Round {
    let records = records(N);
    let mut out = Out::new();
    let mut record = [7; N];
    Round::timed(records as u64, || {
        for turn in 0..records {
            record[0] = turn.to_le_bytes()[0];
            out.copy(black_box(&record));
            if out.free() < N {
                out.write();
            }
        }
        f64::from(out.calls)
    })
}

/// A record in, and out again.
fn one_thread() {
    const LEN: usize = 64;
    const RECORDS: usize = 50_000;
    fn timed(mut carry: impl FnMut(&[u8; LEN])) -> Round {
        let record = [7; LEN];
        Round::timed(RECORDS as u64, || {
            for _ in 0..RECORDS {
                carry(black_box(&record));
            }
            f64::NAN
        })
    }

    let (mut producer, mut consumer) = heap::ring(RING_LEN).unwrap();
    let mut bytes = rtrb::RingBuffer::<u8>::new(RING_LEN);
    let mut items = rtrb::RingBuffer::<[u8; LEN]>::new(RING_LEN / LEN);
    let mut ringbuf = HeapRb::<[u8; LEN]>::new(RING_LEN / LEN).split();
    let mut queue = heapless::spsc::Queue::<[u8; LEN], 1024>::new();
    let array = ArrayQueue::new(RING_LEN / LEN);
    Group::new("one thread, push and pop of 64 B")
        .peer("rtrb of arrays", || {
            timed(|record| {
                items.0.push(*record).unwrap();
                black_box(items.1.pop().unwrap());
            })
        })
        .peer(RTRB_BYTES, || {
            timed(|record| {
                bytes.0.push_entire_slice(record).unwrap();
                let chunk = bytes.1.read_chunk(LEN).unwrap();
                black_box(chunk.as_slices());
                chunk.commit_all();
            })
        })
        .peer("ringbuf of arrays", || {
            timed(|record| {
                ringbuf.0.try_push(*record).unwrap();
                black_box(ringbuf.1.try_pop().unwrap());
            })
        })
        .peer("heapless spsc of arrays", || {
            timed(|record| {
                queue.enqueue(*record).unwrap();
                black_box(queue.dequeue().unwrap());
            })
        })
        .peer("crossbeam ArrayQueue of arrays", || {
            timed(|record| {
                array.push(*record).unwrap();
                black_box(array.pop().unwrap());
            })
        })
        .ours("ring", &[], || {
            timed(|record| {
                producer.push(record).unwrap();
                black_box(consumer.records().next().unwrap());
                consumer.release(1);
            })
        })
        .run(Duration::from_secs(2));
}
