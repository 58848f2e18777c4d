//! What the tests across the crates share.

pub mod conformance;
pub mod faulty;
