#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A layer includes what its line names, itself, and nothing above: layers.sh ROOT
set -eu
cd "$1"
# shellcheck disable=SC2016 # it is awk's
find include src -name '*.[ch]' | sort | xargs awk '
	BEGIN {
		may["base"] = "base"
		may["kmip"] = "base kmip"
		may["net"] = "base net"
		may["keys"] = "base net keys"
		may["gate"] = "base kmip net keys gate"
		may["bench"] = "base kmip"
		may["sim"] = "base daemon"
		may["daemon"] = may["ctl"] = may["gate"] " daemon"
	}
	FNR == 1 { split(FILENAME, part, "/"); layer = part[2] }
	/^#include "[a-z]+\// {
		split($2, target, /["\/]/)
		if (index(" " may[layer] " ", " " target[2] " ") == 0) {
			print FILENAME ":" FNR ": " layer " must not include " target[2]
			bad = 1
		}
	}
	END { exit bad }' >&2
