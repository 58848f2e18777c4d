//! Any bytes in any pieces into the decoder of DLT, and what each frame is
//! found to hold.
//!
//! Input: the form, the number of pieces, their lengths, the stream.

use forebay::frame::dlt::{
    Dlt, Malformed, Message, MessageWriter, STORAGE_LEN, StorageHeader, UserRecord,
};
use forebay::frame::{Decode, Encode, EncodeError, Plain, Resync, Step};

use crate::{
    input::Input,
    stream::{Event, check},
};

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let choice = input.byte();
    let pieces = input.len();
    let pieces = input.bytes(pieces);
    let stream = input.0;
    let len_max = if choice & 4 == 0 { 128 } else { 65_535 };
    match choice % 4 {
        0 => {
            for frame in frames(Dlt::file(len_max), stream, pieces) {
                let (storage, message) = StorageHeader::parse(&frame).unwrap();
                let mut out = [0; STORAGE_LEN];
                storage.put(&mut out).unwrap();
                assert_eq!(out, frame[..STORAGE_LEN]);
                look(&message, &frame[STORAGE_LEN..]);
            }
        }
        1 => {
            for frame in frames(Dlt::bare(len_max), stream, pieces) {
                look(&Message::parse(&frame).unwrap(), &frame);
            }
        }
        2 => {
            for frame in frames(Dlt::user(len_max), stream, pieces) {
                let record = UserRecord::parse(&frame).unwrap();
                let mut out = vec![0; frame.len()];
                assert_eq!(record.put(&mut out), Ok(frame.len()));
                assert_eq!(out, frame);
                if let UserRecord::Log(message) = record {
                    look(&Message::parse(message).unwrap(), message);
                }
            }
        }
        // Without a stream, what no decoder has looked at.
        _ => {
            if let Ok(message) = Message::parse(stream) {
                look(&message, &stream[..message.len_bytes()]);
            }
            if let Ok((_, message)) = StorageHeader::parse(stream) {
                let len = message.len_bytes();
                look(&message, &stream[STORAGE_LEN..][..len]);
            }
            if let Ok(UserRecord::Log(message)) = UserRecord::parse(stream) {
                look(&Message::parse(message).unwrap(), message);
            }
        }
    }
}

/// What is decoded, checked to be as whole as in pieces.
fn frames(format: Dlt, stream: &[u8], pieces: &[u8]) -> Vec<Vec<u8>> {
    let payload = |event| match event {
        Event::Frame { payload, .. } => Some(payload),
        Event::Damage { .. } => None,
    };
    check(Whole(format), stream, pieces).into_iter().filter_map(payload).collect()
}

/// Reads all of a message, and writes it again: the same message.
fn look(message: &Message<'_>, bytes: &[u8]) {
    assert_eq!(message.len_bytes(), bytes.len());
    let mut arguments = message.arguments();
    let mut all = Vec::new();
    let mut error = None;
    for argument in &mut arguments {
        match argument {
            Ok(argument) => all.push(argument),
            Err(malformed) => error = Some(malformed),
        }
    }
    match error {
        Some(Malformed::Cut { at, needed, left }) => {
            assert!(needed > left && at + left == bytes.len(), "{at} {needed} {left}");
        }
        Some(Malformed::TypeInfo { at, .. } | Malformed::Unsupported { at, .. }) => {
            assert!(at + 4 <= bytes.len());
        }
        Some(other) => panic!("{other}"),
        None => assert_eq!(all.len(), arguments_of(message)),
    }
    // The reserve is for zeros that some leave out.
    let mut out = vec![0; bytes.len() + 8 * all.len() + 64];
    let mut again = MessageWriter::new(&message.header, &mut out).unwrap();
    let mut len = message.header.len_bytes();
    for argument in &all {
        len += argument.len_bytes();
        match again.argument(argument) {
            Ok(()) => {}
            // A text of 65,535 bytes without its zero, or one that the zeros
            // make too long for a message.
            Err(_) => return assert!(len > 65_500, "{argument:?}"),
        }
    }
    assert_eq!(again.finish(), len);
    let again = Message::parse(&out).unwrap();
    assert!(
        again
            .arguments()
            .map(|argument| format!("{argument:?}"))
            .eq(all.iter().map(|argument| format!("{:?}", Ok::<_, Malformed>(*argument))))
    );
}

fn arguments_of(message: &Message<'_>) -> usize {
    message.header.extended.filter(|it| it.verbose).map_or(0, |it| usize::from(it.arguments))
}

/// Payloads are whole frames, so encoding is copying.
#[derive(Clone, Copy)]
struct Whole(Dlt);

impl Encode for Whole {
    fn frame_len_max(&self, payload_len: usize) -> usize {
        Plain.frame_len_max(payload_len)
    }

    fn encode(&self, payload: &[u8], out: &mut [u8]) -> Result<usize, EncodeError> {
        Plain.encode(payload, out)
    }
}

impl Decode for Whole {
    fn buffer_len_min(&self) -> usize {
        self.0.buffer_len_min()
    }

    fn decode(&self, input: &mut [u8], seen: usize) -> Step {
        self.0.decode(input, seen)
    }

    fn resync(&self, input: &[u8]) -> Resync {
        self.0.resync(input)
    }
}
