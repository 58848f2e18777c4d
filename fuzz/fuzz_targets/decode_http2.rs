//! See `forebay_fuzz::decode_http2`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| forebay_fuzz::decode_http2::run(data));
