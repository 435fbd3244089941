#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a release build of the gateway beside nginx and HAProxy on the same work, and shows what each
# operation costs: a table, and a picture in DIR/compare.png.  One gateway shows an ECDSA P-256 certificate, another one an RSA-2048 one; both
# keep their keys in an embedded vault, with the default configuration and the audit log in a file.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
dir=$top/bench
build=
compare=${KEYFERRY_COMPARE:-}
gateways=()
resumption=

usage() {
  cat <<TXT
usage: contrib/bench/run.sh [-r] [-b BUILD] [-d DIR] [-c COMPARE] [-- OPTION ...]
  -r          sessions may be resumed, for the cases resumed12 and resumed13 (by default none is)
  -b BUILD    a build directory (meson, release); without it one is made in DIR/build
  -d DIR      for certificates, keys and logs; ./bench without it
  -c COMPARE  another program than contrib/bench/compare.py that compares (or the variable
              KEYFERRY_COMPARE); it is called as
              COMPARE --workdir DIR --request FILE --target KIND:PORT:PID OPTION ...
              with KIND first ec, then rsa
  OPTION      for COMPARE: --rounds N, --only CASE,CASE; contrib/bench/compare.py --help
Needs nginx, haproxy and gnuplot (packages nginx-light, haproxy, gnuplot-nox), unless -c is given.
TXT
}

die() {
  printf 'bench: %s\n' "$*" >&2
  exit 1
}

build_release() {
  build=$dir/build
  [ -f "$build/build.ninja" ] ||
    meson setup -Dtests=false -Dbuildtype=release "$build" "$top" >"$dir/build.log" 2>&1 ||
    { cat "$dir/build.log" >&2; die "meson failed"; }
  ninja -C "$build" --quiet
}

# Signed by the authority that the other servers ask: NAME USAGE KEY-ARGUMENTS...
make_certificate() {
  local name=$1 usage=$2
  shift 2

  openssl genpkey "$@" -out "$dir/$name.key" 2>/dev/null
  openssl req -new -key "$dir/$name.key" -subj "/CN=$name" |
    openssl x509 -req -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 3650 \
      -extfile <(printf 'extendedKeyUsage=%s\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n' "$usage") \
      -out "$dir/$name.pem" 2>/dev/null
}

make_certificates() {
  local ec=(-algorithm EC -pkeyopt ec_paramgen_curve:P-256)
  local rsa=(-algorithm RSA -pkeyopt rsa_keygen_bits:2048)

  [ ! -f "$dir/client-rsa.pem" ] || return 0
  openssl req -x509 -newkey rsa:2048 -nodes -keyout "$dir/ca.key" -out "$dir/ca.pem" -days 3650 \
    -subj "/CN=bench" 2>/dev/null
  make_certificate server-ec serverAuth "${ec[@]}"
  make_certificate server-rsa serverAuth "${rsa[@]}"
  make_certificate client-ec clientAuth "${ec[@]}"
  make_certificate client-rsa clientAuth "${rsa[@]}"
}

free_port() {
  local port=$1

  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    port=$((port + 1))
  done
  echo "$port"
}

# KIND PORT; the gateway's process id is the last of `gateways' then.
start_gateway() {
  local kind=$1 port=$2 home=$dir/gateway-$1 socket

  mkdir -p "$home/state"
  socket=$(mktemp -u /tmp/keyferry-bench.XXXXXX)
  [ -f "$home/root.key" ] || "$build/src/ctl/keyferryctl" make-root-key "$home/root.key"
  cat >"$home/keyferryd.conf" <<CONF
listen         = {"127.0.0.1:$port"}
control-socket = "$socket"
stats-socket   = "$home/stats.sock"
state-dir      = "$home/state"
audit-file     = "$home/audit.log"
tls {
  certificate = {"$dir/server-$kind.pem"}
  private-key = {"$dir/server-$kind.key"}
  $resumption
}
tenant "bench" {
  id = "bench"
  client-certificates = {"$dir/client-ec.pem", "$dir/client-rsa.pem"}
  vault local {
    root-key-file = "$home/root.key"
  }
  ledger sqlite { }
}
CONF
  "$build/src/daemon/keyferryd" -f -c "$home/keyferryd.conf" >"$home/log" 2>&1 </dev/null &
  gateways+=($!)
  for _ in $(seq 200); do
    ! "$build/src/ctl/keyferryctl" -c "$home/keyferryd.conf" status >/dev/null 2>&1 || return 0
    kill -0 "${gateways[-1]}" 2>/dev/null || break
    sleep 0.05
  done
  tail -n 20 "$home/log" >&2
  die "the gateway did not start"
}

stop_gateways() {
  [ ${#gateways[@]} -eq 0 ] || kill -TERM "${gateways[@]}" 2>/dev/null || true
  wait
}

# A KMIP field in hexadecimal, padded to eight bytes: TAG TYPE VALUE
field() {
  local padded=$3

  while [ $((${#padded} % 16)) -ne 0 ]; do
    padded+=00
  done
  printf '%s%s%08x%s' "$1" "$2" $((${#3} / 2)) "$padded"
}

# Makes a key as vCenter does, and writes the request that fetches it: KIND PORT
record_request() {
  local kind=$1 port=$2 uid version header item

  rm -f "$dir/state-$kind"
  "$build/contrib/keyferry-vcenter" --server "127.0.0.1:$port" --certificate "$dir/client-$kind.pem" \
    --key "$dir/client-$kind.key" --server-certificate "$dir/server-$kind.pem" \
    --state "$dir/state-$kind" >"$dir/vcenter-$kind.log"
  uid=$(cut -d ' ' -f 1 "$dir/state-$kind" | tr -d '\n' | od -An -v -tx1 | tr -d ' \n')
  version=$(field 42006a 02 00000001)$(field 42006b 02 00000004)
  header=$(field 420069 01 "$version")$(field 42000d 02 00000001)
  item=$(field 42005c 05 0000000a)$(field 420079 01 "$(field 420094 07 "$uid")")
  field 420078 01 "$(field 420077 01 "$header")$(field 42000f 01 "$item")" |
    sed 's/../\\x&/g' | xargs -0 printf '%b' >"$dir/get-$kind.req"
}

while getopts b:c:d:hr option; do
  case $option in
  b) build=$OPTARG ;;
  c) compare=$OPTARG ;;
  d) dir=$OPTARG ;;
  h) usage; exit 0 ;;
  r) resumption=$'resumption = true\n  resumption-tls12 = true' ;;
  *) usage >&2; exit 2 ;;
  esac
done
shift $((OPTIND - 1))

umask 077
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
ulimit -n 20000
[ -n "$build" ] || build_release
comparing=("$compare")
if [ -z "$compare" ]; then
  for program in nginx haproxy gnuplot; do
    PATH=$PATH:/usr/sbin type "$program" >/dev/null 2>&1 || die "$program is needed; see -h"
  done
  comparing=("$top/contrib/bench/compare.py" --bench "$build/src/bench/keyferry-bench")
  rm -f "$dir/compare.tsv"
fi
make_certificates
trap stop_gateways EXIT
for kind in ec rsa; do
  port=$(free_port 5696)
  start_gateway $kind "$port"
  record_request $kind "$port"
  PATH=$PATH:/usr/sbin "${comparing[@]}" --workdir "$dir" --request "$dir/get-$kind.req" --target "$kind:$port:${gateways[-1]}" "$@"
done
[ -n "$compare" ] || {
  gnuplot -e "data='$dir/compare.tsv'; picture='$dir/compare.png'" "$top/contrib/bench/plot.gnuplot"
  echo "$dir/compare.png"
}
