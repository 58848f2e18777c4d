//! See `forebay_fuzz::decode_cobs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| forebay_fuzz::decode_cobs::run(data));
