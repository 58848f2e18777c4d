//! The TFTP server of the examples: its state machines without sockets, and
//! the whole of it with clients of its own and with real ones, over a line
//! that loses, doubles and reorders.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../../tests/src/restrict.rs"]
mod restrict;
// Its `main` is run by `program`, as a program.
#[allow(dead_code)]
#[path = "../../examples/tftp_server/main.rs"]
mod tftp_server;

mod agreement;
mod client;
mod crowd;
mod line;
mod machines;
mod program;
mod programs;
mod random;
mod requests;
mod served;
