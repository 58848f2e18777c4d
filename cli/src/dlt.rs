//! AUTOSAR DLT messages as lines, and texts as messages.

use std::{
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use forebay::frame::{
    Order,
    dlt::{
        Argument, Dlt, Extended, Header, Id, Kind, Level, Malformed, Message, MessageWriter,
        StorageHeader, Value, WriteError,
    },
};

use crate::hex;

/// What stands before each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A storage header: a `.dlt` file.
    File,
    /// Nothing: what a daemon sends to its clients.
    Stream,
}

impl Form {
    pub(crate) const fn format(self, len_max: usize) -> Dlt {
        match self {
            Self::File => Dlt::file(len_max),
            Self::Stream => Dlt::bare(len_max),
        }
    }
}

/// Appends a line that says all of a frame. What is wrong within it is said
/// there and returned.
pub(crate) fn describe(form: Form, frame: &[u8], out: &mut String) -> Result<(), Malformed> {
    let message = match form {
        Form::File => {
            let (storage, message) = StorageHeader::parse(frame)?;
            // Writing to a string does not fail.
            let _ = write!(out, "{}.{:06} ", storage.seconds, storage.microseconds);
            message
        }
        Form::Stream => Message::parse(frame)?,
    };
    describe_header(&message.header, out);
    let described = describe_payload(&message, out);
    if let Err(malformed) = described {
        let _ = write!(out, " ({malformed})");
    }
    out.push('\n');
    described
}

fn describe_header(header: &Header, out: &mut String) {
    let id = |id: Option<Id>| match id {
        Some(id) if id != Id::default() => id.to_string(),
        _ => "-".into(),
    };
    let _ = match header.timestamp {
        Some(units) => write!(out, "{}.{:04}", units / 10_000, units % 10_000),
        None => write!(out, "-"),
    };
    let (app, context) = (header.extended.map(|it| it.app), header.extended.map(|it| it.context));
    let (ecu, app, context) = (id(header.ecu), id(app), id(context));
    let session = header.session.map_or_else(|| "-".into(), |session| session.to_string());
    let _ = write!(out, " {:03} {ecu} {app} {context} {session} ", header.counter);
    let _ = match header.extended.map(|extended| extended.kind) {
        None => write!(out, "-"),
        Some(Kind::Log(level)) => write!(out, "log {level}"),
        Some(Kind::Trace(info)) => write!(out, "trace {info}"),
        Some(Kind::Network(info)) => write!(out, "network {info}"),
        Some(Kind::Control(info)) => write!(out, "control {info}"),
        Some(Kind::Other { kind, info }) => write!(out, "other {kind}/{info}"),
    };
}

fn describe_payload(message: &Message<'_>, out: &mut String) -> Result<(), Malformed> {
    if message.is_verbose() {
        return message.arguments().try_for_each(|argument| {
            describe_argument(&argument?, out);
            Ok(())
        });
    }
    let (id, data) = message.non_verbose()?;
    let _ = write!(out, " #{id} ");
    describe_bytes(data, out);
    Ok(())
}

fn describe_argument(argument: &Argument<'_>, out: &mut String) {
    let text = |bytes| String::from_utf8_lossy(bytes);
    out.push(' ');
    if let Some(name) = argument.name.filter(|name| !name.is_empty()) {
        let _ = write!(out, "{}=", text(name).escape_debug());
    }
    let _ = match argument.value {
        Value::Bool(value) => write!(out, "{value}"),
        Value::U8(value) => write!(out, "{value}"),
        Value::U16(value) => write!(out, "{value}"),
        Value::U32(value) => write!(out, "{value}"),
        Value::U64(value) => write!(out, "{value}"),
        Value::U128(value) => write!(out, "{value}"),
        Value::I8(value) => write!(out, "{value}"),
        Value::I16(value) => write!(out, "{value}"),
        Value::I32(value) => write!(out, "{value}"),
        Value::I64(value) => write!(out, "{value}"),
        Value::I128(value) => write!(out, "{value}"),
        Value::F32(value) => write!(out, "{value}"),
        Value::F64(value) => write!(out, "{value}"),
        Value::Utf8(bytes) | Value::Ascii(bytes) => write!(out, "{:?}", text(bytes)),
        Value::Raw(bytes) => {
            describe_bytes(bytes, out);
            Ok(())
        }
    };
    if let Some(unit) = argument.unit.filter(|unit| !unit.is_empty()) {
        let _ = write!(out, " {}", text(unit).escape_debug());
    }
}

fn describe_bytes(bytes: &[u8], out: &mut String) {
    let mut digits = b"0x".to_vec();
    hex::encode(bytes, &mut digits);
    out.extend(digits.into_iter().map(char::from));
}

/// Makes messages of payloads, one after the other.
pub(crate) struct Messages {
    form: Form,
    counter: u8,
}

impl Messages {
    pub(crate) const fn new(form: Form) -> Self {
        Self { form, counter: 0 }
    }

    /// Appends the message of one text, or of raw bytes where they are none.
    pub(crate) fn append(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), WriteError> {
        const ECU: Id = Id::new("FBAY");
        let argument = match std::str::from_utf8(payload) {
            Ok(text) if !text.contains('\0') => Argument::from(text),
            _ => Argument::from(payload),
        };
        let header = Header {
            order: Order::Little,
            counter: self.counter,
            ecu: Some(ECU),
            session: None,
            timestamp: None,
            extended: Some(Extended::log(Level::Info, ECU, Id::new("ENC"))),
        };
        let begin = out.len();
        let room = 16_usize.saturating_add(header.len_bytes()).saturating_add(argument.len_bytes());
        out.resize(begin.saturating_add(room), 0);
        let written = self.write(&header, &argument, &mut out[begin..]);
        out.truncate(begin + *written.as_ref().unwrap_or(&0));
        self.counter = self.counter.wrapping_add(u8::from(written.is_ok()));
        written.map(|_| ())
    }

    fn write(
        &self,
        header: &Header,
        argument: &Argument<'_>,
        out: &mut [u8],
    ) -> Result<usize, WriteError> {
        let lead_len = match (self.form, header.ecu) {
            (Form::File, Some(ecu)) => now(ecu).put(out)?,
            _ => 0,
        };
        let mut message = MessageWriter::new(header, &mut out[lead_len..])?;
        message.argument(argument)?;
        Ok(lead_len + message.finish())
    }
}

/// A storage header of this moment.
fn now(ecu: Id) -> StorageHeader {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // The format's seconds end in 2106.
    let seconds = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
    StorageHeader { seconds, microseconds: since.subsec_micros().cast_signed(), ecu }
}
