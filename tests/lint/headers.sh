#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every header in include/ compiles alone, and is guarded by its path: headers.sh ROOT
set -eu
cd "$1"
bad=0
for h in $(find include -name '*.h' | sort); do
	echo "#include \"${h#include/}\"" |
		${CC:-cc} -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only \
			-x c - || { echo "$h: does not compile alone" >&2; bad=1; }
	guard=$(echo "${h#include/}" | tr 'a-z/.-' 'A-Z___')
	grep -q "^#ifndef $guard\$" "$h" || { echo "$h: the guard is not $guard" >&2; bad=1; }
done
exit $bad
