package replication

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/lni/vfs"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/faultdisk"
	"github.com/leatlog/leat/internal/store"
)

// fullFS is a file system that is full once full is set.
type fullFS struct {
	vfs.FS
	full atomic.Bool
}

func (f *fullFS) Create(name string) (vfs.File, error) {
	if f.full.Load() {
		return nil, fmt.Errorf("create %s: %w", name, syscall.ENOSPC)
	}
	return f.FS.Create(name)
}

// A node whose disk fails does not end the process: it leaves the cluster and
// tells why, and the others go on.
func TestFailedDiskTakesItsNodeOut(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(m *member, files *fullFS){
		"fsync fails":            func(m *member, _ *fullFS) { m.disk.FailSync() },
		"disk is full":           func(m *member, _ *fullFS) { m.disk.Fill() },
		"dragonboat's files are": func(_ *member, files *fullFS) { files.full.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told := make(chan error, 10)
			var files []*fullFS
			c := newDataCluster(t, 3, func(c *Config) {
				c.SnapshotEntries = 16
				c.OnFail = func(err error) { told <- err }
				f := &fullFS{FS: c.FS.fs}
				files = append(files, f)
				c.FS = &FS{f}
			})
			c.createPartition(100)
			c.produce(100, 0, 10, 10)
			broken := c.dataLeader()
			shard := broken.data
			fail(broken, files[broken.id-1])
			broken.data = nil // of no use any more
			// What it still answers must be true, and it ends with an error.
			n := 10
			for {
				p, err := shard.Append(AppendCommand{Partition: 100, Epoch: 1, NowMillis: 1, Batch: batchOf(t, 7, int32(n), "x")})
				if err == nil {
					_, err = p.Wait(t.Context())
				}
				if err != nil {
					if !errors.Is(err, store.ErrFailed) {
						t.Fatalf("an append to a failed node: %v", err)
					}
					break
				}
				n++
			}
			if err := <-told; !errors.Is(err, store.ErrFailed) {
				t.Fatalf("OnFail was told %v", err)
			}
			if err := broken.node.Err(); !errors.Is(err, store.ErrFailed) {
				t.Fatalf("Err is %v", err)
			}
			for what, err := range map[string]error{
				"ReadIndex":  shard.ReadIndex(t.Context()),
				"Barrier":    shard.Barrier(t.Context()),
				"CompactLog": shard.CompactLog(t.Context()),
				"StopShard":  broken.node.StopShard(dataShard),
			} {
				if !errors.Is(err, store.ErrFailed) {
					t.Errorf("%s on a failed node: %v", what, err)
				}
			}
			c.produce(100, n, 30, 10)
			broken.close()
			if len(told) > 0 {
				t.Errorf("OnFail was told again: %v", <-told)
			}
			// Restarted on a disk that is well, it catches up.
			broken.disk.Repair()
			files[broken.id-1].full.Store(false)
			broken.disk.Crash(0)
			broken.open()
			broken.startData(ShardConfig{Replica: base.ReplicaID(broken.id)})
			for _, m := range c.nodes {
				m.requireBatches(100, n+30)
			}
			c.requireEqual()
		})
	}
}

// Power is lost on all nodes at once, with some of what was not synced; what was
// acknowledged is there.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	for _, unsynced := range []int{0, 50, 100} {
		t.Run(fmt.Sprintf("%d%% survives", unsynced), func(t *testing.T) {
			t.Parallel()
			c := newDataCluster(t, 3, func(c *Config) { c.SnapshotEntries, c.LogTailEntries = 16, 8 })
			for _, m := range c.nodes {
				m.startMeta(c.members())
			}
			c.createPartition(100)
			var sum uint64
			n := 0
			for range 6 {
				c.produce(100, n, 25, 200)
				n += 25
				sum += uint64(n)
				if got := c.add(uint64(n)); got != sum {
					t.Fatalf("got the sum %d, want %d", got, sum)
				}
				for _, m := range c.nodes {
					m.powerOff(unsynced)
				}
				for _, m := range c.nodes {
					m.close()
					m.powerOn()
				}
				for _, m := range c.nodes {
					m.open()
					m.startData(ShardConfig{Replica: base.ReplicaID(m.id)})
					m.startMeta(nil)
				}
				for _, m := range c.nodes {
					m.requireBatches(100, n)
				}
				c.requireEqual()
				c.requireSum(sum)
			}
		})
	}
}

// Memory is bounded: what cannot be replicated is refused, not kept.
func TestOverloadIsRefused(t *testing.T) {
	t.Parallel()
	// The leader must not notice meanwhile that it is alone.
	c := newDataCluster(t, 3, func(c *Config) { c.MaxUnappliedBytes, c.Tick, c.ElectionTicks = DefaultMaxFrameBytes, DefaultTick, 40 })
	c.createPartition(100)
	leader := c.dataLeader()
	defer func() {
		for _, m := range c.nodes {
			m.disk.Repair()
		}
	}()
	for _, m := range c.nodes {
		if m != leader {
			m.disk.HangSync()
		}
	}
	b := batchOf(t, -1, 0, string(make([]byte, 1<<20)))
	fill := func() (under []*PendingAppend) {
		t.Helper()
		for {
			p, err := leader.data.Append(AppendCommand{Partition: 100, NowMillis: 1, Batch: b})
			if err != nil {
				if !errors.Is(err, ErrBusy) {
					t.Fatalf("refused with %v", err)
				}
				return under
			}
			under = append(under, p)
		}
	}
	waiting := fill()
	if len(waiting) != 15 {
		t.Fatalf("%d MiB are waiting where 16 MiB may", len(waiting))
	}
	for _, m := range c.nodes {
		m.disk.Repair()
	}
	if err := c.lead(func(ctx context.Context, s *DataShard) error { return s.Barrier(ctx) }); err != nil {
		t.Fatal(err)
	}
	// Nobody waited for those, and still they make room.
	if leader.data.IsLeader() {
		waiting = append(waiting, fill()...)
		if len(waiting) < 30 {
			t.Fatalf("%d could be proposed, of which nobody waited for 15", len(waiting))
		}
	}
	for _, p := range waiting {
		if _, err := p.Wait(t.Context()); err != nil && !Retriable(err) {
			t.Fatal(err)
		}
	}
}

// A replica that comes back without its log fails its node, and not the process:
// it must not vote.
func TestWipedReplicaIsNoticed(t *testing.T) {
	t.Parallel()
	told := make(chan error, 10)
	c := newDataCluster(t, 3, func(c *Config) { c.OnFail = func(err error) { told <- err } })
	c.createPartition(100)
	c.produce(100, 0, 20, 10)
	wiped := c.nodes[0]
	if wiped == c.dataLeader() {
		wiped = c.nodes[1]
	}
	wiped.close()
	wiped.disk, wiped.fs = faultdisk.New(9), NewMemFS()
	wiped.open()
	wiped.startData(ShardConfig{Replica: base.ReplicaID(wiped.id), Members: c.members()})
	if err := <-told; !errors.Is(err, ErrLogLost) || !errors.Is(err, store.ErrFailed) {
		t.Fatalf("failed with %v", err)
	}
	wiped.data = nil
	c.produce(100, 20, 20, 10)
	wiped.close()
}

// A directory belongs to one Raft address.
func TestDirectoryOfAnotherNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, nil)
	a, b := c.nodes[0], c.nodes[1]
	a.close()
	b.close()
	b.fs = a.fs
	if err := b.tryOpen(); err == nil {
		t.Fatal("a node was opened on the directory of another")
	} else if err := b.transport.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	a.open()
}
