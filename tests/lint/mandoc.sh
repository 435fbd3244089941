#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The manuals are clean mdoc: mandoc.sh ROOT.  Skipped (77) where mandoc is not installed.
command -v mandoc >/dev/null || exit 77
out=$(mandoc -Tlint -W warning "$1"/man/*.[1-9])
[ -z "$out" ] || { printf '%s\n' "$out" >&2; exit 1; }
