//! Messages that prove themselves: who sent them, in which order, and every
//! byte.

/// Producer (4 bytes) and sequence number (8 bytes), little-endian.
const HEAD_LEN: usize = 12;

/// The shortest message.
pub(super) const LEN_MIN: usize = HEAD_LEN;
/// The longest message: what half of a producer's ring takes.
pub(super) const LEN_MAX: usize = 64 * 1024;

/// Writes message `sequence` of `producer` over the whole of `room`.
pub(super) fn write(room: &mut [u8], producer: u32, sequence: u64) {
    let (head, body) = room.split_at_mut(HEAD_LEN);
    head[..4].copy_from_slice(&producer.to_le_bytes());
    head[4..].copy_from_slice(&sequence.to_le_bytes());
    body.fill(filler(sequence));
}

fn filler(sequence: u64) -> u8 {
    sequence.to_le_bytes()[0]
}

/// Checks messages as they arrive.
#[derive(Debug, Default)]
pub(super) struct Verifier {
    /// The next sequence number of each producer.
    next: Vec<u64>,
    /// Messages that were as they should be.
    pub(super) good: u64,
    /// Messages with a wrong byte, or out of order.
    pub(super) bad: u64,
}

impl Verifier {
    pub(super) fn new(producers: usize) -> Self {
        Self { next: vec![0; producers], good: 0, bad: 0 }
    }

    pub(super) fn check(&mut self, payload: &[u8]) {
        if self.is_good(payload) {
            self.good += 1;
        } else {
            self.bad += 1;
        }
    }

    fn is_good(&mut self, payload: &[u8]) -> bool {
        let Some((producer, rest)) = payload.split_first_chunk() else { return false };
        let Some((sequence, body)) = rest.split_first_chunk() else { return false };
        let sequence = u64::from_le_bytes(*sequence);
        let Some(next) = self.next.get_mut(u32::from_le_bytes(*producer) as usize) else {
            return false;
        };
        let in_order = sequence == *next;
        *next = sequence + 1;
        in_order && body.iter().all(|&byte| byte == filler(sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_seen() {
        let mut verifier = Verifier::new(1);
        let mut payload = [0; 32];
        for sequence in 0..3 {
            write(&mut payload, 0, sequence);
            verifier.check(&payload);
        }
        assert_eq!((verifier.good, verifier.bad), (3, 0));

        verifier.check(&payload); // twice
        write(&mut payload, 1, 0); // of nobody
        verifier.check(&payload);
        write(&mut payload, 0, 3);
        payload[31] ^= 1; // damaged
        verifier.check(&payload);
        verifier.check(&payload[..5]); // cut short
        write(&mut payload, 0, 5); // one is missing
        verifier.check(&payload);
        assert_eq!((verifier.good, verifier.bad), (3, 5));
    }
}
