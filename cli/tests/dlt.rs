//! `forebay encode` and `forebay decode` of AUTOSAR DLT.

mod common;

use std::{fs, process::Command};

use common::{Dir, run, stderr};
use forebay::frame::Order;
use forebay::frame::dlt::{
    Argument, Extended, Header, Id, Kind, Level, MessageWriter, StorageHeader, Value,
};

fn header(kind: Kind, verbose: bool) -> Header {
    let extended = Extended::log(Level::Info, Id::new("APP"), Id::new("CTX"));
    Header {
        order: Order::Big,
        counter: 9,
        ecu: Some(Id::new("ECU1")),
        session: Some(77),
        timestamp: Some(123_456),
        extended: Some(Extended { kind, verbose, ..extended }),
    }
}

fn message(header: &Header, put: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    let mut out = vec![0; 1024];
    let mut message = MessageWriter::new(header, &mut out).unwrap();
    put(&mut message);
    let len = message.finish();
    out.truncate(len);
    out
}

fn stored(message: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 16];
    let storage = StorageHeader { seconds: 1_700_000_000, microseconds: 42, ecu: Id::new("ECU1") };
    storage.put(&mut out).unwrap();
    out.extend_from_slice(message);
    out
}

fn decode(format: &str, input: &[u8]) -> (Option<i32>, String, String) {
    let output = run(&["decode", "--format", format], input);
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    (output.status.code(), stdout, stderr(&output).to_owned())
}

#[test]
fn every_part_of_a_message_is_told() {
    let arguments: [Argument<'_>; 8] = [
        "text \"x\"\n".into(),
        Value::Ascii(b"").into(),
        true.into(),
        (-5_i16).into(),
        Argument::from(u128::MAX).name("most"),
        Argument::from(1.5_f64).name("v").unit("m/s"),
        0.25_f32.into(),
        Argument::from(&b"\x00\xff"[..]),
    ];
    let verbose = message(&header(Kind::Log(Level::Warn), true), |message| {
        arguments.iter().for_each(|argument| message.argument(argument).unwrap());
    });
    let control = message(&header(Kind::Control(1), false), |message| {
        message.non_verbose(19, b"\x01").unwrap();
    });
    let bare = Header {
        ecu: None,
        session: None,
        timestamp: None,
        extended: None,
        ..header(Kind::Trace(1), false)
    };
    let bare = message(&bare, |message| message.non_verbose(7, b"").unwrap());
    let told = "12.3456 009 ECU1 APP CTX 77 log warn \"text \\\"x\\\"\\n\" \"\" true -5 \
        most=340282366920938463463374607431768211455 v=1.5 m/s 0.25 0x00ff\n\
        12.3456 009 ECU1 APP CTX 77 control 1 #19 0x01\n\
        - 009 - - - - - #7 0x\n";
    let stream = [&verbose[..], &control, &bare].concat();
    assert_eq!(decode("dlt-stream", &stream), (Some(0), told.into(), String::new()));

    let file: Vec<u8> = [&verbose, &control, &bare].into_iter().flat_map(|m| stored(m)).collect();
    let told: String = told.lines().map(|line| format!("1700000000.000042 {line}\n")).collect();
    assert_eq!(decode("dlt", &file), (Some(0), told, String::new()));
}

#[test]
fn damage_costs_its_message_and_is_told() {
    let text = |text: &str| {
        stored(&message(&header(Kind::Log(Level::Info), true), |message| {
            message.argument(&text.into()).unwrap();
        }))
    };
    let (one, two, three) = (text("one"), text("two"), text("three"));
    let mut damaged = two.clone();
    damaged[2] ^= 1;
    let (code, told, damage) = decode("dlt", &[&one[..], &damaged, &three].concat());
    assert_eq!(code, Some(1));
    assert_eq!(
        told.lines().map(|line| line.rsplit(' ').next().unwrap()).collect::<Vec<_>>(),
        ["\"one\"", "\"three\""]
    );
    let at = one.len();
    assert_eq!(damage, format!("offset {at}: no frame begins with 0x444c5501\n"));

    let (code, _, damage) = decode("dlt", &three[..three.len() - 1]);
    let needed = three.len();
    let received = needed - 1;
    assert_eq!(code, Some(1));
    assert_eq!(
        damage,
        format!(
            "offset 0: the stream ends inside a frame: {received} bytes received, at least \
             {needed} needed\n"
        )
    );
    let output =
        run(&["decode", "--format", "dlt", "--max-len", "37"], &[&one[..], &three].concat());
    assert_eq!(output.status.code(), Some(1), "three is over the maximum");
    assert!(stderr(&output).ends_with("is over the maximum of 37\n"), "{}", stderr(&output));
}

/// An argument that is cut by the message's own length is damage, one that is
/// not supported is not.
#[test]
fn arguments_that_cannot_be_told_are_told_as_such() {
    let payload = |type_info: u32| {
        let mut bytes = message(&header(Kind::Log(Level::Info), false), |message| {
            message.non_verbose(type_info, b"").unwrap();
        });
        bytes[16] |= 1; // verbose,
        bytes[17] = 1; // with one argument
        bytes
    };
    let (code, told, damage) = decode("dlt-stream", &payload(0x1023));
    assert_eq!((code, damage.as_str()), (Some(0), ""));
    let said = "log info (byte 26: an argument of type info 0x1023 is not supported)\n";
    assert!(told.ends_with(said), "{told}");
    let (code, told, _) = decode("dlt-stream", &payload(0x43));
    assert_eq!(code, Some(1));
    assert!(told.ends_with("log info (byte 30: a field of 4 bytes, 0 are left)\n"), "{told}");
}

#[test]
fn what_is_encoded_is_decoded_and_dlt_convert_reads_it() {
    let payloads = b"7465787420c3a4\n\n00ff\n";
    let told = ["\"text ä\"", "\"\"", "0x00ff"];
    for format in ["dlt", "dlt-stream"] {
        let encoded = run(&["encode", "--format", format], payloads);
        assert!(encoded.status.success(), "{}", stderr(&encoded));
        let (code, lines, damage) = decode(format, &encoded.stdout);
        assert_eq!((code, damage.as_str()), (Some(0), ""));
        for ((number, line), told) in (0..).zip(lines.lines()).zip(told) {
            let said = format!("- {number:03} FBAY FBAY ENC - log info {told}");
            assert!(line.ends_with(&said), "{line}");
        }
        assert_eq!(lines.lines().count(), told.len());
        if format == "dlt" {
            converted(&encoded.stdout);
        }
    }
    let long = "00".repeat(65_600) + "\n";
    let encoded = run(&["encode", "--format", "dlt"], long.as_bytes());
    assert_eq!(encoded.status.code(), Some(2));
    let told = "forebay: line 1: a field of 65600 bytes, the longest has 65535\n";
    assert_eq!(stderr(&encoded), told);
}

fn converted(file: &[u8]) {
    let dir = Dir::new();
    let path = dir.path("encoded.dlt");
    fs::write(&path, file).unwrap();
    match Command::new("dlt-convert").arg("-a").arg(&path).output() {
        Ok(output) => {
            let lines = String::from_utf8(output.stdout).unwrap();
            let ends: Vec<_> =
                lines.lines().map(|line| line.split_once(" log ").unwrap().1).collect();
            assert_eq!(ends, ["info V 1 [text ä]", "info V 1 []", "info V 1 [00'ff]"]);
        }
        Err(error) => println!("SKIPPED: no dlt-convert: {error}"),
    }
}

/// Those who send and receive payloads know frames alone.
#[test]
fn dlt_is_for_encode_and_decode() {
    let output = run(&["send", "--format", "dlt", "--to", "stdio:"], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("'dlt'"), "{}", stderr(&output));
}
