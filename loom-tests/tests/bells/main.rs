//! The wake-up under loom: the models, and the twins that they must reject.

#![cfg(forebay_loom)]
#![allow(missing_docs)]

include!(concat!(env!("OUT_DIR"), "/bells.rs"));
