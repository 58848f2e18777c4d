# shellcheck shell=bash
# What .ci/run and its checks share: how a check is run, timed and counted.

# Logs and what setup found; nothing that outlives a run.
STATE=$PWD/target/ci
# Seconds that all checks may take together in CI.
BUDGET=${BUDGET:-0}

export CARGO_TERM_COLOR=never
# Whatever a run needs is asked for by name in setup.
export RUSTUP_AUTO_INSTALL=0

# A check ends with this status when it was skipped.
SKIP=75
# How a line begins that says that a real part was skipped; tests print it too.
MARK='SKIPPED: '
# How its reason begins when rustup could not download something.
REFUSED='rustup download refused: '

rows=()
passed=0
failed=0
skipped=0
# Skips that CI does not accept.
unaccepted=0
# The check that runs, in a process group of its own: it ends with this one.
running=
trap '[ -z "$running" ] || kill "$running" 2>/dev/null; exit 130' INT TERM

in_ci() { [ -n "${CI:-}" ]; }

row() { rows+=("$(printf '%-14s %-8s %6s  %s' "$1" "$2" "$3" "${4:-}")"); }

# run_check NAME LIMIT: runs the function `check_NAME` in a shell of its own.
run_check() {
  local name=$1 limit=$2 log=$STATE/$1.log begin=$SECONDS status seconds reason line
  if in_ci && [ $((limit + SECONDS)) -gt "$BUDGET" ]; then limit=$((BUDGET - SECONDS)); fi
  printf '== %s\n' "$name"
  if [ "$limit" -gt 0 ]; then
    timeout --kill-after=10 "$limit" bash .ci/check "${name//-/_}" >"$log" 2>&1 </dev/null &
    running=$!
    wait "$running"
    status=$?
  else
    echo "no time left of the $BUDGET seconds of a run" >"$log"
    status=1
  fi
  seconds=$((SECONDS - begin))

  case $status in
  0)
    passed=$((passed + 1))
    row "$name" passed "$seconds"
    ;;
  "$SKIP") ;;
  *)
    failed=$((failed + 1))
    reason=$(sed -n 's/^FAILED: //p' "$log" | tail -n 1)
    reason=${reason:-exit status $status}
    if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then reason="stopped after $limit s"; fi
    row "$name" FAILED "$seconds" "$reason"
    echo "-- the end of $log"
    tail -n 300 "$log"
    ;;
  esac

  # The whole check, or parts of it that its tests name.
  while IFS= read -r line; do
    reason=${line#*"$MARK"}
    skipped=$((skipped + 1))
    row "$name" skipped "$seconds" "$reason"
    accepted "$reason" || unaccepted=$((unaccepted + 1))
  done < <(grep -E "^(test .* \.\.\. )?$MARK" "$log" | sort -u)
  printf '   %s s\n' "$seconds"
}

# Whether a skip is due to what rustup could not download.
accepted() {
  local lack thing
  case $1 in "$REFUSED"*) return 0 ;; esac
  for lack in "$STATE"/lack.*; do
    thing=${lack##*/lack.}
    # A test says what it misses, not why.
    if grep -qs "^$REFUSED" "$lack" && [[ $1 == *"${thing%@*}"* ]]; then return 0; fi
  done
  return 1
}

# Prints the table, and exits.
report() {
  printf '\n%-14s %-8s %6s  %s\n' check result s reason
  printf '%s\n' "${rows[@]}"
  printf '%-14s %-8s %6s\n' all '' "$SECONDS"
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  if [ "$failed" -gt 0 ]; then exit 1; fi
  if in_ci && [ "$unaccepted" -gt 0 ]; then exit 1; fi
  exit 0
}

# fail WHY: ends a check.
fail() {
  printf 'FAILED: %s\n' "$*"
  exit 1
}

# need THING...: ends a check unless setup found each THING.
need() {
  local thing why
  for thing; do
    [ -e "$STATE/have.$thing" ] && continue
    why=$(cat "$STATE/lack.$thing" 2>/dev/null) || fail "setup does not know '$thing'"
    case $why in
    "$REFUSED"*) ;;
    *) if in_ci; then fail "$thing: $why"; fi ;;
    esac
    printf '%s%s (%s)\n' "$MARK" "$why" "$thing"
    exit "$SKIP"
  done
}

# must COMMAND...: runs it, shown, and ends the check if it fails.
must() {
  printf '$ %s\n' "$*"
  "$@" || fail "exit status $? of: $*"
}

# tested COMMAND...: as must, and at least one test must have passed.
tested() {
  local out count
  out=$(mktemp)
  printf '$ %s\n' "$*"
  "$@" 2>&1 | tee "$out"
  [ "${PIPESTATUS[0]}" -eq 0 ] || fail "a test failed in: $*"
  count=$(awk '/^test result: ok/ { sum += $4 } END { print sum + 0 }' "$out")
  rm -f "$out"
  [ "$count" -gt 0 ] || fail "no test was run by: $*"
}
