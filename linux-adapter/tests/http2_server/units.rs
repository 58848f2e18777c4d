//! The parts of the example `http2_server`, each by itself.

mod hpack {
    use loona_hpack::{Decoder, Encoder, huffman::HuffmanDecoder};

    use super::super::server::hpack::{Hpack, HpackError, unhuffman};

    type List = Vec<(Vec<u8>, Vec<u8>)>;

    fn decode(hpack: &mut Hpack, block: &[u8]) -> Result<List, HpackError> {
        let mut list = Vec::new();
        hpack.decode(block, |name, value| {
            list.push((name.to_vec(), value.to_vec()));
            Ok(())
        })?;
        Ok(list)
    }

    /// Reproducible words.
    struct Random(u64);

    impl Random {
        fn below(&mut self, end: u64) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from((self.0 >> 33) % end).unwrap()
        }

        fn bytes(&mut self, len_max: u64) -> Vec<u8> {
            let len = self.below(len_max);
            (0..len).map(|_| self.below(256).to_le_bytes()[0]).collect()
        }
    }

    /// RFC 7541, appendix C.4: three requests of one connection.
    #[test]
    fn the_examples_of_the_rfc() {
        let mut hpack = Hpack::new();
        let blocks: [&[u8]; 3] = [
            b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
            b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf",
            b"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf",
        ];
        let last = blocks.map(|block| decode(&mut hpack, block).unwrap().pop().unwrap());
        let expected: [(&[u8], &[u8]); 3] = [
            (b":authority", b"www.example.com"),
            (b"cache-control", b"no-cache"),
            (b"custom-key", b"custom-value"),
        ];
        assert_eq!(last, expected.map(|(name, value)| (name.to_vec(), value.to_vec())));
        assert_eq!((hpack.entries.len(), hpack.len), (3, 164));
    }

    #[test]
    fn the_static_table_is_the_other_decoders() {
        for index in 1..=61 {
            let block = [0x80 | index];
            assert_eq!(
                decode(&mut Hpack::new(), &block),
                Ok(Decoder::new().decode(&block).unwrap())
            );
        }
        assert_eq!(decode(&mut Hpack::new(), b"\xBE"), Err(HpackError::Index(62)));
        assert_eq!(decode(&mut Hpack::new(), b"\x80"), Err(HpackError::Index(0)));
    }

    /// Random bytes, most of which are no code, and the ends of good ones.
    #[test]
    fn huffman_strings_are_the_other_decoders() {
        let mut random = Random(1);
        let mut good = 0;
        for _ in 0..20_000 {
            let mut bytes = random.bytes(6);
            if random.below(2) == 0 {
                bytes.push(0xFF >> random.below(8));
            }
            let other = HuffmanDecoder::new().decode(&bytes).ok();
            good += usize::from(other.is_some());
            assert_eq!(unhuffman(&bytes), other, "{bytes:02x?}");
        }
        assert!(good > 1_000, "{good}");
    }

    /// Connections of many blocks with the dynamic table in use.
    #[test]
    fn blocks_are_the_other_decoders() {
        let mut random = Random(2);
        for _ in 0..50 {
            let (mut encoder, mut ours, mut other) = (Encoder::new(), Hpack::new(), Decoder::new());
            for _ in 0..40 {
                let list: Vec<_> = (0..random.below(8))
                    .map(|_| (vec![b'a'; random.below(4) + 1], random.bytes(300)))
                    .collect();
                let block =
                    encoder.encode(list.iter().map(|(name, value)| (&name[..], &value[..])));
                assert_eq!(decode(&mut ours, &block), Ok(list.clone()));
                assert_eq!(other.decode(&block).unwrap(), list);
            }
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_told() {
        for (block, error) in [
            (&b"\x3F"[..], HpackError::Cut),
            (b"\x40", HpackError::Cut),
            (b"\x00\x05ab", HpackError::Cut),
            (b"\xFF\xFF\xFF\xFF\xFF\x01", HpackError::Integer),
            (b"\x3F\xE2\x1F", HpackError::TableSize(4097)),
            (b"\x82\x20", HpackError::TableSize(0)),
            (b"\x00\x81\x00\x00", HpackError::Huffman),
            // A byte of padding, and an end-of-string symbol.
            (b"\x00\x81\xFF\x00", HpackError::Huffman),
            (b"\x00\x84\xFF\xFF\xFF\xFF\x00", HpackError::Huffman),
        ] {
            assert_eq!(decode(&mut Hpack::new(), block), Err(error), "{block:02x?}");
        }
        // Sizes at the front, the first too small for what is in the table.
        let mut hpack = Hpack::new();
        decode(&mut hpack, b"\x40\x01a\x01b").unwrap();
        assert_eq!(decode(&mut hpack, b"\x20\x3F\xE1\x1F\xBE"), Err(HpackError::Index(62)));
    }
}

mod fields {
    use loona_hpack::Decoder;

    use super::super::server::fields::{Bad, Fields, response};

    #[test]
    fn responses_decode_to_what_they_say() {
        let decode = |block: &[u8]| {
            let list = Decoder::new().decode(block).unwrap();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            list.into_iter().map(|(name, value)| (text(name), text(value))).collect::<Vec<_>>()
        };
        for status in [200, 400, 404, 405, 431] {
            let fields = decode(&response(status, Some(1 << 40)));
            let expected = [
                (":status", status.to_string()),
                ("content-type", "application/octet-stream".into()),
                ("content-length", "1099511627776".into()),
            ];
            assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value)));
        }
    }

    fn block(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).unwrap());
                block.extend(text.as_bytes());
            }
        }
        block
    }

    const GET: [(&str, &str); 3] = [(":method", "GET"), (":scheme", "http"), (":path", "/a")];

    #[test]
    fn requests_are_checked() {
        let request = |more: &[(&str, &str)]| Fields::new().request(&block(&[&GET, more].concat()));
        assert_eq!(request(&[]).unwrap().path, b"/a");
        assert_eq!(request(&[("content-length", "7")]).unwrap().content_length, Some(7));
        for bad in [
            (":path", "/b"),
            (":status", "200"),
            ("Upper", "x"),
            ("", "x"),
            ("connection", "close"),
            ("te", "gzip"),
            ("content-length", "-1"),
            ("content-length", "+1"),
            ("content-length", ""),
            ("x", "a\r\nb"),
            ("x", " a"),
            ("x", "a\t"),
        ] {
            assert!(matches!(request(&[bad]), Err(Bad::Malformed(_))), "{bad:?}");
        }
        assert!(matches!(request(&[("a", "b"), (":authority", "c")]), Err(Bad::Malformed(_))));
        for (at, bad) in [(0, "GET "), (1, "ht\ntp"), (2, "/a\0")] {
            let mut fields = GET;
            fields[at].1 = bad;
            assert!(
                matches!(Fields::new().request(&block(&fields)), Err(Bad::Malformed(_))),
                "{bad}"
            );
        }
        let missing = Fields::new().request(&block(&GET[..2]));
        assert!(matches!(missing, Err(Bad::Malformed(_))));
    }

    #[test]
    fn what_cannot_be_decoded_is_no_panic() {
        for bad in [&b"\x3f"[..], b"\xFF", b"\x80", b"\xBE", b"\x00\x05ab", b"\x3F\xFF\xFF\x7F"] {
            assert!(matches!(Fields::new().request(bad), Err(Bad::Compression(_))), "{bad:?}");
        }
        // A bomb: one long field in the table, named thousands of times; or its
        // name, so that it is copied for each.
        let long = [&b"\x7F\xA1\x1E"[..], &[b'x'; 4000]].concat();
        for (name, value, again) in [
            (&b"\x01a"[..], &long[..], &b"\xBE"[..]),
            (&long, b"\x01b", b"\x0F\x2F\0"),
            (&long, b"\x01b", b"\x7E\0"),
        ] {
            let block = |times| [b"\x40", name, value, &again.repeat(times)].concat();
            assert_eq!(Fields::new().trailers(&block(3)), Ok(()));
            assert_eq!(Fields::new().trailers(&block(10)), Err(Bad::TooLong));
            assert!(matches!(Fields::new().trailers(&block(10_000)), Err(Bad::Flood(_))));
        }
    }
}

mod files {
    use std::{
        fs::{self, File},
        io::Read,
        os::{fd::OwnedFd, unix::fs::symlink},
    };

    use rustix::{fs::OFlags, io::Errno};

    use super::super::{
        common::Scratch,
        server::files::{beneath::open_by_steps, relative},
    };

    /// The way without `openat2(2)`, which follows no link at all.
    #[test]
    fn steps_stay_under_the_directory() {
        let scratch = Scratch::new();
        let path = scratch.path(".");
        fs::create_dir(path.join("folder")).unwrap();
        fs::write(path.join("folder/file"), b"inside").unwrap();
        symlink("folder", path.join("link")).unwrap();
        symlink("/etc", path.join("outside")).unwrap();
        symlink("file", path.join("folder/link")).unwrap();
        let root = OwnedFd::from(File::open(&path).unwrap());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let open = |name: &[u8]| open_by_steps(&root, name, flags);
        let mut text = String::new();
        File::from(open(b"folder/file").unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
        for (name, error) in [
            (&b"folder/none"[..], Errno::NOENT),
            (b"folder/file/none", Errno::NOTDIR),
            (b"link/file", Errno::NOTDIR),
            (b"outside/passwd", Errno::NOTDIR),
            (b"folder/link", Errno::LOOP),
        ] {
            assert_eq!(open(name).err(), Some(error));
        }
    }

    #[test]
    fn names_stay_under_the_directory() {
        let name = |path: &str| relative(path.as_bytes()).map(|it| String::from_utf8(it).unwrap());
        for (path, expected) in [
            ("/a/b.txt?x=/../", Some("a/b.txt")),
            ("/", Some("index.html")),
            ("/a/", Some("a/index.html")),
            ("/a%20b", Some("a b")),
            ("/..", None),
            ("/a/../b", None),
            ("/%2e%2e/b", None),
            ("/a%2F..%2Fb", None),
            ("//etc/passwd", None),
            ("/a%00", None),
            ("/a%2", None),
            ("/a%zz", None),
            ("a", None),
            ("*", None),
        ] {
            assert_eq!(name(path).as_deref(), expected, "{path}");
        }
    }
}
