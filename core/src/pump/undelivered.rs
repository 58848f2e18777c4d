//! What has not left, for whoever gives up on the sink.

use super::{Cargo, Lane, LanePlace, Pump};
use crate::{
    frame::Encode,
    ring::{Consumer, Place},
    stage::Waiting,
};

/// A message that has been accepted and has not left; see
/// [`Pump::for_each_undelivered`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undelivered<'p> {
    /// As its producer wrote it.
    Message(&'p [u8]),
    /// Framed: it was in the batch already, and its room in the ring has been
    /// released. The first of all may have left in part.
    Frame(&'p [u8]),
}

impl<F, B, const LANES: usize, const SLICES: usize> Pump<'_, F, B, LANES, SLICES>
where
    F: Encode,
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    /// Shows each message that has not left whole, with the number of its
    /// lane: those in the batch in the order in which they would have left,
    /// then those in the rings, lane by lane. Nothing moves thereby.
    ///
    /// ```
    /// use forebay::pump::Undelivered;
    /// use forebay::{Pump, frame::Prefixed, ring::Ring};
    ///
    /// let mut ring = Ring::<64>::new();
    /// let (mut producer, consumer) = ring.split();
    /// let mut pump: Pump<_, _, 1> = Pump::new(Prefixed::flatstream(64), [0; 64]).frames_max(1);
    /// pump.add(consumer).unwrap();
    /// producer.push(b"first")?;
    /// producer.push(b"second")?;
    /// pump.fill(); // and then the sink breaks
    ///
    /// let mut undelivered = Vec::new();
    /// pump.for_each_undelivered(|_lane, message| match message {
    ///     Undelivered::Message(message) => undelivered.push(message.to_vec()),
    ///     Undelivered::Frame(frame) => undelivered.push(frame[4..].to_vec()),
    /// });
    /// assert_eq!(undelivered, [&b"first"[..], b"second"]);
    /// # Ok::<(), forebay::ring::ReserveError>(())
    /// ```
    pub fn for_each_undelivered(&mut self, mut show: impl FnMut(usize, Undelivered<'_>)) {
        let mut cargo = self.runs.iter();
        self.stage.for_each_frame(|frame| {
            let index = match cargo.next() {
                Some(Cargo::Record(lane)) => lane,
                None if LANES == 1 => 0,
                _ => return,
            };
            match frame {
                Waiting::Copied(frame) => show(index, Undelivered::Frame(frame)),
                Waiting::Lent(LanePlace { lane, place }) => {
                    let lane = self.lanes.get(lane);
                    let message = lane.map_or(&[][..], |lane| lane.consumer.bytes(place));
                    show(index, Undelivered::Message(message));
                }
            }
        });
        drop(cargo);
        for index in 0..self.lanes.len() {
            if let Some(Lane { consumer, .. }) = self.lanes.get_mut(index)
                && let Some(first) = consumer.next_place()
            {
                let shown = Shown { consumer, first };
                let mut next = Some(first);
                while let Some(place) = next {
                    show(index, Undelivered::Message(shown.consumer.bytes(place)));
                    next = shown.consumer.next_place();
                }
            }
            // A ring that is overwritten was held meanwhile.
            self.release_lane(index);
        }
    }
}

/// Records that are walked over to be shown, and put back, also when who is
/// shown them panics.
struct Shown<'c, 'r> {
    consumer: &'c mut Consumer<'r>,
    first: Place,
}

impl Drop for Shown<'_, '_> {
    fn drop(&mut self) {
        self.consumer.put_back(self.first);
    }
}
