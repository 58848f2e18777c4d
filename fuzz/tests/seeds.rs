//! The seeds hold without a fuzzer, each also cut short at every byte.

use std::{fs, path::Path};

fn seeds(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let mut seeds = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        let seed = fs::read(path).unwrap();
        // Miri is too slow for all of them.
        let shortest = if cfg!(miri) { seed.len() } else { 0 };
        (shortest..=seed.len()).for_each(|len| run(&seed[..len]));
        seeds += 1;
    }
    assert!(seeds >= 4, "{seeds} seeds of {target}");
}

#[test]
fn decode_prefixed() {
    seeds("decode_prefixed", forebay_fuzz::decode_prefixed::run);
}

#[test]
fn decode_cobs() {
    seeds("decode_cobs", forebay_fuzz::decode_cobs::run);
}

#[test]
fn decode_dlt() {
    seeds("decode_dlt", forebay_fuzz::decode_dlt::run);
}

#[test]
fn decode_http2() {
    seeds("decode_http2", forebay_fuzz::decode_http2::run);
}

#[test]
fn encode_decode() {
    seeds("encode_decode", forebay_fuzz::encode_decode::run);
}

#[test]
fn ring_ops() {
    seeds("ring_ops", forebay_fuzz::ring_ops::run);
}

#[test]
fn batch_ops() {
    seeds("batch_ops", forebay_fuzz::batch_ops::run);
}

#[test]
fn recover() {
    seeds("recover", forebay_fuzz::recover::run);
}

#[test]
fn tftp_packet() {
    seeds("tftp_packet", forebay_fuzz::tftp_packet::run);
}
