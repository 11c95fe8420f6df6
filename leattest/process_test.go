//go:build unix

package leattest_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/internal/history"
	"github.com/leatlog/leat/internal/procs"
)

// runNode is a child: a node of a cluster on the machine's disk and loopback. Its
// arguments are its number, its directory, and the Raft and client addresses of all.
func runNode(c *procs.Child) error {
	id, err := strconv.Atoi(c.Args[0])
	if err != nil {
		return err
	}
	raft, clients := strings.Split(c.Args[2], ","), strings.Split(c.Args[3], ",")
	cluster := &leat.ClusterConfig{
		NodeID: uint64(id), RaftAddr: raft[id-1], ClientAddr: clients[id-1], Seeds: make(map[uint64]string),
		HeartbeatInterval: 200 * time.Millisecond, SessionTimeout: 2 * time.Second,
	}
	for i, addr := range raft {
		cluster.Seeds[uint64(i+1)] = addr
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l, err := leat.Open(ctx, leat.Config{Dir: c.Args[1], Cluster: cluster, AutoCreateTopics: true, MemTableBytes: 1 << 20})
	if err != nil {
		return err
	}
	if err := c.Say("ready"); err != nil {
		return errors.Join(err, l.Close())
	}
	for range c.Lines { // until the test is over
	}
	return l.Close()
}

// processCluster is nodes in processes of their own.
type processCluster struct {
	t             *testing.T
	dir           string
	raft, clients []string
	nodes         []*procs.Proc
}

func freeAddrs(t *testing.T, n int) []string {
	t.Helper()
	var addrs []string
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer ln.Close() // after all have one of their own
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs
}

func (c *processCluster) start(ids ...int) {
	c.t.Helper()
	for _, id := range ids {
		c.nodes[id-1] = procs.Start(c.t, "node", strconv.Itoa(id), filepath.Join(c.dir, strconv.Itoa(id)), strings.Join(c.raft, ","), strings.Join(c.clients, ","))
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	for _, id := range ids {
		line, err := c.nodes[id-1].Line(ctx)
		require.NoError(c.t, err, "node %d", id)
		require.Equal(c.t, "ready", line)
	}
}

// TestProcesses kills nodes that are real processes with SIGKILL, one and all, and
// stops one with SIGSTOP, while a client of Kafka's protocol produces, and sees that
// what was acknowledged is there.
func TestProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("runs three processes for some ten seconds")
	}
	c := &processCluster{t: t, dir: t.TempDir(), raft: freeAddrs(t, 3), clients: freeAddrs(t, 3), nodes: make([]*procs.Proc, 3)}
	c.start(1, 2, 3)
	h := history.New(1)
	stop := make(chan struct{})
	produced := make(chan error, 1)
	go func() { produced <- produceOutside(t, h, c.clients, stop) }()

	hold := func() { time.Sleep(time.Second) } // the client works on
	hold()
	require.NoError(t, c.nodes[0].Kill())
	hold()
	c.start(1)
	hold()
	require.NoError(t, c.nodes[1].Stop())
	time.Sleep(3 * time.Second) // longer than its session
	require.NoError(t, c.nodes[1].Continue())
	hold()
	for _, n := range c.nodes {
		require.NoError(t, n.Kill())
	}
	c.start(1, 2, 3)
	hold()
	close(stop)
	require.NoError(t, <-produced)

	r, err := readOutside(t, c.clients, h)
	require.NoError(t, err)
	h.Replica(r)
	report := h.Check()
	t.Log(report)
	require.NoError(t, report.Err())
	require.Greater(t, report.Acked, 100)
	for _, n := range c.nodes {
		require.NoError(t, n.End(t.Context()))
	}
}

var processPartition = history.Partition{Topic: "t"}

// produceOutside sends values, as idempotent sends of one producer after the other.
func produceOutside(t *testing.T, h *history.History, seeds []string, stop <-chan struct{}) error {
	for life := 0; ; life++ {
		client, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("t"),
			kgo.RecordDeliveryTimeout(5*time.Second), kgo.ProduceRequestTimeout(2*time.Second), kgo.ProducerLinger(0),
			kgo.MetadataMinAge(100*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			return err
		}
		producer := fmt.Sprintf("p%d", life)
		for n := range int64(500) {
			select {
			case <-stop:
				err := client.Flush(t.Context())
				client.Close()
				return err
			case <-time.After(2 * time.Millisecond):
			}
			value := fmt.Sprintf("%s-%d", producer, n)
			call := h.Begin(producer, history.Send{Partition: processPartition, Producer: producer, Sequence: n, Values: []string{value}, Idempotent: true})
			client.Produce(t.Context(), &kgo.Record{Value: []byte(value)}, func(r *kgo.Record, err error) {
				if err == nil {
					call.OK(history.Result{Offset: r.Offset})
				} else {
					call.Unknown(err)
				}
			})
		}
		err = client.Flush(t.Context())
		client.Close()
		if err != nil {
			return err
		}
	}
}

// readOutside reads the partition from its start to its end.
func readOutside(t *testing.T, seeds []string, h *history.History) (history.Replica, error) {
	r := history.Replica{Name: "the cluster", Partition: processPartition}
	for _, o := range h.Ops() {
		if _, ok := o.Action.(history.Send); ok && o.Outcome == history.OK {
			r.End = max(r.End, o.Result.Offset+1)
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		return r, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for int64(len(r.Records)) < r.End {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return r, fmt.Errorf("read %d records of %d: %w", len(r.Records), r.End, ctx.Err())
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			r.Records = append(r.Records, history.Record{Offset: rec.Offset, Value: string(rec.Value)})
		})
	}
	r.End = max(r.End, r.Records[len(r.Records)-1].Offset+1)
	return r, nil
}

func TestMain(m *testing.M) {
	procs.Main(map[string]func(*procs.Child) error{"node": runNode})
	os.Exit(m.Run())
}
