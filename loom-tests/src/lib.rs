//! Models of forebay's rings; see `tests/`.

#![forbid(unsafe_code)]
