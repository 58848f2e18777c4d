//! Standard input cut into messages.
//!
//! A line is a message with its newline, so that the receiver reproduces the
//! input by writing the payloads one after the other: the last line without
//! a newline, empty lines, carriage returns, zeros, whatever the bytes are.
//! Binary messages come with their length before them, as 32 bits,
//! little-endian.

use std::io::{self, Read};

use memchr::memchr;

/// Bytes of a binary message's length.
const HEAD_LEN: usize = 4;
/// The most bytes of one read. A pipe gives no more.
pub(crate) const READ_LEN: usize = 64 * 1024;

/// Where one message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Behind a newline.
    Lines,
    /// As its length says.
    Binary,
}

/// A message, or what stood in the place of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item<'m> {
    /// A message.
    Message(&'m [u8]),
    /// A message that was passed over, because it is over the maximum.
    TooLong {
        /// Its length in bytes.
        len: u64,
    },
    /// The input ended inside a binary message.
    Truncated {
        /// Bytes that had come, its length's four among them.
        received: u64,
        /// Bytes that there should have been, at least.
        needed: u64,
    },
}

/// Cuts a reader's bytes into messages: one read, many messages. To be used
/// as `FrameReader` is: fill, then take items until there is none.
///
/// Invariant: `begin <= searched <= end <= buffer.len()`; the bytes from
/// `begin` to `end` are to be looked at, those to `searched` have no newline.
#[derive(Debug)]
pub(crate) struct Messages<R> {
    reader: R,
    cut: Cut,
    len_max: usize,
    buffer: Box<[u8]>,
    begin: usize,
    searched: usize,
    end: usize,
    /// A message over the maximum is being passed over.
    passing: Option<Passing>,
    ended: bool,
    number: u64,
}

#[derive(Clone, Copy, Debug)]
struct Passing {
    /// Bytes of the message passed over so far.
    passed: u64,
    /// All of its bytes, where that is known.
    len: Option<u64>,
}

impl<R: Read> Messages<R> {
    /// Messages of at most `len_max` bytes.
    pub(crate) fn new(reader: R, cut: Cut, len_max: usize) -> Self {
        // A whole message, and a full read behind the beginning of one.
        let buffer = vec![0; HEAD_LEN + len_max + READ_LEN].into_boxed_slice();
        let (begin, searched, end) = (0, 0, 0);
        let (passing, ended, number) = (None, false, 0);
        Self { reader, cut, len_max, buffer, begin, searched, end, passing, ended, number }
    }

    /// Reads once; `false` when the input has ended and its end has been told
    /// before.
    pub(crate) fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        // A message that takes many reads is moved once.
        if self.begin > 0 {
            self.buffer.copy_within(self.begin..self.end, 0);
            self.searched -= self.begin;
            self.end -= self.begin;
            self.begin = 0;
        }
        let free = &mut self.buffer[self.end..][..READ_LEN];
        let len = self.reader.read(free)?;
        self.ended = len == 0;
        self.end += len;
        Ok(true)
    }

    /// Takes the next message, or `None` when more must be read.
    pub(crate) fn next(&mut self) -> Option<Item<'_>> {
        let item = match self.cut {
            Cut::Lines => self.next_line(),
            Cut::Binary => self.next_binary(),
        };
        self.number += u64::from(item.is_some());
        let item = item?;
        Some(match item {
            Found::Message { begin, end } => Item::Message(&self.buffer[begin..end]),
            Found::TooLong { len } => Item::TooLong { len },
            Found::Truncated { received, needed } => Item::Truncated { received, needed },
        })
    }

    /// The number of the message that was taken last, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    fn next_line(&mut self) -> Option<Found> {
        let newline = memchr(b'\n', &self.buffer[self.searched..self.end]);
        let line_end = match newline {
            Some(at) => self.searched + at + 1,
            None if self.ended => self.end,
            None => {
                self.searched = self.end;
                if self.end - self.begin > self.len_max {
                    self.pass_over(self.end, None);
                }
                return None;
            }
        };
        if let Some(Passing { passed, .. }) = self.passing.take() {
            let len = passed + self.take_to(line_end) as u64;
            return Some(Found::TooLong { len });
        }
        let begin = self.begin;
        match self.take_to(line_end) {
            0 => None,
            len if len > self.len_max => Some(Found::TooLong { len: len as u64 }),
            _ => Some(Found::Message { begin, end: line_end }),
        }
    }

    fn next_binary(&mut self) -> Option<Found> {
        let received = self.end - self.begin;
        if let Some(Passing { passed, len: Some(len) }) = self.passing {
            let left = usize::try_from(len - passed).unwrap_or(usize::MAX);
            if left <= received {
                self.passing = None;
                self.take_to(self.begin + left);
                return Some(Found::TooLong { len });
            }
            self.pass_over(self.end, Some(len));
            let head_len = HEAD_LEN as u64;
            return self.truncated(head_len + passed + received as u64, head_len + len);
        }
        let input = &self.buffer[self.begin..self.end];
        let Some((head, rest)) = input.split_first_chunk::<HEAD_LEN>() else {
            return self.truncated(received as u64, HEAD_LEN as u64);
        };
        let len = u32::from_le_bytes(*head);
        match usize::try_from(len) {
            Ok(len) if len <= rest.len() && len <= self.len_max => {
                let begin = self.begin + HEAD_LEN;
                self.take_to(begin + len);
                Some(Found::Message { begin, end: begin + len })
            }
            Ok(len) if len <= self.len_max => {
                self.truncated(received as u64, (HEAD_LEN + len) as u64)
            }
            _ => {
                self.take_to(self.begin + HEAD_LEN);
                self.pass_over(self.begin, Some(len.into()));
                self.next_binary()
            }
        }
    }

    /// At the end of the input, what is left of a message.
    fn truncated(&mut self, received: u64, needed: u64) -> Option<Found> {
        if !self.ended || received == 0 {
            return None;
        }
        self.passing = None;
        self.take_to(self.end);
        Some(Found::Truncated { received, needed })
    }

    /// Gives up the bytes to `end` of a message that is too long.
    fn pass_over(&mut self, end: usize, len: Option<u64>) {
        let before = self.passing.map_or(0, |passing| passing.passed);
        let passed = before + self.take_to(end) as u64;
        self.passing = Some(Passing { passed, len });
    }

    /// Moves past the bytes to `end`; how many those are.
    fn take_to(&mut self, end: usize) -> usize {
        let len = end - self.begin;
        (self.begin, self.searched) = (end, end);
        len
    }
}

/// An [`Item`] by its place.
enum Found {
    Message { begin: usize, end: usize },
    TooLong { len: u64 },
    Truncated { received: u64, needed: u64 },
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEN_MAX: usize = 5;

    /// Gives at most so many bytes a read.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(self.0.len()).min(buffer.len());
            let (now, later) = self.0.split_at(len);
            buffer[..len].copy_from_slice(now);
            self.0 = later;
            Ok(len)
        }
    }

    #[derive(Debug, PartialEq, Eq)]
    enum Owned {
        Message(Vec<u8>),
        TooLong(u64),
        Truncated(u64, u64),
    }
    use Owned::{Message, TooLong, Truncated};

    /// The items of `input`, which are the same however it is chunked.
    fn items(cut: Cut, input: &[u8]) -> Vec<Owned> {
        let by = |chunk| {
            let mut messages = Messages::new(Drip(input, chunk), cut, LEN_MAX);
            let mut items = Vec::new();
            while messages.fill().unwrap() {
                while let Some(item) = messages.next() {
                    items.push(match item {
                        Item::Message(message) => Message(message.to_vec()),
                        Item::TooLong { len } => TooLong(len),
                        Item::Truncated { received, needed } => Truncated(received, needed),
                    });
                }
            }
            assert_eq!(messages.number(), items.len() as u64);
            items
        };
        let whole = by(usize::MAX);
        for chunk in 1..=input.len() {
            assert_eq!(by(chunk), whole, "{chunk} bytes a read");
        }
        whole
    }

    fn message(bytes: &[u8]) -> Owned {
        Message(bytes.to_vec())
    }

    #[test]
    fn lines_keep_their_newlines() {
        assert_eq!(items(Cut::Lines, b""), []);
        assert_eq!(
            items(Cut::Lines, b"a\n\n\r\n\0\xff\nabcd\nend"),
            [b"a\n", &b"\n"[..], b"\r\n", b"\0\xff\n", b"abcd\n", b"end"].map(message)
        );
    }

    #[test]
    fn lines_over_the_maximum_are_told_with_their_length() {
        assert_eq!(
            items(Cut::Lines, b"abcde\nb\nabcdefghijkl\nc\nabcdef"),
            [TooLong(6), message(b"b\n"), TooLong(13), message(b"c\n"), TooLong(6)]
        );
    }

    #[test]
    fn binary_messages_are_as_long_as_they_say() {
        assert_eq!(items(Cut::Binary, b""), []);
        assert_eq!(
            items(Cut::Binary, b"\x02\0\0\0a\n\0\0\0\0\x06\0\0\0abcdef\x05\0\0\0abcde"),
            [message(b"a\n"), message(b""), TooLong(6), message(b"abcde")]
        );
    }

    #[test]
    fn a_binary_message_that_is_cut_short_is_told() {
        assert_eq!(items(Cut::Binary, b"\x02\0\0\0ab\x02"), [message(b"ab"), Truncated(1, 4)]);
        assert_eq!(items(Cut::Binary, b"\x02\0\0\0a"), [Truncated(5, 6)]);
        assert_eq!(items(Cut::Binary, b"\x06\0\0\0"), [Truncated(4, 10)]);
        assert_eq!(items(Cut::Binary, b"\xff\xff\xff\xffabc"), [Truncated(7, 4 + 0xFFFF_FFFF)]);
    }
}
