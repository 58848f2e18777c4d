//! Any datagram into what the example `tftp_server` reads of it.
//!
//! Input: the datagram.

use std::time::Duration;

use self::{
    options::{Size, Terms, agree},
    packet::{HEAD_LEN, Packet, ack, data_head},
};

#[allow(dead_code, unreachable_pub)]
#[path = "../../linux-adapter/examples/tftp_server/options.rs"]
mod options;
#[allow(dead_code, unreachable_pub)]
#[path = "../../linux-adapter/examples/tftp_server/packet.rs"]
mod packet;

/// Runs one input.
pub fn run(data: &[u8]) {
    let buffer_len = 1 << 16;
    match Packet::decode(data) {
        None | Some(Packet::Error { .. }) => {}
        Some(Packet::Data { block, data: bytes }) => {
            assert_eq!([&data_head(block), bytes].concat(), data);
        }
        Some(Packet::Ack { block }) => assert_eq!(ack(block), data[..HEAD_LEN]),
        Some(Packet::Oack(options)) => assert_eq!(options.bytes(), &data[2..]),
        Some(Packet::Request(request)) => {
            for size in [Size::Is(1 << 20), Size::Unknown, Size::AtMost(1 << 30)] {
                let timeout = Duration::from_secs(1);
                let Ok(agreed) = agree(&request.options, Terms { buffer_len, timeout, size })
                else {
                    continue;
                };
                // The window is there, and fits.
                assert!(agreed.window >= 1 && agreed.block_len >= 8);
                assert!(agreed.window * agreed.block_len + HEAD_LEN < buffer_len);
                // What is answered is a packet that the client can read, of
                // options that it asked for.
                if !agreed.oack.is_empty() {
                    let Some(Packet::Oack(answered)) = Packet::decode(&agreed.oack) else {
                        panic!("no OACK: {:?}", agreed.oack);
                    };
                    for (name, _) in answered.iter() {
                        let asked = request.options.iter();
                        assert_eq!(asked.filter(|it| it.0.eq_ignore_ascii_case(name)).count(), 1);
                    }
                }
            }
        }
    }
}
