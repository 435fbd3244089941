#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the guide promises to be in the log is logged somewhere: guide.sh ROOT.
sed -n '/^\.Sh WHEN SOMETHING IS WRONG/,/^\.Sh SEE ALSO/s/^\.Dl //p' "$1/man/keyferry.7" |
  sed 's/^[a-z]*: //; s/ [a-z-]*=.*//' | {
  bad=0 count=0
  while read -r text; do
    count=$((count + 1))
    grep -rqF "\"$text\"" "$1/src" || { echo "not logged anywhere: $text" >&2; bad=1; }
  done
  [ "$count" -gt 0 ] || { echo "no log line found in the guide" >&2; bad=1; }
  exit "$bad"
}
