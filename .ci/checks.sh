# shellcheck shell=bash
# The checks: `.ci/run NAME` runs check_NAME, in a shell of its own.

PUBLISHED=(-p forebay -p forebay-std -p forebay-linux -p forebay-cli)
FUZZ_SECONDS=${FUZZ_SECONDS:-60}

# The one line of README.md that begins with $1: what README promises and what
# is run here cannot differ.
readme_command() {
  local lines
  mapfile -t lines < <(grep -E "^$1( |\$)" README.md)
  [ "${#lines[@]}" -eq 1 ] || fail "README.md has ${#lines[@]} lines that begin with '$1', not 1"
  printf '%s\n' "${lines[0]}"
}

check_test() {
  need gcc
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
  for manifest in Cargo.toml fuzz/Cargo.toml .ci/probe/Cargo.toml; do
    [ -e "$manifest" ] || fail "$manifest is absent"
    printf '%s\n' "$manifest"
    cargo metadata --locked --format-version 1 --manifest-path "$manifest" >/dev/null ||
      fail "the lock file of $manifest does not fit it"
  done
}

check_fmt() {
  need rustfmt
  local manifest
  for manifest in Cargo.toml fuzz/Cargo.toml .ci/probe/Cargo.toml; do
    must cargo fmt --all --manifest-path "$manifest" --check
  done
}

check_clippy() {
  need clippy
  local features
  for features in '' --all-features; do
    # shellcheck disable=SC2086 # none or one word
    must cargo clippy --locked --workspace --all-targets $features -- -D warnings
  done
  RUSTFLAGS='--cfg forebay_loom' must cargo clippy --locked -p forebay-loom-tests --all-targets \
    --target-dir target/loom -- -D warnings
}

# Cargo's own warnings, such as two pages of one name, are failures too.
check_doc() {
  export RUSTDOCFLAGS='-D warnings'
  local log
  log=$(mktemp)
  must cargo doc --locked --no-deps --workspace --all-features 2>&1 | tee "$log"
  [ "${PIPESTATUS[0]}" -eq 0 ] || exit 1
  must cargo doc --locked --no-deps -p forebay --all-features --document-private-items \
    --target-dir target/doc-private 2>&1 | tee -a "$log"
  [ "${PIPESTATUS[0]}" -eq 0 ] || exit 1
  if grep -q '^warning' "$log"; then fail 'cargo doc warned'; fi
}

# Every combination of core's features; `std` needs a target that has it, and
# `alloc` one with compare-and-swap, for the sake of `alloc::sync::Arc`.
check_features() {
  need cargo-hack thumbv6m-none-eabi thumbv7m-none-eabi
  export RUSTFLAGS='-D warnings'
  local hack=(cargo hack check --locked -p forebay --feature-powerset --target-dir target/features)
  must "${hack[@]}" --skip default
  must "${hack[@]}" --skip default,std,alloc --target thumbv6m-none-eabi
  must "${hack[@]}" --skip default,std --target thumbv7m-none-eabi
}

check_bare_metal() {
  # shellcheck disable=SC2086 # words
  need $BARE_METAL
  export RUSTFLAGS='-D warnings'
  local target
  for target in $BARE_METAL; do
    must cargo build --locked -p forebay --release --target "$target" --target-dir target/bare-metal
  done
}

# What a firmware that uses the core links to names no allocator.
check_no_allocator() {
  need thumbv6m-none-eabi binutils
  local target=thumbv6m-none-eabi built=target/probe alloc probe
  # Names of an allocator, of the crate `alloc`, and of C's.
  local allocator='_rust_(re|de)?alloc|_r(g|dl)_(re|de)?alloc|Cs[0-9A-Za-z]+_5alloc|_ZN5alloc'
  allocator="$allocator|[[:space:]](malloc|calloc|realloc|free)\$"

  must cargo build --locked --release --manifest-path .ci/probe/Cargo.toml --target "$target" \
    --target-dir "$built"
  probe=$(symbols "$built/$target/release/libforebay_probe.a")

  # That the search would find one, and that the probe holds what it is to be
  # searched: the library's code, not an empty archive.
  alloc=$(symbols "$(rustc --print sysroot)/lib/rustlib/$target/lib"/liballoc-*.rlib)
  grep -Eq "$allocator" <<<"$alloc" || fail 'the search does not find what the crate alloc holds'
  grep -q 'forebay.*ring' <<<"$probe" || fail 'the probe holds no code of the ring'

  if grep -E "$allocator" <<<"$probe"; then fail 'the probe names an allocator'; fi
  printf '%s symbols, none of an allocator\n' "$(wc -l <<<"$probe")"
}

# Names in the symbol tables of an archive, of whatever architecture.
symbols() { readelf --symbols --wide "$1" 2>/dev/null | awk '$1 ~ /^[0-9]+:$/ && $4 != "SECTION" { print " " $NF }'; }

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
  # Cargo takes a package of the same version that an earlier run unpacked for
  # this one.
  rm -rf target/package "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/forebay{,-std,-linux,-cli}-[0-9]*
  must cargo package --locked "${PUBLISHED[@]}" ${dirty[@]+"${dirty[@]}"}
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
  # Exhaustive over code without unsafe, hours under Miri; the other tests of
  # the same files run.
  local slow=(--skip members_round_trip --skip lengths_stay_within_the_maximum_and_come_back)
  local target
  export MIRIFLAGS='-Zmiri-strict-provenance -Zmiri-symbolic-alignment-check'
  for target in x86_64-unknown-linux-gnu i686-unknown-linux-gnu s390x-unknown-linux-gnu; do
    tested cargo "+$NIGHTLY" miri test --locked -p forebay --lib --features alloc \
      --target "$target" --target-dir target/miri -- "${slow[@]}"
  done
}

# AddressSanitizer over the crates that hold unsafe code or call the kernel.
check_address() {
  need nightly
  sanitized address -p forebay -p forebay-std -p forebay-linux
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
    -print_final_stats=1 >"$log" 2>&1; then
    printf '%s: nothing found; %s\n' "$1" "$(grep number_of_executed_units "$log")"
  else
    printf '%s: FINDING\n' "$1"
    tail -n 60 "$log"
    return 1
  fi
}

# Mutation testing of framing, batch and ring.
check_mutants() {
  cargo_tool mutants "$CARGO_MUTANTS"
  must cargo mutants -p forebay --test-workspace true --output target \
    --file 'core/src/frame/*.rs' --file 'core/src/ring/*.rs' --file core/src/batch.rs \
    --file core/src/decoder.rs --file core/src/stage.rs --file core/src/pump.rs
}
