//! A lane whose ring is overwritten: what the pump holds and what it does not.

use forebay::{
    Ledger, Pump,
    frame::Plain,
    ring::{Many, Overwrite, Producer, ReserveError, Ring},
};

#[test]
fn copied_records_are_not_held() {
    let mut ring = Ring::<64>::new();
    let (mut producer, consumer) = ring.overwrite();
    let mut pump: Pump<_, _, 1> = Pump::new(Plain, [0; 64]);
    pump.add(consumer).unwrap();
    for record in [b"aaaa", b"bbbb"] {
        producer.push(record).unwrap();
    }
    assert_eq!(pump.fill().concat(), b"aaaabbbb");
    // The sink is blocked; meanwhile the ring is overwritten more than once.
    for number in 0..20u32 {
        producer.push(&number.to_le_bytes()).unwrap();
    }
    assert!(pump.has_work());
    assert_eq!(pump.wrote(8), Ok(2));
    let left: Vec<u8> = (12..20u32).flat_map(u32::to_le_bytes).collect();
    assert_eq!(pump.fill().concat(), left);
    assert_eq!(pump.wrote(32), Ok(8));
    let ledger = producer.ledger() + pump.ledger();
    assert_eq!((ledger.delivered, ledger.overwritten, ledger.refused), (10, 12, 0));
    assert!(ledger.balances(0), "{ledger}");
    assert!(!pump.has_work());
}

#[test]
fn lent_records_are_held_until_they_have_left() {
    let mut ring = Ring::<64>::new();
    let (mut producer, consumer) = ring.overwrite();
    let mut pump: Pump<_, _, 1> = Pump::new(Plain, [0; 64]).borrow_from(20);
    pump.add(consumer).unwrap();
    producer.push(&[1; 20]).unwrap();
    producer.push(&[2; 4]).unwrap();
    assert_eq!(pump.fill().len_bytes(), 24);
    // 40 bytes to begin with, and another 24 with the record behind the lent one.
    producer.push(&[3; 20]).unwrap();
    let refused = producer.push(&[4; 20]).unwrap_err();
    assert_eq!(refused, ReserveError::Busy { needed: 32, free: 8 });
    assert_eq!(pump.wrote(19), Ok(0));
    assert_eq!(producer.push(&[4; 20]), Err(refused), "a byte of it is left");
    assert_eq!(pump.wrote(1), Ok(1));
    producer.push(&[4; 20]).unwrap();
    assert_eq!(pump.wrote(4), Ok(1));
    assert_eq!(pump.fill().concat(), [[3; 20], [4; 20]].concat());
    assert_eq!(pump.wrote(40), Ok(2));
    let ledger = producer.ledger() + pump.ledger();
    assert_eq!((ledger.delivered, ledger.refused, ledger.busy), (4, 2, 2));
    assert!(ledger.balances(0), "{ledger}");
}

/// One pump drains lanes of every kind.
#[test]
fn kinds_of_lanes_go_together() {
    /// Marks the bytes of the lane of many.
    const MANY: u8 = 0x80;

    fn lanes<'r>(
        rings: &'r mut [Ring<64>; 2],
        pump: &mut Pump<'r, Plain, [u8; 256], 2>,
    ) -> (Producer<'r, Overwrite>, Producer<'r, Many>) {
        let [first, second] = rings;
        let (overwriting, lane) = first.overwrite();
        pump.add(lane).unwrap();
        let (many, lane) = second.share();
        pump.add(lane).unwrap();
        (overwriting, many)
    }
    let mut rings = [const { Ring::new() }; 2];
    let mut pump = Pump::new(Plain, [0; 256]);
    let (mut overwriting, mut many) = lanes(&mut rings, &mut pump);
    let mut wire = Vec::new();
    for turn in 0..100u8 {
        overwriting.push(&[turn; 4]).unwrap();
        let _ = many.push(&[turn | MANY; 5]);
        if turn % 16 == 15 {
            let bytes = pump.fill().concat();
            wire.extend_from_slice(&bytes);
            pump.wrote(bytes.len()).unwrap();
        }
    }
    drop((overwriting.clone(), many.clone()));
    let ledger: Ledger = overwriting.ledger() + many.ledger() + pump.ledger();
    assert!(ledger.overwritten > 0 && ledger.refused > 0, "{ledger}");
    assert!(!pump.is_finished());
    drop((overwriting, many));
    let bytes = pump.fill().concat();
    wire.extend_from_slice(&bytes);
    pump.wrote(bytes.len()).unwrap();
    assert!(pump.is_finished());
    let in_flight = ledger.in_flight() - (pump.ledger().delivered - ledger.delivered);
    assert_eq!(in_flight, 0);
    // Each lane's records in their order.
    let (many, overwriting): (Vec<u8>, Vec<u8>) = wire.iter().partition(|byte| **byte & MANY != 0);
    assert!(many.is_sorted() && many.len().is_multiple_of(5), "{many:?}");
    assert!(overwriting.is_sorted() && overwriting.len().is_multiple_of(4), "{overwriting:?}");
    let delivered = (many.len() / 5 + overwriting.len() / 4) as u64;
    assert_eq!(pump.ledger().delivered, delivered);
}
