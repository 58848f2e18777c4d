//! Sends lines of standard input, or a number of messages, to the DLT daemon.
//!
//! ```text
//! cargo run --release --example dlt_send -- --count 100000
//! some-program 2>&1 | dlt_send --app PROG --context OUT --directory /tmp
//! ```
//!
//! What the ring has no room for is offered again, since input can wait; a
//! program that cannot would leave that out and let it be counted.

#![forbid(unsafe_code)]

use std::{
    env,
    error::Error,
    io::{self, BufRead, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use forebay_linux::dlt::{Client, Context, Endpoint, Id, Level, SendError};

const USAGE: &str = "usage: dlt_send [--app ID] [--context ID] [--directory DIR | --socket PATH] \
[--count N] [--seconds S]";

fn main() -> ExitCode {
    let args = env::args().skip(1);
    match run(args, &mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("dlt_send: {error}");
            ExitCode::from(2)
        }
    }
}

/// What the arguments ask for.
struct Options {
    app: Id,
    context: Id,
    endpoint: Endpoint,
    /// So many messages instead of lines.
    count: Option<u64>,
    /// How long the daemon may take for the rest.
    patience: Duration,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Self {
            app: Id::new("SEND"),
            context: Id::new("LINE"),
            endpoint: Endpoint::default_fifo(),
            count: None,
            patience: Duration::from_secs(10),
        };
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value; {USAGE}"))?;
            match name.as_str() {
                "--app" => options.app = value.parse()?,
                "--context" => options.context = value.parse()?,
                "--directory" => options.endpoint = Endpoint::Fifo(PathBuf::from(value)),
                "--socket" => options.endpoint = Endpoint::Socket(PathBuf::from(value)),
                "--count" => options.count = Some(value.parse()?),
                "--seconds" => options.patience = Duration::from_secs(value.parse()?),
                _ => return Err(format!("no option {name}; {USAGE}").into()),
            }
        }
        Ok(options)
    }
}

/// Sends; exit status 1 when a message has not left.
pub(crate) fn run(
    args: impl Iterator<Item = String>,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
) -> Result<ExitCode, Box<dyn Error>> {
    let Options { app, context, endpoint, count, patience } = Options::parse(args)?;
    let client = Client::builder(app).description("lines of text").endpoint(endpoint).start()?;
    let mut context = client.context(context, "lines of text");
    match count {
        Some(count) => {
            for number in 0..count {
                send(&client, &mut context, &format!("message {number}"), patience)?;
            }
        }
        None => {
            for line in input.lines() {
                send(&client, &mut context, &line?, patience)?;
            }
        }
    }
    let counts = client.close(patience);
    writeln!(output, "{}", counts.ledger)?;
    writeln!(
        output,
        "{} system calls, {} connections, {} sent again, {} refusals told",
        counts.calls(),
        counts.connects,
        counts.resent,
        counts.reported
    )?;
    Ok(ExitCode::from(u8::from(counts.ledger.in_flight() > 0)))
}

/// Sends one text, when there is room for it.
fn send(
    client: &Client,
    context: &mut Context,
    text: &str,
    patience: Duration,
) -> Result<(), Box<dyn Error>> {
    loop {
        match context.log(Level::Info, text) {
            Ok(()) => return Ok(()),
            Err(SendError::Ring(_)) if client.flush(patience) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
