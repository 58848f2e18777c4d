//! What the receive interrupt does.

use core::sync::atomic::Ordering::Relaxed;

use forebay::{
    Decoder,
    decoder::DecoderCounts,
    ring::{Mode, One, Producer, ReserveError},
};
use forebay_protocol::{Command, FORMAT, FRAME_LEN_MAX, Format, Report, Running};

use crate::shared::{ALARMS, AT_ONCE, EXIT, HOLD_UNTIL, TICKS, WANTED, lane, log_refusal, narrow};

/// Decodes what the line brought and answers it.
pub struct Commands<M: Mode + 'static = One> {
    decoder: Decoder<Format, [u8; FRAME_LEN_MAX]>,
    answers: Answers<M>,
}

impl<M: Mode> Commands<M> {
    pub(crate) fn new(out: Producer<'static, M>) -> Option<Self> {
        let decoder = Decoder::new(FORMAT, [0; FRAME_LEN_MAX]).ok()?;
        let mut answers = Answers { out, crc: Running::new() };
        // Says that the device is ready; the ring is empty.
        let ready = answers.report(DecoderCounts::default());
        answers.push(&ready.encode()).ok()?;
        Some(Self { decoder, answers })
    }

    /// To be called by each interrupt of the receiver: reads what has come
    /// and answers the commands in it.
    pub fn interrupt<R>(&mut self, mut line: R)
    where
        R: embedded_io::Read<Error = core::convert::Infallible> + embedded_io::ReadReady,
    {
        while let Ok(true) = line.read_ready() {
            let Ok(1..) = self.decoder.read_from(&mut line) else { break };
            self.received();
        }
    }

    /// Reads once and answers the commands in it: what a task does in place of
    /// an interrupt.
    pub async fn task<R>(&mut self, line: R)
    where
        R: embedded_io_async::Read<Error = core::convert::Infallible>,
    {
        let Ok(_) = self.decoder.read_from_async(line).await;
        self.received();
    }

    /// Answers the commands in what has been received.
    fn received(&mut self) {
        loop {
            let mut counts = self.decoder.counts();
            match self.decoder.next_frame() {
                Ok(Some(frame)) => {
                    counts.frames += 1;
                    if let Err(error) = self.answers.answer(frame.payload, counts) {
                        log_refusal("answers", self.answers.out.ledger(), error);
                    }
                }
                Ok(None) => break,
                Err(damage) => defmt::warn!("received {}", damage),
            }
        }
    }
}

/// Offers answers to their ring.
struct Answers<M: Mode + 'static> {
    out: Producer<'static, M>,
    crc: Running,
}

impl<M: Mode> Answers<M> {
    /// Does what a payload asks for; `counts` is what the decoder has
    /// seen, this command included.
    fn answer(&mut self, payload: &[u8], counts: DecoderCounts) -> Result<(), ReserveError> {
        match Command::decode(payload) {
            Some(Command::Echo(bytes)) => self.echo(bytes)?,
            Some(Command::Report) => self.push(&self.report(counts).encode())?,
            Some(Command::Ticks { more, at_once }) => {
                AT_ONCE.store(at_once, Relaxed);
                WANTED.store(WANTED.load(Relaxed).wrapping_add(more), Relaxed);
            }
            Some(Command::Hold { until }) => HOLD_UNTIL.store(until, Relaxed),
            Some(Command::Exit) => EXIT.store(true, Relaxed),
            None => defmt::warn!("no command: {=[u8]}", payload),
        }
        Ok(())
    }

    fn echo(&mut self, bytes: &[u8]) -> Result<(), ReserveError> {
        let mut grant = self.out.reserve(1 + bytes.len())?;
        if let Some((kind, rest)) = grant.split_first_mut() {
            *kind = b'E';
            rest.copy_from_slice(bytes);
        }
        self.crc.add(&grant);
        grant.commit();
        Ok(())
    }

    fn push(&mut self, payload: &[u8]) -> Result<(), ReserveError> {
        self.out.push(payload)?;
        self.crc.add(payload);
        Ok(())
    }

    fn report(&self, counts: DecoderCounts) -> Report {
        let [commands, damages, bytes_lost] =
            [counts.frames, counts.damages, counts.bytes_lost].map(narrow);
        Report {
            wanted: WANTED.load(Relaxed),
            ticks: TICKS.lane(),
            alarms: ALARMS.lane(),
            answers: lane(self.out.ledger(), &self.crc),
            commands,
            damages,
            bytes_lost,
        }
    }
}
