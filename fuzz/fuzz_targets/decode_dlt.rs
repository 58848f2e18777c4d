//! See `forebay_fuzz::decode_dlt`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| forebay_fuzz::decode_dlt::run(data));
