//! The `log` crate's lines through a drainer: a thread that logs never waits
//! for the terminal or the disk, and a line that finds no room is counted and
//! told of in the log itself.
//!
//! ```text
//! cargo run -p forebay-std --example log_writer 3 1000
//! ```
//!
//! writes 1000 lines from each of 3 threads to standard output, and the counts
//! to standard error.

use std::{
    cell::RefCell,
    env,
    error::Error,
    fmt::Write as _,
    io, thread,
    time::{Duration, Instant},
};

use forebay_std::{Config, Drainer, Losses, SharedSender, WriteSink, forebay::frame::Plain};
use log::{LevelFilter, Log, Metadata, Record};

/// A logger whose clones of one sender are made where they are needed: one for
/// each thread that logs.
struct Logger(SharedSenderSource);

/// A sender that is only cloned, which needs no lock for long.
struct SharedSenderSource(std::sync::Mutex<SharedSender>);

thread_local! {
    static SENDER: RefCell<Option<SharedSender>> = const { RefCell::new(None) };
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Log for Logger {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            // Writing to a string does not fail.
            let _ = writeln!(line, "{} {}", record.level(), record.args());
            SENDER.with_borrow_mut(|sender| {
                let sender = sender.get_or_insert_with(|| self.0.0.lock().expect("whole").clone());
                // A line that is lost is counted, and told of by the drainer.
                let _ = sender.send(line.as_bytes());
            });
        });
    }

    fn flush(&self) {}
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
    let sender = drainer.channel().report(tell).shared()?;
    log::set_boxed_logger(Box::new(Logger(SharedSenderSource(sender.into()))))?;
    log::set_max_level(LevelFilter::Info);

    thread::scope(|scope| {
        for name in 0..threads {
            scope
                .spawn(move || (0..lines).for_each(|line| log::info!("thread {name} line {line}")));
        }
    });

    let shutdown = drainer.shutdown(Instant::now() + Duration::from_secs(10));
    eprintln!("{}: {}", shutdown.end(), shutdown.snapshot());
    Ok(())
}
