//! The DLT codec against the crate `dlt-core`, both ways, and messages of no
//! kind.

use dlt_core::dlt::{
    self, ControlType, Endianness, ExtendedHeaderConfig, LogLevel, MessageConfig, MessageType,
    PayloadContent, StringCoding, TypeInfo, TypeInfoKind, TypeLength,
};
use dlt_core::parse::{ParsedMessage, dlt_message};
use forebay::frame::Order;
use forebay::frame::dlt::{
    Argument, Extended, Header, Id, Kind, Level, MESSAGE_LEN_MAX, Malformed, Message,
    MessageWriter, StorageHeader, Value, WriteError,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A value that owns its bytes.
#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Plain(Value<'static>),
    Utf8(String),
    Ascii(String),
    Raw(Vec<u8>),
}

impl Owned {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Plain(value) => *value,
            Self::Utf8(text) => Value::Utf8(text.as_bytes()),
            Self::Ascii(text) => Value::Ascii(text.as_bytes()),
            Self::Raw(bytes) => Value::Raw(bytes),
        }
    }

    fn has_unit(&self) -> bool {
        matches!(self, Self::Plain(value) if !matches!(value, Value::Bool(_)))
    }
}

#[derive(Clone, Debug)]
struct Sample {
    big: bool,
    counter: u8,
    ecu: Option<String>,
    session: Option<u32>,
    timestamp: Option<u32>,
    kind: u8,
    app: String,
    context: String,
    /// Values, and the name and unit of some.
    arguments: Vec<(Owned, Option<(String, String)>)>,
}

fn owned() -> impl Strategy<Value = Owned> {
    fn plain<T: Into<Value<'static>>>(value: T) -> Owned {
        Owned::Plain(value.into())
    }
    prop_oneof![
        any::<bool>().prop_map(plain),
        any::<u8>().prop_map(plain),
        any::<u16>().prop_map(plain),
        any::<u32>().prop_map(plain),
        any::<u64>().prop_map(plain),
        any::<u128>().prop_map(plain),
        any::<i8>().prop_map(plain),
        any::<i16>().prop_map(plain),
        any::<i32>().prop_map(plain),
        any::<i64>().prop_map(plain),
        any::<i128>().prop_map(plain),
        any::<f32>().prop_filter("equal to itself", |value| !value.is_nan()).prop_map(plain),
        any::<f64>().prop_filter("equal to itself", |value| !value.is_nan()).prop_map(plain),
        "[^\0]{0,40}".prop_map(Owned::Utf8),
        "[ -~]{0,40}".prop_map(Owned::Ascii),
        vec(any::<u8>(), 0..40).prop_map(Owned::Raw),
    ]
}

fn sample() -> impl Strategy<Value = Sample> {
    let id = || "[A-Za-z0-9]{1,4}";
    let head = (any::<bool>(), any::<u8>(), option::of(id()), any::<Option<u32>>());
    let names = option::of(("[a-z]{0,8}", "[a-z/]{0,4}"));
    (head, any::<Option<u32>>(), 0_u8..4, id(), id(), vec((owned(), names), 0..6)).prop_map(
        |((big, counter, ecu, session), timestamp, kind, app, context, arguments)| Sample {
            big,
            counter,
            ecu,
            session,
            timestamp,
            kind,
            app,
            context,
            arguments,
        },
    )
}

impl Sample {
    fn header(&self) -> Header {
        let id = |text: &String| text.parse::<Id>().unwrap();
        Header {
            order: if self.big { Order::Big } else { Order::Little },
            counter: self.counter,
            ecu: self.ecu.as_ref().map(id),
            session: self.session,
            timestamp: self.timestamp,
            extended: Some(Extended {
                kind: [
                    Kind::Log(Level::Warn),
                    Kind::Log(Level::Verbose),
                    Kind::Trace(2),
                    Kind::Control(1),
                ][usize::from(self.kind)],
                verbose: true,
                arguments: u8::try_from(self.arguments.len()).unwrap(),
                app: id(&self.app),
                context: id(&self.context),
            }),
        }
    }

    fn arguments(&self) -> impl Iterator<Item = Argument<'_>> {
        self.arguments.iter().map(|(owned, names)| {
            let (name, unit) = match names {
                Some((name, unit)) => (Some(name.as_bytes()), Some(unit.as_bytes())),
                None => (None, None),
            };
            Argument { value: owned.value(), name, unit: unit.filter(|_| owned.has_unit()) }
        })
    }

    fn write(&self) -> Vec<u8> {
        let mut out = vec![0xA5; 4096];
        let mut message = MessageWriter::new(&self.header(), &mut out).unwrap();
        let mut len = self.header().len_bytes();
        for argument in self.arguments() {
            message.argument(&argument).unwrap();
            len += argument.len_bytes();
        }
        assert_eq!(message.finish(), len);
        out.truncate(len);
        out
    }

    fn theirs(&self) -> dlt::Message {
        let message_type = [
            MessageType::Log(LogLevel::Warn),
            MessageType::Log(LogLevel::Verbose),
            MessageType::ApplicationTrace(dlt::ApplicationTraceType::FunctionIn),
            MessageType::Control(ControlType::Request),
        ][usize::from(self.kind)]
        .clone();
        let arguments = self.arguments.iter().map(|(owned, names)| their_argument(owned, names));
        let conf = MessageConfig {
            version: 1,
            counter: self.counter,
            endianness: if self.big { Endianness::Big } else { Endianness::Little },
            ecu_id: self.ecu.clone(),
            session_id: self.session,
            timestamp: self.timestamp,
            payload: PayloadContent::Verbose(arguments.collect()),
            extended_header_info: Some(ExtendedHeaderConfig {
                message_type,
                app_id: self.app.clone(),
                context_id: self.context.clone(),
            }),
        };
        dlt::Message::new(conf, None)
    }
}

fn their_argument(owned: &Owned, names: &Option<(String, String)>) -> dlt::Argument {
    use TypeInfoKind::{Float, Signed, Unsigned};
    let text = |text: &[u8]| dlt::Value::StringVal(String::from_utf8(text.to_vec()).unwrap());
    let (kind, value) = match owned.value() {
        Value::Bool(value) => (TypeInfoKind::Bool, dlt::Value::Bool(u8::from(value))),
        Value::U8(value) => (Unsigned(TypeLength::BitLength8), dlt::Value::U8(value)),
        Value::U16(value) => (Unsigned(TypeLength::BitLength16), dlt::Value::U16(value)),
        Value::U32(value) => (Unsigned(TypeLength::BitLength32), dlt::Value::U32(value)),
        Value::U64(value) => (Unsigned(TypeLength::BitLength64), dlt::Value::U64(value)),
        Value::U128(value) => (Unsigned(TypeLength::BitLength128), dlt::Value::U128(value)),
        Value::I8(value) => (Signed(TypeLength::BitLength8), dlt::Value::I8(value)),
        Value::I16(value) => (Signed(TypeLength::BitLength16), dlt::Value::I16(value)),
        Value::I32(value) => (Signed(TypeLength::BitLength32), dlt::Value::I32(value)),
        Value::I64(value) => (Signed(TypeLength::BitLength64), dlt::Value::I64(value)),
        Value::I128(value) => (Signed(TypeLength::BitLength128), dlt::Value::I128(value)),
        Value::F32(value) => (Float(dlt::FloatWidth::Width32), dlt::Value::F32(value)),
        Value::F64(value) => (Float(dlt::FloatWidth::Width64), dlt::Value::F64(value)),
        Value::Utf8(bytes) | Value::Ascii(bytes) => (TypeInfoKind::StringType, text(bytes)),
        Value::Raw(bytes) => (TypeInfoKind::Raw, dlt::Value::Raw(bytes.to_vec())),
    };
    let coding = match owned {
        Owned::Utf8(_) => StringCoding::UTF8,
        _ => StringCoding::ASCII,
    };
    dlt::Argument {
        type_info: TypeInfo {
            kind,
            coding,
            has_variable_info: names.is_some(),
            has_trace_info: false,
        },
        name: names.as_ref().map(|(name, _)| name.clone()),
        unit: names.as_ref().map(|(_, unit)| unit.clone()).filter(|_| owned.has_unit()),
        fixed_point: None,
        value,
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_by_dlt_core(sample in sample()) {
        let bytes = sample.write();
        let (rest, parsed) = dlt_message(&bytes, None, false).unwrap();
        prop_assert!(rest.is_empty());
        let ParsedMessage::Item(parsed) = parsed else { panic!("{parsed:?}") };
        let theirs = sample.theirs();
        prop_assert_eq!(&parsed.extended_header, &theirs.extended_header);
        prop_assert_eq!(&parsed.payload, &theirs.payload);
        // Its own bool says no length, so that its messages can be as long only.
        prop_assert_eq!(&parsed.header, &theirs.header);
    }

    #[test]
    fn what_dlt_core_writes_is_read(sample in sample()) {
        let bytes = sample.theirs().as_bytes();
        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!(message.header, sample.header());
        prop_assert_eq!(message.len_bytes(), bytes.len());
        let mut arguments = message.arguments();
        for argument in sample.arguments() {
            prop_assert_eq!(arguments.next(), Some(Ok(argument)));
        }
        prop_assert_eq!(arguments.next(), None);
        prop_assert!(arguments.rest().is_empty());
        // And written again they are the same, but for the length of a bool.
        let bools = sample.arguments().any(|argument| matches!(argument.value, Value::Bool(_)));
        prop_assert_eq!(sample.write() == bytes, !bools);
    }

    #[test]
    fn messages_that_are_not_verbose_agree(
        sample in sample(),
        id in any::<u32>(),
        data in vec(any::<u8>(), 0..100),
        is_extended in any::<bool>(),
    ) {
        let extended = sample.header().extended.map(|extended| Extended {
            kind: Kind::Log(Level::Info),
            verbose: false,
            arguments: 0,
            ..extended
        });
        let header =
            Header { extended: extended.filter(|_| is_extended), ..sample.header() };
        let mut out = [0; 256];
        let mut message = MessageWriter::new(&header, &mut out).unwrap();
        message.non_verbose(id, &data).unwrap();
        let len = message.finish();

        let (rest, parsed) = dlt_message(&out[..len], None, false).unwrap();
        prop_assert!(rest.is_empty());
        let ParsedMessage::Item(parsed) = parsed else { panic!("{parsed:?}") };
        prop_assert_eq!(&parsed.payload, &PayloadContent::NonVerbose(id, data.clone()));
        prop_assert_eq!(&parsed.as_bytes(), &out[..len]);

        let message = Message::parse(&parsed.as_bytes()).map(|message| message.header);
        prop_assert_eq!(message, Ok(header));
        let message = Message::parse(&out[..len]).unwrap();
        prop_assert_eq!(message.non_verbose(), Ok((id, &data[..])));
        prop_assert_eq!(message.arguments().count(), 0);
    }

    #[test]
    fn storage_headers_agree(seconds: u32, microseconds in 0..1_000_000_i32, ecu in "[A-Z]{4}") {
        let theirs = dlt::StorageHeader {
            timestamp: dlt::DltTimeStamp { seconds, microseconds: microseconds.cast_unsigned() },
            ecu_id: ecu.clone(),
        };
        let ours = StorageHeader { seconds, microseconds, ecu: ecu.parse().unwrap() };
        let mut out = [0; 16];
        prop_assert_eq!(ours.put(&mut out), Ok(16));
        prop_assert_eq!(&out[..], &theirs.as_bytes()[..]);
        let stored = [&out[..], b"\x20\0\0\x04"].concat();
        prop_assert_eq!(StorageHeader::parse(&stored).map(|(header, _)| header), Ok(ours));
    }

    /// Nothing is read behind the length, whatever stands there, and nothing
    /// panics.
    #[test]
    fn any_bytes_are_a_message_or_an_error(mut bytes in vec(any::<u8>(), 0..200), cut: u8) {
        if let Some(first) = bytes.first_mut() {
            *first = *first & 0x1F | 0x20;
        }
        if let Some(len) = bytes.get_mut(2..4) {
            len.copy_from_slice(&[0, cut]);
        }
        let Ok(message) = Message::parse(&bytes) else { return Ok(()) };
        prop_assert_eq!(message.len_bytes(), usize::from(cut));
        let behind = vec![0xFF; bytes.len() - message.len_bytes()];
        let other = [&bytes[..message.len_bytes()], &behind].concat();
        let other = Message::parse(&other).unwrap();
        let arguments = |message: &Message<'_>| format!("{:?}", message.arguments().collect::<Vec<_>>());
        prop_assert_eq!(arguments(&message), arguments(&other));
        prop_assert_eq!(message.non_verbose(), other.non_verbose());
    }

    /// Each place at which a message can be cut is told.
    #[test]
    fn a_message_that_is_cut_is_an_error(sample in sample()) {
        let bytes = sample.write();
        for len in 0..bytes.len() {
            let error = Message::parse(&bytes[..len]).unwrap_err();
            let is_cut = matches!(error, Malformed::Cut { at: 0, left, .. } if left == len);
            prop_assert!(is_cut, "{error}");
        }
        // Cut by its own length, in the middle of an argument.
        let mut bytes = bytes;
        let header_len = sample.header().len_bytes();
        for len in header_len..bytes.len() {
            bytes[2..4].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
            let message = Message::parse(&bytes).unwrap();
            let last = message.arguments().last().unwrap();
            let is_cut = matches!(last, Err(Malformed::Cut { .. }));
            prop_assert!(is_cut, "{last:?}");
        }
    }
}

fn header() -> Header {
    Header {
        order: Order::Little,
        counter: 0,
        ecu: None,
        session: None,
        timestamp: None,
        extended: Some(Extended::log(Level::Info, Id::new("A"), Id::new("C"))),
    }
}

/// A message whose payload begins with this word.
fn with_type_info(type_info: u32) -> Vec<u8> {
    let mut out = vec![0; 64];
    let mut message = MessageWriter::new(&header(), &mut out).unwrap();
    message.non_verbose(type_info, &[0; 16]).unwrap();
    let len = message.finish();
    out.truncate(len);
    out[5] = 2;
    out
}

#[test]
fn what_is_not_decoded_is_told_with_its_word() {
    // Array, fixed point, struct, trace info, a float of 16 bits and of 128.
    for type_info in [0x143, 0x1023, 0x4000, 0x2200, 0x82, 0x85] {
        let bytes = with_type_info(type_info);
        let arguments: Vec<_> = Message::parse(&bytes).unwrap().arguments().collect();
        assert_eq!(arguments, [Err(Malformed::Unsupported { at: 14, type_info })]);
    }
    // No type, two types, no length, a length of none, a coding of none.
    for type_info in [0, 0x3, 0x63, 0x40, 0x46, 0x12, 0x1_0200] {
        let bytes = with_type_info(type_info);
        let arguments: Vec<_> = Message::parse(&bytes).unwrap().arguments().collect();
        assert_eq!(arguments, [Err(Malformed::TypeInfo { at: 14, type_info })], "{type_info:#x}");
    }
}

#[test]
fn lengths_of_headers_are_checked_with_figures() {
    let short = Malformed::LenTooShort { len: 13, len_min: 14 };
    assert_eq!(Message::parse(b"\x21\0\0\x0d").unwrap_err(), short);
    assert_eq!(short.to_string(), "length 13, the headers take 14 bytes");
    assert_eq!(Message::parse(b"\x41").unwrap_err(), Malformed::Version { version: 2 });
    let cut = Malformed::Cut { at: 0, needed: 65_535, left: 4 };
    assert_eq!(Message::parse(b"\x20\0\xff\xff").unwrap_err(), cut);
}

/// Every first byte with every short length: its version, then the fields that
/// its flags ask for.
#[test]
fn every_flag_asks_for_its_bytes() {
    for (flags, len) in (0..=u8::MAX).flat_map(|flags| (0..40_u8).map(move |len| (flags, len))) {
        let mut bytes = [0; 40];
        (bytes[0], bytes[3]) = (flags, len);
        let fields = [(0x01, 10), (0x04, 4), (0x08, 4), (0x10, 4)];
        let asked = fields.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, len)| len);
        let (len, len_min) = (usize::from(len), 4 + asked.sum::<usize>());
        let parsed = Message::parse(&bytes).map(|message| message.payload.len());
        let expected = match flags >> 5 {
            1 if len < len_min => Err(Malformed::LenTooShort { len, len_min }),
            1 => Ok(len - len_min),
            version => Err(Malformed::Version { version }),
        };
        assert_eq!(parsed, expected, "{flags:#04x}, length {len}");
    }
}

#[test]
fn a_text_needs_no_final_zero_and_all_of_its_bytes() {
    let bytes = |len: u8, text: &[u8]| {
        let payload = [&b"\0\x82\0\0"[..], &[len, 0], text].concat();
        let whole = u8::try_from(14 + payload.len()).unwrap();
        [&[0x21, 0, 0, whole][..], b"\x41\x01APP\0CTX\0", &payload].concat()
    };
    for (text, expected) in
        [("abc\0", "abc"), ("abc", "abc"), ("", ""), ("\0", ""), ("a\0b", "a\0b"), ("a\0\0", "a\0")]
    {
        let bytes = bytes(u8::try_from(text.len()).unwrap(), text.as_bytes());
        let message = Message::parse(&bytes).unwrap();
        let argument = message.arguments().next().unwrap().unwrap();
        assert_eq!(argument.value, Value::Utf8(expected.as_bytes()), "{text:?}");
    }
    let bytes = bytes(5, b"abc\0");
    let cut = Malformed::Cut { at: 20, needed: 5, left: 4 };
    assert_eq!(Message::parse(&bytes).unwrap().arguments().next(), Some(Err(cut)));
}

#[test]
fn a_message_is_never_longer_than_a_daemon_takes() {
    let mut out = vec![0; 70_000];
    let room = MESSAGE_LEN_MAX - header().len_bytes() - 4 - 3;
    let text = vec![b'x'; room + 1];
    let mut message = MessageWriter::new(&header(), &mut out).unwrap();
    let too_long = WriteError::TooLong { len: MESSAGE_LEN_MAX + 1, len_max: MESSAGE_LEN_MAX };
    assert_eq!(message.argument(&Value::Utf8(&text).into()), Err(too_long));
    assert_eq!(message.argument(&Value::Utf8(&text[1..]).into()), Ok(()));
    assert_eq!(message.finish(), MESSAGE_LEN_MAX);
    assert_eq!(MESSAGE_LEN_MAX, 65_527);
    assert_eq!(Message::parse(&out).unwrap().arguments().count(), 1);

    let mut message = MessageWriter::new(&header(), &mut out).unwrap();
    let field = |len_max| WriteError::FieldTooLong { len: 65_536, len_max };
    let long = vec![b'x'; 65_536];
    assert_eq!(message.argument(&Value::Utf8(&long).into()), Err(field(65_534)));
    assert_eq!(message.argument(&Value::Raw(&long).into()), Err(field(65_535)));
}

#[test]
fn an_argument_goes_in_whole_or_not_at_all() {
    let whole = header().len_bytes() + Argument::from(7_u64).len_bytes();
    let mut out = vec![0; whole + 11];
    let mut message = MessageWriter::new(&header(), &mut out).unwrap();
    message.argument(&7_u64.into()).unwrap();
    let no_room = WriteError::NoRoom { needed: 8, free: 7 };
    assert_eq!(message.argument(&8_u64.into()), Err(no_room));
    let named = Argument { unit: Some(b"m"), ..Argument::from("text") };
    assert_eq!(message.argument(&named), Err(WriteError::UnitWithoutNumber));
    assert_eq!(message.finish(), whole);
    assert_eq!(Message::parse(&out).unwrap().arguments().count(), 1);
    assert_eq!(
        MessageWriter::new(&header(), &mut [0; 13]).err(),
        Some(WriteError::NoRoom { needed: 4, free: 3 })
    );
}

#[test]
fn arguments_are_counted_to_255() {
    let mut out = vec![0; 4096];
    let mut message = MessageWriter::new(&header(), &mut out).unwrap();
    for _ in 0..255 {
        message.argument(&1_u8.into()).unwrap();
    }
    assert_eq!(message.argument(&1_u8.into()), Err(WriteError::TooManyArguments));
    let len = message.finish();
    let message = Message::parse(&out[..len]).unwrap();
    assert!(message.arguments().eq((0..255).map(|_| Ok(Argument::from(1_u8)))));
}
