#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The units that are shipped: how exposed the service is (1.5 of 10 at most), and whether systemd
# understands every line.  units.sh ROOT
set -eu
command -v systemd-analyze >/dev/null || {
	echo "SKIPPED: there is no systemd-analyze (Debian package systemd)"
	exit 77
}
systemd-analyze security --offline=yes --no-pager --threshold=15 "$1/etc/keyferryd.service" ||
	{ echo "etc/keyferryd.service: more exposed than 1.5" >&2; exit 1; }
# systemd's usual limits fail service and socket for good, when a disk comes three seconds late
for line in keyferryd.service:StartLimitIntervalSec=0 keyferryd.socket:TriggerLimitIntervalSec=0; do
	grep -qx "${line#*:}" "$1/etc/${line%:*}" ||
		{ echo "etc/${line%:*}: without ${line#*:} a few failed starts are the last" >&2; exit 1; }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cp "$1/etc/keyferryd.socket" "$dir"
# the program is not installed where it is tested
sed 's|/usr/sbin/keyferryd|/bin/true|' "$1/etc/keyferryd.service" >"$dir/keyferryd.service"
found=$(systemd-analyze verify --man=no "$dir/keyferryd.service" "$dir/keyferryd.socket" 2>&1 |
	grep -F "$dir" || true)
[ -z "$found" ] || { echo "$found" >&2; exit 1; }
