//! `O_DIRECT`: what it demands is known before the kernel is asked.

use forebay_linux::uring::{Alignment, Config, Misaligned, OpenOptions, Part, Way, Why};
use rustix::io::Errno;

use crate::common::{Directory, bytes, complete_move, context, open, read_all, try_open};

#[test]
fn aligned_transfers_pass_and_others_are_refused_with_the_figures() {
    let directory = Directory::new();
    let path = directory.file("file", 40_000);
    for registered in [false, true] {
        let config = Config::new().queue_depth(8).registered_buffers(registered);
        let Some(mut context) = context(&config) else { return };
        let options = OpenOptions::read_write().direct();
        let file = match try_open(&mut context, &path, options) {
            Err(Errno::INVAL) => {
                println!("SKIPPED: no O_DIRECT in {}", path.display());
                return;
            }
            file => file.unwrap(),
        };
        let Alignment { memory, offset } = file.alignment().unwrap();
        assert!(memory.is_power_of_two() && memory <= 4096, "{memory}");
        assert!(offset.is_power_of_two() && (512..=65536).contains(&offset), "{offset}");

        let lease = context.lease().unwrap();
        assert_eq!(lease.as_ptr().addr() % 4096, 0);
        let before = context.counts();
        let (part, have) = (Part::Offset, u64::from(offset) + 1);
        let refused = context.read(&file, lease, 4096, have).unwrap_err();
        let expected = Misaligned { part, have, multiple_of: offset };
        assert_eq!(refused.why, Why::Misaligned(expected));
        let refused = context.write(&file, refused.lease, 100, 0).unwrap_err();
        let expected = Misaligned { part: Part::Length, have: 100, multiple_of: offset };
        assert_eq!(refused.why, Why::Misaligned(expected));
        let refused = context.write_and_sync(&file, refused.lease, 513, 0).unwrap_err();
        assert!(matches!(refused.why, Why::Misaligned(_)));
        assert_eq!(context.counts(), before, "nothing has been asked of the kernel");

        // All that the page cache is not asked for goes by the ring.
        assert_eq!(read_all(&mut context, &file, 40_000), bytes(40_000));
        let mut lease = refused.lease;
        lease[..8192].fill(9);
        let ticket = context.write(&file, lease, 8192, 8192).unwrap();
        assert_eq!(complete_move(&mut context, ticket).1, Ok(8192));
        let counts = context.counts();
        assert_eq!((counts.cached_reads, counts.plain_writes), (0, 0));
        let mut expected = bytes(40_000);
        expected[8192..16384].fill(9);
        assert_eq!(std::fs::read(&path).unwrap(), expected);
        std::fs::write(&path, bytes(40_000)).unwrap();
    }
}

#[test]
fn a_file_without_o_direct_takes_any_transfer() {
    let directory = Directory::new();
    let path = directory.file("file", 1000);
    let Some(mut context) = context(&Config::new().reads(Way::Ring)) else { return };
    let file = open(&mut context, &path, OpenOptions::read_only());
    assert_eq!(file.alignment(), None);
    let lease = context.lease().unwrap();
    let ticket = context.read(&file, lease, 13, 7).unwrap();
    let (lease, len) = complete_move(&mut context, ticket);
    assert_eq!((len, &lease[..13]), (Ok(13), &bytes(20)[7..]));
}

/// A file that another part of the program has opened is asked for its flags.
#[test]
fn an_adopted_file_knows_its_alignment() {
    let directory = Directory::new();
    let path = directory.file("file", 4096);
    let Some(mut context) = context(&Config::new()) else { return };
    use std::os::unix::fs::OpenOptionsExt;
    let flags = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap();
    let direct = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(&path);
    let Ok(direct) = direct else {
        println!("SKIPPED: no O_DIRECT in {}", path.display());
        return;
    };
    let file = context.adopt(direct);
    assert!(file.alignment().is_some());
}
