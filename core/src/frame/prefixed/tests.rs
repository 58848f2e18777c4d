//! Every member of the family, and what concerns one call.

use super::*;
use crate::checksum::{CRC16, CRC32, CRC64};

pub(super) const WIDTHS: [Width; 5] =
    [Width::U8, Width::U16, Width::U32, Width::U64, Width::Varint];

#[test]
fn a_maximum_over_the_width_is_the_widths() {
    assert_eq!(Prefixed::new(Width::U8, 1000).payload_len_max(), 255);
    assert_eq!(Prefixed::new(Width::U16, 1000).payload_len_max(), 1000);
}

/// Every member of the family: encode, envelope and decode agree.
#[test]
fn members_round_trip() {
    fn check<C: Checksum + Copy>(checksum: C) {
        for width in WIDTHS {
            for order in [Order::Little, Order::Big] {
                for place in [Place::BeforePayload, Place::AfterPayload] {
                    for cover in [Cover::Payload, Cover::HeadAndPayload] {
                        let plain = Prefixed::new(width, 200).order(order).place(place);
                        let format = plain.cover(cover).checksum(checksum);
                        round_trip(format);
                        round_trip(format.head_check());
                    }
                }
            }
        }
    }
    fn round_trip<C: Checksum>(format: Prefixed<C>) {
        for payload in [&b""[..], b"\0", b"123456789", &[7; 200]] {
            let mut whole = [0; 256];
            let len = format.encode(payload, &mut whole).unwrap();
            assert_eq!(len, format.frame_len(payload.len()));

            let mut around = [0; 64];
            let envelope = format.envelope(payload, &mut around).unwrap().unwrap();
            let (head, tail) = around.split_at(envelope.head_len);
            assert_eq!(&whole[..envelope.head_len], head);
            assert_eq!(&whole[len - envelope.tail_len..len], &tail[..envelope.tail_len]);

            let mut sealed = [0xA5; 256];
            let place = &mut sealed[envelope.head_len..][..payload.len()];
            place.copy_from_slice(payload);
            format.seal(&mut sealed[..len]).unwrap();
            assert_eq!(sealed[..len], whole[..len]);

            let at = format.head_len(payload.len());
            let expected = Step::Frame { payload: at..at + payload.len(), frame_len: len };
            assert_eq!(format.decode(&mut whole, 0), expected);
            for short in (1..len).step_by(if cfg!(miri) { 150 } else { 1 }) {
                let step = format.decode(&mut whole[..short], 0);
                let Step::Incomplete { needed } = step else { panic!("{step:?}") };
                assert!(short < needed && needed <= len);
            }
        }
        let error = EncodeError::TooLong { payload_len: 201, payload_len_max: 200 };
        assert_eq!(format.encode(&[0; 201], &mut [0; 256]), Err(error));
        let needed = format.frame_len(4);
        let error = EncodeError::NoRoom { needed, free: needed - 1 };
        assert_eq!(format.encode(&[0; 4], &mut [0; 64][..needed - 1]), Err(error));
    }
    check(NoChecksum);
    check(CRC16);
    check(CRC32);
    check(CRC64);
}

#[test]
fn a_varint_is_judged_as_soon_as_it_can_be() {
    let format = Prefixed::new(Width::Varint, 300);
    let too_long = |len| Step::Damaged {
        skip: 1,
        reason: Reason::TooLong { len, len_max: 300 },
        resync: true,
    };
    assert_eq!(format.decode(&mut [0xAC], 0), Step::Incomplete { needed: 2 });
    assert_eq!(format.decode(&mut [0xAC, 2], 0), Step::Incomplete { needed: 302 });
    assert_eq!(format.decode(&mut [0xAD, 2], 0), too_long(301));
    // A third byte would follow.
    assert_eq!(format.decode(&mut [0xAC, 0x82], 0), too_long(1 << 14));
    let reason = Reason::Head { value: 0x8500 };
    let overlong = Step::Damaged { skip: 1, reason, resync: true };
    assert_eq!(format.decode(&mut [0x85, 0, 1, 2, 3, 4, 5], 0), overlong);
    let all = Prefixed::new(Width::Varint, usize::MAX);
    let wide = Reason::TooLong { len: u64::MAX, len_max: usize::MAX as u64 };
    let wide = Step::Damaged { skip: 1, reason: wide, resync: true };
    if usize::BITS == 64 {
        assert_eq!(all.decode(&mut [0xFF; 10], 0), wide);
        assert_eq!(
            all.decode(&mut [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2], 0),
            wide
        );
    }
}

#[test]
fn a_frame_of_a_length_that_none_has_is_not_sealed() {
    let format = Prefixed::new(Width::Varint, 1000).checksum(CRC16);
    // 127 bytes take a length of one byte, 128 of two.
    let error = |needed, free| Err(EncodeError::NoRoom { needed, free });
    let mut frame = [0; 140];
    assert_eq!(format.seal(&mut frame[..130]), Ok(()));
    assert_eq!(format.seal(&mut frame[..131]), error(132, 131));
    assert_eq!(format.seal(&mut frame[..132]), Ok(()));
    assert_eq!(format.seal(&mut frame[..3]), Ok(()));
    assert_eq!(format.seal(&mut frame[..2]), error(3, 2));
    assert_eq!(Prefixed::native(9, CRC32).seal(&mut frame[..4]), error(10, 4));
    let too_long = EncodeError::TooLong { payload_len: 10, payload_len_max: 9 };
    assert_eq!(Prefixed::native(9, CRC32).seal(&mut frame[..20]), Err(too_long));
}

#[test]
fn a_length_over_the_maximum_is_refused_before_anything_is_waited_for() {
    let format = Prefixed::flatstream(1024);
    let reason = Reason::TooLong { len: 0x7FFF_FFFF, len_max: 1024 };
    assert_eq!(
        format.decode(&mut [0xFF, 0xFF, 0xFF, 0x7F], 0),
        Step::Damaged { skip: 1, reason, resync: true }
    );
}
