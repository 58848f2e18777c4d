//! The file context on the kernel that runs this.

#![allow(clippy::unwrap_used)]

mod basics;
mod common;
