package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBench(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, brokers string) {
		run := func(args ...string) string {
			return mustLeat(t, "", append(append([]string{"bench"}, args...), "--brokers", brokers)...)
		}
		p := parse[benchResult](t, run("produce", "-n", "3000", "-s", "100", "-p", "3", "--json"))
		require.Equal(t, "produce", p.Workload)
		require.EqualValues(t, 3000, p.Records)
		require.EqualValues(t, 300_000, p.Bytes)
		require.InEpsilon(t, 3000/p.Seconds, p.RecordsPerSecond, 0.001)
		require.Positive(t, p.Latency.P50)
		require.LessOrEqual(t, p.Latency.P50, p.Latency.P99)
		require.LessOrEqual(t, p.Latency.P99, p.Latency.P999)
		require.LessOrEqual(t, p.Latency.P999, p.Latency.Max)
		c := parse[benchResult](t, run("consume", "--json"))
		require.Equal(t, "consume", c.Workload)
		require.EqualValues(t, 3000, c.Records)
		require.EqualValues(t, 300_000, c.Bytes)
		require.Positive(t, c.Latency.Max)

		require.Contains(t, run("produce", "-d", "100ms", "--rate", "500", "--in-flight", "1"), " records/s, ")
		run("produce", "--topic", "other", "-n", "1", "--delete")
		require.NotContains(t, mustLeat(t, "", "topic", "list", "--brokers", brokers), "other")
		mustLeat(t, "", "topic", "create", "empty", "--brokers", brokers)
		require.Contains(t, failLeat(t, exitFailed, "bench", "consume", "--topic", "empty", "--brokers", brokers), `topic "empty" has no records`)
		require.Contains(t, failLeat(t, exitFailed, "bench", "produce", "-n", "1", "-s", "2MiB", "--topic", "t", "--brokers", brokers), "MESSAGE_TOO_LARGE")
	})
}
