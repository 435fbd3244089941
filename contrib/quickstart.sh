#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the gateway, runs it on this machine with an embedded vault, or with a local simulator of IBM
# Key Protect, and shows how a vCenter would use it.  Everything is kept in ./quickstart; a second run
# goes on where the first one was.
set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$top/quickstart/build
key_protect=no
instance=6ee0f1f6-1c36-4d4e-9d6b-4f0f6b1f7c52 # of the simulator
packages=(meson ninja-build gcc libc6-dev pkg-config libevent-dev libssl-dev libsqlite3-dev
  libconfuse-dev libseccomp-dev libyajl-dev libcurl4-openssl-dev libsystemd-dev openssl)

usage() {
  cat <<TXT
usage: contrib/quickstart.sh [--key-protect] [start | stop | --help]
  start   (default) installs what the build needs (Debian packages; root or sudo), builds, makes
          certificates and a root key of its own, starts the gateway, lets a vCenter-like client
          make and fetch a key, kills the gateway, starts it again, and fetches the same key
  stop    stops the gateway; everything it knows stays in ./quickstart
  --key-protect
          keeps the keys in IBM Key Protect, played by keyferry-sim on this machine, and shows what
          becomes of them when the customer deletes the root key and restores it
The gateway listens on 127.0.0.1:5696, or on the next port that is free.
KEYFERRY_PORT=N asks for another port; it counts on the first run only.
TXT
}

say() {
  printf '\n== %s\n' "$*"
}

die() {
  printf 'quickstart: %s\n' "$*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "this needs root: $*"
  fi
}

install_packages() {
  local missing=() p

  command -v dpkg >/dev/null ||
    die "this script knows Debian's packages only; the build needs: ${packages[*]}"
  for p in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] ||
      missing+=("$p")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "Installing ${missing[*]}"
  as_root apt-get update -q
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    "${missing[@]}"
}

build_all() {
  say "Building in $build"
  [ -f "$build/build.ninja" ] ||
    meson setup -Dtests=false -Dbuildtype=release "$build" "$top" >"$dir/build.log" 2>&1 ||
    { cat "$dir/build.log" >&2; die "meson failed"; }
  ninja -C "$build" --quiet
}

# A self-signed certificate: NAME SUBJECT KEY-ARGUMENTS...
make_certificate() {
  local name=$1 subject=$2
  shift 2

  [ -f "$dir/$name.pem" ] && return
  openssl genpkey "$@" -out "$dir/$name.key" 2>/dev/null
  openssl req -x509 -new -key "$dir/$name.key" -days 3650 -subj "$subject" \
    -addext "subjectAltName=DNS:localhost,DNS:$(uname -n),IP:127.0.0.1,IP:::1" \
    -out "$dir/$name.pem.new"
  mv "$dir/$name.pem.new" "$dir/$name.pem"
}

port_is_taken() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Certificates, root key and configuration, unless an earlier run made them.
configure() {
  local port=${KEYFERRY_PORT:-5696} socket=$dir/control.sock

  make_certificate server-ec "/CN=$(uname -n)" -algorithm EC -pkeyopt ec_paramgen_curve:P-256
  make_certificate server-rsa "/CN=$(uname -n)" -algorithm RSA -pkeyopt rsa_keygen_bits:2048
  make_certificate vcenter "/CN=kmipClient$(date -u +%Y%m%d%H%M%S)" -algorithm RSA \
    -pkeyopt rsa_keygen_bits:2048
  [ "$key_protect" = yes ] || [ -f "$dir/root.key" ] ||
    "$build/src/ctl/keyferryctl" make-root-key "$dir/root.key"
  mkdir -p "$dir/state"
  [ -f "$conf" ] && return

  if [ -z "${KEYFERRY_PORT:-}" ]; then
    while port_is_taken "$port"; do
      port=$((port + 1))
    done
  elif port_is_taken "$port"; then
    die "port $port is taken"
  fi
  # the path of a UNIX socket has 107 bytes
  [ ${#socket} -lt 100 ] || socket=$(mktemp -d /tmp/keyferry.XXXXXX)/control.sock
  cat >"$conf.new" <<CONF
# Made by contrib/quickstart.sh.  See keyferryd.conf(5) and etc/keyferryd.conf.
listen         = {"127.0.0.1:$port"}
control-socket = "$socket"
stats-socket   = "${socket%/*}/stats.sock"
state-dir      = "$dir/state"
tls {
  certificate = {"$dir/server-ec.pem", "$dir/server-rsa.pem"}
  private-key = {"$dir/server-ec.key", "$dir/server-rsa.key"}
}
tenant "quickstart" {
  id = "quickstart"
  client-certificates = {"$dir/vcenter.pem"}
  $(vault)
  ledger sqlite { }
}
CONF
  mv "$conf.new" "$conf"
}

# The vault's section of the configuration.
vault() {
  if [ "$key_protect" = no ]; then
    echo "vault local { root-key-file = \"$dir/root.key\" }"
    return
  fi
  cat <<CONF
vault keyprotect {
    url          = "https://$(simulator api)"
    iam-url      = "https://$(simulator api)/identity/token"
    ca-file      = "$dir/key-protect.pem"
    instance     = "$instance"
    root-key     = "quickstart-root"
    api-key-file = "$dir/api.key"
  }
  revocation-bound = "5s"
CONF
}

# Where the simulator listens: api or admin.
simulator() {
  sed -n "s|.*\"$1\":\"[a-z]*://\([^\"]*\)\".*|\1|p" "$dir/simulator.json"
}

# What a customer does there: METHOD PATH [JSON]
customer() {
  local address body=${3:-}

  address=$(simulator admin)
  exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
  printf '%s %s HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' \
    "$1" "$2" "${#body}" "$body" >&3
  sed '1,/^\r*$/d' <&3
  exec 3>&-
}

# The simulator's keys are in its memory: when it is new, so is everything else.
start_simulator() {
  local pid

  if pid=$(running simulator); then
    say "The Key Protect simulator runs already: process $pid"
    return
  fi
  ! running gateway >/dev/null || stop_gateway
  say "Starting a simulator of IBM Key Protect"
  rm -rf "$dir/state" "$conf" "$dir/vcenter.state" "$dir/simulator.json"
  make_certificate key-protect "/CN=localhost" -algorithm EC -pkeyopt ec_paramgen_curve:P-256
  [ -f "$dir/api.key" ] || openssl rand -hex 24 >"$dir/api.key"
  cat >"$dir/simulator.setup" <<SETUP
{"instances": [{"id": "$instance", "root-keys": ["quickstart-root"]}],
 "identities": [{"subject": "iam-ServiceId-quickstart", "api-key": "$(cat "$dir/api.key")",
                 "grants": [{"instance": "$instance", "roles": ["Manager"]}]}]}
SETUP
  setsid "$build/src/sim/keyferry-sim" -c "$dir/simulator.setup" -l 127.0.0.1:0 -A 127.0.0.1:0 \
    --cert "$dir/key-protect.pem" --key "$dir/key-protect.key" \
    >"$dir/simulator.json" 2>"$dir/simulator.log" </dev/null &
  pid=$!
  disown "$pid"
  echo "$pid" >"$dir/simulator.pid"
  for _ in $(seq 200); do
    [ ! -s "$dir/simulator.json" ] || break
    kill -0 "$pid" 2>/dev/null || { cat "$dir/simulator.log" >&2; die "the simulator did not start"; }
    sleep 0.05
  done
  echo "It runs: process $pid, https://$(simulator api), with a root key and a service ID."
}

# The port that the configuration file says, which may have been edited since.
port() {
  sed -n 's/^listen[^"]*"[^"]*:\([0-9]*\)".*/\1/p' "$conf" | head -n 1
}

ctl() {
  "$build/src/ctl/keyferryctl" -c "$conf" "$@"
}

# The process id of our gateway, or of our simulator, if it runs.
running() {
  local pid file=$conf

  [ "$1" = gateway ] || file=$dir/simulator.setup
  [ -f "$dir/$1.pid" ] || return 1
  pid=$(cat "$dir/$1.pid")
  grep -qzF -- "$file" "/proc/${pid:-0}/cmdline" 2>/dev/null || return 1
  echo "$pid"
}

explain_failure() {
  tail -n 20 "$log" >&2
  if tail -n 20 "$log" | grep RLIMIT_MEMLOCK >/dev/null; then
    cat >&2 <<TXT
The gateway keeps keys in memory that the system must not swap out.  This shell may lock
$(ulimit -l) KiB.  Raise the limit, for example with
    sudo prlimit --pid \$\$ --memlock=16777216:16777216
and run this script again, or set allow-unlocked-heap = true in $conf.
TXT
  fi
  die "the gateway did not start; its log is $log"
}

start_gateway() {
  local pid

  setsid "$build/src/daemon/keyferryd" -f -c "$conf" >>"$log" 2>&1 </dev/null &
  pid=$!
  disown "$pid" # its end is not this shell's news
  echo "$pid" >"$dir/gateway.pid"
  for _ in $(seq 200); do
    if ctl status >/dev/null 2>&1; then
      echo "The gateway runs: process $pid, port $(port)."
      return
    fi
    kill -0 "$pid" 2>/dev/null || explain_failure
    sleep 0.05
  done
  explain_failure
}

stop_gateway() {
  local pid

  if ! pid=$(running gateway); then
    echo "The gateway does not run."
    return
  fi
  end_process "$pid"
  rm -f "$dir/gateway.pid"
  if [ "$key_protect" = no ]; then
    echo "The gateway is stopped.  Its keys are in $dir/state, under the root key in $dir/root.key."
  else
    echo "The gateway is stopped."
  fi
}

end_process() {
  kill -TERM "$1"
  for _ in $(seq 900); do
    kill -0 "$1" 2>/dev/null || return 0
    sleep 0.05
  done
  die "process $1 does not end"
}

stop_simulator() {
  local pid

  pid=$(running simulator) || return 0
  end_process "$pid"
  rm -f "$dir/simulator.pid"
  echo "The simulator is stopped, and the keys are gone with it."
}

kill_gateway() {
  local pid

  pid=$(running gateway) || die "the gateway is gone"
  kill -KILL "$pid"
  while [ -d "/proc/$pid" ] && ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null; do
    sleep 0.05
  done
  echo "Process $pid is dead."
}

client() {
  "$build/contrib/keyferry-vcenter" --server "127.0.0.1:$(port)" \
    --certificate "$dir/vcenter.pem" --key "$dir/vcenter.key" \
    --server-certificate "$dir/server-ec.pem" --server-certificate "$dir/server-rsa.pem" \
    --state "$dir/vcenter.state" "$@"
}

# Until the client gets its key, or does not get it any more: WANTED-STATUS
await_key() {
  local status

  for _ in $(seq 90); do
    status=0
    client --verify >"$dir/verify.log" 2>&1 || status=1
    [ "$status" -ne "$1" ] || return 0
    sleep 1
  done
  cat "$dir/verify.log" >&2
  die "waited in vain"
}

# The customer's last word.
show_revocation() {
  local root=/instances/$instance/keys/quickstart-root

  say "What lies in Key Protect: the root key, and a record for each key, which names its key ID"
  customer GET "/instances/$instance/keys" | tr '{' '\n' | grep '"name"' |
    sed 's/.*"name":"\([^"]*\)","type":"\([^"]*\)".*/  \2  \1/'
  say "The customer deletes the root key there: no key may be had any more"
  customer POST "$root/delete" >/dev/null
  await_key 1
  tail -n 1 "$dir/verify.log"
  say "The customer restores the root key: keys are there again, by themselves"
  customer POST /clock '{"advance-s": 60}' >/dev/null
  customer POST "$root/restore" >/dev/null
  await_key 0
  cat "$dir/verify.log"
}

digest() {
  openssl x509 -in "$dir/$1.pem" -noout -fingerprint "-$2" | sed 's/.*=//'
}

how_to_go_on() {
  say "It is yours now"
  cat <<TXT
connect    host 127.0.0.1 (or localhost), port $(port), KMIP 1.0 to 2.1 over TLS 1.2 or 1.3
           the client shows   $dir/vcenter.pem
           with its key       $dir/vcenter.key
           (in vCenter: 'Upload certificate and private key')
trust      the gateway shows one of these, whichever the client prefers:
           $dir/server-ec.pem
             SHA-256 $(digest server-ec sha256)
             SHA-1   $(digest server-ec sha1)
           $dir/server-rsa.pem
             SHA-256 $(digest server-rsa sha256)
             SHA-1   $(digest server-rsa sha1)
look       $build/src/ctl/keyferryctl -c $conf status
           ... sessions, ... keys list, ... --help; the log is $log
let others in
           set listen = {"[::]:$(port)"} in $conf
           and run this script again
stop       contrib/quickstart.sh$([ "$key_protect" = no ] || echo " --key-protect") stop
TXT
}

start() {
  umask 077
  mkdir -p "$dir"
  [ -w "$dir" ] || die "$dir belongs to $(stat -c %U "$dir"): run this as that user, or move it away"
  install_packages
  build_all
  [ "$key_protect" = no ] || start_simulator
  configure
  if pid=$(running gateway); then
    say "The gateway runs already: process $pid, port $(port)"
  else
    say "Starting the gateway"
    start_gateway
  fi
  if [ -s "$dir/vcenter.state" ]; then
    say "The key of the last run"
    client --verify
  fi
  say "What vCenter does when it encrypts a virtual machine"
  client
  say "Now the gateway is killed with SIGKILL and started again"
  kill_gateway
  start_gateway
  client --verify
  [ "$key_protect" = no ] || show_revocation
  how_to_go_on
}

dir=$top/quickstart
if [ "${1:-}" = --key-protect ]; then
  key_protect=yes
  dir=$dir/key-protect
  shift
fi
conf=$dir/keyferryd.conf
log=$dir/keyferryd.log
case ${1:-start} in
start) start ;;
stop)
  stop_gateway
  stop_simulator
  ;;
-h | --help | help) usage ;;
*)
  usage >&2
  exit 2
  ;;
esac
