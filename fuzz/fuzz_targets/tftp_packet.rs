//! See `forebay_fuzz::tftp_packet`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| forebay_fuzz::tftp_packet::run(data));
