//! The images, and how they are built.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// One image and the machine that it runs on.
pub(crate) struct Image {
    /// Of the binary.
    pub(crate) name: &'static str,
    package: &'static str,
    target: &'static str,
    /// QEMU's name of the machine.
    pub(crate) machine: &'static str,
    /// Whether all produce into one ring, so that there are alarms and holds.
    pub(crate) shared: bool,
}

pub(crate) const IMAGES: [Image; 3] = [
    Image {
        name: "interrupts",
        package: "forebay-lm3s6965",
        target: "thumbv7m-none-eabi",
        machine: "lm3s6965evb",
        shared: false,
    },
    Image {
        name: "tasks",
        package: "forebay-lm3s6965",
        target: "thumbv7m-none-eabi",
        machine: "lm3s6965evb",
        shared: false,
    },
    Image {
        name: "forebay-microbit",
        package: "forebay-microbit",
        target: "thumbv6m-none-eabi",
        machine: "microbit",
        shared: true,
    },
];

impl Image {
    /// Builds the image and returns its file, or what is missing here.
    pub(crate) fn build(&self) -> Result<PathBuf, String> {
        if Command::new("qemu-system-arm").arg("--version").output().is_err() {
            return Err("no qemu-system-arm".into());
        }
        let libraries = output("rustc", &["--print", "target-libdir", "--target", self.target])?;
        if !Path::new(libraries.trim()).exists() {
            return Err(format!("no target {}", self.target));
        }
        let firmware = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware");
        let built = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
            .current_dir(&firmware)
            // Those of the host's build, of coverage for example.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_TARGET_DIR")
            .args(["build", "--quiet", "--release", "--target", self.target])
            .args(["--package", self.package, "--bin", self.name])
            .status();
        assert!(built.is_ok_and(|status| status.success()), "{} does not build", self.name);
        Ok(firmware.join("target").join(self.target).join("release").join(self.name))
    }
}

fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
