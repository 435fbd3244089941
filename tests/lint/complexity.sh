#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Functions fit on a screen and have few ways through: complexity.sh ROOT
# What is above a ceiling stands in complexity.allow with its reason, and nothing else does.  (How
# deep they are nested, and how hard to follow, clang-tidy says: .clang-tidy.)
set -eu
cd "$1"
command -v pmccabe >/dev/null || {
	echo "SKIPPED: there is no pmccabe (Debian package pmccabe)"
	exit 77
}
find src contrib -name '*.c' | sort | xargs pmccabe | awk '
	BEGIN {
		lines_max = 50
		ways_max = 20 # McCabe, with a switch as one
		allow = "tests/lint/complexity.allow"
		while ((getline line <allow) > 0) {
			if (split(line, word, " ") >= 3 && line !~ /^#/)
				allowed[word[1] " " word[2]] = 1
		}
	}
	{
		count++
		sub(/\(.*/, "", $6)
		name = $6 " " $7
		above = $5 > lines_max || $1 > ways_max
		if (above && !(name in allowed)) {
			print $6 ": " $7 " has " $5 " lines and " $1 " ways through it; " lines_max \
				" and " ways_max " at most"
			bad = 1
		}
		if (above)
			delete allowed[name]
	}
	END {
		for (name in allowed) {
			print allow ": " name " is below the ceilings"
			bad = 1
		}
		if (count < 1000) {
			print "only " count + 0 " functions were found"
			bad = 1
		}
		exit bad
	}' >&2
