//! Flow control (RFC 9113, sections 5.2 and 6.9).

use std::{collections::BTreeMap, error::Error, fmt};

use forebay::frame::http2::{ErrorCode, Increment, Scope, StreamId};

/// The greatest window in bytes.
const GREATEST: i64 = (1 << 31) - 1;

/// How many bytes of DATA may be sent: one window, of a stream or a
/// connection, of the sender or, mirrored, of the receiver.
///
/// It is negative after its initial size shrank below what had been sent
/// (section 6.9.2).
///
/// Invariant: `bytes <= 2^31 - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    bytes: i64,
}

impl Window {
    /// What every window is at first: 65,535 bytes.
    pub const INITIAL: u32 = 65_535;

    /// A window of so many bytes, of which 31 bits count.
    #[must_use]
    pub const fn new(bytes: u32) -> Self {
        Self { bytes: bytes as i64 & GREATEST }
    }

    /// Its bytes, negative perhaps.
    #[must_use]
    pub const fn bytes(self) -> i64 {
        self.bytes
    }

    /// How many bytes may be sent now.
    #[must_use]
    pub fn available(self) -> usize {
        usize::try_from(self.bytes).unwrap_or(0)
    }

    /// Takes `len` bytes; `false`, and nothing taken, when there are fewer: for
    /// a receiver a `FLOW_CONTROL_ERROR`.
    #[must_use]
    pub fn take(&mut self, len: usize) -> bool {
        if len > self.available() {
            return false;
        }
        self.bytes -= len as i64;
        true
    }

    /// Grows it; `false`, and nothing changed, when it would be over 2^31 - 1
    /// bytes.
    #[must_use]
    pub fn grow(&mut self, increment: Increment) -> bool {
        self.shift(i64::from(increment.number()))
    }

    fn shift(&mut self, by: i64) -> bool {
        let bytes = self.bytes + by;
        if bytes <= GREATEST {
            self.bytes = bytes;
        }
        bytes <= GREATEST
    }
}

/// The windows of a connection and of its streams, as one end counts them.
///
/// ```
/// use forebay_std::forebay::frame::http2::{ErrorCode, Increment, StreamId};
/// use forebay_std::http2::{FlowControl, Window};
///
/// let stream = StreamId::new(1).unwrap();
/// let mut flow = FlowControl::new();
/// flow.open(stream);
/// flow.take(stream, 60_000);
/// assert_eq!(flow.available(stream), 5_535);
///
/// flow.set_initial(50_000)?; // below what has been sent
/// assert_eq!(flow.stream(stream).map(Window::bytes), Some(-10_000));
/// flow.update(Some(stream), Increment::new(10_001).unwrap())?;
/// assert_eq!(flow.available(stream), 1);
///
/// let greatest = Increment::new(u32::MAX >> 1).unwrap();
/// let error = flow.update(None, greatest).unwrap_err();
/// assert_eq!(error.code(), ErrorCode::FLOW_CONTROL_ERROR);
/// # Ok::<(), forebay_std::http2::FlowError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FlowControl {
    connection: Window,
    initial: u32,
    streams: BTreeMap<StreamId, Window>,
}

impl Default for FlowControl {
    fn default() -> Self {
        Self::new()
    }
}

impl FlowControl {
    /// The windows before any SETTINGS.
    #[must_use]
    pub const fn new() -> Self {
        let connection = Window::new(Window::INITIAL);
        Self { connection, initial: Window::INITIAL, streams: BTreeMap::new() }
    }

    /// Opens a stream's window, of the initial size.
    pub fn open(&mut self, stream: StreamId) {
        self.streams.insert(stream, Window::new(self.initial));
    }

    /// Forgets a stream's window.
    pub fn close(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }

    /// The connection's window.
    #[must_use]
    pub const fn connection(&self) -> Window {
        self.connection
    }

    /// A stream's window, while it is open.
    #[must_use]
    pub fn stream(&self, stream: StreamId) -> Option<Window> {
        self.streams.get(&stream).copied()
    }

    /// How many bytes the stream may send now: no more than either window.
    #[must_use]
    pub fn available(&self, stream: StreamId) -> usize {
        let window = self.stream(stream).map_or(0, Window::available);
        window.min(self.connection.available())
    }

    /// Takes `len` bytes from both windows.
    ///
    /// # Panics
    ///
    /// If that is more than is [`available`](FlowControl::available).
    pub fn take(&mut self, stream: StreamId, len: usize) {
        let taken = len == 0
            || self.streams.get_mut(&stream).is_some_and(|window| window.take(len))
                && self.connection.take(len);
        assert!(taken, "{len} bytes are over the window of stream {}", stream.number());
    }

    /// Takes a WINDOW_UPDATE, of the connection if there is no stream. One of
    /// a stream that is not open is ignored, as it may be for one that has
    /// just closed (section 6.9).
    ///
    /// # Errors
    ///
    /// [`FlowError`] for a window over 2^31 - 1 bytes, which is as before.
    pub fn update(
        &mut self,
        stream: Option<StreamId>,
        increment: Increment,
    ) -> Result<(), FlowError> {
        let (window, scope) = match stream {
            None => (&mut self.connection, Scope::Connection),
            Some(stream) => match self.streams.get_mut(&stream) {
                Some(window) => (window, Scope::Stream(stream)),
                None => return Ok(()),
            },
        };
        if window.grow(increment) {
            return Ok(());
        }
        Err(FlowError { scope, window: window.bytes, change: i64::from(increment.number()) })
    }

    /// Takes a new `SETTINGS_INITIAL_WINDOW_SIZE`, by which the windows of all
    /// open streams move; the connection's does not (section 6.9.2).
    ///
    /// # Errors
    ///
    /// [`FlowError`], which costs the connection, when a window would be over
    /// 2^31 - 1 bytes; all are as before.
    pub fn set_initial(&mut self, initial: u32) -> Result<(), FlowError> {
        let change = i64::from(initial) - i64::from(self.initial);
        let over = |window: &&Window| window.bytes + change > GREATEST;
        if let Some(window) = self.streams.values().find(over) {
            return Err(FlowError { scope: Scope::Connection, window: window.bytes, change });
        }
        for window in self.streams.values_mut() {
            window.shift(change);
        }
        self.initial = initial;
        Ok(())
    }
}

/// A window would grow over 2^31 - 1 bytes (RFC 9113, section 6.9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowError {
    /// Whether it costs the stream or the connection.
    pub scope: Scope,
    /// The window in bytes.
    pub window: i64,
    /// By how much it was to grow.
    pub change: i64,
}

impl FlowError {
    /// `FLOW_CONTROL_ERROR`.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        ErrorCode::FLOW_CONTROL_ERROR
    }
}

impl fmt::Display for FlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scope, window, change } = self;
        match scope {
            Scope::Connection => write!(f, "a window")?,
            Scope::Stream(stream) => write!(f, "the window of stream {}", stream.number())?,
        }
        write!(f, " of {window} bytes grown by {change}, over {GREATEST} ({})", self.code())
    }
}

impl Error for FlowError {}
