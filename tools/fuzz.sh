#!/usr/bin/env bash
# Runs every fuzz target below the working directory, each for FUZZTIME
# (default 5s), one after the other; each uses every core.
set -euo pipefail

fuzztime=${FUZZTIME:-5s}

# go test -list prints the names of a package's targets, then a line of the
# package: "ok <tab> path <tab> time", or "? <tab> path <tab> [no test files]".
list=$(go test -list '^Fuzz' ./...)
targets=$(awk -F'\t' '
	/^Fuzz/ { names[n++] = $1; next }
	/^ok/   { for (i = 0; i < n; i++) print $2, names[i]; n = 0 }
' <<<"$list")

count=0
while read -r package name; do
	[ -n "$name" ] || continue
	echo "fuzz $package $name for $fuzztime"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "$fuzztime" "$package"
	count=$((count + 1))
done <<<"$targets"
echo "fuzz: $count targets"
