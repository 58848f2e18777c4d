//! One machine in QEMU.

use std::{
    fs::File,
    io::Read,
    net::{TcpListener, TcpStream},
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use crate::image::Image;

/// A machine that never answers fails its test after so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Descriptors that a child inherits are inherited by any child that is
/// started meanwhile; so one is started after the other.
static STARTING: Mutex<()> = Mutex::new(());

pub(crate) struct Machine {
    qemu: Child,
    image: PathBuf,
    line: TcpStream,
}

impl Machine {
    /// Starts `machine` with the image. Its instructions are counted, 64 ns
    /// for each, so that the interrupts of the timer come at the same
    /// instructions in each run.
    pub(crate) fn start(image: &Image, built: &Path) -> Self {
        let (line, far) = pair();
        line.set_read_timeout(Some(PATIENCE)).unwrap();
        line.set_write_timeout(Some(PATIENCE)).unwrap();
        let starting = STARTING.lock();
        rustix::io::fcntl_setfd(far.as_fd(), rustix::io::FdFlags::empty()).unwrap();
        let qemu = Command::new("qemu-system-arm")
            .args(["-M", image.machine, "-display", "none", "-monitor", "none"])
            .args(["-icount", "shift=6,sleep=off"])
            .args(["-chardev", &format!("socket,id=line,fd={}", far.as_raw_fd())])
            .args(["-serial", "chardev:line"])
            .args(["-semihosting-config", "enable=on,target=native", "-kernel"])
            .arg(built)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        drop(far);
        drop(starting);
        Self { qemu, image: built.to_path_buf(), line }
    }

    /// The line to the machine's UART.
    pub(crate) fn line(&self) -> TcpStream {
        self.line.try_clone().unwrap()
    }

    /// Waits for the end of the run and looks for texts in what the image
    /// logged, in their order.
    pub(crate) fn log_says(&mut self, texts: &[&str]) {
        let mut log = Vec::new();
        self.qemu.stdout.take().unwrap().read_to_end(&mut log).unwrap();
        if Command::new("defmt-print").arg("--version").output().is_err() {
            println!("SKIPPED: the log, as there is no defmt-print");
            return;
        }
        let log = self.decode(&log);
        let mut rest = &log[..];
        for text in texts {
            let Some(at) = rest.find(text) else { panic!("no {text:?} there in the log:\n{log}") };
            rest = &rest[at..];
        }
    }

    fn decode(&self, log: &[u8]) -> String {
        let path = std::env::temp_dir().join(format!("forebay-log-{}", self.qemu.id()));
        std::fs::write(&path, log).unwrap();
        let output = Command::new("defmt-print")
            .arg("-e")
            .arg(&self.image)
            .stdin(File::open(&path).unwrap())
            .output()
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits for the end of the run, which is the image's own.
    pub(crate) fn exits_well(mut self) {
        assert!(self.qemu.wait().unwrap().success(), "the image ended as a failure");
    }
}

/// A line that has room for all that a test sends.
///
/// Over TCP, since a UNIX socket charges hundreds of bytes for each byte that
/// is written alone, as QEMU does: it would push back, and a machine whose time
/// is counted in instructions would be slowed by how fast the test reads.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    for end in [&near, &far] {
        end.set_nodelay(true).unwrap();
    }
    (near, far)
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Has ended already, unless the test failed.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}
