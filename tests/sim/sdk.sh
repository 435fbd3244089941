#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs IBM's SDK into the build directory and runs it against keyferry-sim:
# sdk.sh KEYFERRY-SIM SOURCES BUILD.  Skipped (77) where node, npm or the packages are not to be had.
set -eu
sim=$1
sources=$2
to=$3/sdk-packages

skip()
{
	echo "SKIPPED: $*; IBM's SDK WAS NOT RUN AGAINST keyferry-sim" >&2
	exit 77
}

command -v node >/dev/null || skip "node is not installed"
command -v npm >/dev/null || skip "npm is not installed"
command -v openssl >/dev/null || skip "openssl is not installed"
mkdir -p "$to"
cp "$sources/package.json" "$sources/package-lock.json" "$sources/.npmrc" "$sources/test.js" "$to"
cd "$to"
# What is there already, from this very lock file, need not be fetched again.
if ! cmp -s package-lock.json installed-lock.json; then
	rm -f installed-lock.json
	npm ci --no-audit --no-fund --ignore-scripts --fetch-retries=1 \
		--fetch-retry-mintimeout=1000 >npm.log 2>&1 || {
		cat npm.log >&2
		grep -qE 'code (ENOTFOUND|ECONNREFUSED|ECONNRESET|EAI_AGAIN|ETIMEDOUT|ENETUNREACH|E403|E404|E5..)' \
			npm.log || exit 1
		skip "npm cannot get the packages"
	}
	cp package-lock.json installed-lock.json
fi
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=keyferry-sim \
	-addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out certificate.pem 2>/dev/null
NODE_EXTRA_CA_CERTS=$to/certificate.pem exec node test.js "$sim" "$to/certificate.pem" "$to/key.pem"
