//! Packets and options, as bytes.

use std::time::Duration;

use proptest::prelude::*;

use super::tftp_server::{
    netascii,
    options::{Agreed, Size, Terms, agree},
    packet::{Code, Options, Packet, ack, data_head, oack},
    server::BUFFER_LEN,
};

const TERMS: Terms =
    Terms { buffer_len: BUFFER_LEN, timeout: Duration::from_millis(1500), size: Size::Is(70_000) };

/// What is answered to options: block length, window, seconds and the OACK
/// after its opcode, or the code of the refusal.
fn answer(asked: &[u8], terms: Terms) -> Result<(usize, usize, f32, String), Code> {
    let asked = Options::decode(asked).unwrap();
    let Agreed { block_len, window, timeout, oack } =
        agree(&asked, terms).map_err(|refusal| refusal.code)?;
    let text = oack.strip_prefix(b"\0\x06").unwrap_or_default().escape_ascii().to_string();
    Ok((block_len, window, timeout.as_secs_f32(), text))
}

/// Options, and the block length, the window, the seconds and the OACK.
type Case = (&'static [u8], (usize, usize, f32, &'static str));

#[test]
fn options_are_answered_as_asked_for_and_no_others() {
    let cases: [Case; 9] = [
        (b"", (512, 1, 1.5, "")),
        (b"blksize\x001428\0", (1428, 1, 1.5, "blksize\\x001428\\x00")),
        (b"BlkSize\x008\0multicast\0\0", (8, 1, 1.5, "blksize\\x008\\x00")),
        // More than there may be, more than a buffer has.
        (b"blksize\x0099999999999999999999\0", (65_464, 1, 1.5, "blksize\\x0065464\\x00")),
        (b"windowsize\x0065535\0", (512, 127, 1.5, "windowsize\\x00127\\x00")),
        (
            b"windowsize\x0064\0blksize\x0065464\0",
            (65_464, 1, 1.5, "windowsize\\x001\\x00blksize\\x0065464\\x00"),
        ),
        // It is taken as it is or not at all.
        (b"timeout\x00255\0", (512, 1, 255.0, "timeout\\x00255\\x00")),
        (b"timeout\x00256\0", (512, 1, 1.5, "")),
        (b"tsize\x000\0", (512, 1, 1.5, "tsize\\x0070000\\x00")),
    ];
    for (asked, (block_len, window, timeout, oack)) in cases {
        let expected = Ok((block_len, window, timeout, oack.to_owned()));
        assert_eq!(answer(asked, TERMS), expected, "{}", asked.escape_ascii());
    }
}

#[test]
fn tsize_is_left_out_where_it_says_nothing() {
    let terms = |size| Terms { size, ..TERMS };
    for (asked, size, oack) in [
        (&b"tsize\x000\0"[..], Size::Is(0), ""),
        (b"tsize\x000\0", Size::Unknown, ""),
        (b"tsize\x000\0", Size::AtMost(10), ""),
        (b"tsize\x0010\0", Size::AtMost(10), "tsize\\x0010\\x00"),
    ] {
        assert_eq!(answer(asked, terms(size)).unwrap().3, oack, "{size:?}");
    }
    assert_eq!(answer(b"tsize\x0011\0", terms(Size::AtMost(10))), Err(Code::DiskFull));
    // Nor may it come again where it was not answered.
    let twice = b"tsize\x000\0tsize\x001\0";
    assert_eq!(answer(twice, terms(Size::AtMost(10))), Err(Code::Options));
}

#[test]
fn options_that_are_none_are_refused() {
    for asked in [
        &b"blksize\x007\0"[..],
        b"blksize\0\0",
        b"blksize\0+9\0",
        b"windowsize\x000\0",
        b"timeout\x000\0",
        b"tsize\0-1\0",
        b"blksize\x00512\0BLKSIZE\x00512\0",
    ] {
        assert_eq!(answer(asked, TERMS), Err(Code::Options), "{}", asked.escape_ascii());
    }
}

#[test]
fn text_is_netascii_on_the_line() {
    let mut buffer = *b"\n\r--......a\n\rb";
    let end = netascii::Encoder::default().encode(&mut buffer, 4, 10..14);
    assert_eq!(&buffer[4..end], b"a\r\n\r\0b");
    let mut decoder = netascii::Decoder::default();
    let end = decoder.decode(&mut buffer, 0, 4..end);
    assert_eq!((&buffer[..end], decoder.end()), (&b"a\n\rb"[..], None));
    // What is no pair stays as it is.
    let mut buffer = *b"....a\r\rb\r";
    let end = decoder.decode(&mut buffer, 0, 4..9);
    assert_eq!((&buffer[..end], decoder.end()), (&b"a\r\rb"[..], Some(b'\r')));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_packet_or_none(mut bytes in prop::collection::vec(any::<u8>(), 0..700), opcode in 0u8..8) {
        if let [first, second, ..] = &mut bytes[..] {
            (*first, *second) = (0, opcode);
        }
        match Packet::decode(&bytes) {
            Some(Packet::Request(request)) => {
                prop_assert!(bytes.len() <= 512);
                let options: Vec<u8> = request.options.iter()
                    .flat_map(|(name, value)| [name, b"\0", value, b"\0"].concat()).collect();
                let again = [&bytes[..2], request.name, b"\0", request.mode, b"\0", &options].concat();
                prop_assert_eq!(again, bytes);
            }
            Some(Packet::Data { block, data }) => {
                prop_assert_eq!([&data_head(block)[..], data].concat(), bytes);
            }
            Some(Packet::Ack { block }) => prop_assert_eq!(&ack(block)[..], &bytes[..4]),
            Some(Packet::Oack(_) | Packet::Error { .. }) | None => {}
        }
    }

    /// Memory is bounded whatever is asked for.
    #[test]
    fn a_window_fits_the_buffer(
        blksize in prop_oneof![8u64..70_000, any::<u64>()],
        windowsize in prop_oneof![1u64..70_000, any::<u64>()],
    ) {
        prop_assume!(blksize >= 8 && windowsize > 0);
        let asked = oack([("blksize", blksize), ("windowsize", windowsize)]);
        let asked = Options::decode(&asked[2..]).unwrap();
        let agreed = agree(&asked, TERMS).unwrap();
        prop_assert!(agreed.window >= 1 && agreed.window as u64 <= windowsize);
        prop_assert!(agreed.block_len >= 8 && agreed.block_len as u64 <= blksize);
        prop_assert!(agreed.window * agreed.block_len + 5 <= BUFFER_LEN);
    }
}
