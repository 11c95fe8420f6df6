package replication

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/internal/store"
)

// chaosClient appends to a partition of its own through whichever node leads, and
// tries again what it does not know the outcome of, as an idempotent producer.
type chaosClient struct {
	c         *cluster
	partition base.PartitionID
	acked     int // batches, each of one record: the next sequence and offset
}

// run appends until stop is closed.
func (x *chaosClient) run(stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		ctx, cancel := context.WithTimeout(x.c.t.Context(), 2*time.Second)
		got, err := x.append(ctx)
		cancel()
		switch {
		case err == nil && got.Offset != base.Offset(x.acked):
			return fmt.Errorf("partition %d: batch %d is at offset %d", x.partition, x.acked, got.Offset)
		case err == nil:
			x.acked++
		case !Retriable(err) && !errors.Is(err, store.ErrFailed) && !errors.Is(err, ErrClosed):
			return fmt.Errorf("partition %d: batch %d: %w", x.partition, x.acked, err)
		default:
			time.Sleep(time.Millisecond) // no leader: do not spin
		}
	}
}

func (x *chaosClient) append(ctx context.Context) (AppendResult, error) {
	err := error(&NotLeaderError{Shard: dataShard})
	for _, m := range x.c.nodes {
		x.c.mu.RLock()
		data := m.data
		x.c.mu.RUnlock()
		if data == nil {
			continue
		}
		var p *PendingAppend
		p, err = data.Append(AppendCommand{Partition: x.partition, Epoch: 1, NowMillis: 1, Batch: batchOf(x.c.t, 7, int32(x.acked), "v")})
		if err == nil {
			return p.Wait(ctx)
		}
	}
	return AppendResult{}, err
}

// Whatever happens to the network and to single nodes, nothing that was
// acknowledged is lost, doubled or out of order, and the replicas are equal.
func TestChaos(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 5))
			c := newDataCluster(t, 3, func(c *Config) { c.SnapshotEntries, c.LogTailEntries = 64, 32 })
			var clients []*chaosClient
			for i := range base.PartitionID(4) {
				c.createPartition(100 + i)
				clients = append(clients, &chaosClient{c: c, partition: 100 + i})
			}
			stop := make(chan struct{})
			failed := make(chan error, len(clients))
			var wg sync.WaitGroup
			for _, x := range clients {
				wg.Go(func() { failed <- x.run(stop) })
			}
			names := []string{"node1", "node2", "node3"}
			for range 12 {
				victim := c.nodes[rng.IntN(3)]
				switch rng.IntN(6) {
				case 0:
					c.net.Isolate(fmt.Sprintf("node%d", victim.id))
				case 1:
					c.net.CutOneWay(names[rng.IntN(3)], names[rng.IntN(3)])
				case 2:
					c.net.OneWayRing(names...)
				case 3:
					c.net.ResetAll()
				case 4, 5: // the process is killed, or its machine loses power
					c.mu.Lock()
					victim.data = nil
					c.mu.Unlock()
					if rng.IntN(2) == 0 {
						victim.powerOff(50 * rng.IntN(3))
						victim.close()
						victim.powerOn()
					} else {
						victim.close()
					}
					time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
					victim.open()
					s, err := victim.node.StartData(ShardConfig{Shard: dataShard, Replica: base.ReplicaID(victim.id)})
					if err != nil {
						t.Error(err)
						break
					}
					c.mu.Lock()
					victim.data = s
					c.mu.Unlock()
				}
				time.Sleep(time.Duration(100+rng.IntN(400)) * time.Millisecond)
				c.net.Heal()
			}
			close(stop)
			wg.Wait()
			for range clients {
				if err := <-failed; err != nil {
					t.Error(err)
				}
			}
			total := 0
			for _, x := range clients {
				total += x.acked
				for _, m := range c.nodes {
					m.requireAtLeast(x.partition, x.acked)
				}
			}
			c.requireEqual()
			if total == 0 {
				t.Error("nothing was acknowledged")
			}
			t.Logf("%d batches were acknowledged", total)
		})
	}
}

// requireAtLeast reads a partition: n batches, and at most one more, whose
// outcome the client did not learn.
func (m *member) requireAtLeast(id base.PartitionID, n int) {
	t := m.c.t
	t.Helper()
	if err := m.data.ReadIndex(t.Context()); err != nil {
		t.Fatalf("node %d: %v", m.id, err)
	}
	p, err := m.store.Replicated(id)
	if err != nil {
		t.Fatalf("node %d: %v", m.id, err)
	}
	hw := int(p.HighWatermark())
	if hw < n || hw > n+1 {
		t.Fatalf("node %d, partition %d: %d batches, of which %d were acknowledged", m.id, id, hw, n)
	}
	var f store.Fetch
	for at := base.Offset(0); at < base.Offset(hw); {
		if err := p.Read(&f, at, 1<<20); err != nil {
			t.Fatalf("node %d: read %d: %v", m.id, at, err)
		}
		for _, b := range f.Batches {
			h, err := recordbatch.Verify(b)
			if err != nil || h.BaseOffset != at || h.BaseSequence != int32(at) {
				t.Fatalf("node %d: offset %d: %+v, %v", m.id, at, h, err)
			}
			at = h.NextOffset()
		}
	}
}
