package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestClusterDrainRemove empties a node of four and takes it out.
func TestClusterDrainRemove(t *testing.T) {
	t.Parallel()
	addrs := freeAddrs(t, 8)
	nodes := startNodes(t, addrs)
	var seeds []string
	for i := range 3 {
		seeds = append(seeds, fmt.Sprintf("%d=%s", i+1, addrs[i]))
	}
	four := startProcess(t, "serve", "--json", "--dir", filepath.Join(t.TempDir(), "4"), "--listen", addrs[7], "--node-id", "4",
		"--raft-listen", addrs[6], "--seeds", strings.Join(seeds, ","), "--join", "--replication-factor", "2")
	brokers := "--brokers=" + addrs[3]
	mustLeat(t, "", "topic", "create", "t", "--partitions", "8", brokers)
	require.Eventually(t, func() bool {
		return len(parse[clusterStatus](t, mustLeat(t, "", "cluster", "status", "--json", brokers)).WithoutLeader) == 0
	}, 20*time.Second, 50*time.Millisecond)
	mustLeat(t, "a\nb\nc\n", "produce", "t", brokers)
	status := func() map[int32]brokerStatus {
		all := make(map[int32]brokerStatus)
		for _, b := range parse[clusterStatus](t, mustLeat(t, "", "cluster", "status", "--json", brokers)).Brokers {
			require.NotNil(t, b.Draining)
			all[b.ID] = b
		}
		return all
	}
	require.Len(t, status(), 4)
	require.Positive(t, status()[4].Replicas)
	require.Contains(t, failLeat(t, exitFailed, "cluster", "remove", "4", brokers), `hint: "leat cluster drain 4" empties it`)
	require.Contains(t, failLeat(t, exitFailed, "cluster", "remove", "9", brokers), "BROKER_ID_NOT_REGISTERED")
	require.Contains(t, failLeat(t, exitFailed, "cluster", "drain", "9", brokers), "the cluster has no node 9")

	begun := parse[drainedNode](t, mustLeat(t, "", "cluster", "drain", "4", "--wait=false", "--json", brokers))
	require.True(t, begun.Draining)
	require.True(t, *status()[4].Draining)
	require.Contains(t, mustLeat(t, "", "cluster", "status", brokers), "draining")
	require.Equal(t, "node 4 keeps its replicas\n", mustLeat(t, "", "cluster", "drain", "4", "--cancel", brokers))
	require.False(t, *status()[4].Draining)

	require.Equal(t, "node 4 is empty and may be removed: leat cluster remove 4\n", mustLeat(t, "", "cluster", "drain", "4", brokers))
	require.Zero(t, status()[4].Replicas)
	var removed removedNode
	require.NoError(t, json.Unmarshal([]byte(mustLeat(t, "", "cluster", "remove", "4", "--json", brokers)), &removed))
	require.Equal(t, removedNode{4, true}, removed)
	require.Eventually(t, func() bool { return len(status()) == 3 }, 20*time.Second, 100*time.Millisecond)
	four.end(t, syscall.SIGTERM)
	require.Len(t, strings.Fields(mustLeat(t, "", "consume", "t", "-n", "3", brokers)), 3)
	for _, p := range nodes {
		require.Zero(t, p.end(t, syscall.SIGTERM), p.diagnostics())
	}
}

// TestClusterDrainElsewhere refuses to drain where nothing would move.
func TestClusterDrainElsewhere(t *testing.T) {
	t.Parallel()
	onBrokers(t, func(t *testing.T, brokers string) {
		id := fmt.Sprint(parse[clusterStatus](t, mustLeat(t, "", "cluster", "status", "--json", "--brokers", brokers)).Brokers[0].ID)
		if id == "0" { // no node of leat has that number
			id = "1"
		}
		failLeat(t, exitFailed, "cluster", "drain", id, "--brokers", brokers)
		failLeat(t, exitFailed, "cluster", "remove", id, "--brokers", brokers)
	})
	brokers := serveLog(t, newLog(t))
	require.Contains(t, failLeat(t, exitFailed, "cluster", "drain", "1", "--brokers", brokers), "hint: only a cluster of leat")
	require.Contains(t, failLeat(t, exitFailed, "cluster", "remove", "1", "--brokers", brokers), "none serves UnregisterBroker")
	for _, args := range [][]string{{"drain"}, {"drain", "x"}, {"drain", "0"}, {"remove", "1", "2"}, {"drain", "1", "--cancel", "--wait"}} {
		failLeat(t, exitUsage, append(append([]string{"cluster"}, args...), "--brokers", "127.0.0.1:1")...)
	}
}
