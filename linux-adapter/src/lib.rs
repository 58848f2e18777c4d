//! forebay on Linux.
#![forbid(unsafe_code)]
