//! After start-up neither a sender nor a drainer allocates.

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::{io, thread, time::Duration};

use common::{FORMAT, message, watchdog};
use counting::allocations;
use forebay_std::{Drainer, FrameReader, Losses, Policy, WriteSink};

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

/// Nor do they with other policies, clones, groups, reports of losses, and
/// snapshots taken all along.
#[test]
fn nothing_that_a_channel_can_do_allocates() {
    const ROUNDS: u32 = 1_000;
    let _held = watchdog("allocations of channels");
    let (mut reader, writer) = io::pipe().unwrap();
    let mut drainer = Drainer::new(FORMAT, WriteSink::new(writer));
    let counters = drainer.counters();
    let mut channel = |policy| {
        let report = |losses: Losses, out: &mut [u8]| {
            out[..8].copy_from_slice(&losses.total().to_le_bytes());
            8
        };
        drainer.channel().capacity(256).policy(policy).priority(1).report(report)
    };
    let mut refusing = channel(Policy::Refuse).shared().unwrap();
    let mut overwriting = channel(Policy::Overwrite).shared().unwrap();
    let mut waiting = channel(Policy::Wait(Duration::from_secs(3600))).sender().unwrap();
    let mut clone = refusing.clone();
    thread::scope(|threads| {
        let drained = threads.spawn(move || {
            let allocated = allocations(|| drainer.run().unwrap());
            drop(drainer); // ends the stream
            allocated
        });
        let discarded = threads.spawn(move || io::copy(&mut reader, &mut io::sink()));
        let here = allocations(|| {
            for round in 0..ROUNDS {
                for number in 0..20 {
                    let message = message(round, number);
                    waiting.send(&message).unwrap();
                    let _ = overwriting.send(&message);
                    let _ = refusing.send_group(&[&message, &message]);
                    let _ = clone.send(&message);
                }
                refusing.send(&[0; 1000]).unwrap_err();
                assert!(counters.snapshot().ledger.refused > 0);
            }
        });
        drop((refusing, overwriting, waiting, clone));
        assert_eq!((here, drained.join().unwrap()), (0, 0));
        discarded.join().unwrap().unwrap();
    });
    let snapshot = counters.snapshot();
    assert!(snapshot.ledger.balances(0) && snapshot.reports > 0, "{snapshot}");
}
