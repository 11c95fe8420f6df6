package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/internal/procs"
)

// clusterChild is the name of the child process that runs one node of leat.
const clusterChild = "cluster-node"

// nodeRequest says which node a child is to be.
type nodeRequest struct {
	Dir          string
	ID           uint64
	Raft, Client string
	Seeds        map[uint64]string
	Join         bool
}

// runClusterNode is what a child does: it is a node until its input ends.
func runClusterNode(c *procs.Child) (err error) {
	var req nodeRequest
	if err := json.Unmarshal([]byte(c.Args[0]), &req); err != nil {
		return err
	}
	cfg := leatNode(req.Dir, req.ID, req.Raft, req.Client, req.Seeds)
	cfg.Cluster.Join = req.Join
	ctx, cancel := context.WithTimeout(context.Background(), clusterPatience)
	defer cancel()
	l, err := leat.Open(ctx, cfg)
	if err != nil {
		return err
	}
	if err := c.Say("ready"); err != nil {
		return errors.Join(err, l.Close())
	}
	for range c.Lines {
	}
	return l.Close()
}

// clusterProcs is a cluster of leat in which node 1 is in this process, and the
// others are in one each.
type clusterProcs struct {
	b        testing.TB
	requests []nodeRequest
	procs    []*procs.Proc // by node; nil for node 1 and those that are down
	log      *leat.Log     // node 1
}

// startClusterProcs starts three nodes. There is room for a fourth.
func startClusterProcs(b testing.TB) *clusterProcs {
	b.Helper()
	dir := dataDir(b)
	addrs, err := freeAddrs(2 * (clusterNodes + 1))
	must(b, err)
	c := &clusterProcs{b: b, procs: make([]*procs.Proc, clusterNodes+1)}
	seeds := make(map[uint64]string)
	for i := range clusterNodes + 1 {
		own, err := nodeDir(dir, i+1)
		must(b, err)
		if i < clusterNodes {
			seeds[uint64(i+1)] = addrs[2*i]
		}
		c.requests = append(c.requests, nodeRequest{Dir: own, ID: uint64(i + 1), Raft: addrs[2*i], Client: addrs[2*i+1], Seeds: seeds, Join: i >= clusterNodes})
	}
	// Children are ended by a cleanup of procs', which runs after that of node 1.
	for i := 1; i < clusterNodes; i++ {
		c.begin(i)
	}
	ctx, cancel := context.WithTimeout(context.Background(), clusterPatience)
	defer cancel()
	r := c.requests[0]
	c.log, err = leat.Open(ctx, leatNode(r.Dir, r.ID, r.Raft, r.Client, r.Seeds))
	must(b, err)
	b.Cleanup(func() {
		if err := c.log.Close(); err != nil {
			b.Error(err)
		}
	})
	for i := 1; i < clusterNodes; i++ {
		c.ready(i)
	}
	return c
}

// begin starts the process of a node.
func (c *clusterProcs) begin(i int) {
	c.b.Helper()
	req, err := json.Marshal(c.requests[i])
	must(c.b, err)
	c.procs[i] = procs.Start(c.b, clusterChild, string(req))
}

// ready waits until a node is in the cluster.
func (c *clusterProcs) ready(i int) {
	c.b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clusterPatience)
	defer cancel()
	line, err := c.procs[i].Line(ctx)
	must(c.b, err)
	if line != "ready" {
		c.b.Fatalf("node %d says %q", i+1, line)
	}
}

// end closes a node in order and waits until its process has ended.
func (c *clusterProcs) end(i int) {
	c.b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clusterPatience)
	defer cancel()
	must(c.b, c.procs[i].End(ctx))
	c.procs[i] = nil
}

// settled waits until each shard is led by the node that should.
func (c *clusterProcs) settled() {
	c.b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clusterPatience)
	defer cancel()
	must(c.b, awaitPreferred(ctx, c.log))
}

// shardsLedBy counts the shards with partitions that a node leads, as node 1 knows.
func (c *clusterProcs) shardsLedBy(i int) (n int) {
	c.b.Helper()
	info, err := c.log.ClusterInfo(context.Background())
	must(c.b, err)
	for _, s := range info.Shards {
		if s.Kind != "metadata" && s.Partitions > 0 && s.Leader == uint64(i+1) {
			n++
		}
	}
	return n
}

// create makes the topic.
func (c *clusterProcs) create(cfg leat.TopicConfig) {
	c.b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clusterPatience)
	defer cancel()
	_, err := c.log.CreateTopic(ctx, Topic, cfg)
	must(c.b, err)
	c.settled()
}

// steadyLoad is one writer for each partition, which sends a record every
// steadyInterval and waits for its acknowledgement. It notes the longest time
// without one.
type steadyLoad struct {
	b       testing.TB
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	writers []*steadyWriter
}

const steadyInterval = 2 * time.Millisecond

type steadyWriter struct {
	mu        sync.Mutex
	last      time.Time     // of an acknowledgement, or of the beginning
	longest   time.Duration // between two of them, while it was sending
	latencies *Latencies
	errors    []error
}

func (c *clusterProcs) load(topic string, partitions int) *steadyLoad {
	c.b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &steadyLoad{b: c.b, cancel: cancel}
	values := NewValues(int(size1KiB.bytes))
	value := values.Next()
	for i := range partitions {
		p, err := c.log.NewProducer(leat.WithPartitioner(leat.ManualPartitioner))
		must(c.b, err)
		w := &steadyWriter{latencies: NewLatencies(), last: time.Now()}
		l.writers = append(l.writers, w)
		l.wg.Go(func() {
			for ctx.Err() == nil {
				begin := time.Now()
				_, err := p.ProduceSync(context.Background(), leat.Record{Topic: topic, Partition: int32(i), Value: value})
				w.note(begin, err)
				select {
				case <-time.After(steadyInterval):
				case <-ctx.Done():
				}
			}
			if err := p.Close(); err != nil {
				w.note(time.Now(), err)
			}
		})
	}
	return l
}

func (w *steadyWriter) note(begin time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if err != nil {
		w.errors = append(w.errors, err)
		return
	}
	w.latencies.Record(now.Sub(begin))
	w.longest = max(w.longest, now.Sub(w.last))
	w.last = now
}

// take returns what was noted since the last call: the longest time without an
// acknowledgement at any partition, and the latencies.
func (l *steadyLoad) take() (longest time.Duration, all *Latencies, errs []error) {
	all = NewLatencies()
	for _, w := range l.writers {
		w.mu.Lock()
		longest = max(longest, w.longest, time.Since(w.last))
		all.Merge(w.latencies)
		errs = append(errs, w.errors...)
		w.longest, w.errors, w.latencies = 0, nil, NewLatencies()
		w.mu.Unlock()
	}
	return longest, all, errs
}

// flowing waits until every partition has had an acknowledgement from now on.
func (l *steadyLoad) flowing() {
	l.b.Helper()
	from, limit := time.Now(), time.After(clusterPatience)
	for _, w := range l.writers {
		for {
			w.mu.Lock()
			ok := w.last.After(from)
			w.mu.Unlock()
			if ok {
				break
			}
			select {
			case <-time.After(steadyInterval):
			case <-limit:
				l.b.Fatal("a partition takes no records")
			}
		}
	}
}

func (l *steadyLoad) stop() {
	l.cancel()
	l.wg.Wait()
}

// mustNone fails for errors that reached a caller.
func mustNone(b testing.TB, what string, errs []error) {
	b.Helper()
	if len(errs) > 0 {
		b.Fatal(fmt.Errorf("%s: %d calls failed, the first: %w", what, len(errs), errs[0]))
	}
}
