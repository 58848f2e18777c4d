//! The daemon's own tools as witnesses: `dlt-receive` writes a file,
//! `dlt-convert` reads it, and one that is written here.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use forebay_linux::dlt::Level;
use forebay_std::forebay::{
    Decoder,
    frame::{
        Order,
        dlt::{Argument, Dlt, Extended, Header, Id, MessageWriter, StorageHeader, Value},
    },
};

use crate::{
    await_that,
    common::{Scratch, watchdog},
    daemon::{Daemon, has},
    fake::{CONTEXT, LONG},
    real::{send, text},
};

/// What `dlt-convert -a` says of a file, line by line.
pub(crate) fn converted(path: &Path) -> Vec<String> {
    let output = Command::new("dlt-convert").arg("-a").arg(path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn what_dlt_receive_got_dlt_convert_reads() {
    const COUNT: u32 = 10_000;
    let _held = watchdog("dlt-receive");
    if !has("dlt-receive") || !has("dlt-convert") {
        return;
    }
    let Some(daemon) = Daemon::start() else { return };
    let file = daemon.path("received.dlt");
    let mut receiver = Command::new("dlt-receive")
        .args(["-p", &daemon.port.to_string(), "-o"])
        .arg(&file)
        .arg("127.0.0.1")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let client = daemon.client(1 << 21);
    let mut context = client.context(CONTEXT, "");
    await_that("somebody receives", || client.has_receiver() == Some(true));
    send(&mut context, 0..COUNT);
    assert!(client.flush(LONG));
    // It writes each message as it comes.
    let last = text(COUNT - 1);
    await_that("the last message is in the file", || {
        let file = fs::read(&file).unwrap();
        let tail = &file[file.len().saturating_sub(500)..];
        tail.windows(last.len()).any(|window| window == last.as_bytes())
    });
    receiver.kill().unwrap();
    receiver.wait().unwrap();

    let lines = converted(&file);
    let ours: Vec<&String> = lines.iter().filter(|line| line.contains(" RUST RING ")).collect();
    assert_eq!(ours.len(), COUNT as usize);
    for (number, line) in ours.into_iter().enumerate() {
        let text = text(u32::try_from(number).unwrap());
        assert!(line.ends_with(&format!(" log info V 1 [{text}]")), "{line}");
    }

    // And the decoder finds in it what the tool does.
    let file = fs::read(&file).unwrap();
    let mut decoder = Decoder::new(Dlt::file(65_535), file.clone()).unwrap();
    decoder.free().copy_from_slice(&file);
    decoder.received(file.len());
    let mut frames = 0;
    while let Some(frame) = decoder.next_frame().unwrap() {
        StorageHeader::parse(frame.payload).unwrap();
        frames += 1;
    }
    assert_eq!((frames, decoder.offset()), (lines.len(), file.len() as u64));
}

#[test]
fn dlt_convert_reads_every_type_that_is_written() {
    let _held = watchdog("dlt-convert");
    if !has("dlt-convert") {
        return;
    }
    let named = |value: Value<'static>| Argument { value, name: Some(b"name"), unit: None };
    let arguments: [(Argument<'_>, &str); 18] = [
        (true.into(), "1"),
        (false.into(), "0"),
        (200_u8.into(), "200"),
        (60_000_u16.into(), "60000"),
        (4_000_000_000_u32.into(), "4000000000"),
        (u64::MAX.into(), "18446744073709551615"),
        ((-100_i8).into(), "-100"),
        ((-30_000_i16).into(), "-30000"),
        ((-2_000_000_000_i32).into(), "-2000000000"),
        (i64::MIN.into(), "-9223372036854775808"),
        (0.5_f32.into(), "0.5"),
        ((-0.25_f64).into(), "-0.25"),
        ("text".into(), "text"),
        (Value::Ascii(b"ascii").into(), "ascii"),
        (Argument::from(&b"\x01\xfe"[..]), "01'fe"),
        (Argument::from(7_u32).name("speed").unit("km/h"), "7"),
        (named(Value::Utf8(b"named")), "named"),
        (named(Value::Bool(true)), "1"),
    ];
    let scratch = Scratch::new();
    let path = scratch.path("types.dlt");
    let mut file = Vec::new();
    let mut out = [0; 256];
    let ecu = Id::new("ECU9");
    for order in [Order::Little, Order::Big] {
        for (argument, _) in &arguments {
            let storage = StorageHeader { seconds: 1_700_000_000, microseconds: 123_456, ecu };
            let head_len = storage.put(&mut out).unwrap();
            let header = Header {
                order,
                counter: 7,
                ecu: Some(ecu),
                session: Some(1234),
                timestamp: Some(56_789),
                extended: Some(Extended::log(Level::Warn, Id::new("APP"), Id::new("CTX"))),
            };
            let mut message = MessageWriter::new(&header, &mut out[head_len..]).unwrap();
            message.argument(argument).unwrap();
            let len = head_len + message.finish();
            file.extend_from_slice(&out[..len]);
        }
    }
    fs::write(&path, &file).unwrap();
    let lines = converted(&path);
    assert_eq!(lines.len(), 2 * arguments.len());
    for (line, (argument, said)) in lines.iter().zip(arguments.iter().cycle()) {
        assert!(line.contains(".123456"), "{line}");
        assert!(line.contains(" 56789 007 ECU9 APP- CTX- log warn V 1 ["), "{line}");
        assert!(line.contains(said), "{line}: {argument:?}");
    }
}
