//! `tracing` events through a drainer: its sender is the writer of
//! `tracing-subscriber`'s formatter.
//!
//! ```text
//! cargo run -p forebay-std --example tracing_writer 3 1000
//! ```
//!
//! writes 1000 events from each of 3 threads to standard output, and the counts
//! to standard error.

use std::{
    env,
    error::Error,
    io, thread,
    time::{Duration, Instant},
};

use forebay_std::{
    Config, Drainer, Losses, Policy, Registrar, SenderError, SharedSender, WriteSink,
    forebay::frame::Plain,
};
use tracing_subscriber::fmt::MakeWriter;

/// Makes the writers of events; the formatter gives each event in one write.
struct Senders(std::sync::Mutex<SharedSender>);

impl Senders {
    /// A channel in which a thread waits a moment for room, before a line is
    /// lost and told of.
    fn new(registrar: &Registrar) -> Result<Self, SenderError> {
        let channel = registrar.channel().policy(Policy::Wait(Duration::from_millis(100)));
        Ok(Self(channel.report(tell).shared()?.into()))
    }
}

impl<'a> MakeWriter<'a> for Senders {
    type Writer = Event;

    fn make_writer(&'a self) -> Event {
        Event(self.0.lock().expect("whole").clone())
    }
}

/// One event on its way.
struct Event(SharedSender);

impl io::Write for Event {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A line that is lost is counted, and told of by the drainer: it is no
        // error of the program that logs.
        let _ = self.0.send(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line of the log that tells of lines that are not in it.
fn tell(losses: Losses, out: &mut [u8]) -> usize {
    let line = format!("WARN {} lines lost\n", losses.total());
    out[..line.len()].copy_from_slice(line.as_bytes());
    line.len()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let threads: u32 = args.next().as_deref().unwrap_or("2").parse()?;
    let lines: u32 = args.next().as_deref().unwrap_or("10").parse()?;

    let sink = WriteSink::new(io::stdout());
    let drainer = Drainer::with_config(&Config::from_env()?, Plain, sink).spawn()?;
    let senders = Senders::new(&drainer.registrar())?;
    tracing_subscriber::fmt()
        .with_writer(senders)
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .init();

    thread::scope(|scope| {
        for name in 0..threads {
            scope.spawn(move || {
                (0..lines).for_each(|line| tracing::info!("thread {name} line {line}"));
            });
        }
    });

    let shutdown = drainer.shutdown(Instant::now() + Duration::from_secs(10));
    eprintln!("{}: {}", shutdown.end(), shutdown.snapshot());
    Ok(())
}
