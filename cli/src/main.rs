//! The forebay command: demonstrates, sends, receives, relays, copies, encodes,
//! decodes and recovers.

#![forbid(unsafe_code)]

mod copy;
mod decode;
mod demo;
mod dlt;
mod doctor;
mod encode;
mod format;
mod hex;
mod http2;
mod interrupt;
mod listener;
mod messages;
mod outlet;
mod peer;
mod recover;
mod recv;
mod relay;
mod send;
mod stdio;
mod target;
mod way;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use stdio::report;

/// Carries many small messages to one descriptor in few system calls.
#[derive(Debug, Parser)]
#[command(name = "forebay", version, after_help = EXIT_STATUSES)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Send(send::Args),
    Recv(recv::Args),
    Relay(relay::Args),
    Copy(copy::Args),
    Doctor(doctor::Args),
    Encode(encode::Args),
    Decode(decode::Args),
    Recover(recover::Args),
}

/// What the status of every command says.
const EXIT_STATUSES: &str = "\
Exit status: 0 all went well, 1 damage or loss was seen, 2 the request could not
be carried out (usage, files, peers).";

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Send(args) => send::run(&args),
        Command::Recv(args) => recv::run(&args),
        Command::Relay(args) => relay::run(&args),
        Command::Copy(args) => copy::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Encode(args) => encode::run(&args),
        Command::Decode(args) => decode::run(&args),
        Command::Recover(args) => recover::run(&args),
    };
    let status = result.unwrap_or_else(|error| {
        report!("forebay: {error}");
        ExitCode::from(2)
    });
    interrupt::end();
    status
}
