//! After start-up neither a sender nor a drainer with an `FdSink` allocates,
//! blocked or not.

mod common;
#[path = "../../std-adapter/tests/common/counting.rs"]
mod counting;

use std::{io, os::fd::OwnedFd, os::unix::net::UnixStream, thread, time::Instant};

use common::{FORMAT, message, watchdog};
use counting::allocations;
use forebay_linux::{AutoTune, FdSink};
use forebay_std::{Drained, Drainer, FrameReader};
use rustix::{net::sockopt, pipe::fcntl_setpipe_size};

#[test]
fn a_sender_and_a_drainer_allocate_nothing() {
    let (near, far) = UnixStream::pair().unwrap();
    sockopt::set_socket_send_buffer_size(&near, 1).unwrap();
    let unix: (OwnedFd, OwnedFd) = (near.into(), far.into());
    let (far, near) = io::pipe().unwrap();
    fcntl_setpipe_size(&near, 4096).unwrap();
    for (near, far) in [unix, (near.into(), far.into())] {
        carries_without_allocating(near, io::PipeReader::from(far));
    }
}

fn carries_without_allocating(near: OwnedFd, far: io::PipeReader) {
    const ROUNDS: u32 = 200;
    /// More than either takes at once.
    const BURST: u32 = 400;
    let _held = watchdog("allocations");
    let sink = FdSink::nonblocking(near).unwrap().auto_tune(AutoTune::new(8192));
    let mut drainer = Drainer::new(FORMAT, sink);
    let mut sender = drainer.sender(1 << 16).unwrap();
    let mut frames = FrameReader::new(far, FORMAT);
    // Nobody reads yet, so the sink is blocked before all has left.
    (0..BURST).for_each(|number| sender.send(&message(0, number)).unwrap());
    let blocked = allocations(|| {
        while drainer.sink().counts().polls == 0 {
            assert_eq!(drainer.run_until(Instant::now()).unwrap(), Drained::Deadline);
        }
    });
    assert_eq!(blocked, 0);
    thread::scope(|threads| {
        let drained = threads.spawn(|| allocations(|| drainer.run().unwrap()));
        let mut receive = || {
            let mut received = 0;
            while received < BURST {
                match frames.next_frame().unwrap() {
                    Some(_) => received += 1,
                    None => assert!(frames.fill().unwrap()),
                }
            }
        };
        let here = allocations(|| {
            receive();
            for round in 1..=ROUNDS {
                (0..BURST).for_each(|number| sender.send(&message(round, number)).unwrap());
                // The drainer sleeps and wakes between the rounds.
                receive();
            }
        });
        drop(sender);
        assert_eq!((here, drained.join().unwrap()), (0, 0));
    });
    assert_eq!(drainer.ledger().delivered, u64::from((ROUNDS + 1) * BURST));
}
