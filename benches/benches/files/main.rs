//! Files: forebay's ring and its futures for tokio beside plain calls and
//! beside other users of io_uring. See `README.md`.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation, clippy::print_stdout)]

mod data;
mod direct;
mod end;
mod one;
mod sends;
mod transfers;
mod writes;

use std::env;

fn main() {
    let args: Vec<String> = env::args().collect();
    if let Some(name) = args.iter().find_map(|arg| arg.strip_prefix("--child=")) {
        transfers::child(name);
        return;
    }
    let data = data::Data::new();
    one::reads(&data);
    writes::one_at_a_time(&data);
    writes::many_at_a_time(&data);
    direct::reads(&data);
    direct::synced_writes(&data);
    transfers::cached(&data);
    transfers::sizes();
    sends::run();
    end::drops(&data);
}
