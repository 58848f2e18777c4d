//! A TFTP server (RFC 1350, 2347, 2348, 2349 and 7440) on tokio.
//!
//! ```text
//! cargo run --release -p forebay-linux --features tokio --example tftp_server -- \
//!     DIRECTORY [ADDRESS:PORT] [--write | --overwrite]
//! ```
//!
//! Whatever clients ask for, a transfer takes one buffer of 64 KiB, and there
//! are at most 1024 of them. `packet` and `options` are the protocol's bytes,
//! `read` and `write` its two sides as state machines without I/O, `transfer`
//! drives one of them, `server` takes the requests, `paths` keeps them within
//! the directory and `files` moves the bytes.

pub(crate) mod files;
pub(crate) mod netascii;
pub(crate) mod options;
pub(crate) mod packet;
pub(crate) mod paths;
pub(crate) mod read;
pub(crate) mod server;
pub(crate) mod transfer;
pub(crate) mod write;

use std::{env, error::Error, net::SocketAddr, sync::atomic::Ordering};

use paths::Writes;
use server::{BUFFER_LEN, Config, Counts, Server};
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

const USAGE: &str = "usage: tftp_server DIRECTORY [ADDRESS:PORT] [--write | --overwrite]";

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = None;
    let mut address: SocketAddr = "127.0.0.1:6969".parse()?;
    let mut writes = Writes::Refused;
    for word in env::args_os().skip(1) {
        match word.to_str() {
            Some("--write") => writes = Writes::New,
            Some("--overwrite") => writes = Writes::Any,
            Some(option) if option.starts_with("--") => return Err(USAGE.into()),
            _ if config.is_none() => config = Some(Config::new(&word)),
            word => address = word.ok_or(USAGE)?.parse()?,
        }
    }
    let config = Config { writes, ..config.ok_or(USAGE)? };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = Server::bind(address, config).await?;
        let shared = server.shared();
        let mut terminated = signal(SignalKind::terminate())?;
        println!("listening on {}, {}", server.local_addr()?, shared.files.how());
        // What is under way then is given up, and files that are not whole go.
        tokio::select! {
            result = server.run() => result?,
            result = ctrl_c() => result?,
            _ = terminated.recv() => {}
        }
        let Counts { done, failed, repeated } = &shared.counts;
        let [done, failed, repeated] =
            [done, failed, repeated].map(|it| it.load(Ordering::Relaxed));
        let (_, buffers) = shared.files.lent();
        println!(
            "transfers: done {done}, failed {failed}, asked for again {repeated}; \
             at most {buffers} buffers of {BUFFER_LEN} bytes"
        );
        Ok(())
    })
}
