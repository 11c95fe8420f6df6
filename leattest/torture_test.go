package leattest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/internal/history"
)

var (
	tortureSeeds    = flag.Int("leat.torture-seeds", 1, "runs of TestTorture, each with the next seed")
	tortureSeed     = flag.Uint64("leat.torture-seed", 0, "seed of the first run of TestTorture; 0 takes a new one")
	tortureDuration = flag.Duration("leat.torture-duration", 8*time.Second, "how long a run of TestTorture breaks things")
	tortureFaults   = flag.String("leat.torture-faults", "", "the faults of TestTorture, separated by commas; default all")
	tortureHistory  = flag.String("leat.torture-history", "", "a file for the calls of a run of TestTorture that fails")
	tortureLog      = flag.Bool("leat.torture-log", false, "TestTorture tells what the nodes log")
)

const (
	tortureTopic      = "records"
	torturePartitions = 4
	tortureGroup      = "group"
	// healWithin is how soon calls succeed again after a fault is healed. It is long
	// because machines that run tests are slow.
	healWithin = 30 * time.Second
	// settleWithin is how soon replicas are equal and groups have read all.
	settleWithin = 60 * time.Second
)

// TestTorture runs clients on a cluster that is broken in many ways, and checks what
// they saw and what the replicas hold in the end.
func TestTorture(t *testing.T) {
	if testing.Short() {
		t.Skip("breaks a cluster for some ten seconds")
	}
	seed := *tortureSeed
	if seed == 0 {
		seed = rand.Uint64() >> 1
	}
	for i := range uint64(*tortureSeeds) {
		t.Run(fmt.Sprint(seed+i), func(t *testing.T) { torturing(t, seed+i) })
		if t.Failed() {
			t.Fatalf("replay with: go test ./leattest -run 'TestTorture$' -leat.torture-seed=%d -leat.torture-duration=%v -leat.torture-faults=%q",
				seed+i, *tortureDuration, *tortureFaults)
		}
	}
}

// torture is a run of TestTorture.
type torture struct {
	t   *testing.T
	c   *Cluster
	h   *history.History
	rng *rand.Rand // the nemesis's

	ctx     context.Context // of clients; ends before the final reading
	stop    context.CancelFunc
	clients sync.WaitGroup
	quiet   atomic.Bool  // producers send no more
	sending atomic.Int64 // sends without an answer

	mu      sync.Mutex
	members []string // clients that read for the group
	lives   map[string]int
}

func torturing(t *testing.T, seed uint64) {
	r := &torture{t: t, h: history.New(seed), rng: rand.New(rand.NewPCG(seed, 1)), lives: make(map[string]int)}
	r.c = NewCluster(t, 3, WithSeed(seed), WithConfig(func(cfg *leat.Config) {
		cfg.Groups = leat.GroupsConfig{OffsetsPartitions: 4, SessionTimeout: 3 * time.Second, HeartbeatInterval: 300 * time.Millisecond}
		cfg.MemTableBytes = 1 << 20
		cfg.TailCacheBytes = 1 << 20
		if !*tortureLog {
			cfg.Logger = slog.New(slog.DiscardHandler)
		}
	}))
	r.ctx, r.stop = context.WithCancel(t.Context())
	defer r.clients.Wait()
	defer r.stop()
	if _, err := r.c.Node(1).CreateTopic(t.Context(), tortureTopic, leat.TopicConfig{Partitions: torturePartitions, ReplicationFactor: 3}); err != nil {
		t.Fatal(err)
	}
	r.startClients(seed)
	r.nemesis()
	r.finish()
	report := r.h.Check()
	t.Log(report)
	if report.Acked == 0 || report.RecordsRead == 0 || report.Replicas == 0 {
		t.Errorf("the run shows nothing: %v", report)
	}
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if t.Failed() && *tortureHistory != "" {
		r.dump()
	}
}

// dump writes all calls to a file.
func (r *torture) dump() {
	var b strings.Builder
	for _, o := range r.h.Ops() {
		fmt.Fprintln(&b, o)
	}
	if err := os.WriteFile(*tortureHistory, []byte(b.String()), 0o600); err != nil {
		r.t.Error(err)
	}
}

// life returns a name for another life of a client.
func (r *torture) life(client string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lives[client]++
	return fmt.Sprintf("%s.%d", client, r.lives[client])
}

func partition(p int32) history.Partition {
	return history.Partition{Topic: tortureTopic, Number: p}
}

// pause waits, or tells that the clients are to end.
func (r *torture) pause(d time.Duration) bool {
	select {
	case <-r.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// finish heals all, lets clients go on for a while, and reads what replicas hold.
func (r *torture) finish() {
	r.c.Heal()
	r.c.Fast()
	var down []int
	for id := 1; id <= r.c.Len(); id++ {
		r.c.RepairDisk(id)
		if r.c.Node(id) == nil {
			down = append(down, id)
		}
	}
	r.c.Start(down...)
	r.h.Note("nemesis", history.Heal{Within: healWithin})
	r.pause(time.Second)
	r.settleGroup()
	r.stop()
	r.clients.Wait()
	r.readReplicas()
}

// settleGroup waits until the group has committed all that producers, which are
// stopped for it, have sent.
func (r *torture) settleGroup() {
	ctx, cancel := context.WithTimeout(r.t.Context(), settleWithin)
	defer cancel()
	r.pauseProducers()
	var last any
	for {
		lag, err := r.anyNode().GroupLag(ctx, tortureGroup)
		last = err
		if err == nil {
			sum := int64(0)
			for _, p := range lag {
				sum += p.Lag
			}
			if sum == 0 && len(lag) == torturePartitions {
				break
			}
			last = fmt.Sprintf("%+v", lag)
		}
		if !r.pause(20*time.Millisecond) || ctx.Err() != nil {
			r.t.Errorf("invariant 19: %v after all is whole the group has not read everything: %v", settleWithin, last)
			return
		}
	}
	r.mu.Lock()
	members := slices.Clone(r.members)
	r.mu.Unlock()
	r.h.Note("main", history.Drained{Readers: members})
}

// anyNode returns a node that runs.
func (r *torture) anyNode() *leat.Log {
	for id := r.c.Len(); id > 0; id-- {
		if l := r.c.Node(id); l != nil {
			return l
		}
	}
	r.t.Fatal("no node runs")
	return nil
}

// readReplicas reads all that each node's replicas hold, once they are equally far.
func (r *torture) readReplicas() {
	ctx, cancel := context.WithTimeout(r.t.Context(), settleWithin)
	defer cancel()
	for p := range int32(torturePartitions) {
		for {
			type bounds struct{ start, end leat.Offset }
			infos := make(map[int]leat.PartitionInfo)
			all := make(map[bounds]bool)
			var failed error
			for id := 1; id <= r.c.Len(); id++ {
				if l := r.c.Node(id); l != nil {
					info, err := info(ctx, l, p)
					failed = errors.Join(failed, err)
					infos[id] = info
					all[bounds{info.LogStart, info.HighWatermark}] = true
				}
			}
			if failed == nil && len(all) == 1 {
				for _, id := range slices.Sorted(maps.Keys(infos)) {
					r.readReplica(ctx, id, p, infos[id])
				}
				break
			}
			select {
			case <-ctx.Done():
				r.t.Errorf("invariant 19: replicas of partition %d are not equally far %v after all is whole: %+v, %v", p, settleWithin, infos, failed)
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

func info(ctx context.Context, l *leat.Log, p int32) (leat.PartitionInfo, error) {
	topic, err := l.Topic(ctx, tortureTopic)
	if err != nil {
		return leat.PartitionInfo{}, err
	}
	part, err := topic.Partition(p)
	if err != nil {
		return leat.PartitionInfo{}, err
	}
	return part.Info(ctx)
}

func (r *torture) readReplica(ctx context.Context, id int, p int32, info leat.PartitionInfo) {
	c, err := r.c.Node(id).NewConsumer(leat.Assign(tortureTopic, p), leat.StartAt(leat.AtOffset(info.LogStart)))
	if err != nil {
		r.t.Error(err)
		return
	}
	defer c.Close()
	replica := history.Replica{Name: name(id), Partition: partition(p), Start: int64(info.LogStart), End: int64(info.HighWatermark)}
	for next := info.LogStart; next < info.HighWatermark; {
		rs, err := c.Poll(ctx, 0)
		if err != nil {
			r.t.Errorf("reading partition %d by node %d from offset %d, with %d due: %v", p, id, next, info.HighWatermark, err)
			return
		}
		for _, rec := range rs {
			replica.Records = append(replica.Records, history.Record{Offset: int64(rec.Offset), Value: string(rec.Value)})
			next = rec.Offset + 1
		}
	}
	r.h.Replica(replica)
}
