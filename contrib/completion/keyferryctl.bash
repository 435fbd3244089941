# SPDX-License-Identifier: Apache-2.0
# Completion of keyferryctl for bash: the program itself knows what may follow.

_keyferryctl()
{
	local current=${COMP_WORDS[COMP_CWORD]} offered
	offered=$("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)
	[ "$current" = "=" ] && current=
	mapfile -t COMPREPLY < <(compgen -W "${offered//:files/}" -- "$current")
	if [[ $offered == *:files* ]]; then
		compopt -o filenames 2>/dev/null
		mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$current")
	fi
}
complete -F _keyferryctl keyferryctl
