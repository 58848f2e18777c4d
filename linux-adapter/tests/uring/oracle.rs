//! The `io-uring` crate and `pread`/`pwrite` do the same: random operations,
//! the same results.

use std::{fs, os::fd::AsRawFd};

use forebay_linux::uring::{Config, OpenOptions, Way};
use io_uring::{IoUring, opcode, types::Fd};
use proptest::prelude::*;

use crate::common::{Directory, bytes, complete_move, context, open};

#[derive(Clone, Copy, Debug)]
enum Operation {
    Read { offset: u64, len: u32 },
    Write { offset: u64, len: u32, byte: u8 },
    Sync,
}

fn operation() -> impl Strategy<Value = Operation> {
    let range = || (0u64..70_000, 0u32..9000);
    prop_oneof![
        4 => range().prop_map(|(offset, len)| Operation::Read { offset, len }),
        4 => (range(), any::<u8>())
            .prop_map(|((offset, len), byte)| Operation::Write { offset, len, byte }),
        1 => Just(Operation::Sync),
    ]
}

/// By the crate: the result and what has been read.
fn by_crate(ring: &mut IoUring, file: &fs::File, operation: Operation) -> (i32, Vec<u8>) {
    let fd = Fd(file.as_raw_fd());
    let mut buffer = vec![0; 9000];
    let entry = match operation {
        Operation::Read { offset, len } => {
            opcode::Read::new(fd, buffer.as_mut_ptr(), len).offset(offset).build()
        }
        Operation::Write { offset, len, byte } => {
            buffer.fill(byte);
            opcode::Write::new(fd, buffer.as_ptr(), len).offset(offset).build()
        }
        Operation::Sync => opcode::Fsync::new(fd).build(),
    };
    push(ring, &entry);
    ring.submit_and_wait(1).unwrap();
    let result = ring.completion().next().unwrap().result();
    if let Operation::Read { .. } = operation {
        buffer.truncate(usize::try_from(result).unwrap_or(0));
        return (result, buffer);
    }
    (result, vec![])
}

#[allow(unsafe_code)]
fn push(ring: &mut IoUring, entry: &io_uring::squeue::Entry) {
    // SAFETY: the caller waits for the completion before it drops the buffer.
    unsafe { ring.submission().push(entry) }.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn both_say_the_same(operations in prop::collection::vec(operation(), 1..40), inline: bool) {
        let way = if inline { Way::Inline } else { Way::Ring };
        let Some(mut context) = context(&Config::new().queue_depth(4).reads(way).writes(way))
        else { return Ok(()) };
        let mut ring = IoUring::new(4).unwrap();
        let directory = Directory::new();
        let (ours, theirs) = (directory.path("ours"), directory.path("theirs"));
        fs::write(&ours, bytes(20_000)).unwrap();
        fs::write(&theirs, bytes(20_000)).unwrap();
        let file = open(&mut context, &ours, OpenOptions::read_write());
        let peer = fs::OpenOptions::new().read(true).write(true).open(&theirs).unwrap();
        for operation in operations {
            let expected = by_crate(&mut ring, &peer, operation);
            let mut lease = context.lease().unwrap();
            let said = match operation {
                Operation::Read { offset, len } => {
                    let ticket = context.read(&file, lease, len as usize, offset).unwrap();
                    let (lease, count) = complete_move(&mut context, ticket);
                    let count = count.unwrap();
                    (i32::try_from(count).unwrap(), lease[..count].to_vec())
                }
                Operation::Write { offset, len, byte } => {
                    lease.fill(byte);
                    let ticket = context.write(&file, lease, len as usize, offset).unwrap();
                    let count = complete_move(&mut context, ticket).1.unwrap();
                    (i32::try_from(count).unwrap(), vec![])
                }
                Operation::Sync => {
                    drop(lease);
                    let ticket = context.sync(&file, false).unwrap();
                    context.complete(ticket).unwrap();
                    (0, vec![])
                }
            };
            prop_assert_eq!(said, expected, "{:?}", operation);
        }
        prop_assert!(fs::read(&ours).unwrap() == fs::read(&theirs).unwrap());
    }
}
