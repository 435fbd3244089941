#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# bash and zsh offer every command, every option of each, and nothing else: completion.sh ROOT
# KEYFERRYCTL.  Skipped (77) where zsh is not installed.
set -u
root=$1
ctl=$(realpath "$2")
bad=0

complain()
{
	echo "$*" >&2
	bad=1
}

# What a shell offers after these words: bash_offers WORD..., zsh_offers WORD...
. "$root/contrib/completion/keyferryctl.bash"
bash_offers()
{
	COMP_WORDS=("$ctl" "$@" "") COMP_CWORD=$(($# + 1)) COMPREPLY=()
	_keyferryctl
	printf '%s\n' "${COMPREPLY[@]}"
}
zsh_offers()
{
	zsh -f -c 'compadd() { shift; print -rl -- "$@" }
		_files() { print -rl -- *(N) }
		source=$1; shift; words=("$@" ""); CURRENT=$#words; source $source' \
		zsh "$root/contrib/completion/_keyferryctl" "$ctl" "$@"
}

# has OFFERS WANTED WHERE
has()
{
	printf '%s\n' "$1" | grep -qxF -e "$2" || complain "$3: $2 is not offered"
}

check()
{
	local offers=$1 first second line name option all
	all=$($offers)
	while read -r line; do
		name=$(printf '%s\n' "$line" | sed 's/ *\[.*//; s/ *[A-Z].*//')
		first=${name%% *}
		second=${name#"$first"}
		second=${second# }
		has "$all" "$first" "$offers"
		[ -z "$second" ] || has "$($offers "$first")" "$second" "$offers $first"
		# shellcheck disable=SC2086 # the words of its name
		given=$($offers $name)
		wanted=$(printf '%s\n' "$line" | grep -o -e '--[a-z0-9-]*')
		for option in $wanted; do
			has "$given" "$option" "$offers $name"
		done
		for option in $(printf '%s\n' "$given" | grep -e '^--'); do
			printf '%s\n' $wanted --json --help | grep -qxF -e "$option" ||
				complain "$offers $name: $option is none of its options"
		done
		"$ctl" $name --help | grep -qF -e "  $name" || complain "$name --help: says nothing"
	done < <("$ctl" --help | sed -n 's/^  \([a-z]\)/\1/p')
	for line in $all; do
		case $line in
		help | -*) ;;
		*) "$ctl" --help | grep -q "^  $line\( \|$\)" || complain "$offers: $line is no command" ;;
		esac
	done
	has "$($offers keys list --state)" Deactivated "$offers --state"
	has "$($offers --json keys)" purge "$offers --json keys"
	cd "$root" && has "$($offers verify)" README "$offers verify"
	has "$($offers -s)" README "$offers -s"
}

[ "$("$ctl" --help | grep -c '^  [a-z]')" -ge 20 ] || complain "keyferryctl --help: lists no command"
check bash_offers
command -v zsh >/dev/null || exit $((bad == 0 ? 77 : 1))
check zsh_offers
exit $bad
