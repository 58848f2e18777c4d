//! forebay on any system with std.
#![forbid(unsafe_code)]
