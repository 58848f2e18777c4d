# shellcheck shell=bash
# Installs what the checks need and notes what is there.
#
# Each thing leaves $STATE/have.THING, or $STATE/lack.THING with the reason;
# `need THING` in a check reads them.

# Lints and targets change with the compiler, so that their checks have one of
# their own; the tests run on whatever stable there is.
PINNED=1.95.0
if [[ $(rustc --version 2>/dev/null) == "rustc $PINNED "* ]]; then
  PINNED=$(rustup show active-toolchain | cut -d' ' -f1)
fi
NIGHTLY=nightly-2026-04-01
MSRV=1.88.0
CARGO_FUZZ=0.13.2
CARGO_HACK=0.6.46
CARGO_MACHETE=0.9.2
DEFMT_PRINT=1.2.0

BARE_METAL='thumbv6m-none-eabi thumbv7m-none-eabi thumbv7em-none-eabihf
  riscv32imc-unknown-none-elf riscv32imac-unknown-none-elf'
OTHER_SYSTEMS='x86_64-pc-windows-gnu aarch64-apple-darwin wasm32-wasip1'

check_setup() {
  # shellcheck disable=SC2086 # words
  packages $PACKAGES
  rustup_parts
  cargo_tool cargo-hack "$CARGO_HACK"
  cargo_tool cargo-machete "$CARGO_MACHETE"
  cargo_tool cargo-fuzz "$CARGO_FUZZ"
  cargo_tool defmt-print "$DEFMT_PRINT"
  # A lack is a failure here in CI; outside, the checks that need it skip.
  local lack why bad=0
  for lack in "$STATE"/lack.*; do
    [ -e "$lack" ] || continue
    why=$(cat "$lack")
    printf '%s: %s\n' "${lack##*/lack.}" "$why"
    case $why in "$REFUSED"*) ;; *) bad=1 ;; esac
  done
  if in_ci && [ "$bad" -ne 0 ]; then exit 1; fi
}

note() { printf '%s\n' "${2:-}" >"$STATE/have.$1"; }
lack() { printf '%s\n' "$2" >"$STATE/lack.$1"; }

# Debian packages, each with the program by which it is known.
PACKAGES='atftp:atftp c++:g++ cc:gcc curl:curl dlt-convert:dlt-tools dlt-daemon:dlt-daemon
  git:git h2load:nghttp2-client llvm-readobj:llvm qemu-system-arm:qemu-system-arm
  readelf:binutils shellcheck:shellcheck strace:strace tftp:tftp-hpa'

# packages PROGRAM:PACKAGE...: installs those of which the program is absent.
packages() {
  local pair missing=()
  for pair; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
  done
  if [ "${#missing[@]}" -gt 0 ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update && apt-get install -y --no-install-recommends "${missing[@]}" libc6-dev
    # The tests run daemons of their own; the system's is not wanted.
    if [[ " ${missing[*]} " == *' dlt-daemon '* ]] && command -v systemctl >/dev/null; then
      systemctl disable --now dlt-daemon 2>/dev/null || true
    fi
  fi
  for pair; do
    if command -v "${pair%%:*}" >/dev/null; then
      note "${pair#*:}"
    else
      lack "${pair#*:}" "the Debian package ${pair#*:} could not be installed"
    fi
  done
}

rustup_parts() {
  local target
  rustup_part pinned "cargo +$PINNED --version" \
    rustup toolchain install "$PINNED" --profile minimal --no-self-update
  rustup_part rustfmt "cargo +$PINNED fmt --version" \
    rustup component add rustfmt --toolchain "$PINNED"
  rustup_part clippy "cargo +$PINNED clippy --version" \
    rustup component add clippy --toolchain "$PINNED"
  for target in $BARE_METAL $OTHER_SYSTEMS; do
    rustup_part "$target" "has_target $target $PINNED" \
      rustup target add "$target" --toolchain "$PINNED"
  done
  # The tests build images, too.
  for target in thumbv6m-none-eabi thumbv7m-none-eabi; do
    rustup_part "$target@stable" "has_target $target" rustup target add "$target"
  done
  rustup_part nightly "nightly_is_whole" rustup toolchain install "$NIGHTLY" \
    --profile minimal --component miri,rust-src --no-self-update
  rustup_part msrv "cargo +$MSRV --version" \
    rustup toolchain install "$MSRV" --profile minimal --no-self-update
}

# has_target TARGET [TOOLCHAIN]
has_target() {
  rustup target list --installed ${2:+--toolchain "$2"} | grep -qx "$1"
}

nightly_is_whole() {
  local parts
  parts=$(rustup component list --toolchain "$NIGHTLY" --installed) || return 1
  grep -q '^miri' <<<"$parts" && grep -q '^rust-src' <<<"$parts"
}

# rustup_part THING PROBE COMMAND...: three attempts, since networks fail.
rustup_part() {
  local thing=$1 probe=$2 out='' attempt
  shift 2
  for attempt in 0 1 2 3; do
    if eval "$probe" >/dev/null 2>&1; then
      note "$thing"
      return
    fi
    [ "$attempt" -lt 3 ] || break
    printf '$ %s\n' "$*"
    out=$(RUST_BACKTRACE=0 "$@" 2>&1)
    printf '%s\n' "$out"
  done
  out=$(grep -E '^(error|warn)' <<<"$out" | tr '\n' ' ')
  # What is not of the network or of what a mirror holds is a mistake here.
  if grep -Eiq 'download|unavailable|request|network|connect|timed out|dns' <<<"$out"; then
    lack "$thing" "$REFUSED$out"
  else
    lack "$thing" "rustup failed: $out"
  fi
}

# cargo_tool NAME VERSION: unoptimised, which is built in half the time and fast
# enough, and beside the other tools, which share dependencies.
cargo_tool() {
  has_tool "$@" ||
    cargo install --locked --debug --target-dir target/tools --version "$2" "$1"
  if has_tool "$@"; then note "$1" "$2"; else lack "$1" "cargo install $1 $2 failed"; fi
}

has_tool() {
  cargo install --list | grep -q "^$1 v$2:" || "$1" --version 2>/dev/null | grep -qwF "$2"
}
