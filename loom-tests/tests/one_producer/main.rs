//! The one-producer ring under loom: the models, and its twins.

#![cfg(forebay_loom)]
#![allow(unexpected_cfgs, reason = "the twins have the features of the core")]

extern crate alloc;

mod shipped;

include!(concat!(env!("OUT_DIR"), "/twins.rs"));
