//! The rings under loom: the models, and the twins that they must reject.

#![cfg(forebay_loom)]
#![allow(unexpected_cfgs, reason = "the twins have the features of the core")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "what makes a twin has no excuse")]
#![allow(clippy::duplicate_mod, reason = "each twin has the models")]

extern crate alloc;

mod shipped;

include!(concat!(env!("OUT_DIR"), "/twins.rs"));
