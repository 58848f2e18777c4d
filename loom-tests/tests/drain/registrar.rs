//! Channels that come and go while the drainer runs. What is left behind, and
//! a lane that nobody frees, would be so for good: the drainer sleeps.

#![allow(dead_code, reason = "a twin runs one model")]

use std::sync::Arc;

use forebay::ring::{Consumer, heap};
use forebay_loom_tests::{explore, explore_within};
use loom::thread;

use super::{
    drain::{
        Policy, SENDERS_MAX,
        account::Account,
        sender::{Sender, Way},
        shared::Shared,
    },
    wire::drainer,
};

/// Without a bound the models of a whole drainer take minutes.
const PREEMPTIONS_MAX: Option<usize> = Some(2);

/// A channel is made, its registrar goes, and its one message is sent.
pub(super) fn comes_late() {
    explore_within(PREEMPTIONS_MAX, || {
        let mut drainer = drainer();
        let registrar = drainer.registrar();
        let other = thread::spawn(move || {
            let mut sender = registrar.sender(16).unwrap();
            drop(registrar);
            sender.send(b"m").unwrap();
        });
        drainer.run().unwrap();
        other.join().unwrap();
        assert_eq!(drainer.ledger().delivered, 1, "a message was left behind");
        drainer.counters().snapshot().wake_ups
    })
    .expect(10_000, 0..=4);
}

/// The last registrar goes, and nothing else happens.
pub(super) fn leaves() {
    explore(|| {
        let mut drainer = drainer();
        let registrar = drainer.registrar();
        let other = thread::spawn(move || drop(registrar));
        drainer.run().unwrap();
        other.join().unwrap();
        drainer.counters().snapshot().wake_ups
    })
    .expect(200, 0..=2);
}

/// Two make a channel where there is one lane left.
pub(super) fn last_lane() {
    explore_within(PREEMPTIONS_MAX, || {
        let mut drainer = drainer();
        let _taken = (2..SENDERS_MAX + 1).map(|_| drainer.sender(16).unwrap()).collect::<Vec<_>>();
        let making = [(); 2].map(|()| {
            let registrar = drainer.registrar();
            thread::spawn(move || {
                let mut sender = registrar.sender(16).ok()?;
                sender.send(b"m").unwrap();
                Some(())
            })
        });
        let made = making.map(|making| making.join().unwrap().is_some());
        assert_ne!(made[0], made[1], "one lane for two");
        drainer.flush().unwrap();
        assert_eq!(drainer.ledger().delivered, 1, "a message was left behind");
        made[0]
    })
    .expect(100, [false, true]);
}

/// Does as the drainer does, which looks around when it is called and else
/// sleeps, until `done`; how often it came to sleep.
fn attend(shared: &Shared, done: impl Fn() -> bool) -> usize {
    let mut sleeps = 0;
    loop {
        if shared.is_called() {
            drop(shared.answer());
            if done() {
                return sleeps;
            }
        }
        shared.bell.sleep(None, || shared.is_called());
        sleeps += 1;
    }
}

fn is_free((account, consumer): &(Arc<Account>, Consumer<'_>)) -> bool {
    account.is_deserted() && consumer.is_finished()
}

/// The senders of two channels go at once, while others may still come: both
/// lanes are found free.
pub(super) fn two_leave() {
    explore_within(PREEMPTIONS_MAX, || {
        let shared = Arc::new(Shared::new());
        let (mut lanes, mut leaving) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let (producer, consumer) = heap::ring(16).unwrap();
            let account = shared.new_account(0);
            lanes.push((Arc::clone(&account), consumer));
            let way = Way::One(producer);
            let sender = Sender::<()>::new(way, &shared, account, Policy::Refuse);
            leaving.push(thread::spawn(move || drop(sender)));
        }
        let sleeps = attend(&shared, || lanes.iter().all(is_free));
        leaving.into_iter().for_each(|leaving| leaving.join().unwrap());
        sleeps
    })
    .expect(2000, 0..=4);
}

/// The two senders of one channel go at once.
pub(super) fn clones_leave() {
    explore_within(PREEMPTIONS_MAX, || {
        let shared = Arc::new(Shared::new());
        let (producer, consumer) = heap::shared(16).unwrap();
        let account = shared.new_account(0);
        let lane = (Arc::clone(&account), consumer);
        let leaving = [producer.clone(), producer].map(|producer| {
            let way = Way::Many(producer);
            let sender = Sender::<()>::new(way, &shared, Arc::clone(&account), Policy::Refuse);
            move || drop(sender)
        });
        let leaving = leaving.map(thread::spawn);
        let sleeps = attend(&shared, || is_free(&lane));
        leaving.into_iter().for_each(|leaving| leaving.join().unwrap());
        sleeps
    })
    .expect(300, 0..=2);
}
