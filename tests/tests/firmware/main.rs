//! The firmware images in QEMU: the counts, the order and the checksums at
//! both ends of the line, in order and with bytes damaged on the way.
//!
//! Needs QEMU for ARM and the images' targets; a test that misses one says so
//! and passes.

mod damage;
mod image;
mod machine;
mod peer;
mod relay;

use damage::Damage;
use forebay::ring::Ring;
use forebay_protocol::{Command, PAYLOAD_LEN_MAX, Running, tick, tick_len};
use image::{IMAGES, Image};
use machine::Machine;
use peer::{Peer, encode};

/// Runs a test on each image that this machine can build and run.
fn on_each_image(test: impl Fn(&Image, &mut Machine)) {
    for image in &IMAGES {
        match image.build() {
            Ok(built) => {
                let mut machine = Machine::start(image, &built);
                test(image, &mut machine);
                machine.exits_well();
            }
            Err(missing) => println!("SKIPPED: {}: {missing}", image.name),
        }
    }
}

/// The ticks that a burst-wise producer gets into a ring that is empty at
/// each burst.
fn accepted_ticks(more: u32, at_once: u32) -> Vec<u32> {
    let mut ring = Ring::<1024>::new();
    let (mut producer, mut consumer) = ring.split();
    let mut accepted = Vec::new();
    for first in (0..more).step_by(at_once as usize) {
        for number in first..more.min(first + at_once) {
            if let Ok(grant) = producer.reserve(tick_len(number)) {
                grant.commit();
                accepted.push(number);
            }
        }
        consumer.release(usize::MAX);
    }
    accepted
}

fn tick_payload(number: u32) -> Vec<u8> {
    let mut payload = vec![0; tick_len(number)];
    tick(number, &mut payload);
    payload
}

fn crc(payloads: &[Vec<u8>]) -> u32 {
    let mut crc = Running::new();
    payloads.iter().for_each(|payload| crc.add(payload));
    crc.value()
}

#[test]
fn interrupts_deliver_every_tick_in_order() {
    on_each_image(|_, machine| {
        let mut peer = Peer::new(machine.line());
        peer.ready();
        peer.send(Command::Ticks { more: 500, at_once: 1 });
        let ticks = peer.ticks(500);
        let report = peer.report();
        assert_eq!(ticks, (0..500).map(tick_payload).collect::<Vec<_>>());
        assert_eq!((report.ticks.offered, report.ticks.accepted), (500, 500));
        assert_eq!(report.ticks.crc, crc(&ticks));
        assert_eq!(report.answers.crc, crc(peer.answers_before_report()));
        assert_eq!((peer.damages(), report.damages, report.bytes_lost), (0, 0, 0));
        peer.send(Command::Exit);
        machine.log_says(&[
            "ready",
            &format!("delivered: {}", peer.received()),
            "undeliverable: 0",
            "blocked: 0",
        ]);
    });
}

#[test]
fn an_interrupt_faster_than_the_line_loses_exactly_what_has_no_room() {
    let expected: Vec<Vec<u8>> = accepted_ticks(1000, 45).into_iter().map(tick_payload).collect();
    assert!((500..900).contains(&expected.len()), "{} of 1000 have room", expected.len());
    on_each_image(|image, machine| {
        let mut peer = Peer::new(machine.line());
        peer.ready();
        peer.send(Command::Ticks { more: 1000, at_once: 45 });
        let ticks = peer.ticks(expected.len());
        // The last tick may be one without room, so wait until all are offered.
        let report = loop {
            let report = peer.report();
            if report.ticks.offered == 1000 {
                break report;
            }
        };
        assert_eq!(ticks, expected, "{}", image.name);
        assert_eq!(report.ticks.accepted as usize, expected.len());
        assert_eq!(report.ticks.refused as usize, 1000 - expected.len());
        assert_eq!(report.ticks.crc, crc(&expected));
        peer.send(Command::Exit);
        machine.log_says(&["ticks: first refusal: Full"]);
    });
}

#[test]
fn commands_back_to_back_truncated_oversize_and_damaged_are_survived() {
    on_each_image(|_, machine| {
        let mut peer = Peer::new(machine.line());
        peer.ready();
        // Truncated: a frame without its end, ended by the next one's start.
        let frame = encode(&Command::Echo(b"cut short"));
        peer.send_bytes(&frame[..frame.len() - 4]);
        peer.send_bytes(&[0]);
        // Oversize: longer than any frame, in several reads.
        peer.send_bytes(&[7; 500]);
        peer.send_bytes(&[0]);
        // Damaged: one bit.
        let mut frame = encode(&Command::Echo(b"damaged"));
        frame[3] ^= 0x10;
        peer.send_bytes(&frame);
        // Idle filler, then commands back to back, written at once.
        peer.send_bytes(&[0; 9]);
        let echoes: Vec<Vec<u8>> = (0..8u8).map(|n| vec![n; usize::from(n)]).collect();
        let frames: Vec<u8> =
            echoes.iter().flat_map(|bytes| encode(&Command::Echo(bytes))).collect();
        peer.send_bytes(&frames);

        let report = peer.report();
        assert_eq!((report.damages, report.commands), (3, 9));
        assert_eq!(peer.echoes(), echoes);
        assert_eq!(report.answers.refused, 0);
        assert_eq!(report.answers.crc, crc(peer.answers_before_report()));
        peer.send(Command::Exit);
        machine.log_says(&["received Damage", "TooLong", "Checksum"]);
    });
}

#[test]
fn a_line_that_damages_bytes_costs_the_damaged_frames() {
    on_each_image(|_, machine| {
        for seed in 1..=2 {
            let mut peer = Peer::new(machine.line());
            if seed == 1 {
                peer.ready();
            }
            let before = peer.report();

            // To the host: the first 20,000 bytes suffer, what follows is
            // whole, so that the last ticks and the report arrive.
            peer.damage_received(Damage::new(seed, 20_000));
            let more = 1000;
            peer.send(Command::Ticks { more, at_once: 1 });
            let last = before.ticks.offered + more - 1;
            let ticks = peer.ticks_until(last);
            let numbers: Vec<u32> = ticks.iter().map(|tick| number(tick)).collect();
            assert!(numbers.is_sorted_by(|a, b| a < b), "out of order: {numbers:?}");
            for (tick, number) in ticks.iter().zip(&numbers) {
                assert_eq!(*tick, tick_payload(*number), "a wrong frame was delivered");
            }
            let events = peer.received_events();
            let lost = more as usize - ticks.len();
            println!("seed {seed}: {events} damages to the host cost {lost} of {more} frames");
            assert!(events >= 100, "{events} damages");
            assert!(lost > events / 2 && lost <= events * 102 / 100, "{events} cost {lost}");

            // To the device: as many commands, the first bytes suffer.
            let before = peer.report();
            peer.damage_sent(Damage::new(seed + 10, 8_000));
            let sent: Vec<Vec<u8>> = (0..300u32)
                .map(|n| {
                    [&n.to_le_bytes()[..], &[n.to_le_bytes()[0]; 28][..n as usize % 29]].concat()
                })
                .collect();
            // The report ends each train: the device has read it then.
            let answered = peer.echoes().len();
            let (first, rest) = sent.split_at(1);
            peer.send(Command::Echo(&first[0]));
            for train in rest.chunks(8) {
                for bytes in train {
                    peer.send(Command::Echo(bytes));
                }
                peer.report_through_damage();
            }
            let report = peer.report();
            let echoes = &peer.echoes()[answered..];
            assert_eq!(report.answers.refused, 0);
            let mut of_sent = sent.iter();
            for echo in echoes {
                assert!(of_sent.any(|bytes| bytes == echo), "{echo:?} was not sent, or not then");
            }
            let events = peer.sent_events();
            let lost = peer.sent_frames() - (report.commands - before.commands) as usize;
            println!("seed {seed}: {events} damages to the device cost {lost} frames");
            assert!(events >= 40, "{events} damages");
            assert!(lost > events / 2 && lost <= events * 102 / 100, "{events} cost {lost}");
            assert!(report.damages > before.damages);
        }
        let mut peer = Peer::new(machine.line());
        peer.send(Command::Exit);
    });
}

fn number(tick: &[u8]) -> u32 {
    assert_eq!(tick[0], b'T');
    u32::from_le_bytes(tick[1..5].try_into().unwrap())
}

#[test]
fn the_longest_payloads_fit() {
    on_each_image(|_, machine| {
        let mut peer = Peer::new(machine.line());
        peer.ready();
        for fill in [0, 1, 255] {
            let bytes = [fill; PAYLOAD_LEN_MAX - 1];
            peer.send(Command::Echo(&bytes));
            peer.report();
            assert_eq!(peer.echoes().last().unwrap()[..], bytes);
        }
        peer.send(Command::Exit);
    });
}
