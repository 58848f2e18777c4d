//! Any bytes in any pieces into the decoder of HTTP/2 frames.
//!
//! Input: the maximum, the number of pieces, their lengths, the stream.

use forebay::frame::Decode;
use forebay::frame::http2::{BlockOrder, Frame, Head, Http2};

use crate::{
    input::Input,
    stream::{Event, decode},
};

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let format = Http2::new(u32::from(input.byte()) << 8);
    let pieces = input.len();
    let pieces = input.bytes(pieces);
    let stream = input.0;
    let shortest = format.buffer_len_min();
    let events = decode(format, stream, pieces, shortest, false);
    for (buffer_len, late) in [(shortest, false), (stream.len().max(shortest), true)] {
        let other = decode(format, stream, &[], buffer_len, late);
        assert_eq!(events, other, "in pieces {pieces:?} and whole ({late})");
    }
    let mut order = BlockOrder::new(2);
    for event in &events {
        let Event::Frame { frame_len, payload: bytes, .. } = event else { continue };
        assert_eq!(*frame_len, bytes.len());
        let (head, _) = Head::split(bytes).unwrap();
        assert!(head.payload_len <= format.payload_len_max());
        let open = order.open();
        if order.check(head).is_err() {
            assert_eq!(order.open(), open);
        }
        // What is written again is as long and means the same.
        let frame = Frame::parse(bytes).unwrap();
        let mut again = vec![0xEE; frame.frame_len()];
        assert_eq!(frame.encode(&mut again), Ok(bytes.len()));
        assert_eq!(Frame::parse(&again), Ok(frame));
    }
}
