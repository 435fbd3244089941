#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and tests everything as continuous integration does, and ends with one line:
#   N passed, N failed, N skipped
# and above it what each of them did not do.
set -euo pipefail
umask 022 # what others may write is refused

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
packages=(meson ninja-build gcc libc6-dev clang libclang-rt-14-dev clang-tidy cppcheck pkg-config check
  libsubunit-dev libevent-dev libssl-dev libsqlite3-dev libconfuse-dev libseccomp-dev libyajl-dev
  libcurl4-openssl-dev libsystemd-dev openssl python3 python3-pykmip python3-cryptography mandoc
  procps util-linux binutils strace prometheus systemd zsh gcovr valgrind pmccabe)
# whoever has another node keeps it
command -v npm >/dev/null || packages+=(nodejs npm)
sanitized=(-Dtesting=true -Dwerror=true "-Db_sanitize=address,undefined" -Db_lundef=false)
long=no
failed=0

usage() {
  cat <<TXT
usage: tests/run.sh [--long]
Installs what the tests need (Debian packages; root or sudo), then builds and runs them: everything
with gcc, AddressSanitizer and UndefinedBehaviorSanitizer; unit tests and fuzzer corpora with clang;
the codec and HTTP with MemorySanitizer; how much of the codec its tests run through; a release build
that must hold no test machinery; static analysis (gcc, clang-tidy, cppcheck).
  --long   all of this, with every test at full length, some with valgrind, the coverage of all
           layers, and each fuzzer.  What has passed is not run again after an interruption, as long
           as what it is made of is the same (build/long, where the tests' output is as well).
KEYFERRY_FUZZ_SECONDS=N is the time for each fuzzer (default: 1800).
KEYFERRY_SEED=N repeats a run with that seed.
KEYFERRY_OLDER=FILE is an earlier release's keyferryd, which takes turns with today's under load.
TXT
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo "$@"
  fi
}

install_packages() {
  local missing=() p

  for p in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] ||
      missing+=("$p")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "Installing ${missing[*]}"
  as_root apt-get update -q
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    "${missing[@]}"
}

# DIRECTORY COMPILER OPTIONS...
build() {
  local to=$top/build/$1 cc=$2
  shift 2

  echo "== building $to"
  [ -f "$to/build.ninja" ] || CC=$cc meson setup "$@" "$to" "$top" >/dev/null ||
    { cat "$to/meson-logs/meson-log.txt"; return 1; }
  ninja -C "$to" --quiet || return 1
}

# The same in the background and out of the way; whoever needs it builds it again, and has the errors.
build_beside() {
  echo "== building $top/build/$1, beside what follows"
  (renice -n 19 "$BASHPID"; build "$@") >"$top/build/$1.log" 2>&1 &
}

# DIRECTORY ARGUMENTS...: the tests of one build; a failure is counted at the end.  Three at a
# time, on two processors, as some of them wait.
run_tests() {
  local to=$top/build/$1
  shift

  meson test -C "$to" --no-rebuild --print-errorlogs --num-processes 3 "$@" || failed=1
}

# shellcheck disable=SC2317  # called through note()
# MemorySanitizer wants every byte to come from code that it has instrumented: so it is the codec and
# the HTTP server, with the fuzzers' corpora.  OpenSSL, SQLite, libcurl, yajl, libconfuse and check
# are not built with it; for what stands on these there is valgrind in the long tier.
check_memory() {
  local to=$top/build/memory name

  [ -f "$to/build.ninja" ] || CC=clang meson setup -Dtesting=true -Dwerror=true \
    -Db_sanitize=memory -Db_lundef=false "$to" "$top" >/dev/null || return 1
  for name in ttlv web; do
    ninja -C "$to" --quiet "tests/fuzz/replay_$name" || return 1
    if ! "$to/tests/fuzz/replay_$name" "$top/tests/fuzz/corpus/$name" 2>"$to/$name.log"; then
      tail -n 40 "$to/$name.log"
      return 1
    fi
  done
}

# shellcheck disable=SC2317  # called through note()
# Clocks that tests can move and faults on request have no place in what people run.
check_release() {
  local found

  build release gcc -Dbuildtype=release -Dtests=false -Dwerror=true || return 1
  found=$(find "$top/build/release/src" "$top/build/release/contrib" -type f -executable \
    -exec nm -A --defined-only {} + 2>/dev/null | grep -E ' (clock_test_|fault_test_)' || true)
  [ -n "$(find "$top/build/release/src/daemon" -name keyferryd -type f)" ] || return 1
  [ -z "$found" ] || { echo "test machinery in a release build:"; echo "$found"; return 1; }
}

# shellcheck disable=SC2317  # called through note()
# TEST [VAULT]: with the very programs that people run, whose system calls are other ones.
try_release() {
  local of=$top/build/release

  KEYFERRY_VAULT=${2:-local} KEYFERRY_KEYFERRYD=$of/src/daemon/keyferryd \
    KEYFERRY_KEYFERRYCTL=$of/src/ctl/keyferryctl \
    KEYFERRY_KEYFERRY_VCENTER=$of/contrib/keyferry-vcenter \
    KEYFERRY_KEYFERRY_SIM=$of/src/sim/keyferry-sim \
    KEYFERRY_FORBIDDEN_SO=$top/build/test-gcc/tests/integ/forbidden.so PYTHONDONTWRITEBYTECODE=1 \
    /usr/bin/python3 "$top/tests/integ/test_$1.py"
}

# Runs one check of our own and notes its result as meson would.
note() {
  local name=$1 result=OK
  shift

  echo "== $name"
  "$@" || result=FAIL
  printf '{"name": "%s", "result": "%s"}\n' "$name" "$result" >>"$top/build/own-checks.json"
}

case ${1:-} in
"") ;;
--long) long=yes ;;
-h | --help)
  usage
  exit 0
  ;;
*)
  usage >&2
  exit 2
  ;;
esac

export KEYFERRY_SEED=${KEYFERRY_SEED:-$((RANDOM * 32768 + RANDOM))}
echo "KEYFERRY_SEED=$KEYFERRY_SEED"
install_packages
cd "$top"
mkdir -p build
rm -f build/own-checks.json

# A build that fails leaves no results, and that counts as a failure at the end.
rm -f build/*/meson-logs/{waits,testlog}.json build/long/testlog.json
results=(build/test-gcc/meson-logs/{waits,testlog}.json)
if build test-gcc gcc "${sanitized[@]}"; then
  if [ "$long" = yes ]; then
    note "build of the fuzzers" build fuzz clang -Dfuzz=true "${sanitized[@]}"
    note "build for valgrind" build memcheck gcc -Dtesting=true -Dwerror=true
    note "all of the long tier was run" /usr/bin/python3 "$top/tests/long.py" build/test-gcc \
      build/memcheck build/coverage build/fuzz build/long "${KEYFERRY_FUZZ_SECONDS:-1800}"
    results=(build/long/testlog.json)
  else
    # those that wait do so beside each other, and beside the other compiler
    build_beside test-clang clang "${sanitized[@]}"
    run_tests test-gcc --logbase waits --suite waits --num-processes 5
    wait
    run_tests test-gcc --no-suite waits
  fi
fi
if build test-clang clang "${sanitized[@]}"; then
  run_tests test-clang --suite unit --suite fuzz
fi
note "no memory is read that nobody wrote" check_memory
note "coverage of the codec" tests/coverage.py "$top/build/coverage"
note "release build without test machinery" check_release
for name in vcenter control audit confined unit; do
  note "$name with the release build" try_release "$name"
done
note "vcenter-keyprotect with the release build" try_release vcenter keyprotect
note "static analysis" tests/lint/analysis.py "$top" "$top/build/release"
tests/results.py "${results[@]}" build/test-clang/meson-logs/testlog.json build/own-checks.json || failed=1
exit "$failed"
