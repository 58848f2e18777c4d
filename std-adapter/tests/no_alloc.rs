//! After start-up neither a sender nor a drainer allocates.

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::{io, thread};

use common::{FORMAT, message, watchdog};
use counting::allocations;
use forebay_std::{Drainer, FrameReader, WriteSink};

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations(|| drop(vec![1; 100])), 1);
}

#[test]
fn a_sender_and_a_drainer_allocate_nothing() {
    const ROUNDS: u32 = 2_000;
    const BURST: u32 = 10;
    let _held = watchdog("allocations");
    let (reader, writer) = io::pipe().unwrap();
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(writer));
    let mut sender = drainer.sender(1 << 12).unwrap();
    let mut frames = FrameReader::new(reader, FORMAT);
    thread::scope(|threads| {
        let drained = threads.spawn(|| allocations(|| drainer.run().unwrap()));
        let here = allocations(|| {
            for round in 0..ROUNDS {
                for number in 0..BURST {
                    sender.send(&message(round, number)).unwrap();
                }
                // Refused, and that allocates nothing either.
                sender.send(&[0; 1 << 12]).unwrap_err();
                // The drainer sleeps and wakes between the rounds.
                let mut received = 0;
                while received < BURST {
                    match frames.next_frame().unwrap() {
                        Some(_) => received += 1,
                        None => assert!(frames.fill().unwrap()),
                    }
                }
            }
        });
        drop(sender);
        assert_eq!((here, drained.join().unwrap()), (0, 0));
    });
    assert_eq!(drainer.ledger().delivered, u64::from(ROUNDS * BURST));
}
