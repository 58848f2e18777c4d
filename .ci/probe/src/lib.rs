//! What a firmware uses of the core, built to be searched for an allocator.

#![no_std]
#![forbid(unsafe_code)]

use core::panic::PanicInfo;

use forebay::{
    Batch, Decoder, Ledger, Pump, Sink,
    checksum::{CRC16, CRC32},
    frame::{Cobs, Prefixed},
    pump::DriveError,
    ring::Ring,
};

/// Ring, pump and sink, with the frames of a line.
pub fn send(
    ring: &mut Ring<1024>,
    sink: &mut dyn Sink<Error = u8>,
) -> Result<Ledger, DriveError<u8>> {
    let (mut producer, consumer) = ring.split();
    let mut pump: Pump<_, [u8; 256], 1> = Pump::new(Cobs::new(64, CRC16), [0; 256]);
    if pump.add(consumer).is_err() || producer.push(b"sample").is_err() {
        return Ok(Ledger::default());
    }
    pump.drive(&mut { sink })?;
    Ok(producer.ledger() + pump.ledger())
}

/// The far side.
pub fn receive(input: &[u8]) -> u64 {
    let Ok(mut decoder) = Decoder::new(Cobs::new(64, CRC16), [0; 128]) else { return 0 };
    for chunk in input.chunks(16) {
        decoder.free()[..chunk.len()].copy_from_slice(chunk);
        decoder.received(chunk.len());
        while let Ok(Some(_)) | Err(_) = decoder.next_frame() {}
    }
    decoder.counts().frames
}

/// A batch alone, with the frames of a stream.
pub fn batch(payload: &[u8]) -> usize {
    let format = Prefixed::native(64, CRC32);
    let mut batch: Batch<'_, [u8; 256], 3> = Batch::new([0; 256]);
    while batch.push(&format, payload).is_ok() {}
    batch.slices().iter().map(|slice| slice.len()).sum()
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
