# shellcheck shell=bash
# The checks: `.ci/run NAME` runs check_NAME, in a shell of its own.

PUBLISHED=(-p forebay -p forebay-std -p forebay-linux -p forebay-cli)
WORKSPACES=(Cargo.toml fuzz/Cargo.toml firmware/Cargo.toml)
FUZZ_SECONDS=${FUZZ_SECONDS:-20}

# The one line of README.md that begins with $1: what README promises and what
# is run here cannot differ.
readme_command() {
  local lines
  mapfile -t lines < <(grep -E "^$1( |\$)" README.md)
  [ "${#lines[@]}" -eq 1 ] || fail "README.md has ${#lines[@]} lines that begin with '$1', not 1"
  printf '%s\n' "${lines[0]}"
}

check_test() {
  need gcc atftp curl dlt-daemon dlt-tools nghttp2-client tftp-hpa
  local command
  command=$(readme_command 'cargo test') || fail "$command"
  # Uncaptured, so that the marks of skipped parts reach the log.
  export RUST_TEST_NOCAPTURE=1
  # shellcheck disable=SC2086 # a command and its words
  tested $command
}

check_demo() {
  need gcc
  local command
  command=$(readme_command 'cargo run') || fail "$command"
  # shellcheck disable=SC2086 # a command and its words
  must $command
}

check_scripts() {
  need shellcheck
  must shellcheck --external-sources .ci/run .ci/check .ci/*.sh
}

check_lock() {
  local manifest
  for manifest in "${WORKSPACES[@]}"; do
    [ -e "$manifest" ] || fail "$manifest is absent"
    printf '%s\n' "$manifest"
    cargo metadata --locked --format-version 1 --manifest-path "$manifest" >/dev/null ||
      fail "the lock file of $manifest does not fit it"
  done
}

check_fmt() {
  need rustfmt
  export RUSTUP_TOOLCHAIN=$PINNED
  local manifest
  for manifest in "${WORKSPACES[@]}"; do
    must cargo fmt --all --manifest-path "$manifest" --check
  done
}

# The firmware's own check looks at it for its targets.
check_clippy() {
  need clippy g++
  export RUSTUP_TOOLCHAIN=$PINNED
  local features
  for features in '' --all-features; do
    # shellcheck disable=SC2086 # none or one word
    must cargo clippy --locked --workspace --all-targets $features -- -D warnings
  done
  RUSTFLAGS='--cfg forebay_loom' must cargo clippy --locked -p forebay-loom-tests --all-targets \
    --target-dir target/loom -- -D warnings
  must cargo clippy --locked --manifest-path fuzz/Cargo.toml --all-targets -- -D warnings
}

# Cargo's own warnings, such as two pages of one name, are failures too.
check_doc() {
  need pinned
  export RUSTUP_TOOLCHAIN=$PINNED
  export RUSTDOCFLAGS='-D warnings'
  local log
  log=$(mktemp)
  # The models are nothing without their cfg.
  must cargo doc --locked --no-deps --workspace --exclude forebay-loom-tests --all-features 2>&1 | tee "$log"
  [ "${PIPESTATUS[0]}" -eq 0 ] || exit 1
  must cargo doc --locked --no-deps -p forebay --all-features --document-private-items \
    --target-dir target/doc-private 2>&1 | tee -a "$log"
  [ "${PIPESTATUS[0]}" -eq 0 ] || exit 1
  if grep -q '^warning' "$log"; then fail 'cargo doc warned'; fi
}

# Every feature of the core and every two of them. `std` needs a target that
# has it, `alloc` one with compare-and-swap for the sake of `alloc::sync::Arc`,
# and `portable-atomic` alone leaves the choice to a firmware.
check_features() {
  need cargo-hack pinned thumbv6m-none-eabi thumbv7m-none-eabi
  export RUSTUP_TOOLCHAIN=$PINNED
  export RUSTFLAGS='-D warnings'
  local hack=(cargo hack check --locked -p forebay --feature-powerset --depth 2
    --target-dir target/features --skip default)
  must "${hack[@]}"
  must "${hack[@]}" --skip std,alloc,portable-atomic --target thumbv6m-none-eabi
  must "${hack[@]}" --skip std --target thumbv7m-none-eabi
  # What is for any system with `std`, on systems that are no Linux.
  local target
  # shellcheck disable=SC2086 # words
  need $OTHER_SYSTEMS
  for target in $OTHER_SYSTEMS; do
    must cargo check --locked -p forebay-std --target "$target" --target-dir target/features
  done
}

check_bare_metal() {
  # shellcheck disable=SC2086 # words
  need nightly $BARE_METAL
  export RUSTUP_TOOLCHAIN=$PINNED
  export RUSTFLAGS='-D warnings'
  local target
  for target in $BARE_METAL; do
    must cargo build --locked -p forebay --release --target "$target" --target-dir target/bare-metal
  done
  position_widths
}

# The ring with positions of each width, which begin just before they wrap;
# and on a processor of 16 bits, whose positions have as many.
position_widths() {
  unset RUSTFLAGS RUSTUP_TOOLCHAIN
  local width
  for width in u16 u32 u64; do
    RUSTFLAGS="--cfg forebay_index=\"$width\" -D warnings" RUSTUP_TOOLCHAIN=$PINNED \
      tested cargo test --locked -p forebay --lib --features alloc --target-dir target/index ring
  done
  RUSTFLAGS='-C target-cpu=atmega328p -D warnings' must cargo "+$NIGHTLY" check --locked -p forebay \
    -Zbuild-std=core --target avr-none --target-dir target/index
}

# The images: what they link to, what they take, and that they run in QEMU.
check_firmware() {
  need clippy rustfmt thumbv6m-none-eabi thumbv7m-none-eabi qemu-system-arm binutils llvm defmt-print
  export RUSTUP_TOOLCHAIN=$PINNED
  [ -e .ci/firmware.sh ] || fail '.ci/firmware.sh is absent'
  bash .ci/firmware.sh
}

check_msrv() {
  need msrv
  must cargo "+$MSRV" check --locked "${PUBLISHED[@]}" --all-features --target-dir target/msrv
  must cargo "+$MSRV" check --locked "${PUBLISHED[@]}" --target-dir target/msrv
}

check_unused() {
  need cargo-machete
  must cargo machete --skip-target-dir
}

# Packages what is published and builds it from the packages alone.
check_package() {
  local name list file dirty=()
  # A developer's tree may hold changes; a checkout of CI does not.
  in_ci || dirty=(--allow-dirty)
  # Cargo takes a package of the same version that an earlier run unpacked or
  # built for this one.
  rm -rf target/packages "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/forebay{,-std,-linux,-cli}-[0-9]*
  must cargo package --locked --target-dir target/packages "${PUBLISHED[@]}" ${dirty[@]+"${dirty[@]}"}
  for name in "${PUBLISHED[@]}"; do
    [ "$name" != -p ] || continue
    list=$(cargo package --locked --list -p "$name" ${dirty[@]+"${dirty[@]}"}) || fail "$list"
    for file in README.md LICENSE-MIT LICENSE-APACHE; do
      grep -qx "$file" <<<"$list" || fail "the package $name has no $file"
    done
  done
}

check_loom() {
  export RUSTFLAGS='--cfg forebay_loom'
  tested cargo test --locked -p forebay-loom-tests --release --target-dir target/loom
}

# The core's own tests, where all of its unsafe code is, on this target, on
# one of 32 bits and on one of the other byte order.
check_miri() {
  need nightly
  # Exhaustive over code without unsafe, minutes to hours under Miri; the
  # other tests of the same files run.
  local slow=(--skip members_round_trip --skip lengths_stay_within_the_maximum_and_come_back
    --skip blocks_are_counted_as_by_division)
  local target
  export MIRIFLAGS='-Zmiri-strict-provenance -Zmiri-symbolic-alignment-check'
  for target in x86_64-unknown-linux-gnu i686-unknown-linux-gnu s390x-unknown-linux-gnu; do
    tested cargo "+$NIGHTLY" miri test --locked -p forebay --lib --features alloc \
      --target "$target" --target-dir target/miri -- "${slow[@]}"
  done
  # The operations of io_uring, on a kernel of the tests.
  tested cargo "+$NIGHTLY" miri test --locked -p forebay-linux --lib \
    --target x86_64-unknown-linux-gnu --target-dir target/miri -- uring::
  # Rings through a pump, with lent records.
  tested cargo "+$NIGHTLY" miri test --locked -p forebay --test pump_oracle --features alloc \
    --target x86_64-unknown-linux-gnu --target-dir target/miri
}

# AddressSanitizer over the crates that hold unsafe code or call the kernel.
check_address() {
  need nightly curl nghttp2-client
  # Tests that bound their memory run here, too.
  export ASAN_OPTIONS=quarantine_size_mb=32
  sanitized address -p forebay -p forebay-std -p forebay-linux --features forebay-linux/tokio
}

# ThreadSanitizer needs a standard library built with it.
check_thread() {
  need nightly
  sanitized thread -Zbuild-std -p forebay -p forebay-std
}

# sanitized NAME CARGO_WORDS...
sanitized() {
  local name=$1
  shift
  export RUSTFLAGS="-Zsanitizer=$name"
  tested cargo "+$NIGHTLY" test --locked --lib --tests --target x86_64-unknown-linux-gnu \
    --target-dir "target/$name" "$@"
}

# Each fuzz target from its seeds, two at a time, for $FUZZ_SECONDS seconds.
check_fuzz() {
  need nightly cargo-fuzz g++
  local targets target corpus=$STATE/fuzz
  [ -e fuzz/Cargo.toml ] || fail 'fuzz/Cargo.toml is absent'
  must cargo "+$NIGHTLY" fuzz build
  mapfile -t targets < <(cargo "+$NIGHTLY" fuzz list)
  [ "${#targets[@]}" -gt 0 ] || fail 'fuzz/ has no target'
  rm -rf "$corpus"
  for target in "${targets[@]}"; do
    mkdir -p "$corpus/$target"
    cp "fuzz/seeds/$target"/* "$corpus/$target/" || fail "fuzz/seeds/$target has no seeds"
  done
  export -f fuzz_one
  export NIGHTLY FUZZ_SECONDS corpus
  printf '%s\n' "${targets[@]}" | xargs -P 2 -I '{}' bash -c 'fuzz_one {}' || fail 'see above'
}

fuzz_one() {
  local log=$corpus/$1.log
  if cargo "+$NIGHTLY" fuzz run "$1" "$corpus/$1" -- -max_total_time="$FUZZ_SECONDS" \
    -print_final_stats=1 -artifact_prefix="$corpus/$1." >"$log" 2>&1; then
    printf '%s: nothing found; %s\n' "$1" "$(grep number_of_executed_units "$log")"
  else
    printf '%s: FINDING\n' "$1"
    grep -A 4 -m 1 -E 'panicked|ERROR: ' "$log"
    grep -E '^Base64: |Test unit written to' "$log"
    return 1
  fi
}

# The tests of what is for any system, as programs of Windows, under Wine.
check_windows() {
  packages x86_64-w64-mingw32-gcc:gcc-mingw-w64-x86-64 /usr/lib/wine/wine64:wine64
  need gcc-mingw-w64-x86-64 wine64 x86_64-pc-windows-gnu
  local wine=$STATE/wine
  mkdir -p "$wine"
  # The library by which Rust's std seeds its maps, which Wine has not before 9.
  x86_64-w64-mingw32-gcc -shared -o "$wine/bcryptprimitives.dll" -x c - -ladvapi32 <<'C' ||
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T len) {
  return SystemFunction036(data, (ULONG)len);
}
C
    fail 'the library was not built'
  export WINEPREFIX=$wine/prefix WINEDEBUG=-all WINEPATH="Z:${wine//\//\\}"
  export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc
  export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=/usr/lib/wine/wine64
  export RUSTUP_TOOLCHAIN=$PINNED RUST_TEST_NOCAPTURE=1
  local windows=(--locked --target x86_64-pc-windows-gnu --target-dir target/windows)
  # Tests run the examples, as programs.
  must cargo build "${windows[@]}" -p forebay-std --examples
  tested cargo test "${windows[@]}" -p forebay-std --lib --tests
  tested cargo test "${windows[@]}" -p forebay --lib --features alloc
}

# Mutation testing of the core; .cargo/mutants.toml says of what.
check_mutants() {
  cargo_tool cargo-mutants 27.1.0
  need cargo-mutants
  must cargo mutants -p forebay --test-workspace true --output target
}
