//! The image whose interrupts and main loop produce into one ring.

use forebay::ring::{Consumer, Many, Producer, heap};
use forebay_protocol::{ALARM_LEN, Command, HELD_LEN, REPORT_LEN, alarm, has_alarm, tick_len};

use crate::{
    alarm_count, crc, image::IMAGES, machine::Machine, number, on_image, peer::Peer, tick_payload,
};

/// Runs a test on each such image.
fn on_each_shared_image(test: impl Fn(&mut Machine)) {
    let mut images = IMAGES.iter().filter(|image| image.shared).peekable();
    assert!(images.peek().is_some());
    images.for_each(|image| on_image(image, |_, machine| test(machine)));
}

/// The device's ring after its first report has left, and what of the ticks
/// and alarms offered to it had room.
struct Room {
    ticks: Producer<'static, Many>,
    others: Producer<'static, Many>,
    consumer: Consumer<'static>,
    accepted: Vec<Vec<u8>>,
}

impl Room {
    fn new() -> Self {
        let (ticks, consumer) = heap::shared(1024).unwrap();
        let mut room = Self { others: ticks.clone(), ticks, consumer, accepted: Vec::new() };
        room.others.push(&[0; REPORT_LEN]).unwrap();
        room.drain();
        room
    }

    /// Offers a tick and, while it is open, its alarm.
    fn offer(&mut self, number: u32) {
        let Ok(grant) = self.ticks.reserve(tick_len(number)) else { return };
        self.accepted.push(tick_payload(number));
        if has_alarm(number) && self.others.push(&[0; ALARM_LEN]).is_ok() {
            self.accepted.push(alarm(number).to_vec());
        }
        grant.commit();
    }

    fn drain(&mut self) {
        self.consumer.release(usize::MAX);
    }
}

/// The ticks and alarms that have room in a ring that is empty at each burst.
pub(crate) fn accepted(more: u32, at_once: u32) -> Vec<Vec<u8>> {
    let mut room = Room::new();
    for first in (0..more).step_by(at_once as usize) {
        (first..more.min(first + at_once)).for_each(|number| room.offer(number));
        room.drain();
    }
    room.accepted
}

/// Checks that all of them came while their ticks were half written.
pub(crate) fn assert_are_alarms(payloads: &[Vec<u8>]) {
    for payload in payloads {
        let number = number(payload);
        assert!(has_alarm(number));
        assert_eq!(*payload, alarm(number), "a wrong frame was delivered");
    }
}

pub(crate) fn of_kind(kind: u8, payloads: &[Vec<u8>]) -> Vec<Vec<u8>> {
    payloads.iter().filter(|payload| payload[0] == kind).cloned().collect()
}

/// All but the one record that was held open, which stands right before the
/// tick that was the first to come after its claim.
fn without_held(produced: &[Vec<u8>], claimed: u32) -> Vec<Vec<u8>> {
    let at = produced.iter().position(|payload| payload[0] == b'H').unwrap();
    let mut rest = produced.to_vec();
    rest.remove(at);
    assert_eq!(rest[at], tick_payload(claimed));
    rest
}

#[test]
fn an_interrupt_within_anothers_grant_tears_and_loses_nothing() {
    on_each_shared_image(|machine| {
        let mut peer = Peer::new(machine.line());
        peer.ready();
        peer.send(Command::Ticks { more: 600, at_once: 1 });
        peer.ticks(600);
        let report = peer.report();
        // Claimed after its tick, committed before it.
        assert_eq!(peer.produced(), accepted(600, 1));
        let alarms = peer.alarms();
        assert_eq!(alarms.len(), alarm_count(600));
        assert_eq!((report.alarms.offered as usize, report.alarms.refused), (alarms.len(), 0));
        assert_eq!(report.alarms.crc, crc(&alarms));
        peer.send(Command::Exit);
    });
}

#[test]
fn what_is_committed_behind_an_open_grant_waits_for_it() {
    on_each_shared_image(|machine| {
        let mut peer = Peer::new(machine.line());
        peer.ready();
        peer.send(Command::Hold { until: 10 });
        peer.send(Command::Ticks { more: 20, at_once: 1 });
        peer.ticks(20);
        let (report, held) = (peer.report(), peer.held());
        assert!(held.claimed < held.committed && held.committed == 10, "{held:?}");
        // Committed after ten ticks, and before those that came after its claim.
        assert_eq!(without_held(peer.produced(), held.claimed), accepted(20, 1));
        assert_eq!((report.ticks.accepted, report.ticks.refused), (20, 0));
        peer.send(Command::Exit);
    });
}

#[test]
fn an_open_grant_that_fills_the_ring_costs_exactly_what_has_no_room() {
    const UNTIL: u32 = 300;
    on_each_shared_image(|machine| {
        let mut peer = Peer::new(machine.line());
        peer.ready();
        peer.send(Command::Hold { until: UNTIL });
        peer.send(Command::Ticks { more: UNTIL, at_once: 1 });
        let held = peer.held();
        assert_eq!(held.committed, UNTIL);

        let mut room = Room::new();
        for number in 0..held.claimed {
            room.offer(number);
            room.drain();
        }
        let mut main_loop = room.others.clone();
        let grant = main_loop.reserve(HELD_LEN).unwrap();
        (held.claimed..UNTIL).for_each(|number| room.offer(number));
        grant.commit();
        room.drain();
        peer.ticks(of_kind(b'T', &room.accepted).len());
        // One more, now that there is room again.
        room.offer(UNTIL);
        peer.send(Command::Ticks { more: 1, at_once: 1 });
        peer.ticks(of_kind(b'T', &room.accepted).len());
        let report = peer.report();
        let produced = without_held(peer.produced(), held.claimed);
        assert_eq!(produced, room.accepted);

        let [ticks, alarms] = [b'T', b'A'].map(|kind| of_kind(kind, &produced));
        assert!(ticks.len() < 100, "{} ticks had room", ticks.len());
        assert_eq!(report.ticks.offered, UNTIL + 1);
        for (lane, payloads) in [(report.ticks, &ticks), (report.alarms, &alarms)] {
            assert_eq!(lane.accepted as usize, payloads.len());
            assert_eq!(lane.refused, lane.offered - lane.accepted);
            assert_eq!(lane.crc, crc(payloads));
        }
        peer.send(Command::Exit);
    });
}
