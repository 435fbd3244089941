#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every fault of fault.def has its place in the code, and some test makes it fail: faults.sh ROOT
set -eu
root=$1
bad=0

names=$(sed -n 's/^FAULT(\([A-Z_]*\)).*/\1/p' "$root/include/base/fault.def")
[ "$(printf '%s\n' "$names" | wc -l)" -ge 8 ] || { echo "no list of faults" >&2; exit 1; }
for name in $names; do
	grep -rq "fault_hit(FAULT_$name)" "$root/src" || {
		echo "fault.def: $name: there is no such place" >&2
		bad=1
	}
	# armed by a check program, or named to a gateway that a test starts
	grep -rEq --include='*.[ch]' --include='*.py' "\bFAULT_$name\b|\"$name[:\"]" \
		"$root/tests/unit" "$root/tests/integ" || {
		echo "fault.def: $name: no test makes it fail" >&2
		bad=1
	}
done
exit $bad
