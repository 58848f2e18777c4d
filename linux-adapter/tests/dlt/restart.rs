//! The real daemon, killed and started again.
//!
//! What a daemon has read from its FIFO and not yet sent on when it is killed
//! is lost. If it is stopped while it has nothing in hand, that is nothing: all
//! that was sent was received, or is unread in the FIFO, or waits in the ring.
//! Killed at any moment, what is missing is what it had taken less what it has
//! sent on, to the message; and at most what it takes in one go.

use std::collections::BTreeSet;

use forebay_linux::dlt::Level;
use rustix::process::Signal;

use crate::{
    await_that,
    common::watchdog,
    daemon::Daemon,
    fake::{CONTEXT, LONG},
    real::{send, text},
};

/// The most bytes that a daemon takes from its FIFO in one go
/// (`DLT_RECEIVE_BUFSIZE` of its sources), and a record's.
const IN_HAND: usize = 65_535;
const RECORD_LEN: usize = 103;

#[test]
fn what_a_killed_daemon_left_unread_reaches_the_next_ones_client() {
    let _held = watchdog("a stopped daemon");
    let Some(mut daemon) = Daemon::start() else { return };
    let witness = daemon.witness();
    let client = daemon.client(1 << 23);
    let mut context = client.context(CONTEXT, "");
    send(&mut context, 0..1000);
    let first = witness.texts(1000);

    // With nothing in hand, and from now on nothing is read.
    daemon.signal(Signal::STOP);
    send(&mut context, 1000..20_000);
    await_that("the FIFO is full", || client.counts().blocked > 0);
    let taken = client.counts().ledger.delivered;
    assert!(taken > 1000 && taken < 20_000, "{taken}");
    daemon.kill();
    assert_eq!(witness.rest(), [] as [String; 0]);
    await_that("the loss is noticed", || !client.is_connected());
    send(&mut context, 20_000..30_000);

    daemon.restart();
    let witness = daemon.witness();
    let received: Vec<String> =
        first.into_iter().chain(witness.texts(29_000)).map(|(_, _, text)| text).collect();
    assert!(received.iter().eq(&(0..30_000).map(text).collect::<Vec<_>>()));
    assert!(client.flush(LONG));
    let counts = client.counts();
    assert_eq!((counts.connects, counts.cut_len, counts.unread_len), (2, 0, 0));
    assert_eq!((counts.taken, counts.resent), (1000, taken - 1000));
    assert_eq!((counts.ledger.delivered, counts.ledger.refused), (30_000, 0));
    assert!(counts.ledger.balances(0));
}

#[test]
fn a_daemon_killed_in_mid_stream_costs_what_it_had_in_hand() {
    let _held = watchdog("a killed daemon");
    let Some(mut daemon) = Daemon::start() else { return };
    let witness = daemon.witness();
    let client = daemon.client(1 << 20);
    let mut context = client.context(CONTEXT, "");
    let (mut offered, mut refused) = (0_u32, BTreeSet::new());
    let mut offer = |count: u32| {
        for number in offered..offered + count {
            if context.log(Level::Info, &text(number)).is_err() {
                refused.insert(text(number));
            }
        }
        offered += count;
    };
    let mut received: Vec<String> = Vec::new();
    // Killed while it is busy: some have arrived, and others are on their way.
    for _ in 0..100 {
        offer(1000);
        if client.counts().ledger.delivered >= 20_000 {
            break;
        }
    }
    received.extend(witness.texts(1000).into_iter().map(|(_, _, text)| text));
    offer(1000);
    daemon.kill();
    received.extend(witness.rest());
    let of_the_first = received.len() as u64;
    await_that("the loss is noticed", || !client.is_connected());
    // More than the ring has room for.
    offer(20_000);
    daemon.restart();
    let witness = daemon.witness();
    await_that("it is connected again", || client.is_connected());
    assert!(client.flush(LONG));
    let last = loop {
        if context.log(Level::Info, "the last one").is_ok() {
            break "the last one";
        }
    };
    while received.last().is_none_or(|text| text != last) {
        received.extend(witness.texts(1).into_iter().map(|(_, _, text)| text));
    }
    received.pop();

    // Each at most once, in order, and none that was refused.
    assert!(received.is_sorted_by(|left, right| left < right));
    assert!(received.iter().all(|text| !refused.contains(text)));
    assert!(client.flush(LONG));
    let counts = client.counts();
    assert!(counts.ledger.balances(0), "{}", counts.ledger);
    assert_eq!(counts.connects, 2);
    assert_eq!(counts.ledger.refused, refused.len() as u64);
    assert_eq!(counts.reported, counts.ledger.refused);
    assert!(counts.ledger.refused > 0);
    // offered = received + refused + what the daemon had in hand: it has
    // taken that, and not sent it on.
    let in_hand = offered as usize - received.len() - refused.len();
    assert_eq!(in_hand as u64, counts.taken - of_the_first, "{counts:?}");
    println!("{in_hand} messages in hand of {} taken", counts.taken);
    assert!(in_hand <= IN_HAND / RECORD_LEN + 1, "{in_hand} missing of {offered}: {counts:?}");
}
