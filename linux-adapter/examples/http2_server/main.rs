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
//! Each connection has a thread, and says on standard error how it went.

#![forbid(unsafe_code)]

mod server;

use std::{env, net::TcpListener, process::ExitCode};

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    let (Some(root), address, None) = (args.next(), args.next(), args.next()) else {
        eprintln!("usage: http2_server DIRECTORY [ADDRESS:PORT]");
        return ExitCode::from(2);
    };
    let address = address.map_or("127.0.0.1:0".into(), |it| it.to_string_lossy().into_owned());
    let result = TcpListener::bind(&address).and_then(|listener| {
        println!("listening on {}", listener.local_addr()?);
        server::serve(&listener, root.as_ref(), |report| eprintln!("{report}"))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http2_server: {error}");
            ExitCode::FAILURE
        }
    }
}
