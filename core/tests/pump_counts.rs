//! A pump at every short count of a few bytes, with every fault before every
//! count: no byte torn, doubled or lost, and the ledger right after each call.

#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/src/faulty.rs"]
mod faulty;

use faulty::{Failed, FaultySink, Step};
use forebay::{
    Pump,
    checksum::NoChecksum,
    frame::{Cobs, Encode, Plain, Prefixed, Width},
    pump::{Drive, DriveError, Stuck},
    ring::Ring,
};

/// Where frames end on the wire, and the wire.
fn wire(format: &impl Encode, records: &[&[u8]]) -> (Vec<usize>, Vec<u8>) {
    let mut wire = Vec::new();
    let ends = records.iter().map(|record| {
        let mut frame = vec![0; format.frame_len_max(record.len())];
        let len = format.encode(record, &mut frame).unwrap();
        wire.extend_from_slice(&frame[..len]);
        wire.len()
    });
    (ends.collect(), wire)
}

/// Drives `records` through a sink that follows `script`, each put in as late
/// as it can be, and checks every answer against the script.
fn drive<F: Encode + Copy, const SLICES: usize>(format: F, records: &[&[u8]], script: &[Step]) {
    let (ends, wire) = wire(&format, records);
    let mut ring = Ring::<64>::new();
    let (mut producer, consumer) = ring.split();
    let mut pump: Pump<_, _, 1, SLICES> = Pump::new(format, [0; 64]).borrow_from(3);
    pump.add(consumer).unwrap();
    let mut sink = FaultySink::new(script.iter().copied());

    let (mut accepted, mut sent) = (0, 0);
    let delivered = |sent| ends.iter().take_while(|end| **end <= sent).count();
    // The bytes that the whole wire takes, whatever steps are left.
    let whole = [Step::Take(usize::MAX)];
    let steps = script.iter().chain(&whole).filter(|step| **step != Step::Interrupted);
    for step in steps {
        let wanted = match *step {
            Step::Take(usize::MAX) => wire.len(),
            Step::Take(len) => wire.len().min(sent + len),
            _ => wire.len().min(sent + 1),
        };
        while accepted < records.len() && (accepted == 0 || ends[accepted - 1] < wanted) {
            producer.push(records[accepted]).unwrap();
            accepted += 1;
        }
        let pending = ends[accepted - 1] - sent;
        let answer = pump.drive(&mut sink);
        let expected = match *step {
            _ if pending == 0 => Ok(Drive::Idle),
            Step::Blocked => Ok(Drive::Blocked),
            Step::Zero => Err(DriveError::Stuck(Stuck { pending })),
            Step::Fail => Err(DriveError::Sink(Failed)),
            Step::Take(len) => {
                let bytes = len.min(pending);
                let frames = delivered(sent + bytes) - delivered(sent);
                sent += bytes;
                Ok(Drive::Moved { bytes, frames })
            }
            Step::Interrupted => unreachable!("filtered"),
        };
        assert_eq!(answer, expected, "{step:?} of {script:?}");
        if pending > 0 {
            assert_eq!(sink.given.pop(), Some(pending), "{step:?} of {script:?}");
        }
        assert_eq!(sink.taken, wire[..sent], "{script:?}");
        assert_eq!(pump.pending(), ends[accepted - 1] - sent);

        let ledger = producer.ledger() + pump.ledger();
        assert_eq!(ledger.delivered, delivered(sent) as u64);
        assert!(ledger.balances((accepted - delivered(sent)) as u64), "{ledger}");
    }
    assert_eq!(sink.taken, wire);
    assert_eq!(pump.counts().bytes, wire.len() as u64);
    assert!(!pump.has_work() && !pump.is_finished());
    drop(producer);
    assert!(pump.is_finished());
}

/// Every way to take few bytes, then each with every fault before each count.
fn every_script<F: Encode + Copy, const SLICES: usize>(format: F) {
    let mixes: [&[&[u8]]; 3] = [&[b"a", b"bcd"], &[b"abc", b"defg"], &[b"abcde"]];
    for records in mixes {
        let len = wire(&format, records).1.len();
        for bits in (0..1_u32 << (len - 1)).step_by(if cfg!(miri) { 97 } else { 1 }) {
            let counts = counts(len, bits);
            let takes: Vec<Step> = counts.iter().copied().map(Step::Take).collect();
            drive::<F, SLICES>(format, records, &takes);
            for fault in [Step::Interrupted, Step::Blocked, Step::Zero, Step::Fail] {
                let everywhere: Vec<Step> = takes.iter().flat_map(|take| [fault, *take]).collect();
                drive::<F, SLICES>(format, records, &everywhere);
            }
        }
    }
}

/// The lengths between cuts of `len` bytes; a bit says whether there is one.
fn counts(len: usize, bits: u32) -> Vec<usize> {
    let cuts = (1..len).filter(|cut| bits & (1 << (cut - 1)) != 0).chain([len]);
    let mut before = 0;
    cuts.map(|cut| cut - std::mem::replace(&mut before, cut)).collect()
}

#[test]
fn plain() {
    every_script::<_, 1>(Plain);
    every_script::<_, 3>(Plain);
    every_script::<_, 33>(Plain);
}

#[test]
fn prefixed() {
    let format = Prefixed::new(Width::U8, 64);
    every_script::<_, 1>(format);
    every_script::<_, 3>(format);
    every_script::<_, 33>(format);
}

#[test]
fn stuffed() {
    every_script::<_, 33>(Cobs::new(64, NoChecksum));
}

/// Every order of faults before one count.
#[test]
fn faults_in_a_row() {
    let faults = [Step::Interrupted, Step::Blocked, Step::Zero, Step::Fail];
    for at in 0..4_usize.pow(4) {
        let mut script: Vec<Step> =
            (0..4).map(|place| faults[at / 4_usize.pow(place) % 4]).collect();
        script.insert(2, Step::Take(5));
        drive::<_, 5>(Prefixed::new(Width::U16, 64), &[b"ab", b"cdef", b"ghijk"], &script);
    }
}
