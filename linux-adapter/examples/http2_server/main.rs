//! Serves the files under a directory over HTTP/2 without TLS ("prior
//! knowledge", RFC 9113, section 3.3).
//!
//! ```text
//! cargo run --release -p forebay-linux --example http2_server -- DIRECTORY 127.0.0.1:8080
//! curl --http2-prior-knowledge http://127.0.0.1:8080/some/file
//! curl --http2-prior-knowledge --data-binary @file http://127.0.0.1:8080/echo
//! ```
//!
//! GET and HEAD serve files; POST and PUT are counted, or echoed at `/echo`.
//! Each connection has a thread, and says on standard error how it went. SIGINT
//! and SIGTERM let what has begun be finished.

#![forbid(unsafe_code)]

mod server;

use std::{env, io, net::TcpListener, os::unix::net::UnixStream, process::ExitCode};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    low_level::pipe,
};

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    let (Some(root), address, None) = (args.next(), args.next(), args.next()) else {
        eprintln!("usage: http2_server DIRECTORY [ADDRESS:PORT]");
        return ExitCode::from(2);
    };
    let address = address.map_or("127.0.0.1:0".into(), |it| it.to_string_lossy().into_owned());
    match serve(&address, server::Config::new(root)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http2_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(address: &str, config: server::Config) -> io::Result<()> {
    let (stop, signal) = UnixStream::pair()?;
    pipe::register(SIGINT, signal.try_clone()?)?;
    pipe::register(SIGTERM, signal)?;
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    server::serve(&listener, &config, stop, |report| eprintln!("{report}"))
}
