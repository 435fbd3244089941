#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every command of keyferryctl is given by a test: exercised.sh ROOT KEYFERRYCTL
set -eu
root=$1
ctl=$2
bad=0

commands=$("$ctl" --help | sed -n 's/^  \([a-z]\)/\1/p' | sed 's/ *\[.*//; s/ *[A-Z].*//')
[ "$(printf '%s\n' "$commands" | wc -l)" -ge 20 ] || { echo "no list of commands" >&2; exit 1; }
while read -r name; do
	# gw.ctl("keys", "list", ...), gw.control("keys list"), self.json("sessions"), ...
	words=$(printf '%s\n' "$name" | sed 's/ /", "/')
	grep -Eqr --include='test_*.py' --include=kf.py \
		"(ctl|control|json|fails|purge|really|offline|run)\(([a-z_.]+, )*(\"--json\", )?\"$words\"[,)]|control\(\"$name\"|keyferryctl\"\), \"$words\"[],]" \
		"$root/tests/integ" || {
		echo "keyferryctl $name: no test gives it" >&2
		bad=1
	}
done <<COMMANDS
$commands
COMMANDS
exit $bad
