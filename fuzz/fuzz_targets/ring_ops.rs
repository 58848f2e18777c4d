//! See `forebay_fuzz::ring_ops`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| forebay_fuzz::ring_ops::run(data));
