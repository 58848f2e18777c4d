//! See `forebay_fuzz::recover`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| forebay_fuzz::recover::run(data));
