package main

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestServeCluster forms a cluster of three processes and ends them.
func TestServeCluster(t *testing.T) {
	t.Parallel()
	addrs := freeAddrs(t, 6)
	nodes := startNodes(t, addrs)
	brokers := "--brokers=" + addrs[3]
	mustLeat(t, "", "topic", "create", "t", "--partitions", "6", brokers)
	mustLeat(t, "a\nb\nc\n", "produce", "t", brokers)

	status := func() (s clusterStatus) {
		require.NoError(t, json.Unmarshal([]byte(mustLeat(t, "", "cluster", "status", "--json", brokers)), &s))
		return s
	}
	require.Eventually(t, func() bool {
		s := status()
		return len(s.Brokers) == 3 && len(s.WithoutLeader) == 0 && len(s.UnderReplicated) == 0 &&
			!slices.ContainsFunc(s.Brokers, func(b brokerStatus) bool { return b.Leaders == 0 })
	}, 30*time.Second, 100*time.Millisecond)
	require.Len(t, strings.Fields(mustLeat(t, "", "consume", "t", "-n", "3", brokers)), 3)
	for _, p := range nodes {
		require.Zero(t, p.end(t, syscall.SIGTERM), p.diagnostics())
	}
}

// freeAddrs returns loopback addresses that nobody listens on.
func freeAddrs(t *testing.T, n int) (addrs []string) {
	t.Helper()
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer ln.Close() // when there are n, so that they differ
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs
}

// startNodes starts three nodes, whose Raft addresses come first.
func startNodes(t *testing.T, addrs []string) []*process {
	t.Helper()
	var seeds []string
	for i := range 3 {
		seeds = append(seeds, fmt.Sprintf("%d=%s", i+1, addrs[i]))
	}
	dir := t.TempDir()
	nodes := make([]*process, 3)
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() {
			nodes[i] = startProcess(t, "serve", "--json", "--dir", filepath.Join(dir, fmt.Sprint(i)), "--listen", addrs[i+3], "--node-id", fmt.Sprint(i+1),
				"--raft-listen", addrs[i], "--seeds", strings.Join(seeds, ","), "--replication-factor", "2")
		})
	}
	wg.Wait()
	for i, p := range nodes {
		require.NotNil(t, p)
		require.Contains(t, p.ready, fmt.Sprintf(`"node":%d`, i+1))
	}
	return nodes
}

func TestServeClusterRefusals(t *testing.T) {
	t.Parallel()
	certFile, keyFile, _, _ := certificateFiles(t)
	for _, tt := range []struct{ args, want string }{
		{"--seeds 1=127.0.0.1:7001", "--node-id must say"},
		{"--node-id 1", "--raft-listen must say"},
		{"--node-id 1 --raft-listen 127.0.0.1:7001 --seeds 127.0.0.1:7001", "the form node=host:port"},
		{"--node-id 1 --raft-listen 127.0.0.1:7001 --seeds 1=127.0.0.1:7001,1=127.0.0.1:7002", "node 1 twice"},
		{"--node-id 1 --raft-listen 127.0.0.1:7001 --tls-cert " + certFile + " --tls-key " + keyFile, "--raft-tls-ca"},
	} {
		r := leatIn(t, testContext(t), "", append([]string{"serve", "--in-memory"}, strings.Fields(tt.args)...)...)
		require.Equal(t, exitUsage, r.status, "%q: %s", tt.args, r.stderr)
		require.Contains(t, r.stderr, tt.want, tt.args)
	}
}
