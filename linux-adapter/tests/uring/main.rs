//! The file context on the kernel that runs this.

#![allow(clippy::unwrap_used)]

mod basics;
mod common;
mod direct;
mod modes;
mod oracle;
mod safety;
mod sink;
