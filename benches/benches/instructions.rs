//! Instructions of a push and a pop, as valgrind counts them: the same on
//! every run, however busy the machine is.
//!
//! A record of 64 bytes goes in and is copied out again, on one thread. The
//! binary runs itself under valgrind, with two numbers of records for each
//! contender; the difference leaves out what is done once.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::{env, hint::black_box, process::Command};

use crossbeam_queue::ArrayQueue;
use forebay::ring::{Consumer, Mode, Producer, heap};
use ringbuf::{
    HeapRb,
    traits::{Consumer as _, Producer as _, Split},
};

const LEN: usize = 64;
const RING_LEN: usize = 64 * 1024;

type Record = [u8; LEN];
type Contender = (&'static str, Kind, fn(u64));

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// What every contender does beside its own work.
    Floor,
    Peer,
    /// Net of the floor at most as many as the contender of this name.
    Ours(&'static str),
    OursToo,
}

const CONTENDERS: &[Contender] = &[
    ("copy in and out", Kind::Floor, floor),
    ("rtrb of arrays", Kind::Peer, rtrb_arrays),
    ("rtrb of bytes", Kind::Peer, rtrb_bytes),
    ("ringbuf of arrays", Kind::Peer, ringbuf),
    ("heapless spsc of arrays", Kind::Peer, heapless_spsc),
    ("crossbeam ArrayQueue of arrays", Kind::Peer, array_queue),
    ("one producer", Kind::Ours("rtrb of arrays"), |records| ring(heap::ring(RING_LEN), records)),
    ("many producers", Kind::Ours("crossbeam ArrayQueue of arrays"), |records| {
        ring(heap::shared(RING_LEN), records);
    }),
    ("many producers, batches of 16", Kind::OursToo, batches),
    ("overwriting", Kind::OursToo, |records| ring(heap::overwriting(RING_LEN), records)),
];

fn main() {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() == Some("--carry") {
        let (name, records) = (arguments.next().unwrap(), arguments.next().unwrap());
        let contender = CONTENDERS.iter().find(|contender| contender.0 == name).unwrap();
        return (contender.2)(records.parse().unwrap());
    }
    if !env::args().any(|argument| argument == "--bench") {
        CONTENDERS.iter().for_each(|contender| (contender.2)(16));
        return;
    }
    let counts: Vec<f64> = CONTENDERS.iter().map(|contender| a_record(contender.0)).collect();
    let net = |name: &str| {
        let at = CONTENDERS.iter().position(|contender| contender.0 == name).unwrap();
        counts[at] - counts[0]
    };
    println!("\ninstructions, push and pop of {LEN} B\n  {:<34}{:>8}{:>8}  goal", "", "all", "net");
    for ((name, kind, _), count) in CONTENDERS.iter().zip(&counts) {
        let (mark, goal) = match kind {
            Kind::Floor => ('|', String::new()),
            Kind::Peer => (' ', String::new()),
            Kind::OursToo => ('>', String::new()),
            Kind::Ours(peer) => {
                let word = if net(name) <= net(peer) { "met" } else { "missed" };
                ('>', format!("net <= {:.0} of {peer}: {word}", net(peer)))
            }
        };
        println!("{mark} {name:<34}{count:>8.1}{:>8.1}  {goal}", net(name));
    }
}

/// Instructions of one record.
fn a_record(name: &str) -> f64 {
    let [few, many] = [2048, 4096].map(|records| (records, instructions(name, records)));
    (many.1 - few.1) / f64::from(many.0 - few.0)
}

fn instructions(name: &str, records: u32) -> f64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().unwrap())
        .args(["--carry", name, &records.to_string()])
        .output()
        .expect("valgrind, of the Debian package of that name");
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected : "));
    collected.unwrap_or_else(|| panic!("{text}")).1.trim().parse().unwrap()
}

fn carry(records: u64, mut carry: impl FnMut(&Record, &mut Record)) {
    let (record, mut out) = ([7; LEN], [0; LEN]);
    for _ in 0..records {
        carry(black_box(&record), &mut out);
        black_box(&mut out);
    }
}

fn floor(records: u64) {
    let mut between = [0; LEN];
    carry(records, |record, out| {
        between = *record;
        black_box(&mut between);
        *out = between;
    });
}

fn ring<M: Mode>(
    handles: Result<(Producer<'_, M>, Consumer<'_>), forebay::ring::BadCapacity>,
    records: u64,
) {
    let (mut producer, mut consumer) = handles.unwrap();
    carry(records, |record, out| {
        producer.push(record).unwrap();
        out.copy_from_slice(consumer.records().next().unwrap());
        consumer.release(1);
    });
}

/// As many records as the others, 16 at a time.
fn batches(records: u64) {
    let (mut producer, mut consumer) = heap::shared(RING_LEN).unwrap();
    let (record, mut out) = ([7; LEN], [0; LEN]);
    for _ in 0..records / 16 {
        producer.push_batch(black_box(&[&record[..]; 16])).unwrap();
        for record in consumer.records() {
            out.copy_from_slice(record);
            black_box(&mut out);
        }
        consumer.release(16);
    }
}

fn rtrb_arrays(records: u64) {
    let (mut producer, mut consumer) = rtrb::RingBuffer::<Record>::new(RING_LEN / LEN);
    carry(records, |record, out| {
        producer.push(*record).unwrap();
        *out = consumer.pop().unwrap();
    });
}

fn rtrb_bytes(records: u64) {
    let (mut producer, mut consumer) = rtrb::RingBuffer::<u8>::new(RING_LEN);
    carry(records, |record, out| {
        producer.push_entire_slice(record).unwrap();
        let chunk = consumer.read_chunk(LEN).unwrap();
        let (first, second) = chunk.as_slices();
        out[..first.len()].copy_from_slice(first);
        out[first.len()..].copy_from_slice(second);
        chunk.commit_all();
    });
}

fn ringbuf(records: u64) {
    let (mut producer, mut consumer) = HeapRb::<Record>::new(RING_LEN / LEN).split();
    carry(records, |record, out| {
        producer.try_push(*record).unwrap();
        *out = consumer.try_pop().unwrap();
    });
}

fn heapless_spsc(records: u64) {
    let mut queue = Box::new(heapless::spsc::Queue::<Record, { RING_LEN / LEN }>::new());
    let (mut producer, mut consumer) = queue.split();
    carry(records, |record, out| {
        producer.enqueue(*record).unwrap();
        *out = consumer.dequeue().unwrap();
    });
}

fn array_queue(records: u64) {
    let queue = ArrayQueue::<Record>::new(RING_LEN / LEN);
    carry(records, |record, out| {
        queue.push(*record).unwrap();
        *out = queue.pop().unwrap();
    });
}
