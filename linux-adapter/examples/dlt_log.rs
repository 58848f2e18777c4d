//! The crate `log` over the DLT transport: what a program logs goes to the
//! daemon, at the level that somebody has set there.
//!
//! ```text
//! cargo run --example dlt_log
//! ```

#![forbid(unsafe_code)]

use std::{
    cell::RefCell,
    error::Error,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use forebay_linux::dlt::{Client, Context, Id, Level};
use log::{LevelFilter, Log, Metadata, Record, SetLoggerError};

thread_local! {
    /// Each thread's own handle, so that none waits for another.
    static OWN: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// Sends what is logged to one context.
pub(crate) struct DltLogger {
    /// What each thread's handle is a clone of.
    first: Mutex<Context>,
}

impl DltLogger {
    /// Makes it the logger of the program.
    pub(crate) fn install(context: Context) -> Result<(), SetLoggerError> {
        log::set_boxed_logger(Box::new(Self { first: Mutex::new(context) }))?;
        // What is sent is decided by the daemon, message by message.
        log::set_max_level(LevelFilter::Trace);
        Ok(())
    }

    /// Lends the thread's handle.
    fn with<T>(&self, call: impl FnOnce(&mut Context) -> T) -> T {
        let first = || self.first.lock().unwrap_or_else(PoisonError::into_inner).clone();
        OWN.with(|own| match own.try_borrow_mut() {
            Ok(mut own) => call(own.get_or_insert_with(first)),
            // It is in use: something logs while it is being logged.
            Err(_) => call(&mut first()),
        })
    }
}

const fn level(level: log::Level) -> Level {
    match level {
        log::Level::Error => Level::Error,
        log::Level::Warn => Level::Warn,
        log::Level::Info => Level::Info,
        log::Level::Debug => Level::Debug,
        log::Level::Trace => Level::Verbose,
    }
}

impl Log for DltLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.with(|context| context.is_enabled(level(metadata.level())))
    }

    fn log(&self, record: &Record<'_>) {
        // What is refused is counted, and the daemon's clients are told.
        let _ = self.with(|context| {
            let (level, target, text) = (level(record.level()), record.target(), record.args());
            context.log_fmt(level, format_args!("{target}: {text}"))
        });
    }

    fn flush(&self) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::builder(Id::new("LOGD")).description("an example of log").start()?;
    DltLogger::install(client.context(Id::new("MAIN"), "what is logged"))?;

    std::thread::scope(|threads| {
        for number in 0..4 {
            threads.spawn(move || log::info!("thread {number} is here"));
        }
    });
    log::warn!("the program ends");
    log::debug!("which is of interest to few");

    println!("{}", client.close(Duration::from_secs(1)).ledger);
    Ok(())
}
