//! A device's line through `forebay relay`, which verifies it and sends it on.

use std::{
    env,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Command as Process, Stdio},
    thread,
};

use forebay::{checksum::CRC32, frame::Prefixed};
use forebay_protocol::{Command, PAYLOAD_LEN_MAX, Report};
use forebay_std::FrameReader;

use crate::{
    alarm_count, damage::Damage, encode, number, on_each_image, shared::assert_are_alarms,
    tick_payload,
};

const TICKS: u32 = 1000;

#[test]
fn a_relay_sends_on_what_is_whole_and_counts_what_is_not() {
    // First, so that nothing is waited for that will not come.
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let build = ["build", "--quiet", "--package", "forebay-cli"];
    assert!(Process::new(&cargo).args(build).status().unwrap().success());
    on_each_image(|image, machine| {
        let dir = env::temp_dir().join(format!("forebay-{}-{}", image.name, std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let (device, out) = (dir.join("device"), dir.join("out"));
        let device_side = UnixListener::bind(&device).unwrap();
        let far_side = UnixListener::bind(&out).unwrap();
        let target = |path: &Path| format!("unix:{}", path.display());
        let relay = Process::new(&cargo)
            .args(["run", "--quiet", "--package", "forebay-cli", "relay", "--once"])
            .args(["--from", &target(&device), "--to", &target(&out)])
            .args(["--max-len", &PAYLOAD_LEN_MAX.to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let far = far_side.accept().unwrap().0;
        let line = device_side.accept().unwrap().0;
        let mut commands = machine.line();
        let mut from_device = machine.line();
        // The device speaks first: it is ready.
        let mut first = [0];
        from_device.read_exact(&mut first).unwrap();
        let damaging = thread::spawn(move || damage(&first, from_device, line));

        let mut frames = FrameReader::new(far, Prefixed::native(PAYLOAD_LEN_MAX, CRC32));
        let mut next = || loop {
            if let Some(frame) = frames.next_frame().unwrap() {
                break frame.payload.to_vec();
            }
            assert!(frames.fill().unwrap(), "the relay has ended");
        };
        commands.write_all(&encode(&Command::Ticks { more: TICKS, at_once: 1 })).unwrap();
        let (mut numbers, mut alarms) = (Vec::new(), Vec::new());
        while numbers.last() != Some(&(TICKS - 1)) {
            let payload = next();
            match payload[0] {
                b'T' => {
                    assert_eq!(
                        payload,
                        tick_payload(number(&payload)),
                        "a wrong frame was sent on"
                    );
                    numbers.push(number(&payload));
                }
                b'A' => alarms.push(payload),
                _ => {}
            }
        }
        commands.write_all(&encode(&Command::Report)).unwrap();
        let report = Report::decode(&next()).unwrap();
        commands.write_all(&encode(&Command::Exit)).unwrap();
        let (events, told) = (damaging.join().unwrap(), relay.wait_with_output().unwrap());
        std::fs::remove_dir_all(&dir).unwrap();

        assert_eq!((report.ticks.offered, report.ticks.refused), (TICKS, 0));
        assert!(numbers.is_sorted_by(|a, b| a < b), "out of order: {numbers:?}");
        assert_are_alarms(&alarms);
        let expected = TICKS as usize + if image.shared { alarm_count(TICKS) } else { 0 };
        let lost = expected - numbers.len() - alarms.len();
        println!("{events} damages before the relay cost {lost} of {expected} frames");
        assert!(events >= 100 && lost > events / 2 && lost <= events * 102 / 100);
        // All that was counted as whole was sent on; damage is the exit status.
        let told = (told.status.code(), String::from_utf8(told.stderr).unwrap());
        assert_eq!(told.0, Some(1), "{}", told.1);
        let line = told.1.lines().find(|line| line.contains(": messages ")).unwrap();
        let whole = numbers.len() + alarms.len() + 1;
        let with_ready = [whole, whole + 1].map(|count| format!("messages {count}, damages "));
        assert!(with_ready.iter().any(|text| line.contains(text)), "{whole}: {line}");
    });
}

/// Carries bytes and damages the first of them; how often.
fn damage(first: &[u8], mut from: TcpStream, mut to: UnixStream) -> usize {
    let mut damage = Damage::new(7, 20_000);
    to.write_all(&damage.pass(first)).unwrap();
    let mut bytes = [0; 4096];
    loop {
        let len = from.read(&mut bytes).unwrap();
        if len == 0 {
            return damage.events;
        }
        to.write_all(&damage.pass(&bytes[..len])).unwrap();
    }
}
