//! How long a context takes that is dropped with reads under way.

use std::{
    env,
    time::{Duration, Instant},
};

use forebay_linux::uring::{Config, Context, leaked};

use crate::data::{Data, direct};

const READS: u64 = 16;
const LEN: usize = 64 * 1024;
const ROUNDS: usize = 200;

pub(crate) fn drops(data: &Data) {
    const TITLE: &str = "drop of a context with O_DIRECT reads under way";
    let mut parts = env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
    if parts.peek().is_some() && !parts.any(|part| TITLE.contains(&part)) {
        return;
    }
    let rounds = if env::args().any(|arg| arg == "--bench") { ROUNDS } else { 2 };
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let config = Config::new().queue_depth(READS as u32).buffer_len(LEN);
            let mut context = Context::new(&config).unwrap();
            let file = context.adopt(direct(&data.large()));
            for index in 0..READS {
                let lease = context.lease().unwrap();
                context.read(&file, lease, LEN, index * LEN as u64).unwrap();
            }
            context.submit().unwrap();
            let start = Instant::now();
            drop(context);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let slowest = times[times.len() - 1];
    let word = if slowest <= Duration::from_millis(10) { "met" } else { "missed" };
    println!("\n{TITLE}, {READS} of 64 KiB ({rounds} rounds)");
    println!(
        "  median {:.2} ms, slowest {:.2} ms, <= 10 ms {word}; {} operations leaked",
        times[times.len() / 2].as_secs_f64() * 1e3,
        slowest.as_secs_f64() * 1e3,
        leaked()
    );
}
