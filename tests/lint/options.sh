#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Holds the option table, the sample and the manuals together: options.sh ROOT KEYFERRYCTL KEYFERRY-BENCH
set -eu
root=$1
ctl=$2
bench=$3
conf=$root/etc/keyferryd.conf
man=$root/man/keyferryd.conf.5
bad=0

complain()
{
	echo "$*" >&2
	bad=1
}

# NAME|DEFAULT|WHEN for each row; a required option has the default NULL.
table=$(printf '%s\n' \
	'#define OPTION(scope, member, name, type, fallback, least, most, when, help) name|fallback|when' \
	'#include "config.def"' |
	${CC:-cc} -E -P -x c -I"$root/src/daemon" - | tr -d '"' | sed 's/ *| */|/g; s/^ *//; s/ *$//' |
	grep '|')
[ "$(printf '%s\n' "$table" | wc -l)" -ge 20 ] || complain "config.def: cannot be read"

# An item's text in a manual, from its .It line to the next.
item()
{
	awk -v want="$2" '
		/^\.It / { on = index($0 " ", want) == 1 }
		/^\.(El|Sh|Ss)/ { on = 0 }
		on' "$1"
}

while IFS='|' read -r name default when; do
	text=$(item "$man" ".It Ic $name No =")
	line=$(grep -E "^#?[[:space:]]*#?[[:space:]]*$name = " "$conf" || true)
	[ -n "$text" ] || { complain "$man: no option $name"; continue; }
	[ -n "$line" ] || { complain "$conf: no option $name"; continue; }
	if [ "$default" = NULL ]; then
		printf '%s\n' "$text" | grep -qx 'Required\.' || complain "$man: $name: Required."
	else
		printf '%s\n' "$text" | grep -Fqx "Default: ${default:-empty}" ||
			complain "$man: $name: Default: ${default:-empty}"
		value=$(printf '%s\n' "$line" | sed 's/^[^=]*= //; s/[{}"]//g')
		[ "$value" = "$default" ] || complain "$conf: $name = $value, but the default is $default"
		printf '%s\n' "$line" | grep -q '^[[:space:]]*#' || complain "$conf: $name is not a comment"
	fi
	restart=$(printf '%s\n' "$text" | grep -cFx 'Takes effect at a restart.' || true)
	case $when/$restart in
	RESTART/1 | RELOAD/0) ;;
	*) complain "$man: $name: says the wrong thing about a restart" ;;
	esac
done <<TABLE
$table
TABLE

# Nothing may be described that is not there.
for name in $(sed -n 's/^\.It Ic \([a-z-]*\) No = .*/\1/p' "$man") \
	$(sed -n 's/^[#[:space:]]*\([a-z-]*\) = .*/\1/p' "$conf"); do
	printf '%s\n' "$table" | grep -q "^$name|" || complain "$name: described, but not in config.def"
done

# keyferryctl's commands and their options.
man=$root/man/keyferryctl.8
commands=$("$ctl" --help | sed -n 's/^  \([a-z]\)/\1/p')
[ -n "$commands" ] || complain "keyferryctl --help: lists no command"
while read -r line; do
	name=$(printf '%s\n' "$line" | sed 's/ *\[.*//; s/ *[A-Z].*//')
	text=$(item "$man" ".It Ic $name ")
	[ -n "$text" ] || complain "$man: no command $name"
	for option in $(printf '%s\n' "$line" | grep -o -e '--[a-z0-9-]*' || true); do
		printf '%s\n' "$text" | grep -q -e "Fl -${option#--} " ||
			complain "$man: $name: no option $option"
	done
done <<COMMANDS
$commands
COMMANDS
for name in $(sed -n 's/^\.It Ic \(\(keys\|cache\|trust\|sessions\) [a-z]*\|[a-z-]*\).*/\1/p' "$man" |
	tr ' ' _); do
	printf '%s\n' "$commands" | grep -q "^$(echo "$name" | tr _ ' ')" ||
		complain "$man: $name is no command"
done

# keyferry-bench's options and modes.
man=$root/man/keyferry-bench.8
help=$("$bench" --help)
words=$(printf '%s\n' "$help" | grep -o -e '--[a-z]*' | sort -u)
modes=$(printf '%s\n' "$help" | sed -n '/^modes:/,/^options:/s/^  \([a-z]*\) .*/\1/p')
[ -n "$words" ] && [ -n "$modes" ] || complain "keyferry-bench --help: lists no options or no modes"
for word in $words; do
	grep -qE "^\.It .*Fl -${word#--}( |\$)" "$man" || complain "$man: no option $word"
done
for mode in $modes; do
	grep -qx "\.It Cm $mode" "$man" || complain "$man: no mode $mode"
done
exit $bad
