//! Every member of the family, and what concerns one call.

use super::*;
use crate::checksum::{CRC16, CRC32, CRC64};

pub(super) const WIDTHS: [Width; 4] = [Width::U8, Width::U16, Width::U32, Width::U64];

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
            every(Prefixed::new(width, 200).checksum(checksum));
        }
        every(Prefixed::varint(200).checksum(checksum));
    }
    fn every<C: Checksum + Copy, const VARINT: bool>(plain: Prefixed<C, VARINT>) {
        for order in [Order::Little, Order::Big] {
            for place in [Place::BeforePayload, Place::AfterPayload] {
                for cover in [Cover::Payload, Cover::HeadAndPayload] {
                    let format = plain.order(order).place(place).cover(cover);
                    round_trip(format);
                    round_trip(format.head_check());
                }
            }
        }
    }
    fn round_trip<C: Checksum, const VARINT: bool>(format: Prefixed<C, VARINT>) {
        for payload in [&b""[..], b"\0", b"123456789", &[7; 200]] {
            let mut whole = [0; 256];
            let len = format.encode(payload, &mut whole).unwrap();
            assert_eq!(len, format.frame_len(payload.len()));

            let mut around = [0; 64];
            let envelope = format.envelope(payload, &mut around).unwrap().unwrap();
            let (head, tail) = around.split_at(envelope.head_len);
            assert_eq!(&whole[..envelope.head_len], head);
            assert_eq!(&whole[len - envelope.tail_len..len], &tail[..envelope.tail_len]);

            let at = envelope.head_len;
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
    let format = Prefixed::varint(300);
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
    let all = Prefixed::varint(usize::MAX);
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
fn a_frame_in_place_is_sealed_as_it_is_encoded() {
    fn check<C: Checksum>(format: Prefixed<C>) {
        let (mut in_place, mut encoded) = ([0xA5; 64], [0; 64]);
        for payload in [&b""[..], b"\0", b"123456789"] {
            let len = format.encode(payload, &mut encoded).unwrap();
            in_place[format.head_len()..][..payload.len()].copy_from_slice(payload);
            assert_eq!(format.seal(&mut in_place[..len]), Ok(()));
            assert_eq!(in_place[..len], encoded[..len]);
        }
        let needed = format.frame_len(0);
        assert_eq!(needed, format.head_len() + format.tail_len());
        let no_room = EncodeError::NoRoom { needed, free: needed - 1 };
        assert_eq!(format.seal(&mut in_place[..needed - 1]), Err(no_room));
        let too_long = EncodeError::TooLong { payload_len: 10, payload_len_max: 9 };
        assert_eq!(format.seal(&mut in_place[..needed + 10]), Err(too_long));
    }
    check(Prefixed::native(9, CRC32));
    check(Prefixed::flatstream(9).checksum(CRC16));
    check(Prefixed::new(Width::U8, 9).cover(Cover::HeadAndPayload).checksum(CRC64));
    let before = Prefixed::new(Width::U16, 9).order(Order::Big).place(Place::BeforePayload);
    check(before.cover(Cover::HeadAndPayload).head_check().checksum(CRC16));
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
