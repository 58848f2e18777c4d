//! What is agreed on before a transfer (RFC 2347, 2348, 2349, 7440).

use std::{str, time::Duration};

use super::packet::{Code, HEAD_LEN, Options, Refusal, oack, refusal};

/// Without an option (RFC 1350).
pub(crate) const BLOCK_LEN: usize = 512;
const BLOCK_LEN_MIN: u64 = 8;
const BLOCK_LEN_MAX: u64 = 65_464;

/// What a transfer may take, and what it does without options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Its buffer: a window of blocks, one head, and a byte by which a packet
    /// that is too long is known.
    pub(crate) buffer_len: usize,
    /// How long an answer is awaited.
    pub(crate) timeout: Duration,
    /// The file's length, or the longest that is taken, and whether to say it.
    pub(crate) size: Size,
}

/// What `tsize` means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Size {
    /// A read of so many bytes.
    Is(u64),
    /// A read of as many bytes as will be seen.
    Unknown,
    /// A write of so many bytes at most.
    AtMost(u64),
}

/// What holds for a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// Bytes of a block.
    pub(crate) block_len: usize,
    /// Blocks that are sent before one ACK.
    pub(crate) window: usize,
    pub(crate) timeout: Duration,
    /// The packet that says so; empty when no option was asked for that is
    /// known.
    pub(crate) oack: Vec<u8>,
}

impl Agreed {
    /// How long an answer is awaited: as was agreed, but at most `unproven`
    /// until the peer has answered. Before that nothing is agreed, and the
    /// request may be forged.
    pub(crate) fn patience(&self, answered: bool, unproven: Duration) -> Duration {
        if answered { self.timeout } else { self.timeout.min(unproven) }
    }
}

/// Answers options: those that were asked for, with values that are at most
/// those asked for, as far as memory goes.
///
/// `tsize` of an empty file is left out, since curl takes a zero for an error.
///
/// # Errors
///
/// For values that are none, and an option that comes twice: code 8. For a
/// file that is too long: code 3.
pub(crate) fn agree(asked: &Options<'_>, terms: Terms) -> Result<Agreed, Refusal> {
    let Terms { buffer_len, mut timeout, size } = terms;
    let room = buffer_len - HEAD_LEN - 1;
    let (mut block_len, mut window) = (BLOCK_LEN, 1);
    let mut answers: Vec<(&str, u64)> = Vec::new();
    let (mut seen, mut asked_window) = (Vec::new(), None);
    for (name, value) in asked.iter() {
        let known = ["blksize", "timeout", "tsize", "windowsize"];
        let Some(name) = known.into_iter().find(|it| it.as_bytes().eq_ignore_ascii_case(name))
        else {
            continue;
        };
        if seen.contains(&name) {
            return Err(refusal(Code::Options, "an option comes twice"));
        }
        seen.push(name);
        let value = number(value).ok_or(refusal(Code::Options, "an option is no number"))?;
        match name {
            "blksize" => {
                if value < BLOCK_LEN_MIN {
                    return Err(refusal(Code::Options, "blksize is under 8"));
                }
                let most = BLOCK_LEN_MAX.min(room as u64);
                // At most 16 bits.
                block_len = usize::try_from(value.min(most)).unwrap_or(BLOCK_LEN);
                answers.push((name, block_len as u64));
            }
            "windowsize" => {
                if value == 0 {
                    return Err(refusal(Code::Options, "windowsize is 0"));
                }
                asked_window = Some(value);
                answers.push((name, value));
            }
            "timeout" => {
                if value == 0 {
                    return Err(refusal(Code::Options, "timeout is 0"));
                }
                // It must be answered as it is or not at all.
                if value <= 255 {
                    timeout = Duration::from_secs(value);
                    answers.push((name, value));
                }
            }
            _ => match size {
                Size::Is(0) | Size::Unknown => {}
                Size::Is(len) => answers.push((name, len)),
                Size::AtMost(most) if value > most => {
                    return Err(refusal(Code::DiskFull, "the file is longer than is taken"));
                }
                Size::AtMost(_) if value > 0 => answers.push((name, value)),
                Size::AtMost(_) => {}
            },
        }
    }
    if let Some(asked) = asked_window {
        // The blocks' length is known only now.
        let most = (room / block_len).min(usize::from(u16::MAX));
        window = usize::try_from(asked).unwrap_or(most).min(most);
        let answer = answers.iter_mut().find(|(name, _)| *name == "windowsize");
        answer.into_iter().for_each(|(_, value)| *value = window as u64);
    }
    Ok(Agreed { block_len, window, timeout, oack: oack(answers) })
}

/// A decimal number; one that is too long for 64 bits is the greatest.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX))
}
