//! Models of forebay's rings; see `tests/`.
