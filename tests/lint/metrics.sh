#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Holds the table of metrics, what counts them and the manual together: metrics.sh ROOT
set -eu
root=$1
man=$root/man/keyferry-stats.7
bad=0

complain()
{
	echo "$*" >&2
	bad=1
}

# NAME|KIND|NAME IN THE MANUAL|LABELS|HELP for each row
table=$(printf '%s\n' \
	'#define LABELS(set, name, count) @set=name;' '#define LABEL(set, value, text)' \
	'#include "base/label.def"' '#undef LABELS' '#undef LABEL' \
	'#define METRIC(name, kind, help) name|kind|NONE|NONE|help' \
	'#define METRIC_BY(name, kind, a, b, help) name|kind|a|b|help' \
	'#define TENANT_METRIC(name, how, fn, help) name|TENANT|how|NONE|help' \
	'#include "base/metric.def"' |
	${CC:-cc} -E -P -x c -I"$root/include" - | awk '
	/^@/ { gsub(/[@;" ]/, ""); split($0, set, "="); label[set[1]] = set[2]; next }
	/\|/ {
		gsub(/ *\| */, "|"); gsub(/" *"/, ""); gsub(/"/, "")
		split($0, f, "|")
		kind = f[2] == "COUNTER" ? "counter" : f[2] ~ /^(LATENCY|AGE)$/ ? "histogram" : "gauge"
		if (f[2] == "TENANT")
			labels = f[3] == "EACH" ? "tenant, state" : "tenant"
		else
			labels = label[f[3]] (label[f[4]] != "" ? ", " label[f[4]] : "")
		print f[1] "|keyferry_" tolower(f[1]) (f[2] == "ACTIVE" ? "_active" : "") "|" \
			kind (labels != "" ? "; " labels : "") "|" f[5]
	}')
[ "$(printf '%s\n' "$table" | wc -l)" -ge 70 ] || complain "metric.def: cannot be read"

plain()
{
	tr '\n' ' ' | tr 'A-Z' 'a-z' | sed 's/\.\{0,1\} *$//'
}

# The manual begins with what the table says; behind a stop it may say more.
while IFS='|' read -r name shown labels help; do
	text=$(awk -v want=".It Ic $shown No ($labels)" '
		/^\.(It|El|Sh|Ss)/ { on = $0 == want; next }
		on' "$man")
	[ -n "$text" ] || { complain "$man: no '.It Ic $shown No ($labels)'"; continue; }
	begin=$(printf '%s\n' "$help" | plain)
	case $(printf '%s\n' "$text" | plain) in
	"$begin" | "$begin"[.:\;]*) ;;
	*) complain "$man: $shown: does not begin with the table's '$help'" ;;
	esac
	case $labels in
	*tenant*) continue ;;
	esac
	grep -rqw "METRIC_$name" "$root/src" || complain "metric.def: $name: counted nowhere"
done <<TABLE
$table
TABLE

# Nothing may be described that is not there, and what uses metrics uses those that are there.
for name in $(sed -n 's/^\.It Ic \(keyferry_[a-z_]*\) .*/\1/p' "$man"); do
	[ "$name" = keyferry_build_info ] || printf '%s\n' "$table" | grep -q "|$name|" ||
		complain "$man: $name is not in metric.def"
done
exit $bad
