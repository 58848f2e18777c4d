//! FlatBuffers over a pipe as flatstream frames, without a copy on the way
//! out: a batch lends what each builder has finished.
//!
//! `cargo run -p forebay-std --example flatbuffers`

use std::{error::Error, io, thread};

use flatbuffers::{FlatBufferBuilder, ForwardsUOffset, Vector};
use forebay_std::{
    FrameReader, WriteSink,
    forebay::{
        Batch, Progress, Sink,
        checksum::{CRC32, Crc32},
        frame::Prefixed,
    },
};

/// A message: its lines. Code that `flatc` generates for a schema would stand
/// here as well; a vector needs none.
type Lines<'b> = Vector<'b, ForwardsUOffset<&'b str>>;

const MESSAGES: usize = 8;

fn line(message: usize, line: usize) -> String {
    format!("message {message}, line {line}: {}", "flows in one steady flow ".repeat(line))
}

/// As many lines as its number, and one.
fn build(message: usize) -> FlatBufferBuilder<'static> {
    let mut builder = FlatBufferBuilder::new();
    let lines: Vec<_> = (0..=message).map(|n| builder.create_string(&line(message, n))).collect();
    let lines = builder.create_vector(&lines);
    builder.finish_minimal(lines);
    builder
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let format = Prefixed::flatstream(1 << 20).checksum(CRC32);
    let (far, near) = io::pipe()?;

    let builders: Vec<_> = (0..MESSAGES).map(build).collect();
    // Everything is lent here; a batch would copy what is short otherwise,
    // since that is faster.
    let mut batch: Batch<[u8; 4096]> = Batch::new([0; 4096]).borrow_from(0);
    for builder in &builders {
        batch.push(&format, builder.finished_data())?;
    }
    // Head, payload, head, payload: the payloads are the builders' own bytes.
    let slices = batch.slices();
    assert_eq!(slices.len(), 2 * MESSAGES);
    for (builder, payload) in builders.iter().zip(slices.iter().skip(1).step_by(2)) {
        let finished = builder.finished_data();
        assert!(payload.as_ptr() == finished.as_ptr() && payload.len() == finished.len());
    }
    println!("{MESSAGES} messages, {} bytes, not one copied", slices.len_bytes());

    let reader = thread::spawn(move || read(far, format));
    let mut sink = WriteSink::new(near);
    let mut calls = 0;
    while batch.frames() > 0 {
        if let Progress::Wrote(len) = sink.write(&batch.slices())? {
            batch.advance(len)?;
            calls += 1;
        }
    }
    drop(sink);
    let lines = reader.join().expect("the reader does not panic")?;
    assert_eq!(lines, MESSAGES * (MESSAGES + 1) / 2);
    println!("{calls} system calls out; {lines} lines verified and read in place");
    Ok(())
}

/// Verifies each message and reads it where it lies; how many lines there were.
fn read(pipe: io::PipeReader, format: Prefixed<Crc32>) -> Result<usize, String> {
    let mut frames = FrameReader::new(pipe, format);
    let (mut message, mut count) = (0, 0);
    while frames.fill().map_err(|error| error.to_string())? {
        while let Some(frame) = frames.next_frame().map_err(|damage| damage.to_string())? {
            let lines = flatbuffers::root::<Lines<'_>>(frame.payload)
                .map_err(|error| format!("message {message}: {error}"))?;
            for (number, text) in lines.iter().enumerate() {
                assert_eq!(text, line(message, number));
                count += 1;
            }
            message += 1;
        }
    }
    assert_eq!(message, MESSAGES);
    Ok(count)
}
