//! The rings that more than one bench sets side by side, each as contenders
//! that carry records of `N` bytes from some producers to one consumer.

use std::sync::mpsc::{Receiver, SyncSender};

use crossbeam_queue::ArrayQueue;
use forebay::ring::{Consumer, Mode, Producer};

use crate::{
    carry::{Out, carry, one_by_one},
    rounds::Round,
};

/// Copies what is there, as much as there is room for, and writes it; how many
/// records.
pub fn drain(consumer: &mut Consumer<'_>, out: &mut Out) -> usize {
    let mut records = 0;
    for record in consumer.records() {
        if record.len() > out.free() {
            break;
        }
        out.copy(record);
        records += 1;
    }
    if records > 0 {
        out.write();
        consumer.release(records);
    }
    records
}

/// forebay's ring, of one producer or of many.
pub fn ring<const N: usize, M: Mode + Send>(
    producers: &mut [Producer<'_, M>],
    consumer: &mut Consumer<'_>,
) -> Round {
    let pushes = producers
        .iter_mut()
        .map(|producer| move |record: &[u8; N]| producer.push(record).is_ok())
        .collect();
    carry::<N, _>(pushes, |out| drain(consumer, out))
}

/// rtrb's, with a ring for each producer, which a consumer copies out of in one
/// piece or two.
///
/// # Panics
///
/// Never, as no more is read than there is.
pub fn rtrb_lanes<const N: usize>(
    lanes: &mut [rtrb::Producer<[u8; N]>],
    ends: &mut [rtrb::Consumer<[u8; N]>],
) -> Round {
    let pushes =
        lanes.iter_mut().map(|lane| move |record: &[u8; N]| lane.push(*record).is_ok()).collect();
    carry::<N, _>(pushes, |out| {
        let mut records = 0;
        for end in &mut *ends {
            let slots = end.slots().min(out.free() / N);
            if slots == 0 {
                continue;
            }
            let chunk = end.read_chunk(slots).unwrap();
            let (first, second) = chunk.as_slices();
            out.copy(first.as_flattened());
            out.copy(second.as_flattened());
            chunk.commit_all();
            records += slots;
        }
        if records > 0 {
            out.write();
        }
        records
    })
}

/// crossbeam's queue of arrays.
#[must_use]
pub fn array_queue<const N: usize>(queue: &ArrayQueue<[u8; N]>, producers: usize) -> Round {
    let push = |record: &[u8; N]| queue.push(*record).is_ok();
    one_by_one(vec![push; producers], || queue.pop())
}

/// The standard library's channel of arrays.
#[must_use]
pub fn sync_channel<const N: usize>(
    sender: &SyncSender<[u8; N]>,
    receiver: &mut Receiver<[u8; N]>,
    producers: usize,
) -> Round {
    let pushes = (0..producers)
        .map(|_| {
            let sender = sender.clone();
            move |record: &[u8; N]| sender.try_send(*record).is_ok()
        })
        .collect();
    one_by_one(pushes, move || receiver.try_recv().ok())
}
