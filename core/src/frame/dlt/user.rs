//! What applications and the daemon of one machine say to each other: records
//! of a head and a body, packed and in the machine's own byte order.

use super::{
    Id, Malformed, WriteError,
    bytes::{Reader, Writer},
    message::{Extent, RECORD_HEAD_LEN, check_magic, extent},
};
use crate::frame::Order;

/// How a record begins.
pub(super) const MAGIC: [u8; 4] = *b"DUH\x01";

/// The byte order of this machine.
const NATIVE: Order = if cfg!(target_endian = "big") { Order::Big } else { Order::Little };

const LOG: u32 = 1;
const REGISTER_APP: u32 = 2;
const UNREGISTER_APP: u32 = 3;
const REGISTER_CONTEXT: u32 = 4;
const UNREGISTER_CONTEXT: u32 = 5;
const LOG_LEVEL: u32 = 6;
const INJECTION: u32 = 7;
const OVERFLOW: u32 = 8;
const LOG_STATE: u32 = 12;

/// A record between an application and the daemon.
///
/// ```
/// use forebay::frame::dlt::{Id, UserRecord};
///
/// let record = UserRecord::Overflow { lost: 3, app: Id::new("PUMP") };
/// let mut out = [0; 32];
/// let len = record.put(&mut out)?;
/// assert_eq!(len, 16);
/// assert_eq!(UserRecord::parse(&out[..len])?, record);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserRecord<'a> {
    /// To the daemon: a message, whole.
    Log(&'a [u8]),
    /// To the daemon: an application is there.
    RegisterApp {
        /// Its name.
        app: Id,
        /// Its process.
        pid: i32,
        /// What it is.
        description: &'a [u8],
    },
    /// To the daemon: an application ends.
    UnregisterApp {
        /// Its name.
        app: Id,
        /// Its process.
        pid: i32,
    },
    /// To the daemon: a context is there.
    RegisterContext {
        /// The application's name.
        app: Id,
        /// Its own.
        context: Id,
        /// By which the daemon names it in what it sends.
        position: i32,
        /// The level that it begins with; -1 asks for the daemon's default.
        level: i8,
        /// The same of traces.
        trace: i8,
        /// The process.
        pid: i32,
        /// What it is.
        description: &'a [u8],
    },
    /// To the daemon: a context ends.
    UnregisterContext {
        /// The application's name.
        app: Id,
        /// Its own.
        context: Id,
        /// The process.
        pid: i32,
    },
    /// To the daemon: messages were lost on the way to it.
    Overflow {
        /// How many.
        lost: u32,
        /// The application's name.
        app: Id,
    },
    /// To the application: up to which level a context is to log.
    LogLevel {
        /// The level's number, 0 for none.
        level: u8,
        /// Whether it is to trace.
        trace: u8,
        /// The context, as it was registered.
        position: i32,
    },
    /// To the application: whether somebody receives.
    LogState {
        /// 1 when a client is connected.
        state: i8,
    },
    /// To the application: what somebody sends to a context.
    Injection {
        /// The context, as it was registered.
        position: i32,
        /// What it is for.
        service: u32,
        /// What there is to it.
        data: &'a [u8],
    },
}

impl<'a> UserRecord<'a> {
    const fn record_type(&self) -> u32 {
        match self {
            Self::Log(_) => LOG,
            Self::RegisterApp { .. } => REGISTER_APP,
            Self::UnregisterApp { .. } => UNREGISTER_APP,
            Self::RegisterContext { .. } => REGISTER_CONTEXT,
            Self::UnregisterContext { .. } => UNREGISTER_CONTEXT,
            Self::Overflow { .. } => OVERFLOW,
            Self::LogLevel { .. } => LOG_LEVEL,
            Self::LogState { .. } => LOG_STATE,
            Self::Injection { .. } => INJECTION,
        }
    }

    /// Writes the record to the front of `out`; returns its length in bytes.
    ///
    /// # Errors
    ///
    /// [`WriteError::NoRoom`]; [`WriteError::FieldTooLong`] for 4 GiB of data.
    pub fn put(&self, out: &mut [u8]) -> Result<usize, WriteError> {
        let mut out = Writer { out, at: 0, order: NATIVE };
        out.bytes(&MAGIC)?;
        out.bytes(&self.record_type().to_ne_bytes())?;
        match *self {
            Self::Log(message) => out.bytes(message)?,
            Self::RegisterApp { app, pid, description } => {
                out.bytes(&app.to_bytes())?;
                out.bytes(&pid.to_ne_bytes())?;
                put_data(&mut out, description)?;
            }
            Self::UnregisterApp { app, pid } => {
                out.bytes(&app.to_bytes())?;
                out.bytes(&pid.to_ne_bytes())?;
            }
            Self::RegisterContext { app, context, position, level, trace, pid, description } => {
                out.bytes(&app.to_bytes())?;
                out.bytes(&context.to_bytes())?;
                out.bytes(&position.to_ne_bytes())?;
                out.bytes(&level.to_ne_bytes())?;
                out.bytes(&trace.to_ne_bytes())?;
                out.bytes(&pid.to_ne_bytes())?;
                put_data(&mut out, description)?;
            }
            Self::UnregisterContext { app, context, pid } => {
                out.bytes(&app.to_bytes())?;
                out.bytes(&context.to_bytes())?;
                out.bytes(&pid.to_ne_bytes())?;
            }
            Self::Overflow { lost, app } => {
                out.bytes(&lost.to_ne_bytes())?;
                out.bytes(&app.to_bytes())?;
            }
            Self::LogLevel { level, trace, position } => {
                out.bytes(&[level, trace])?;
                out.bytes(&position.to_ne_bytes())?;
            }
            Self::LogState { state } => out.bytes(&state.to_ne_bytes())?,
            Self::Injection { position, service, data } => {
                out.bytes(&position.to_ne_bytes())?;
                out.bytes(&service.to_ne_bytes())?;
                put_data(&mut out, data)?;
            }
        }
        Ok(out.at)
    }

    /// Writes the head of the record of a message that is then written in
    /// place behind it; returns its length, 8 bytes.
    ///
    /// # Errors
    ///
    /// [`WriteError::NoRoom`].
    #[inline]
    pub fn put_log_head(out: &mut [u8]) -> Result<usize, WriteError> {
        let free = out.len();
        let head = out.first_chunk_mut::<RECORD_HEAD_LEN>();
        let head = head.ok_or(WriteError::NoRoom { needed: RECORD_HEAD_LEN, free })?;
        let [a, b, c, d] = MAGIC;
        let [e, f, g, h] = LOG.to_ne_bytes();
        *head = [a, b, c, d, e, f, g, h];
        Ok(RECORD_HEAD_LEN)
    }

    /// Reads the record at the front of `bytes`.
    ///
    /// # Errors
    ///
    /// [`Malformed`], with the figures.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (needed, left) = match record_extent(bytes) {
            Extent::Known { len } | Extent::Needed { needed: len } => (len, bytes.len()),
            Extent::Malformed(malformed) => return Err(malformed),
        };
        let record = bytes.get(..needed).ok_or(Malformed::Cut { at: 0, needed, left })?;
        let mut input = Reader::new(record, NATIVE);
        let [_, _, _, _, a, b, c, d] = input.array()?;
        let record_type = u32::from_ne_bytes([a, b, c, d]);
        Ok(match record_type {
            LOG => Self::Log(input.rest),
            REGISTER_APP => Self::RegisterApp {
                app: Id::from_bytes(input.array()?),
                pid: i32::from_ne_bytes(input.array()?),
                description: take_data(&mut input)?,
            },
            UNREGISTER_APP => Self::UnregisterApp {
                app: Id::from_bytes(input.array()?),
                pid: i32::from_ne_bytes(input.array()?),
            },
            REGISTER_CONTEXT => Self::RegisterContext {
                app: Id::from_bytes(input.array()?),
                context: Id::from_bytes(input.array()?),
                position: i32::from_ne_bytes(input.array()?),
                level: i8::from_ne_bytes(input.array()?),
                trace: i8::from_ne_bytes(input.array()?),
                pid: i32::from_ne_bytes(input.array()?),
                description: take_data(&mut input)?,
            },
            UNREGISTER_CONTEXT => Self::UnregisterContext {
                app: Id::from_bytes(input.array()?),
                context: Id::from_bytes(input.array()?),
                pid: i32::from_ne_bytes(input.array()?),
            },
            OVERFLOW => Self::Overflow {
                lost: u32::from_ne_bytes(input.array()?),
                app: Id::from_bytes(input.array()?),
            },
            LOG_LEVEL => {
                let [level, trace] = input.array()?;
                Self::LogLevel { level, trace, position: i32::from_ne_bytes(input.array()?) }
            }
            LOG_STATE => Self::LogState { state: i8::from_ne_bytes(input.array()?) },
            INJECTION => Self::Injection {
                position: i32::from_ne_bytes(input.array()?),
                service: u32::from_ne_bytes(input.array()?),
                data: take_data(&mut input)?,
            },
            record_type => return Err(Malformed::RecordType { record_type }),
        })
    }
}

fn put_data(out: &mut Writer<'_>, data: &[u8]) -> Result<(), WriteError> {
    let len_max = u32::MAX as usize;
    let len = u32::try_from(data.len());
    let len = len.map_err(|_| WriteError::FieldTooLong { len: data.len(), len_max })?;
    out.bytes(&len.to_ne_bytes())?;
    out.bytes(data)
}

fn take_data<'a>(input: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let len = u32::from_ne_bytes(input.array()?);
    // On a 16-bit target more than it can address is more than there is.
    input.take(usize::try_from(len).unwrap_or(usize::MAX))
}

/// How long the record at the front of `bytes` is.
pub(super) fn record_extent(bytes: &[u8]) -> Extent {
    /// Bytes of the body, those of a description or of data aside, and whether
    /// it ends with their length.
    const fn body(record_type: u32) -> Option<(usize, bool)> {
        Some(match record_type {
            REGISTER_APP => (12, true),
            UNREGISTER_APP | OVERFLOW => (8, false),
            REGISTER_CONTEXT => (22, true),
            UNREGISTER_CONTEXT => (12, false),
            LOG_LEVEL => (6, false),
            LOG_STATE => (1, false),
            INJECTION => (12, true),
            _ => return None,
        })
    }

    if let Some(other) = check_magic(bytes, MAGIC) {
        return other;
    }
    let Some((head, rest)) = bytes.split_first_chunk::<RECORD_HEAD_LEN>() else {
        return Extent::Needed { needed: RECORD_HEAD_LEN };
    };
    let [_, _, _, _, a, b, c, d] = *head;
    let record_type = u32::from_ne_bytes([a, b, c, d]);
    if record_type == LOG {
        return match extent(rest) {
            Extent::Known { len } => Extent::Known { len: RECORD_HEAD_LEN + len },
            Extent::Needed { needed } => Extent::Needed { needed: RECORD_HEAD_LEN + needed },
            malformed @ Extent::Malformed(_) => malformed,
        };
    }
    let Some((fixed, has_data)) = body(record_type) else {
        return Extent::Malformed(Malformed::RecordType { record_type });
    };
    let len = RECORD_HEAD_LEN + fixed;
    if !has_data {
        return Extent::Known { len };
    }
    match rest.get(..fixed).and_then(|body| body.last_chunk()) {
        Some(&data_len) => {
            let data_len = usize::try_from(u32::from_ne_bytes(data_len)).unwrap_or(usize::MAX);
            Extent::Known { len: len.saturating_add(data_len) }
        }
        None => Extent::Needed { needed: len },
    }
}
