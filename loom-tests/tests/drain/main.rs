//! The drainer under loom, with its registrars and its end: the models, and the
//! twins that they must reject.

#![cfg(forebay_loom)]
#![allow(missing_docs)]
#![allow(clippy::duplicate_mod, reason = "each twin has the models")]

include!(concat!(env!("OUT_DIR"), "/drain.rs"));
