package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leatlog/leat"
)

// onBrokers runs a test against leat and against another Kafka.
func onBrokers(t *testing.T, test func(t *testing.T, brokers string)) {
	t.Run("leat", func(t *testing.T) {
		t.Parallel()
		test(t, serveLog(t, newLog(t)))
	})
	t.Run("kfake", func(t *testing.T) {
		t.Parallel()
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DefaultNumPartitions(1))
		require.NoError(t, err)
		t.Cleanup(c.Close)
		test(t, c.ListenAddrs()[0])
	})
}

// failLeat runs the program, which must fail with a status, and returns its stderr.
func failLeat(t testing.TB, status int, args ...string) string {
	t.Helper()
	r := leatIn(t, testContext(t), "", args...)
	require.Equal(t, status, r.status, "leat %q: %s%s", args, r.stdout, r.stderr)
	return r.stderr
}

func parse[T any](t testing.TB, text string) T {
	t.Helper()
	var v T
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(&v), text)
	return v
}

func TestTopics(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, brokers string) {
		run := func(args ...string) string { return mustLeat(t, "", append(args, "--brokers", brokers)...) }
		fail := func(status int, args ...string) string {
			return failLeat(t, status, append(args, "--brokers", brokers)...)
		}
		require.Equal(t, "would create a\n", run("topic", "create", "a", "--dry-run"))
		require.Equal(t, "created a\n", run("topic", "create", "a", "-p", "2", "-r", "1", "-c", "retention.ms=86400000"))
		require.Contains(t, fail(exitFailed, "topic", "create", "a"), "TOPIC_ALREADY_EXISTS")
		require.Equal(t, "a exists\n", run("topic", "create", "a", "--if-not-exists"))
		require.JSONEq(t, `[{"name":"b","partitions":1,"replication_factor":1,"created":true}]`, run("topic", "create", "b", "-p", "1", "-r", "1", "--json"))
		require.JSONEq(t, `[{"name":"a","partitions":2,"replication_factor":1,"internal":false},
			{"name":"b","partitions":1,"replication_factor":1,"internal":false}]`, run("topic", "list", "--json"))
		require.Equal(t, "TOPIC  PARTITIONS  REPLICAS\na      2           1\nb      1           1\n", run("topic", "list"))

		d := parse[[]describedTopic](t, run("topic", "describe", "a", "--json"))
		require.Len(t, d, 1)
		require.Equal(t, "a", d[0].Name)
		require.Len(t, d[0].Partitions, 2)
		p := d[0].Partitions[1]
		require.EqualValues(t, 1, p.Partition)
		require.Len(t, p.Replicas, 1)
		require.Equal(t, p.Replicas, p.InSync)
		require.Equal(t, p.Replicas[0], p.Leader)
		require.NotNil(t, p.Offline)
		require.Zero(t, p.LogStartOffset)
		require.Zero(t, p.HighWatermark)
		require.Contains(t, run("topic", "describe", "a"), "retention.ms  86400000  DYNAMIC_TOPIC_CONFIG")

		require.Equal(t, "altered a\n", run("topic", "alter", "a", "-p", "4", "--config", "retention.ms=3600000"))
		text := run("topic", "describe", "a")
		require.Contains(t, text, "a: 4 partitions")
		require.Contains(t, text, "retention.ms  3600000")
		require.Equal(t, "altered a\n", run("topic", "alter", "a", "--delete-config", "retention.ms"))
		require.NotContains(t, run("topic", "describe", "a"), "retention.ms")
		require.Contains(t, fail(exitFailed, "topic", "alter", "a", "-p", "4"), "hint: partitions can only be added")
		require.Contains(t, fail(exitUsage, "topic", "alter", "a"), "nothing to alter")
		require.Contains(t, fail(exitUsage, "topic", "alter", "a", "-c", "retention"), "property=value")

		out := mustLeat(t, "", "__complete", "topic", "describe", "--brokers", brokers, "")
		require.True(t, strings.HasPrefix(out, "a\nb\n:4\n"), out)

		require.Contains(t, fail(exitFailed, "topic", "describe", "none"), "hint: \"leat topic list\" shows")
		require.Equal(t, "deleted a\n", run("topic", "delete", "a"))
		require.Equal(t, "a is not there\n", run("topic", "delete", "a", "--if-exists"))
		require.Contains(t, fail(exitFailed, "topic", "delete", "a"), `topic "a": UNKNOWN_TOPIC_OR_PARTITION`)
	})
}

func TestProduceConsume(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, brokers string) {
		in := func(stdin string, args ...string) string {
			return mustLeat(t, stdin, append(args, "--brokers", brokers)...)
		}
		fail := func(status int, args ...string) string {
			return failLeat(t, status, append(args, "--brokers", brokers)...)
		}
		require.Contains(t, fail(exitFailed, "produce", "t"), "hint: \"leat topic list\"")
		require.Contains(t, fail(exitFailed, "consume", "t"), "hint: \"leat topic list\"")
		in("", "topic", "create", "t", "-p", "2")
		require.Empty(t, in("", "consume", "t", "--exit-at-end"))

		// Keys, headers and partitions go in and come out.
		require.Equal(t, "stored 2 records in t\n",
			in("ada:lamp\nbob:\n", "produce", "t", "-K", ":", "-H", "from=web", "-H", "n=1", "-p", "1", "--empty-is-null", "-z", "zstd"))
		require.Equal(t, "t 1 0 ada=lamp 3/4 from=web,n=1 100%\tA\nt 1 1 bob= 3/-1 from=web,n=1 100%\tA\n",
			in("", "consume", "t", "-e", "--format", `%t %p %o %k=%v %K/%V %h 100%%\t\x41\n`))
		require.Equal(t, "lamp\n", in("", "consume", "t", "--count", "1"))
		require.Equal(t, "\n", in("", "consume", "t", "-e", "--offset", "1"))
		require.Equal(t, "\n", in("", "consume", "t", "-e", "--offset", "-1"))
		require.Equal(t, "\n", in("", "consume", "t", "-p", "1", "-o", "-1", "-n", "1"))
		require.Empty(t, in("", "consume", "t", "-e", "--offset", "latest"))
		require.Empty(t, in("", "consume", "t", "-e", "-p", "0"))
		require.Equal(t, "lamp\n\n", in("", "consume", "t", "-e", "--since", "10m"))
		require.Empty(t, in("", "consume", "t", "-e", "--since", "2999-01-01T00:00:00Z"))
		require.Contains(t, fail(exitFailed, "consume", "t", "-p", "7"), `topic "t" has no partition 7: it has 2`)

		// JSON goes round, with bytes that are no text.
		const odd = `{"timestamp":"2026-01-02T03:04:05.678Z","partition":1,"key":null,"value_base64":"/wA=","headers":[{"key":"h","value":null},{"key":"g","value_base64":"/w=="}]}`
		require.JSONEq(t, `{"topic":"t","records":2,"bytes":9}`, in(odd+"\n\n"+`{"key":"k","value":"<&>"}`, "produce", "t", "-i", "json", "--json"))
		all := in("", "consume", "t", "-e", "--json")
		lines := strings.Split(strings.TrimSpace(all), "\n")
		require.Len(t, lines, 4)
		var found bool
		for _, line := range lines {
			r := parse[jsonRecord](t, line)
			if found = r.ValueBase64 != nil; found {
				require.JSONEq(t, `{"topic":"t","partition":1,"offset":2,"timestamp":"2026-01-02T03:04:05.678Z","key":null,"value":null,"value_base64":"/wA=",
					"headers":[{"key":"h","value":null},{"key":"g","value":null,"value_base64":"/w=="}]}`, line)
				break
			}
		}
		require.True(t, found, all)
		require.JSONEq(t, `{"topic":"copy","records":4,"bytes":37}`, in(all, "produce", "copy", "-i", "json", "--create", "--json", "-p", "0"))
		require.ElementsMatch(t, strings.Split(in("", "consume", "t", "-e", "--format", `%k %v %h %m\n`), "\n"),
			strings.Split(in("", "consume", "copy", "-e", "--format", `%k %v %h %m\n`), "\n"))

		// Offsets as they are acknowledged; other acks; a pace.
		require.Equal(t, "0\t4\n0\t5\n", in("a\nb", "produce", "copy", "--offsets", "-p", "0", "--rate", "1000"))
		require.JSONEq(t, `{"topic":"copy","partition":0,"offset":6}`, in("c", "produce", "copy", "--offsets", "--json", "-p", "0", "--acks", "1"))
		in("d", "produce", "copy", "--acks", "0", "-p", "0")
		require.Equal(t, "c\nd\n", in("", "consume", "copy", "-p", "0", "-o", "6", "-n", "2"))
	})
}

func TestConsumeGroup(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, brokers string) {
		in := func(stdin string, args ...string) string {
			return mustLeat(t, stdin, append(args, "--brokers", brokers)...)
		}
		in("", "topic", "create", "t")
		in("1\n2\n3\n4\n", "produce", "t")
		require.Equal(t, "1\n", in("", "consume", "t", "-g", "g", "-n", "1"))
		require.Equal(t, "2\n3\n", in("", "consume", "t", "-g", "g", "-n", "2"))
		require.Equal(t, "4\n", in("", "consume", "t", "-g", "g", "-e"))
		require.Empty(t, in("", "consume", "t", "-g", "g", "-e"))
	})
}

// TestProduceKeepsKafkasPartitions stores keys where Kafka's own clients do.
func TestProduceKeepsKafkasPartitions(t *testing.T) {
	t.Parallel()
	log := newLog(t)
	_, err := log.CreateTopic(t.Context(), "t", leat.TopicConfig{Partitions: 7})
	require.NoError(t, err)
	brokers := serveLog(t, log)
	var stdin strings.Builder
	want := make(map[string]int32)
	for i := range 200 {
		key := fmt.Sprintf("key-%d", i)
		want[key] = leat.KeyPartitioner(&leat.Record{Key: []byte(key)}, 7)
		fmt.Fprintf(&stdin, "%s\t\n", key)
	}
	mustLeat(t, stdin.String(), "produce", "t", "-K", `\t`, "--brokers", brokers)
	for line := range strings.Lines(mustLeat(t, "", "consume", "t", "-e", "--json", "--brokers", brokers)) {
		r := parse[jsonRecord](t, line)
		require.Equal(t, want[*r.Key], *r.Partition, *r.Key)
		delete(want, *r.Key)
	}
	require.Empty(t, want)
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, want string }{
		{"nonsense", `unknown command "nonsense"`},
		{"topic lst", `there is no command "lst"; did you mean "list"?`},
		{"topic list --nonsense", "unknown flag: --nonsense"},
		{"topic list extra", `unknown command "extra"`},
		{"topic create", "requires at least 1 arg"},
		{"topic create a -p 0", "must be at least 1"},
		{"topic list --timeout 0s", "--timeout must be more than 0"},
		{"topic list --timeout soon", "invalid argument"},
		{"topic list --brokers ,", "--brokers must name"},
		{"topic list --tls-cert x", "must be given together"},
		{"bench produce -n -1", "must not be negative"},
		{"bench produce --in-flight 0", "--in-flight must be"},
		{"bench produce -s many", "is not a number of bytes"},
		{"cluster reassign t", "--to must name"},
		{"produce", "accepts 1 arg"},
		{"produce t -i xml", "must be lines or json"},
		{"produce t -z rar", "must be one of none, gzip"},
		{"produce t --acks 2", "must be all, 1 or 0"},
		{"produce t -H x", "name=value"},
		{"produce t -k a -K b", "exclude each other"},
		{"produce t -i json -K b", "are for --input lines"},
		{"produce t -D \\q", "must be one of"},
		{"produce t --max-record-bytes 1GiB", "must be from 1 to"},
		{"produce t --rate -1", "must not be negative"},
		{"consume t -o soon", "must be earliest, latest"},
		{"consume t -o 1 --since 1m", "exclude each other"},
		{"consume t --since soon", "how long ago"},
		{"consume t --since -5m", "must not be negative"},
		{"consume t -e -f", "exclude each other"},
		{"consume t -n -1", "must not be negative"},
		{"consume t -g g -p 0", "exclude each other"},
		{"consume t --format %x", "unknown verb %x"},
		{"consume t --format %", "must not end in %"},
		{"consume t --format %v --json", "exclude each other"},
		{"consume t --output xml", "must be raw or json"},
	} {
		stderr := failLeat(t, exitUsage, append(strings.Fields(tt.args), "--brokers=127.0.0.1:1")[:len(strings.Fields(tt.args))+b2i(!strings.Contains(tt.args, "--brokers"))]...)
		if strings.Contains(stderr, "cannot reach") {
			t.Errorf("%q: it is checked too late: %s", tt.args, stderr)
		}
		require.Contains(t, stderr, tt.want, tt.args)
		require.Contains(t, stderr, "--help", tt.args)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestUnreachable tells what may be wrong.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	certFile, keyFile, _, _ := certificateFiles(t)
	require.Contains(t, failLeat(t, exitFailed, "topic", "list", "--brokers", "127.0.0.1:1"), `hint: "leat serve --dir data" starts a broker`)
	plain := serveLog(t, newLog(t))
	require.Contains(t, failLeat(t, exitFailed, "topic", "list", "--brokers", plain, "--tls"), "cannot reach a broker at "+plain)
	secure := serveTLSLog(t, certFile, keyFile)
	require.Contains(t, failLeat(t, exitFailed, "topic", "list", "--brokers", secure), "hint: the broker hung up: it may want TLS")
	require.Contains(t, failLeat(t, exitFailed, "topic", "list", "--brokers", secure, "--tls"), "hint: --tls-ca names the file")
	require.Equal(t, "[]\n", mustLeat(t, "", "topic", "list", "--brokers", secure, "--tls-ca", certFile, "--json"))
}
