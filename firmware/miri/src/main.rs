//! The ring on a microcontroller's target, run by Miri, which sees accesses
//! out of bounds, to the wrong owner, and unaligned:
//!
//! ```text
//! cargo +nightly miri run --target thumbv7m-none-eabi
//! ```
//!
//! There is one thread, as in a firmware: an interrupt is a call between two
//! steps of the consumer.

#![no_std]
#![no_main]

use forebay::{
    Pump,
    checksum::crc::{CRC_16_IBM_3740, Crc, NoTable},
    frame::Cobs,
    ring::{Producer, Ring},
};

unsafe extern "Rust" {
    /// Of Miri.
    safe fn miri_write_to_stderr(bytes: &[u8]);
}

unsafe extern "C" {
    /// Of Miri.
    safe fn abort() -> !;
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    miri_write_to_stderr(info.location().map_or("", |at| at.file()).as_bytes());
    miri_write_to_stderr(b": panicked\n");
    abort()
}

// SAFETY: the name is Miri's for the entry, and nothing else has it.
#[unsafe(no_mangle)]
fn miri_start(_argc: isize, _argv: *const *const u8) -> isize {
    records();
    forgotten_grants();
    pumped();
    miri_write_to_stderr(b"the ring: every record came back as it was put in\n");
    0
}

/// One record of each length in turn, with padding wherever it falls.
fn records() {
    let mut ring = Ring::<64>::new();
    let (mut producer, mut consumer) = ring.split();
    let mut next = 0u8;
    for turn in 0..200u8 {
        interrupt(&mut producer, turn);
        if turn % 3 == 0 {
            let mut read = 0;
            for record in consumer.records() {
                while !is_of(record, next) {
                    next = next.wrapping_add(1);
                    assert!(next <= turn, "a record that nobody put in");
                }
                next = next.wrapping_add(1);
                read += 1;
            }
            assert_eq!(consumer.release(read), read);
        }
    }
    let ledger = producer.ledger();
    assert!(ledger.accepted > 100 && ledger.refused > 0);
}

fn interrupt(producer: &mut Producer<'_>, turn: u8) {
    if let Ok(mut grant) = producer.reserve(usize::from(turn % 23)) {
        grant.fill(turn);
        if turn % 7 == 0 {
            return drop(grant);
        }
        grant.commit();
    }
}

fn is_of(record: &[u8], turn: u8) -> bool {
    turn % 7 != 0
        && record.len() == usize::from(turn % 23)
        && record.iter().all(|byte| *byte == turn)
}

/// What a forgotten grant wrote is not read.
fn forgotten_grants() {
    let mut ring = Ring::<64>::new();
    let (mut producer, mut consumer) = ring.split();
    for turn in 0..40u8 {
        if let Ok(mut grant) = producer.reserve(9) {
            grant.fill(0xFF);
            core::mem::forget(grant);
        }
        assert!(producer.push(&[turn; 5]).is_ok());
        assert!(consumer.records().eq([&[turn; 5][..]]));
        assert_eq!(consumer.release(1), 1);
    }
}

static CHECKSUM: Crc<u16, NoTable> = Crc::<u16, NoTable>::new(&CRC_16_IBM_3740);

/// Copied and lent records through a pump, with short writes.
fn pumped() {
    let mut ring = Ring::<128>::new();
    let (mut producer, consumer) = ring.split();
    let mut pump: Pump<_, _, 1, 5> = Pump::new(Cobs::new(60, &CHECKSUM), [0; 96]).borrow_from(20);
    assert!(pump.add(consumer).is_ok());
    for turn in 0..60u8 {
        interrupt(&mut producer, turn);
        let slices = pump.fill();
        let len = slices.iter().map(|slice| slice.len()).sum::<usize>();
        assert!(pump.wrote(len / 2).is_ok());
    }
    while pump.has_work() {
        let len = pump.fill().len_bytes();
        assert!(pump.wrote(len).is_ok());
    }
    assert!((producer.ledger() + pump.ledger()).balances(0));
}
