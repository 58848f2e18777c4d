//! See `forebay_fuzz::batch_ops`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| forebay_fuzz::batch_ops::run(data));
