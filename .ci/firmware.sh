#!/usr/bin/env bash
# Builds the firmware images, checks what the minimal one links to and how
# much it takes, measures a push, prints stack figures, and runs the others in
# QEMU.
#
#   bash .ci/firmware.sh
#
# Installs what is missing when it may (root, apt-get, rustup). The exit status
# is 75 when QEMU or a target is missing all the same; then a line that begins
# with `SKIPPED: ` says what.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

M0=thumbv6m-none-eabi
M3=thumbv7m-none-eabi
DEFMT_PRINT=1.2.0
# Bytes of flash that COBS, CRC-16, ring and pump may take on a Cortex-M0.
FLASH_MAX=4096
# Instructions that it may take with interrupts masked.
WINDOW_MAX=4
# Bytes of code that a push into a ring of many producers may take there, the
# copying aside: 330 with Rust 1.95 and critical sections, and some more.
PUSH_MAX=352
# Bytes of RAM that a ring may take beside its capacity.
RING_MAX=64

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}
must() { "$@" || fail "$*"; }
skip() {
  printf 'SKIPPED: %s\n' "$*"
  exit 75
}
has() { command -v "$1" >/dev/null; }

install_tools() {
  local missing=() target
  has qemu-system-arm || missing+=(qemu-system-arm)
  has readelf || missing+=(binutils)
  has llvm-readobj || missing+=(llvm)
  if [ "${#missing[@]}" -gt 0 ] && [ "$(id -u)" -eq 0 ] && has apt-get; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q && apt-get install -q -y --no-install-recommends "${missing[@]}"
  fi
  has qemu-system-arm || skip 'the Debian package qemu-system-arm could not be installed'
  has readelf || skip 'the Debian package binutils could not be installed'
  for target in $M0 $M3; do
    [ -d "$(rustc --print target-libdir --target "$target")" ] || rustup target add "$target" ||
      skip "rustup download refused: target $target"
  done
  # Without it the tests say that the logs were not looked at.
  has defmt-print || must cargo install --locked --quiet defmt-print --version $DEFMT_PRINT
}

# One package at a time: built together they would share their features.
build_images() {
  (cd firmware && must cargo fmt --check) || exit 1
  build $M0 forebay-minimal
  build $M3 forebay-minimal
  build $M0 forebay-microbit
  build $M3 forebay-lm3s6965
}

build() {
  local arguments=(--manifest-path firmware/Cargo.toml --locked --quiet --release --target "$1" -p "$2" "${@:3}")
  must cargo clippy "${arguments[@]}" -- -D warnings
  must cargo build "${arguments[@]}"
}

image() { printf 'firmware/target/%s/release/%s' "$1" "$2"; }
symbols() { readelf --symbols --wide "$1" | awk '$1 ~ /^[0-9]+:$/ && $4 != "SECTION" { print " " $NF }'; }

# No panic, no formatting, no allocator, in any mangling of names.
check_symbols() {
  local unwanted='panic(king|_fmt|_bounds)|unwrap_failed|expect_failed|_fail|core3fmt|core.*3fmt'
  unwanted+='|_rust_(re|de)?alloc|_r(g|dl)_(re|de)?alloc|Cs[0-9A-Za-z]+_5alloc|_ZN5alloc'
  local target
  # That the search would find some.
  symbols "$(image $M3 interrupts)" | grep -Eq "$unwanted" || fail 'the search finds nothing anywhere'
  for target in $M0 $M3; do
    symbols "$(image "$target" minimal)" | grep -Eq 'forebay.*(pump|ring)' || fail "no forebay in minimal"
    if symbols "$(image "$target" minimal)" | grep -E "$unwanted"; then
      fail "the minimal image for $target has a panic path, formatting or an allocator"
    fi
    printf '%s: minimal: no panic path, no formatting, no allocator\n' "$target"
  done
}

# Bytes of an image in flash.
flash() {
  local bytes sum=0
  for bytes in $(readelf --sections --wide "$1" | sed 's/^ *\[ *[0-9]*\]//' |
    awk '$1 ~ /^\.(vector_table|text|rodata|data)$/ { print $5 }'); do
    sum=$((sum + 16#$bytes))
  done
  [ "$sum" -gt 0 ] || fail "no size of $1"
  printf '%s' "$sum"
}

# The section and the bytes that a static ring takes.
ring_in() { readelf --symbols --wide "$1" | awk '$NF ~ /minimal.*4RING/ { print $7, $3 }'; }
section() { readelf --sections --wide "$1" | sed -n "s/^ *\\[ *$2\\] *\\([^ ]*\\).*/\\1/p"; }

check_sizes() {
  local target empty minimal in ring
  for target in $M0 $M3; do
    empty=$(flash "$(image "$target" empty)") || exit 1
    minimal=$(flash "$(image "$target" minimal)") || exit 1
    printf '%s: flash: empty %s, minimal %s, COBS + CRC-16 + ring + pump %s bytes\n' \
      "$target" "$empty" "$minimal" $((minimal - empty))
    if [ "$target" = $M0 ] && [ $((minimal - empty)) -gt $FLASH_MAX ]; then
      fail "more than $FLASH_MAX bytes of flash"
    fi
    read -r in ring < <(ring_in "$(image "$target" minimal)")
    in=$(section "$(image "$target" minimal)" "$in")
    [ "$in" = .bss ] || fail "a static ring is in $in, which takes flash"
    printf '%s: RAM: a ring of 256 bytes takes %s\n' "$target" "$ring"
    if [ "$ring" -lt 256 ] || [ "$ring" -gt $((256 + RING_MAX)) ]; then
      fail "a ring takes $ring bytes"
    fi
  done
}

# The code of a push, by how the ring exchanges, and the longest way between
# masking interrupts and unmasking them: instructions, those two aside.
check_push() {
  has llvm-objdump || {
    echo 'SKIPPED: the code of a push, the Debian package llvm could not be installed'
    return
  }
  local how archive one many exchange code window
  archive=$(image $M0 libforebay_push.a)
  for how in critical-section single-core; do
    build $M0 forebay-push --features "$how" || exit 1
    one=$(code_size "$archive" push_one) || exit 1
    many=$(code_size "$archive" push_many) || exit 1
    # The exchange is a function of its own.
    exchange=$(readelf --symbols --wide "$archive" 2>/dev/null | awk '$4 == "FUNC" && $NF ~ /many.*move_tail/ { print $NF }')
    [ -n "$exchange" ] || fail 'no exchange in a push of many producers'
    many=$((many + $(code_size "$archive" "$exchange"))) || exit 1
    code=$(llvm-objdump --disassemble --no-show-raw-insn --disassemble-symbols="push_many,$exchange" "$archive" 2>/dev/null)
    # A branch away between the two leaves what follows it masked.
    window=$(awk '
      $2 == "cpsid" { masked = 1; count = 0; next }
      $2 == "msr" && masked { if (count > most) most = count; masked = 0; left = 1; next }
      $2 == "b" && left { masked = 1; left = 0; next }
      masked { count++ }
      END { print most + 0 }' <<<"$code")
    [ "$window" -gt 0 ] || fail 'a push that never masks interrupts'
    printf '%s: push, %s: many producers %s bytes, at most %s instructions with interrupts masked; one %s bytes\n' \
      $M0 "$how" "$many" "$window" "$one"
    if [ "$window" -gt $WINDOW_MAX ]; then fail "more than $WINDOW_MAX instructions with interrupts masked"; fi
    if [ "$many" -gt $PUSH_MAX ]; then fail "a push of many producers takes more than $PUSH_MAX bytes"; fi
  done
}

code_size() {
  local bytes
  bytes=$(readelf --symbols --wide "$1" 2>/dev/null | awk -v name="$2" '$NF == name && $4 == "FUNC" { print $3 }')
  [ -n "$bytes" ] || fail "no $2 in $1"
  printf '%s' "$bytes"
}

# Bytes of stack of each function; those of a call path add up.
print_stacks() {
  has llvm-readobj || {
    echo 'SKIPPED: stack figures, the Debian package llvm could not be installed'
    return
  }
  RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zemit-stack-sizes must cargo build --quiet --release --locked \
    --manifest-path firmware/Cargo.toml --target $M0 --target-dir firmware/target/stack -p forebay-minimal
  printf '%s: stack of each function of minimal\n' $M0
  local name size table
  table=$(llvm-readobj --stack-sizes "firmware/target/stack/$M0/release/minimal" |
    awk '/Functions:/ { gsub(/[][,]/, ""); name = $2 } /^ *Size:/ { print $2, name }' |
    while read -r size name; do printf '  %5d  %s\n' "$((size))" "$name"; done | sort -rn)
  [ -n "$table" ] || fail 'no stack figures'
  printf '%s\n' "$table"
}

run_tests() {
  must cargo test --locked -p forebay-tests --test firmware -- --nocapture
}

# The ring on a microcontroller's target, by Miri. `cargo miri setup` cannot
# build a library without `std` with every nightly, so that is done here.
run_miri() {
  local nightly=${NIGHTLY:-nightly-2026-04-01} built=$PWD/firmware/target/miri-sysroot miri
  miri=$(rustup which --toolchain "$nightly" miri 2>/dev/null) ||
    { echo "SKIPPED: the ring on a thumb target in Miri, as $nightly has no miri"; return; }
  mkdir -p "$built/src"
  printf '[package]\nname = "core-only"\nedition = "2024"\n[workspace]\n' >"$built/Cargo.toml"
  printf '#![no_std]\n' >"$built/src/lib.rs"
  # What is for the target is built by Miri, what runs here by the compiler.
  cat >"$built/rustc" <<EOF
#!/bin/sh
case " \$* " in
*' --target '*) MIRI_BE_RUSTC=target exec "$miri" "\$@" ;;
*) exec "$(rustup which --toolchain "$nightly" rustc)" "\$@" ;;
esac
EOF
  chmod +x "$built/rustc"
  local libraries=$built/sysroot/lib/rustlib/$M3/lib
  (
    LD_LIBRARY_PATH=$(dirname "$miri")/../lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
    RUSTC=$built/rustc RUSTFLAGS='-Zalways-encode-mir --cfg miri' must cargo "+$nightly" build \
      --quiet --release -Zbuild-std=core --manifest-path "$built/Cargo.toml" --target "$M3" \
      --target-dir "$built/target"
  ) || exit 1
  rm -rf "$libraries" && mkdir -p "$libraries"
  must cp "$built/target/$M3/release/deps"/lib{core,compiler_builtins}-*.rlib "$libraries"
  MIRI_SYSROOT=$built/sysroot must cargo "+$nightly" miri run --quiet --locked \
    --manifest-path firmware/Cargo.toml -p forebay-miri --target "$M3" \
    --target-dir firmware/target/miri
}

install_tools
build_images
check_symbols
check_sizes
check_push
print_stacks
run_tests
run_miri
