//! A layer of `tracing-subscriber` over the DLT transport: an event goes to the
//! daemon as a verbose message, its fields as arguments of their types.
//!
//! ```text
//! cargo run --example dlt_tracing
//! ```
//!
//! - A process is one application to DLT. An event's target names its context:
//!   by a prefix that was given an id, or by the first four letters of its last
//!   part (`my_app::pump` is `PUMP`).
//! - The daemon says for each context, at any time, up to which level it is
//!   sent. The layer is filtered by that: what is not sent is not formatted, and
//!   other layers are not concerned.
//! - The arguments are the message, without a name; the event's fields, by their
//!   names; `span`, the names of the spans around it, and those spans' fields.
//! - A thread never waits. What is refused (no room, or a message of more than
//!   4 KiB) is counted, and the daemon's clients are told.

#![forbid(unsafe_code)]

use std::{
    cell::RefCell,
    collections::BTreeMap,
    error::Error,
    fmt::{self, Write as _},
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use forebay_linux::dlt::{Argument, Client, Context, Id, Level, Value};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer,
    layer::{self, Filter, SubscriberExt as _},
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

/// Targets may come from elsewhere: of more contexts than these, the others
/// are [`REST`].
const CONTEXTS_MAX: usize = 64;
const REST: Id = Id::new("REST");

thread_local! {
    /// Each thread's own handles, by layer, so that none waits for another.
    static OWN: RefCell<BTreeMap<(u64, Id), Context>> = const { RefCell::new(BTreeMap::new()) };
}

/// Sends events to the daemon.
pub(crate) struct DltLayer(Arc<Contexts>);

/// The levels that the daemon has said, as the filter of that layer.
struct Levels(Arc<Contexts>);

/// The contexts of a client by targets.
struct Contexts {
    layer: u64,
    /// Whoever starts the client ends it.
    client: Weak<Client>,
    /// The longest prefixes first.
    prefixes: Vec<(&'static str, Id)>,
    /// What each thread's handles are clones of.
    first: Mutex<BTreeMap<Id, Context>>,
}

impl DltLayer {
    /// A layer for `client`, with the contexts of targets that begin with these
    /// prefixes.
    pub(crate) fn new(client: &Arc<Client>, prefixes: &[(&'static str, Id)]) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut prefixes = prefixes.to_vec();
        prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self(Arc::new(Contexts {
            // Relaxed: a number for each.
            layer: COUNT.fetch_add(1, Ordering::Relaxed),
            client: Arc::downgrade(client),
            prefixes,
            first: Mutex::default(),
        }))
    }

    /// The layer, filtered by the daemon's levels.
    pub(crate) fn filtered<S>(self) -> impl Layer<S>
    where
        S: Subscriber + for<'l> LookupSpan<'l>,
    {
        let levels = Levels(Arc::clone(&self.0));
        self.with_filter(levels)
    }
}

impl Contexts {
    /// The name of the context of a target.
    fn id(&self, target: &str) -> Id {
        let is_under = |prefix: &str| {
            target
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        if let Some((_, id)) = self.prefixes.iter().find(|(prefix, _)| is_under(prefix)) {
            return *id;
        }
        let last = target.rsplit("::").next().unwrap_or(target);
        let letters = last.chars().filter(char::is_ascii_alphanumeric);
        let name: String = letters.take(4).map(|letter| letter.to_ascii_uppercase()).collect();
        match name.parse() {
            Ok(id) if !name.is_empty() => id,
            _ => REST,
        }
    }

    /// Lends the thread's handle of the target's context; `None` when the
    /// client or the thread has ended.
    fn with<T>(&self, target: &str, call: impl FnOnce(&mut Context) -> T) -> Option<T> {
        let id = self.id(target);
        let lend = |own: &RefCell<BTreeMap<_, _>>| {
            let mut own = own.borrow_mut();
            if let Some(context) = own.get_mut(&(self.layer, id)) {
                return Some(call(context));
            }
            let mut context = self.context(id, target)?;
            let result = call(&mut context);
            if context.id() == id {
                own.insert((self.layer, id), context);
            }
            Some(result)
        };
        OWN.try_with(lend).ok()?
    }

    /// The context of this name, or that of the rest.
    fn context(&self, id: Id, target: &str) -> Option<Context> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = first.len() >= CONTEXTS_MAX && !first.contains_key(&id);
        let (id, description) = if is_full { (REST, "all others") } else { (id, target) };
        if let Some(context) = first.get(&id) {
            return Some(context.clone());
        }
        let context = self.client.upgrade()?.context(id, description);
        first.insert(id, context.clone());
        Some(context)
    }
}

const fn level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Verbose,
    }
}

/// Asked anew for each event and span, as the daemon's answer may change.
impl<S> Filter<S> for Levels {
    fn enabled(&self, metadata: &Metadata<'_>, _: &layer::Context<'_, S>) -> bool {
        let is_enabled = |context: &mut Context| context.is_enabled(level(*metadata.level()));
        self.0.with(metadata.target(), is_enabled).unwrap_or(false)
    }
}

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for DltLayer {
    fn on_new_span(&self, span: &span::Attributes<'_>, id: &span::Id, at: layer::Context<'_, S>) {
        let mut fields = Fields::default();
        span.record(&mut fields);
        if let Some(span) = at.span(id) {
            span.extensions_mut().replace(fields);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, at: layer::Context<'_, S>) {
        // What is formatted may ask for the span, so it is not held meanwhile.
        let mut more = Fields::default();
        values.record(&mut more);
        if let Some(span) = at.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            fields.append(more);
        }
    }

    fn on_event(&self, event: &Event<'_>, at: layer::Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if let Some(spans) = at.event_scope(event) {
            let mut names = String::new();
            for span in spans.from_root() {
                if !names.is_empty() {
                    names.push(':');
                }
                names.push_str(span.name());
                if let Some(of_span) = span.extensions().get::<Fields>() {
                    fields.append(of_span.clone());
                }
            }
            fields.text("span", &names);
        }
        let metadata = event.metadata();
        let arguments: Vec<_> = fields.arguments().collect();
        // What is refused is counted, and the daemon's clients are told.
        let _ = self.0.with(metadata.target(), |context| {
            context.log_arguments(level(*metadata.level()), &arguments)
        });
    }
}

/// The name of the field that is an event's message.
const MESSAGE: &str = "message";

/// Fields of an event or a span, held until they are sent.
#[derive(Clone, Default)]
struct Fields {
    fields: Vec<(&'static str, Held)>,
    /// Texts and bytes, one behind the other.
    bytes: Vec<u8>,
}

#[derive(Clone)]
enum Held {
    Plain(Value<'static>),
    Text(Range<usize>),
    Raw(Range<usize>),
}

impl Fields {
    fn plain(&mut self, field: &Field, value: impl Into<Value<'static>>) {
        self.fields.push((field.name(), Held::Plain(value.into())));
    }

    fn text(&mut self, name: &'static str, text: &str) {
        let range = self.hold(text.as_bytes());
        self.fields.push((name, Held::Text(range)));
    }

    fn format(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        let mut formatted = String::new();
        // A `Display` that fails has written what it could.
        let _ = formatted.write_fmt(text);
        self.text(field.name(), &formatted);
    }

    fn hold(&mut self, bytes: &[u8]) -> Range<usize> {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        begin..self.bytes.len()
    }

    fn append(&mut self, more: Self) {
        let by = self.bytes.len();
        self.bytes.extend(more.bytes);
        let moved = |range: Range<usize>| range.start + by..range.end + by;
        self.fields.extend(more.fields.into_iter().map(|(name, held)| match held {
            Held::Plain(_) => (name, held),
            Held::Text(range) => (name, Held::Text(moved(range))),
            Held::Raw(range) => (name, Held::Raw(moved(range))),
        }));
    }

    /// The message first, without a name.
    fn arguments(&self) -> impl Iterator<Item = Argument<'_>> {
        let argument = |(name, held): &(&'static str, Held)| {
            let value = match held {
                Held::Plain(value) => *value,
                Held::Text(range) => Value::Utf8(&self.bytes[range.clone()]),
                Held::Raw(range) => Value::Raw(&self.bytes[range.clone()]),
            };
            let argument = Argument::from(value);
            if *name == MESSAGE { argument } else { argument.name(name) }
        };
        let is_message = |(name, _): &&(&'static str, Held)| *name == MESSAGE;
        let message = self.fields.iter().filter(is_message);
        let others = self.fields.iter().filter(move |field| !is_message(field));
        message.chain(others).map(argument)
    }
}

impl Visit for Fields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.plain(field, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.plain(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        let range = self.hold(value);
        self.fields.push((field.name(), Held::Raw(range)));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.format(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.format(field, format_args!("{value:?}"));
    }
}

mod pump {
    use tracing::{debug, error, info, info_span, warn};

    pub(super) fn fill(tank: u64) {
        let _span = info_span!("fill", tank).entered();
        info!(level = 0.25, open = true, "begins");
        debug!("which is of interest to few");
        if tank == 2 {
            let error = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
            error!(error = &error as &dyn std::error::Error, valve = "inlet", "has failed");
        }
        warn!(above_cm = -12, "ends");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::builder(Id::new("TRAC")).description("an example of tracing").start()?;
    let client = Arc::new(client);
    let prefixes = [("dlt_tracing", Id::new("MAIN")), ("dlt_tracing::pump", Id::new("PUMP"))];
    let layer = DltLayer::new(&client, &prefixes);
    tracing_subscriber::registry().with(layer.filtered()).init();

    tracing::info!("the program begins");
    std::thread::scope(|threads| {
        for tank in 1..=2 {
            threads.spawn(move || pump::fill(tank));
        }
    });
    tracing::info!(target: "end", "the program ends");

    let client = Arc::into_inner(client).ok_or("the client is in use")?;
    println!("{}", client.close(Duration::from_secs(5)).ledger);
    Ok(())
}
