#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every command of keyferryctl is given by a test, and those that README and manuals give exist:
# exercised.sh ROOT KEYFERRYCTL
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
given=$(cat "$root/README" "$root"/man/*.[1-9] |
	grep -oE 'keyferryctl( --json)? [a-z][a-z-]*( [a-z][a-z-]*)?' |
	sed 's/^keyferryctl //; s/^--json //' | sort -u)
[ "$(printf '%s\n' "$given" | wc -l)" -ge 15 ] || { echo "no commands in the manuals" >&2; exit 1; }
while read -r words; do
	# arguments may follow, and a line may end amid a command
	printf '%s\n' "$commands" | awk -v given="$words" '
		$0 == given || index(given, $0 " ") == 1 || index($0, given " ") == 1 { found = 1 }
		END { exit !found }' || {
		echo "keyferryctl $words: README or a manual gives it, but there is no such command" >&2
		bad=1
	}
done <<GIVEN
$given
GIVEN
exit $bad
