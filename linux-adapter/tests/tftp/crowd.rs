//! A thousand clients at once.

use std::{
    fs, io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;

use super::{
    client::Client,
    random::Random,
    served::{Served, runtime},
    tftp_server::server::BUFFER_LEN,
};

const CLIENTS: usize = 1000;
const FILE_LEN: usize = 1 << 20;

/// The most memory that this process has had, in bytes (proc(5)).
fn memory_max() -> io::Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    Ok(kib.ok_or(io::ErrorKind::InvalidData)? * 1024)
}

#[test]
fn a_thousand_clients_read_a_mebibyte_each() {
    // Three descriptors a transfer: the client's, the server's, the file.
    let files = Rlimit { current: Some(4096), maximum: getrlimit(Resource::Nofile).maximum };
    if let Err(error) = setrlimit(Resource::Nofile, files) {
        println!("SKIPPED: 4096 open files are not allowed: {error}");
        return;
    }
    let served = Served::new(|config| {
        config.transfers_max = CLIENTS;
        config.timeout = Duration::from_millis(500);
        config.tries_max = 60;
    });
    // Each file of its own content, so that none can be taken for another.
    let contents: Vec<Arc<Vec<u8>>> =
        (0..10).map(|seed| Arc::new(Random(seed).bytes(FILE_LEN))).collect();
    for (number, content) in contents.iter().enumerate() {
        served.put(&number.to_string(), content);
    }
    let address = served.address;
    let bytes: usize = runtime().block_on(async {
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let content = contents[number % contents.len()].clone();
            clients.spawn(async move {
                let name = (number % 10).to_string();
                let mut client = Client::new(address, &[("blksize", 8192), ("windowsize", 7)]);
                client.patience = Duration::from_secs(1);
                let mut at = 0;
                let report = client
                    .read(&name, |data| {
                        assert!(content[at..].starts_with(data), "{name} from byte {at} on");
                        at += data.len();
                    })
                    .await
                    .unwrap();
                assert_eq!((report.agreed["blksize"], report.agreed["windowsize"]), (8192, 7));
                at
            });
        }
        clients.join_all().await.into_iter().sum()
    });
    assert_eq!(bytes, CLIENTS * FILE_LEN);
    let (_, lent_max) = served.shared.files.lent();
    let memory = memory_max().unwrap();
    println!(
        "{CLIENTS} clients, {}: {lent_max} buffers of {BUFFER_LEN} bytes at once, \
         most memory of clients and server {memory} bytes",
        served.shared.files.how()
    );
    assert!((2..=CLIENTS).contains(&lent_max), "{lent_max}");
    // What the tests beside this one hold is in it, and what a sanitizer keeps,
    // but not all files at once.
    assert!(memory < CLIENTS * FILE_LEN / 2, "{memory}");
    // The last ACK ends a transfer, after the client has gone.
    while served.shared.counts.done.load(Ordering::Relaxed) < CLIENTS as u64 {
        std::thread::yield_now();
    }
    assert_eq!(served.shared.counts.failed.load(Ordering::Relaxed), 0);
}
