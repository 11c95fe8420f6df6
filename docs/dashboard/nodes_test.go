package dashboard

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/leatprom"
)

// startNodes starts what Prometheus scrapes, with load that goes on until the test
// ends, and returns the addresses by job.
func startNodes(t *testing.T) map[string][]string {
	t.Helper()
	return map[string][]string{
		"serve":   {startServe(t)},
		"program": {startProgram(t)},
		"cluster": startCluster(t),
	}
}

// begin runs fn again and again until the test ends. An error of it fails the test.
func begin(t *testing.T, fn func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := fn(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

// startServe starts `leat serve --metrics` with Kafka's clients at work.
func startServe(t *testing.T) (metrics string) {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "leat")
	out, err := exec.Command("go", "build", "-o", program, "../../cmd/leat").CombinedOutput()
	require.NoError(t, err, "%s", out)
	cmd := exec.Command(program, "serve", "--json", "--dir", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0",
		"--metrics", "127.0.0.1:0", "--default-partitions", "3", "--log-level", "warn")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	startProcess(t, cmd)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	var ready struct{ Listen, Metrics string }
	require.NoError(t, json.Unmarshal([]byte(line), &ready), line)

	newClient := func(opts ...kgo.Opt) (*kgo.Client, error) {
		return kgo.NewClient(append(opts, kgo.SeedBrokers(ready.Listen), kgo.AllowAutoTopicCreation())...)
	}
	begin(t, func(ctx context.Context) error { // connections that come and go, and a request that is refused
		c, err := newClient()
		if err != nil {
			return err
		}
		defer c.Close()
		for range 100 {
			if err := c.ProduceSync(ctx, &kgo.Record{Topic: "orders", Value: make([]byte, 1000)}).FirstErr(); err != nil {
				return err
			}
		}
		if err := c.ProduceSync(ctx, &kgo.Record{Topic: "not a name", Value: []byte("v")}).FirstErr(); !errors.Is(err, kerr.InvalidTopicException) && ctx.Err() == nil {
			return fmt.Errorf("a topic of a bad name: %w", err)
		}
		return nil
	})
	group, err := newClient(kgo.ConsumeTopics("orders"), kgo.ConsumerGroup("billing"), kgo.AutoCommitInterval(time.Second))
	require.NoError(t, err)
	t.Cleanup(group.Close)
	begin(t, func(ctx context.Context) error { return ignoreUnknownTopic(group.PollFetches(ctx).Err()) })
	u, err := url.Parse(ready.Metrics)
	require.NoError(t, err)
	return u.Host
}

// ignoreUnknownTopic is for a consumer that is quicker than the first producer.
func ignoreUnknownTopic(err error) error {
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil
	}
	return err
}

// startProgram opens a Log in this process, as a program that embeds one does, and uses
// it: producers, consumers, a group, retention and compaction.
func startProgram(t *testing.T) (metrics string) {
	t.Helper()
	// Little memory makes it write files, and read them.
	log, err := leat.Open(t.Context(), leat.Config{Dir: t.TempDir(), AutoCreateTopics: true, MemTableBytes: 1 << 20, TailCacheBytes: 1 << 18})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	metrics = serveMetrics(t, log)

	p, err := log.NewProducer()
	require.NoError(t, err)
	topic, err := log.CreateTopic(t.Context(), "state", leat.TopicConfig{CleanupPolicy: leat.Compact})
	require.NoError(t, err)
	logs, err := log.CreateTopic(t.Context(), "logs", leat.TopicConfig{RetentionBytes: 1 << 20})
	require.NoError(t, err)
	produce := func(ctx context.Context) error {
		var records []leat.Record
		for n := range 200 {
			for _, t := range []string{"state", "logs"} {
				records = append(records, leat.Record{Topic: t, Key: fmt.Append(nil, n), Value: make([]byte, 1000)})
			}
		}
		_, err := p.ProduceSync(ctx, records...)
		return err
	}
	require.NoError(t, produce(t.Context()))
	begin(t, produce)
	begin(t, func(ctx context.Context) error {
		_, err := topic.Compact(ctx)
		return err
	})
	begin(t, func(ctx context.Context) error {
		_, err := logs.ApplyRetention(ctx)
		return err
	})
	g, err := log.JoinGroup(t.Context(), "audit", []string{"logs", "state"}, leat.WithAutoCommit(time.Second))
	require.NoError(t, err)
	begin(t, func(ctx context.Context) error {
		records, err := g.Poll(ctx, 1000)
		g.Mark(records...)
		return err
	})
	begin(t, func(ctx context.Context) error { // reads it all from the files, again and again
		c, err := log.NewConsumer(leat.Assign("state"), leat.StartAt(leat.Earliest))
		if err != nil {
			return err
		}
		defer c.Close()
		for range 100 {
			if _, err := c.Poll(ctx, 1000); err != nil {
				return err
			}
		}
		return nil
	})
	return metrics
}

// serveMetrics exports a Log as leat serve does.
func serveMetrics(t *testing.T, log *leat.Log) (addr string) {
	t.Helper()
	registry := client.NewRegistry()
	registry.MustRegister(leatprom.NewCollector(log, leatprom.WithGroupLag(100, nil)), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	return u.Host
}

// startCluster opens three nodes of a cluster, with a producer on one and a member of a
// group on another.
func startCluster(t *testing.T) (metrics []string) {
	t.Helper()
	seeds := make(map[uint64]string)
	for n := uint64(1); n <= 3; n++ {
		seeds[n] = freeAddr(t)
	}
	logs := make([]*leat.Log, len(seeds))
	opening, ctx := errgroup.WithContext(t.Context())
	for n, addr := range seeds {
		cfg := leat.Config{Dir: t.TempDir(), AutoCreateTopics: true, Cluster: &leat.ClusterConfig{NodeID: n, RaftAddr: addr, ClientAddr: freeAddr(t), Seeds: seeds}}
		opening.Go(func() (err error) {
			logs[n-1], err = leat.Open(ctx, cfg)
			return err
		})
	}
	t.Cleanup(func() {
		var closing errgroup.Group
		for _, l := range logs {
			if l != nil {
				closing.Go(l.Close)
			}
		}
		require.NoError(t, closing.Wait())
	})
	require.NoError(t, opening.Wait())
	for _, l := range logs {
		metrics = append(metrics, serveMetrics(t, l))
	}
	p, err := logs[0].NewProducer()
	require.NoError(t, err)
	_, err = p.ProduceSync(t.Context(), leat.Record{Topic: "replicated", Value: make([]byte, 1000)})
	require.NoError(t, err)
	begin(t, func(ctx context.Context) error {
		_, err := p.ProduceSync(ctx, leat.Record{Topic: "replicated", Value: make([]byte, 1000)})
		return err
	})
	g, err := logs[1].JoinGroup(t.Context(), "readers", []string{"replicated"}, leat.WithAutoCommit(time.Second))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.Close()) }) // while there is a coordinator
	begin(t, func(ctx context.Context) error {
		records, err := g.Poll(ctx, 1000)
		g.Mark(records...)
		return err
	})
	return metrics
}

// freeAddr returns a loopback address that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	return ln.Addr().String()
}
