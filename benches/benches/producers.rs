//! Several producers: forebay's ring beside others, into one consumer that
//! writes, and pushing at once without one; what it costs a consumer that
//! producers may overwrite; and how soon a record is seen.
//!
//! As in `rings`, but that several producers find their places among the
//! processors themselves.

#![allow(missing_docs, clippy::unwrap_used)]
#![allow(deprecated, reason = "the queue of heapless is named so")]

use std::{
    array,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use bbqueue::nicknames::YakiNiku;
use crossbeam_queue::ArrayQueue;
use disruptor::{BusySpin, Producer as _, build_multi_producer};
use forebay::ring::{Consumer, Mode, Producer, heap};
use forebay_benches::{
    carry::{Out, Patience, RING_LEN, carry, one_by_one},
    peers::{array_queue, drain, ring, rtrb_lanes, sync_channel},
    probe,
    rounds::{Goal, Group, Round, of, of_best},
};
use thingbuf::ThingBuf;

const BUDGET: Duration = Duration::from_secs(8);
const BBQUEUE: &str = "bbqueue framed";
const LANES: &str = "rtrb of arrays, a lane each";
const ARRAY_QUEUE: &str = "crossbeam ArrayQueue of arrays";

fn main() {
    // Goals are times, so the reciprocals of rates.
    let bbqueue = of(1.0 / 5.0, BBQUEUE);
    for producers in [1, 2, 4] {
        let two = producers == 2;
        let goals =
            |rate: f64| if two { vec![of_best(1.0 / rate), bbqueue] } else { vec![bbqueue] };
        into_one::<16, 4096>(producers, &goals(1.5));
        into_one::<64, 1024>(producers, &goals(1.8));
        into_one::<256, 256>(producers, &goals(1.8));
        into_one::<1024, 64>(producers, &[bbqueue]);
    }
    contended::<16>();
    contended::<64>();
    held();
    ping_pong();
}

/// `thingbuf` asks for a default.
#[derive(Clone)]
struct Item<const N: usize>([u8; N]);

impl<const N: usize> Default for Item<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

/// Records of `N` bytes from `producers` threads; 64 KiB hold `SLOTS`.
fn into_one<const N: usize, const SLOTS: usize>(producers: usize, goals: &[Goal]) {
    let (mut forebay, mut consumer) = many(heap::shared(RING_LEN).unwrap(), producers);
    let (mut batched, mut batches) = many(heap::shared(RING_LEN).unwrap(), producers);
    let (mut lanes, mut ends): (Vec<_>, Vec<_>) =
        (0..producers).map(|_| rtrb::RingBuffer::<[u8; N]>::new(SLOTS / producers)).unzip();
    let array = ArrayQueue::<[u8; N]>::new(SLOTS);
    let (crossbeam, crossbeam_end) = crossbeam_channel::bounded(SLOTS);
    let (std, mut std_end) = mpsc::sync_channel::<[u8; N]>(SLOTS);
    let things = ThingBuf::<Item<N>>::new(SLOTS);
    let mpmc = Box::new(heapless::mpmc::Queue::<[u8; N], SLOTS>::new());
    let framed = YakiNiku::new_with_storage(bbqueue::traits::storage::BoxedSlice::new(RING_LEN));
    let (mut poller, builder) =
        build_multi_producer(SLOTS, || [0_u8; N], BusySpin).new_event_poller();
    let disruptor: disruptor::MultiProducer<[u8; N], _> = builder.build();

    let group = Group::new(format!("{producers} producers, records of {N} B"))
        .peer(ARRAY_QUEUE, || array_queue(&array, producers))
        .peer("crossbeam channel of arrays", || {
            let push = |record: &[u8; N]| crossbeam.try_send(*record).is_ok();
            one_by_one(vec![push; producers], || crossbeam_end.try_recv().ok())
        })
        .peer("std sync_channel of arrays", || sync_channel(&std, &mut std_end, producers))
        .peer("thingbuf of arrays", || {
            let push = |record: &[u8; N]| things.push(Item(*record)).is_ok();
            one_by_one(vec![push; producers], || things.pop().map(|item| item.0))
        })
        .peer("heapless mpmc of arrays", || {
            let push = |record: &[u8; N]| mpmc.enqueue(*record).is_ok();
            one_by_one(vec![push; producers], || mpmc.dequeue())
        })
        .peer(BBQUEUE, || bbqueue_framed::<N>(&framed, producers))
        .peer("disruptor of arrays", || {
            let pushes = (0..producers)
                .map(|_| {
                    let mut producer = disruptor.clone();
                    move |record: &[u8; N]| producer.try_publish(|slot| *slot = *record).is_ok()
                })
                .collect();
            carry::<N, _>(pushes, |out| {
                let most = (out.free() / N) as u64;
                let Ok(mut events) = poller.take(most) else { return 0 };
                let mut records = 0;
                for event in &mut events {
                    out.copy(event);
                    records += 1;
                }
                out.write();
                records
            })
        })
        .bound(LANES, || rtrb_lanes::<N>(&mut lanes, &mut ends))
        .ours("ring of many", goals, || ring::<N, _>(&mut forebay, &mut consumer))
        .ours("the same, pushed 8 at a time", &[], || {
            in_batches::<N, _>(&mut batched, &mut batches)
        });
    group.classify(probe::cores).run(BUDGET);
}

fn many<'r, M: forebay::ring::Joins>(
    (producer, consumer): (Producer<'r, M>, Consumer<'r>),
    producers: usize,
) -> (Vec<Producer<'r, M>>, Consumer<'r>) {
    let more = (1..producers).map(|_| producer.clone()).collect::<Vec<_>>();
    (more.into_iter().chain([producer]).collect(), consumer)
}

/// Eight records with one claim. The copy that gathers them is counted.
fn in_batches<const N: usize, M: Mode + Send>(
    producers: &mut [Producer<'_, M>],
    consumer: &mut Consumer<'_>,
) -> Round {
    let pushes = producers
        .iter_mut()
        .map(|producer| {
            let (mut gathered, mut count) = ([[0; N]; 8], 0);
            move |record: &[u8; N]| {
                gathered[count] = *record;
                if count == 7 {
                    let batch: [&[u8]; 8] = array::from_fn(|at| &gathered[at][..]);
                    if producer.push_batch(&batch).is_err() {
                        return false;
                    }
                }
                count = (count + 1) % 8;
                true
            }
        })
        .collect();
    carry::<N, _>(pushes, |out| drain(consumer, out))
}

/// Its producers take a grant by turns.
fn bbqueue_framed<const N: usize>(queue: &YakiNiku, producers: usize) -> Round {
    let push = |record: &[u8; N]| {
        let len = u16::try_from(N).unwrap();
        let Ok(mut grant) = queue.framed_producer().grant(len) else { return false };
        grant.copy_from_slice(record);
        grant.commit(len);
        true
    };
    let consumer = queue.framed_consumer();
    carry::<N, _>(vec![push; producers], move |out| {
        let mut records = 0;
        while out.free() >= N {
            let Ok(record) = consumer.read() else { break };
            out.copy(&record);
            record.release();
            records += 1;
        }
        if records > 0 {
            out.write();
        }
        records
    })
}

/// Two threads push at the same time; nobody reads meanwhile.
fn contended<const N: usize>() {
    const EACH: usize = 4000;
    /// Room for all of them.
    const LEN: usize = 1 << 20;
    const BATCH: usize = 8;
    fn at_once(pushes: [impl FnMut() + Send; 2]) -> Round {
        let ready = AtomicUsize::new(0);
        let elapsed = thread::scope(|threads| {
            let mut cpu = 0;
            let threads = pushes.map(|mut push| {
                let ready = &ready;
                let here = cpu;
                cpu += 1;
                threads.spawn(move || {
                    probe::pin(here);
                    ready.fetch_add(1, Ordering::AcqRel);
                    Patience::long().insist(|| ready.load(Ordering::Acquire) == 2);
                    let start = Instant::now();
                    push();
                    start.elapsed()
                })
            });
            threads.map(|thread| thread.join().unwrap()).into_iter().max().unwrap()
        });
        Round { items: EACH as u64, calls: f64::NAN, elapsed, cpu: Duration::ZERO }
    }

    let (mut producers, mut consumer) = many(heap::shared(LEN).unwrap(), 2);
    let (mut batched, mut batches) = many(heap::shared(LEN).unwrap(), 2);
    let (mut overwriting, mut held) = many(heap::overwriting(LEN).unwrap(), 2);
    let array = ArrayQueue::new(2 * EACH);
    let things = ThingBuf::<Item<N>>::new(2 * EACH);
    let record = [7; N];
    let one_by_one = |producers: &mut Vec<Producer<'static, _>>,
                      consumer: &mut Consumer<'static>| {
        let [first, second] = &mut producers[..] else { unreachable!() };
        let round = at_once(
            [first, second]
                .map(|producer| || (0..EACH).for_each(|_| producer.push(&record).unwrap())),
        );
        assert_eq!(consumer.release(usize::MAX), 2 * EACH);
        round
    };
    Group::new(format!("contended push of {N} B"))
        .peer(ARRAY_QUEUE, || {
            let push = || (0..EACH).for_each(|_| array.push(record).unwrap());
            let round = at_once([push; 2]);
            while array.pop().is_some() {}
            round
        })
        .peer("thingbuf of arrays", || {
            let push = || (0..EACH).for_each(|_| things.push(Item(record)).unwrap_or_default());
            let round = at_once([push; 2]);
            while things.pop().is_some() {}
            round
        })
        .ours("ring of many", &[of(1.3, ARRAY_QUEUE)], || one_by_one(&mut producers, &mut consumer))
        .ours("the same, pushed 8 at a time", &[of(1.3, ARRAY_QUEUE)], || {
            let [first, second] = &mut batched[..] else { unreachable!() };
            let round = at_once([first, second].map(|producer| {
                || {
                    let batch: [&[u8]; BATCH] = [&record; BATCH];
                    (0..EACH / BATCH).for_each(|_| producer.push_batch(&batch).unwrap());
                }
            }));
            assert_eq!(batches.release(usize::MAX), 2 * EACH);
            round
        })
        .ours("overwriting", &[], || {
            let [first, second] = &mut overwriting[..] else { unreachable!() };
            let round = at_once(
                [first, second]
                    .map(|producer| || (0..EACH).for_each(|_| producer.push(&record).unwrap())),
            );
            assert_eq!(held.release(usize::MAX), 2 * EACH);
            round
        })
        .classify(probe::cores)
        .run(Duration::from_secs(5));
}

/// What the hold costs: on one thread, so that nothing is overwritten.
fn held() {
    const LEN: usize = 64;
    const ROUNDS: usize = 2000;
    fn timed<M: Mode>(
        producer: &mut Producer<'_, M>,
        consumer: &mut Consumer<'_>,
        batch: usize,
    ) -> Round {
        let mut out = Out::new();
        let record = [7; LEN];
        Round::timed((ROUNDS * batch) as u64, || {
            for _ in 0..ROUNDS {
                for _ in 0..batch {
                    producer.push(std::hint::black_box(&record)).unwrap();
                }
                assert_eq!(drain(consumer, &mut out), batch);
            }
            f64::from(out.calls)
        })
    }
    for batch in [1, 8, 64] {
        let mut plain = heap::shared(RING_LEN).unwrap();
        let mut claimed = heap::overwriting(RING_LEN).unwrap();
        const PLAIN: &str = "ring of many, refusing";
        Group::new(format!("one thread, {batch} records of {LEN} B and a write"))
            .bound(PLAIN, || timed(&mut plain.0, &mut plain.1, batch))
            .ours("overwriting", &[of(1.0 / 0.9, PLAIN)], || {
                timed(&mut claimed.0, &mut claimed.1, batch)
            })
            .run(Duration::from_secs(2));
    }
}

/// A record there and back, as soon as it is seen.
fn ping_pong() {
    const LEN: usize = 64;
    const TRIPS: usize = 5000;
    type Record = [u8; LEN];
    fn trips(
        mut push: [impl FnMut(&Record) + Send; 2],
        mut pop: [impl FnMut() -> Option<Record> + Send; 2],
    ) -> Round {
        let [there, back] = &mut push;
        let [arrived, returned] = &mut pop;
        thread::scope(|threads| {
            threads.spawn(move || {
                probe::pin(0);
                let mut patience = Patience::long();
                for _ in 0..TRIPS {
                    let record = loop {
                        match arrived() {
                            Some(record) => break record,
                            None => patience.wait(),
                        }
                    };
                    back(&record);
                }
            });
            threads
                .spawn(move || {
                    probe::pin(1);
                    // One way.
                    Round::timed(2 * TRIPS as u64, || {
                        let mut patience = Patience::long();
                        for _ in 0..TRIPS {
                            there(&[7; LEN]);
                            while returned().is_none() {
                                patience.wait();
                            }
                        }
                        f64::NAN
                    })
                })
                .join()
                .unwrap()
        })
    }

    let [mut there, mut back] = array::from_fn(|_| heap::ring(RING_LEN).unwrap());
    let [mut many_there, mut many_back] = array::from_fn(|_| heap::shared(RING_LEN).unwrap());
    let [mut rtrb_there, mut rtrb_back] =
        array::from_fn(|_| rtrb::RingBuffer::<Record>::new(RING_LEN / LEN));
    let queues: [_; 2] = array::from_fn(|_| ArrayQueue::<Record>::new(RING_LEN / LEN));
    fn push<M: Mode>(producer: &mut Producer<'_, M>) -> impl FnMut(&Record) {
        |record| producer.push(record).unwrap()
    }
    fn pop(consumer: &mut Consumer<'_>) -> impl FnMut() -> Option<Record> {
        || {
            let record = consumer.records().next().map(|record| record.try_into().unwrap());
            if record.is_some() {
                consumer.release(1);
            }
            record
        }
    }
    const RTRB: &str = "rtrb of arrays";
    Group::new("ping-pong of 64 B, one way")
        .peer(RTRB, || {
            trips(
                [&mut rtrb_there.0, &mut rtrb_back.0]
                    .map(|producer| |record: &Record| producer.push(*record).unwrap()),
                [&mut rtrb_there.1, &mut rtrb_back.1].map(|consumer| || consumer.pop().ok()),
            )
        })
        .peer(ARRAY_QUEUE, || {
            trips(
                [&queues[0], &queues[1]]
                    .map(|queue| |record: &Record| queue.push(*record).unwrap()),
                [&queues[0], &queues[1]].map(|queue| || queue.pop()),
            )
        })
        .ours("ring of one", &[of(1.1, RTRB)], || {
            trips([push(&mut there.0), push(&mut back.0)], [pop(&mut there.1), pop(&mut back.1)])
        })
        .ours("ring of many", &[], || {
            trips(
                [push(&mut many_there.0), push(&mut many_back.0)],
                [pop(&mut many_there.1), pop(&mut many_back.1)],
            )
        })
        .classify(probe::cores)
        .run(Duration::from_secs(5));
}
