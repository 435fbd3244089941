#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Functions that nobody calls: banned.sh ROOT.  An exemption names the file, the function and how
# many calls there are, so that one more is noticed.
set -eu
cd "$1"
exemptions='
src/base/alloc.c calloc 1
src/base/alloc.c free 1
src/base/alloc.c malloc 1
'
# shellcheck disable=SC2016 # it is awk's
found=$(find src include contrib tests/client -name '*.[ch]' | sort | xargs awk '
	BEGIN {
		n = split("strcpy strcat sprintf vsprintf gets strtok atoi atol system popen alloca " \
			"malloc calloc realloc free strdup strndup asprintf vasprintf", name, " ")
	}
	FNR == 1 { comment = 0 }
	{
		line = $0
		gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
		gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, "", line)
		if (comment && !sub(/^.*\*\//, "", line)) next
		comment = sub(/\/\*.*$/, "", line)
		for (i = 1; i <= n; i++) {
			rest = line
			while (match(rest, "(^|[^A-Za-z0-9_.>])" name[i] "[ \t]*\\(")) {
				count[FILENAME " " name[i]]++
				rest = substr(rest, RSTART + RLENGTH)
			}
		}
	}
	END { for (k in count) print k, count[k] }' | sort)
bad=0
while read -r file name count; do
	[ -n "$file" ] || continue
	printf '%s' "$exemptions" | grep -qx "$file $name $count" && continue
	echo "$file: calls $name() ($count)" >&2
	bad=1
done <<FOUND
$found
FOUND
exit $bad
