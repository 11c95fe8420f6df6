#!/usr/bin/env bash
# The program of kcat, which stands on librdkafka. kcat makes no topics and sets no time
# stamps: those topics that need more than one partition or a config are there already,
# and times are those of sending. Package scenario, in Go, says how results are reported.
set -euo pipefail

read_all=(-C -b "$BOOTSTRAP" -e -q)
producer=(kcat -P -b "$BOOTSTRAP" -X acks=all)

fail() {
	echo "$*" >&2
	exit 1
}
equals() {
	[[ "$1" == "$2" ]] || fail "got: $1 want: $2"
}
na() {
	echo "$*" >&4
	exit 0
}

# until_true waits for what no event tells; the processes of a group write to files.
until_true() {
	local end=$((SECONDS + 60))
	until "$@"; do
		((SECONDS < end)) || fail "waited for: $*"
		sleep 0.05
	done
}

# keyed prints messages lo to hi-1, as key:value.
keyed() {
	local i
	for ((i = $1; i < $2; i++)); do
		printf 'key-%04d:value-%04d-é✓-%0*d\n' "$i" "$i" $((i % 7 * 10)) 0
	done
}

# listed prints the same as it has to be read, with offsets and headers.
listed() {
	local i=$1 line
	while IFS= read -r line; do
		printf '%d|%s|one=1,two=zwei|%s\n' $((i++)) "${line%%:*}" "${line#*:}"
	done < <(keyed "$1" "$2")
}

# round_trip sends messages to a topic and reads them, their time stamps too.
round_trip() {
	local t=$1 n=$2 before after got
	shift 2
	before=$(date +%s%3N)
	keyed 0 "$n" | "${producer[@]}" -t "$t" -p 0 -K : -H one=1 -H two=zwei "$@"
	after=$(date +%s%3N)
	got=$(kcat "${read_all[@]}" -t "$t" -p 0 -o beginning -f '%o|%k|%h|%s\n')
	equals "$got" "$(listed 0 "$n")"
	local stamp stamps=0
	while read -r stamp; do
		((stamp >= before && stamp <= after)) || fail "timestamp $stamp is not in $before to $after"
		stamps=$((stamps + 1))
	done < <(kcat "${read_all[@]}" -t "$t" -p 0 -o beginning -f '%T\n')
	equals "$stamps" "$n"
}

scenario_create() { na "kcat makes no topics but by using them"; }

scenario_first_use() {
	echo FOOBAR | kcat -P -b "$BOOTSTRAP" -t "$PREFIX-first-use"
	equals "$(kcat "${read_all[@]}" -t "$PREFIX-first-use" -o beginning -f '%o %K %s\n')" "0 -1 FOOBAR"
}

scenario_none() { round_trip "$PREFIX-none" 40; }
scenario_gzip() { round_trip "$PREFIX-gzip" 40 -z gzip -X linger.ms=200; }
scenario_snappy() { round_trip "$PREFIX-snappy" 40 -z snappy -X linger.ms=200; }
scenario_lz4() { round_trip "$PREFIX-lz4" 40 -z lz4 -X linger.ms=200; }
scenario_zstd() { round_trip "$PREFIX-zstd" 40 -z zstd -X linger.ms=200; }
scenario_idempotent() { round_trip "$PREFIX-idempotent" 200 -X enable.idempotence=true; }

# numbers sends lo to hi to a partition.
numbers() { seq "$2" "$3" | "${producer[@]}" -t "$1" -p "${4:-0}"; }

scenario_from_start() {
	numbers "$PREFIX-from-start" 0 59
	equals "$(kcat "${read_all[@]}" -t "$PREFIX-from-start" -p 0 -o beginning)" "$(seq 0 59)"
}
scenario_from_offset() {
	numbers "$PREFIX-from-offset" 0 59
	equals "$(kcat "${read_all[@]}" -t "$PREFIX-from-offset" -p 0 -o 37)" "$(seq 37 59)"
}
scenario_from_time() {
	local t=$PREFIX-from-time between
	numbers "$t" 0 41
	sleep 0.01 # the next message is of a later millisecond
	between=$(date +%s%3N)
	numbers "$t" 42 59
	equals "$(kcat "${read_all[@]}" -t "$t" -p 0 -o "s@$between")" "$(seq 42 59)"
}

# member starts a member of a group; it writes what it reads to $1 and what it is
# assigned to $1.log.
member() {
	kcat -b "$BOOTSTRAP" -u -f '%p %o %s\n' -X auto.offset.reset=earliest -X session.timeout.ms=10000 \
		-X heartbeat.interval.ms=300 -G "$2" "$2" >"$1" 2>"$1.log" &
}
# partitions are those that a member has been told last.
partitions() {
	grep -E 'rebalanced.*assigned' "$1.log" | tail -n 1 | grep -oE '\[[0-9]+\]' | tr -d '[]' | sort -n | tr '\n' ' '
}
has() { [[ "$(partitions "$1" || true)" == "$2" ]]; }
halves() {
	local a b
	a=$(partitions "$1" || true) b=$(partitions "$2" || true)
	[[ $(wc -w <<<"$a") == 2 && $(wc -w <<<"$b") == 2 && "$(tr ' ' '\n' <<<"$a$b" | grep . | sort -n | tr '\n' ' ')" == "0 1 2 3 " ]]
}
lines() { [[ $(wc -l <"$1") -ge $2 ]]; }

scenario_group_classic() {
	local t=$PREFIX-group-classic p shares
	dir=$(mktemp -d) # not local: the trap runs after the function
	member "$dir/one" "$t"
	one=$! two=
	trap 'kill $one $two 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
	until_true has "$dir/one" "0 1 2 3 "
	member "$dir/two" "$t"
	two=$!
	until_true halves "$dir/one" "$dir/two"
	shares=$(partitions "$dir/one")
	for p in 0 1 2 3; do numbers "$t" 0 9 $p; done
	until_true lines "$dir/one" 20
	until_true lines "$dir/two" 20
	for p in 0 1 2 3; do
		local file=$dir/two
		[[ " $shares" == *" $p "* ]] && file=$dir/one
		equals "$(grep "^$p " "$file" || true)" "$(for i in {0..9}; do echo "$p $i $i"; done)"
	done
	equals "$(cat "$dir/one" "$dir/two" | wc -l)" 40
	kill "$two" # it commits and leaves
	wait "$two" || true
	two=
	until_true has "$dir/one" "0 1 2 3 "
	for p in 0 1 2 3; do numbers "$t" 10 19 $p; done
	until_true lines "$dir/one" 60
	for p in 0 1 2 3; do
		equals "$(grep "^$p 1[0-9] " "$dir/one")" "$(for i in {10..19}; do echo "$p $i $i"; done)"
	done
	equals "$(wc -l <"$dir/one")" 60
}

scenario_group_consumer() { na "librdkafka 2.0 has no KIP-848 groups"; }

scenario_commit_resume() {
	local t=$PREFIX-commit-resume
	numbers "$t" 0 59
	local group=(kcat -b "$BOOTSTRAP" -q -X auto.offset.reset=earliest -f '%s\n')
	equals "$("${group[@]}" -c 25 -G "$t-group" "$t")" "$(seq 0 24)"
	equals "$("${group[@]}" -c 35 -G "$t-group" "$t")" "$(seq 25 59)"
}

scenario_admin() {
	local t=$PREFIX-admin out
	numbers "$t" 0 19
	out=$(kcat -L -b "$BOOTSTRAP")
	grep -q "topic \"$t\" with 1 partitions" <<<"$out" || fail "-L: $out"
	equals "$(kcat -Q -b "$BOOTSTRAP" -t "$t:0:-1")" "$t [0] offset 20"
	equals "$(kcat -Q -b "$BOOTSTRAP" -t "$t:0:1")" "$t [0] offset 0"
	echo "metadata (-L),offsets by time (-Q); kcat has no others" >&3
}

scenario_unknown_topic() {
	local out
	if out=$(kcat -C -b "$BOOTSTRAP" -t "$PREFIX-unknown-topic" -p 0 -e -X allow.auto.create.topics=false 2>&1); then fail "no error: $out"; fi
	grep -q "Unknown topic or partition" <<<"$out" || fail "$out"
}

scenario_too_large() {
	local t=$PREFIX-too-large out
	out=$(od -An -v -tx1 -N 10000 /dev/urandom | tr -d ' \n' |
		"${producer[@]}" -t "$t" -p 0 -X message.max.bytes=10000000 2>&1 || true)
	grep -q "Message size too large" <<<"$out" || fail "not refused: $out"
	echo small | "${producer[@]}" -t "$t" -p 0
	equals "$(kcat "${read_all[@]}" -t "$t" -p 0 -o beginning -f '%o %s\n')" "0 small"
}

scenario_failover() {
	local t=$PREFIX-failover i pause
	pause=$(printf '%d.%03d' $((FAILOVER_MS / 1000)) $((FAILOVER_MS % 1000)))
	for ((i = 0; i < FAILOVER_RECORDS; i++)); do
		echo "$i"
		if (((i + 1) % 25 == 0)); then echo "@ progress $((i + 1))" >&5; fi
		sleep "$pause"
	done | "${producer[@]}" -t "$t" -p 0 -X enable.idempotence=true -X linger.ms=0 -X delivery.timeout.ms=60000 -X socket.timeout.ms=10000
	equals "$(kcat "${read_all[@]}" -t "$t" -p 0 -o beginning | tr '\n' ' ')" "$(seq 0 $((FAILOVER_RECORDS - 1)) | tr '\n' ' ')"
	echo "one partition; progress is what was sent, kcat does not tell of acks" >&3
}

status=0
exec 5>&1
echo "@ version $(kcat -V | sed -n 's/^Version \([^ ]*\).*librdkafka \([0-9.]*\).*/\1 (librdkafka \2)/p')"
for name in ${SCENARIOS//,/ }; do
	echo "@ start $name"
	began=$(date +%s%3N)
	notes=$(mktemp) reason=$(mktemp) errors=$(mktemp)
	set +e # errexit has to hold within the scenario, which a condition would prevent
	(
		set -e
		"scenario_${name//-/_}" 3>"$notes" 4>"$reason" 2>"$errors"
	)
	rc=$?
	set -e
	ms=$(($(date +%s%3N) - began))
	if ((rc == 0)) && [[ -s $reason ]]; then
		echo "@ na $name $(<"$reason")"
	elif ((rc == 0)); then
		echo "@ ok $name $ms $(<"$notes")"
	else
		status=1
		echo "@ fail $name $ms status $rc: $(tail -n 20 "$errors" | tr '\n' ' ')"
	fi
	rm -f "$notes" "$reason" "$errors"
done
exit $status
