#!/usr/bin/env bash
# The program of Kafka's own console tools: each scenario runs some of them and checks
# what they print. Package scenario, in Go, says how results are reported.
set -euo pipefail

lib=$CACHE/tools/lib
version=$(basename "$lib"/kafka-tools-[0-9]*.jar .jar)

# tool runs a tool by its class.
tool() {
	java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:CICompilerCount=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$lib/*" "$@"
}
topics() { tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$BOOTSTRAP" "$@"; }
producer() { tool org.apache.kafka.tools.ConsoleProducer --bootstrap-server "$BOOTSTRAP" "$@"; }
consumer() { tool org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$BOOTSTRAP" "$@"; }
groups() { tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --bootstrap-server "$BOOTSTRAP" "$@"; }
configs() { tool kafka.admin.ConfigCommand --bootstrap-server "$BOOTSTRAP" "$@"; }

# wants fails unless the text has a line that matches.
wants() {
	grep -Eq -- "$2" <<<"$1" || fail "no line matches $2 in: $1"
}
lacks() {
	if grep -Eq -- "$2" <<<"$1"; then fail "a line matches $2 in: $1"; fi
}
equals() {
	[[ "$1" == "$2" ]] || fail "got: $1 want: $2"
}
fail() {
	echo "$*" >&2
	exit 1
}

scenario_topics() {
	local t=$PREFIX-topics out
	topics --create --topic "$t" --partitions 3 --replication-factor "$REPLICATION" --config retention.ms=86400000
	out=$(topics --describe --topic "$t")
	wants "$out" "Topic: $t.*PartitionCount: 3.*retention.ms=86400000"
	wants "$out" "Partition: 2.*Leader: [0-9]+.*Isr: [0-9]"
	wants "$(topics --list)" "^$t\$"
	if out=$(topics --create --topic "$t" --partitions 3 2>&1); then fail "made twice: $out"; fi
	wants "$out" "exists"
	topics --alter --topic "$t" --partitions 5
	wants "$(topics --describe --topic "$t")" "PartitionCount: 5"
	topics --delete --topic "$t"
	lacks "$(topics --list)" "^$t\$"
	if out=$(topics --describe --topic "$t" 2>&1); then fail "a deleted topic is described: $out"; fi
	wants "$out" "does not exist"
	echo "create,describe,list,alter,delete" >&3
}

scenario_console_producer() {
	local t=$PREFIX-produced codec out
	# The topic is made on first use, by a producer that is idempotent.
	printf 'plain %d\n' 1 2 3 | producer --topic "$t"
	for codec in gzip snappy lz4 zstd; do
		printf 'h1:a,h2:b\t%s\tvalue of %s\n' "$codec" "$codec" |
			producer --topic "$t" --compression-codec "$codec" --reader-property parse.key=true --reader-property parse.headers=true
	done
	out=$(consumer --topic "$t" --from-beginning --max-messages 7 --timeout-ms 20000 \
		--formatter-property print.key=true --formatter-property print.headers=true --formatter-property print.offset=true)
	equals "$out" "$(
		printf 'Offset:%d\tNO_HEADERS\tnull\tplain %d\n' 0 1 1 2 2 3
		n=3
		for codec in gzip snappy lz4 zstd; do
			printf 'Offset:%d\th1:a,h2:b\t%s\tvalue of %s\n' $((n++)) "$codec" "$codec"
		done
	)"
	echo "first use, none, gzip, snappy, lz4, zstd, keys, headers" >&3
}

scenario_console_consumer() {
	local t=$PREFIX-consumed out
	topics --create --topic "$t" --partitions 1 --replication-factor "$REPLICATION"
	seq 1 20 | producer --topic "$t"
	equals "$(consumer --topic "$t" --from-beginning --max-messages 20 --timeout-ms 20000)" "$(seq 1 20)"
	equals "$(consumer --topic "$t" --partition 0 --offset 15 --max-messages 5 --timeout-ms 20000)" "$(seq 16 20)"
	# A group goes on where it has committed, in either protocol.
	local protocol
	for protocol in classic consumer; do
		equals "$(consumer --topic "$t" --group "$t-$protocol" --max-messages 8 --timeout-ms 30000 \
			--command-property group.protocol=$protocol --command-property auto.offset.reset=earliest)" "$(seq 1 8)"
		equals "$(consumer --topic "$t" --group "$t-$protocol" --max-messages 12 --timeout-ms 30000 \
			--command-property group.protocol=$protocol)" "$(seq 9 20)"
	done
	echo "from beginning, from an offset, groups of both protocols that resume" >&3
}

scenario_consumer_groups() {
	local t=$PREFIX-groups g=$PREFIX-groups-group out
	topics --create --topic "$t" --partitions 1 --replication-factor "$REPLICATION"
	seq 1 20 | producer --topic "$t"
	consumer --topic "$t" --group "$g" --from-beginning --max-messages 8 --timeout-ms 30000 >/dev/null
	wants "$(groups --list)" "^$g\$"
	out=$(groups --describe --group "$g" 2>&1)
	wants "$out" "$t +0 +8 +20 +12"
	wants "$(groups --describe --group "$g" --state 2>&1)" "$g.*Empty"
	out=$(groups --reset-offsets --group "$g" --topic "$t" --to-offset 3 --execute)
	wants "$out" "$t +0 +3"
	equals "$(consumer --topic "$t" --group "$g" --max-messages 2 --timeout-ms 30000)" "$(seq 4 5)"
	out=$(groups --delete-offsets --group "$g" --topic "$t" 2>&1)
	wants "$out" "$t +0 +Successful"
	out=$(groups --delete --group "$g" 2>&1)
	lacks "$(groups --list)" "^$g\$"
	echo "list,describe,state,reset-offsets,delete-offsets,delete" >&3
}

scenario_configs() {
	local t=$PREFIX-configs out
	topics --create --topic "$t" --partitions 1 --replication-factor "$REPLICATION"
	configs --alter --entity-type topics --entity-name "$t" --add-config retention.ms=3600000,cleanup.policy=compact
	out=$(configs --describe --entity-type topics --entity-name "$t")
	wants "$out" "retention.ms=3600000.*DYNAMIC_TOPIC_CONFIG"
	wants "$out" "cleanup.policy=compact"
	configs --alter --entity-type topics --entity-name "$t" --delete-config retention.ms
	out=$(configs --describe --entity-type topics --entity-name "$t")
	lacks "$out" "retention.ms=3600000"
	wants "$(configs --describe --all --entity-type topics --entity-name "$t")" "retention.ms=604800000.*DEFAULT_CONFIG"
	if out=$(configs --alter --entity-type topics --entity-name "$t" --add-config retention.ms=never 2>&1); then
		fail "a wrong value was taken: $out"
	fi
	echo "describe,alter,delete,all" >&3
}

status=0
echo "@ version ${version#kafka-tools-}"
for name in ${SCENARIOS//,/ }; do
	echo "@ start $name"
	began=$(date +%s%3N)
	notes=$(mktemp) errors=$(mktemp)
	set +e # errexit has to hold within the scenario, which a condition would prevent
	(
		set -e
		"scenario_${name//-/_}" 3>"$notes" 2>"$errors"
	)
	rc=$?
	set -e
	ms=$(($(date +%s%3N) - began))
	if ((rc == 0)); then
		echo "@ ok $name $ms $(<"$notes")"
	else
		status=1
		cat "$errors"
		echo "@ fail $name $ms status $rc: $(tail -n 5 "$errors" | tr '\n' ' ')"
	fi
	rm -f "$notes" "$errors"
done
exit $status
