//! What the tests of frames share.
//!
//! [`spec`] is the oracle: the formats written once more, from their
//! description and without a call of the crate, for whole streams in memory.
//! [`members`] pairs each spec with the crate's format, [`drive`] runs the
//! crate's decoder over a stream in pieces, [`random`] makes what is damaged.

// Each test binary compiles all of it and uses a part.
#![allow(dead_code)]

pub(crate) mod crc;
pub(crate) mod drive;
pub(crate) mod members;
pub(crate) mod random;
pub(crate) mod spec;
