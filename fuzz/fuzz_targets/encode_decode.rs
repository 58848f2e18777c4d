//! See `forebay_fuzz::encode_decode`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| forebay_fuzz::encode_decode::run(data));
