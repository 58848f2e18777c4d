//! Pumps where one thing meets another: limits and inserted frames, groups and
//! records that never fit, priorities and lanes that change hands.

use forebay::{
    Pump,
    frame::{Plain, Prefixed, Width},
    pump::InsertError,
    ring::{ReserveError, Ring},
};

/// The limits on frames and bytes hold for inserted frames, too; one alone may
/// be longer.
#[test]
fn an_inserted_frame_keeps_to_the_limits() {
    let mut ring = Ring::<64>::new();
    let (mut producer, consumer) = ring.split();
    let mut pump: Pump<_, _, 2> = Pump::new(Plain, [0; 64]).frames_max(2);
    pump.add(consumer).unwrap();
    producer.push(b"record").unwrap();
    assert_eq!(pump.fill()[..], [b"record"]);
    assert_eq!(pump.insert(b"one"), Ok(()));
    assert_eq!(pump.insert(b"two"), Err(InsertError::NotNow));
    assert_eq!(pump.fill()[..], [b"recordone"]);
    assert_eq!(pump.wrote(9), Ok(2));

    let mut pump: Pump<'_, _, _, 2> = Pump::new(Plain, [0; 64]).len_max(8);
    assert_eq!(pump.insert(b"12345"), Ok(()));
    assert_eq!(pump.insert(b"1234"), Err(InsertError::NotNow));
    assert_eq!(pump.insert(b"123"), Ok(()));
    assert_eq!(pump.wrote(8), Ok(2));
    assert_eq!(pump.insert(b"123456789"), Ok(()));
    assert_eq!(pump.insert(b"x"), Err(InsertError::NotNow));
    assert_eq!((pump.wrote(9), pump.inserted()), (Ok(1), 3));
}

/// A batch that has not left is not the end, though its rings are empty and
/// their producers gone.
#[test]
fn a_pump_is_finished_when_its_batch_has_left() {
    fn check<const LANES: usize>() {
        let mut ring = Ring::<64>::new();
        let (mut producer, consumer) = ring.split();
        let mut pump: Pump<_, _, LANES> = Pump::new(Plain, [0; 64]);
        pump.add(consumer).unwrap();
        producer.push(b"last").unwrap();
        assert_eq!(pump.fill()[..], [b"last"]);
        drop(producer);
        assert!(!pump.is_finished() && !pump.lane_is_finished(0) && pump.has_work());
        assert_eq!(pump.wrote(3), Ok(0));
        assert!(!pump.is_finished() && !pump.lane_is_finished(0) && pump.has_work());
        assert_eq!(pump.wrote(1), Ok(1));
        assert!(pump.is_finished() && pump.lane_is_finished(0) && !pump.has_work());
    }
    check::<1>();
    check::<2>();
}

/// A group that has to wait is looked at again from its beginning; the record
/// of it that never fits is counted once.
#[test]
fn a_group_that_waits_with_a_record_that_never_fits() {
    let (mut first, mut second) = (Ring::<128>::new(), Ring::<128>::new());
    let (mut single, single_lane) = first.split();
    let (mut grouped, grouped_lane) = second.split();
    let mut pump: Pump<_, _, 2> = Pump::new(Prefixed::new(Width::U8, 20), [0; 40]);
    pump.add(single_lane).unwrap();
    pump.add(grouped_lane).unwrap();
    single.push(&[1; 16]).unwrap();
    grouped.push_group(&[&[2; 21], &[3; 15]]).unwrap();

    assert_eq!(pump.fill().concat(), [&[16][..], &[1; 16]].concat());
    assert_eq!((pump.ledger().undeliverable, pump.lane_ledger(1).undeliverable), (0, 0));
    assert_eq!(pump.wrote(17), Ok(1));
    assert_eq!(pump.fill().concat(), [&[15][..], &[3; 15]].concat());
    assert_eq!(pump.wrote(16), Ok(1));
    assert_eq!((pump.ledger().delivered, pump.ledger().undeliverable), (2, 1));
    let grouped_ledger = grouped.ledger() + pump.lane_ledger(1);
    assert_eq!((grouped_ledger.delivered, grouped_ledger.undeliverable), (1, 1));
    assert!(grouped_ledger.balances(0));
}

/// The turn was a lane's whose place is now a ring's of another priority: the
/// others go on in turns.
#[test]
fn a_turn_that_was_left_to_another_priority() {
    let mut rings: [Ring<64>; 4] = Default::default();
    let [a, b, c, urgent] = &mut rings;
    let mut pump: Pump<_, _, 3> = Pump::new(Plain, [0; 64]).frames_max(1);
    let ((mut a, a_lane), (b, b_lane), (mut c, c_lane)) = (a.split(), b.split(), c.split());
    for lane in [a_lane, b_lane, c_lane] {
        pump.add(lane).unwrap();
    }
    a.push(b"a1").unwrap();
    assert_eq!(pump.fill()[..], [b"a1"]);
    assert_eq!(pump.wrote(2), Ok(1));
    // It is b's turn.
    drop(b);
    let (_urgent, urgent_lane) = urgent.split();
    assert_eq!(pump.add_lane(urgent_lane, 9).unwrap(), 1);

    for record in [b"c1", b"c2", b"c3"] {
        c.push(record).unwrap();
    }
    a.push(b"a2").unwrap();
    let mut order = Vec::new();
    while pump.has_work() {
        order.extend(pump.fill().concat());
        pump.wrote(2).unwrap();
    }
    assert_eq!(order, b"c1a2c2c3");
}

/// The rest of a group of which a part is in a batch is not overwritten.
#[test]
fn the_rest_of_a_group_is_held() {
    let mut ring = Ring::<128>::new();
    let (mut producer, consumer) = ring.overwrite();
    let mut pump: Pump<_, _, 2> = Pump::new(Plain, [0; 16]);
    pump.add(consumer).unwrap();
    producer.push_group(&[b"group one", b"group two", b"group tri"]).unwrap();
    assert_eq!(pump.fill()[..], [b"group one"]);
    assert_eq!(pump.wrote(9), Ok(1));

    let refused = (0..100).find_map(|_| producer.push(b"behind it").err());
    let refused = refused.expect("a full ring refuses");
    assert!(matches!(refused, ReserveError::Busy { .. }), "{refused}");
    for rest in [b"group two", b"group tri", b"behind it"] {
        assert_eq!(pump.fill()[..], [rest]);
        assert_eq!(pump.wrote(9), Ok(1));
    }
    assert_eq!(producer.ledger().overwritten, 0);
}

/// The most frames of a batch hold within a group: one that is over them waits
/// for an empty batch, and is parted there.
#[test]
fn a_group_of_more_frames_than_a_batch_has() {
    let mut ring = Ring::<128>::new();
    let (mut producer, consumer) = ring.split();
    let mut pump: Pump<_, _, 2> = Pump::new(Plain, [0; 64]).frames_max(2);
    pump.add(consumer).unwrap();
    producer.push(b"one").unwrap();
    producer.push_group(&[b"a", b"b", b"c"]).unwrap();
    producer.push_group(&[b"d", b"e"]).unwrap();
    for batch in [&b"one"[..], b"ab", b"c", b"de"] {
        assert_eq!(pump.fill().concat(), batch);
        pump.wrote(batch.len()).unwrap();
    }
    assert!(!pump.has_work());
}
