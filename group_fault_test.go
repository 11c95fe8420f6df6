package leat

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/coordinator"
	"github.com/leatlog/leat/internal/store"
)

// TestGroupOnAFailedDisk: commits say so, Poll says so, nothing hangs, and what was
// committed before is there when the disk is well again.
func TestGroupOnAFailedDisk(t *testing.T) {
	var broken atomic.Bool
	cause := errors.New("input/output error")
	mem := vfs.NewCrashableMem()
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		if broken.Load() && sync && strings.HasSuffix(op.Path, ".log") {
			return cause
		}
		return nil
	}))
	l, err := Open(t.Context(), Config{fs: fs})
	require.NoError(t, err)
	mustTopic(t, l, "t", TopicConfig{})
	produceTo(t, l, "t", 0, "a", "b", "c")
	g := mustJoin(t, l, "g", []string{"t"}, WithAutoCommit(time.Millisecond))
	_ = collect(t, g, 1)
	require.NoError(t, g.Commit(t.Context()))

	broken.Store(true)
	g.Mark(collectUnmarked(t, g)...)
	for err = nil; err == nil; err = g.Commit(within(t)) {
		g.Mark(collectUnmarked(t, g)...)
	}
	require.ErrorIs(t, err, ErrStorageFailed)
	require.ErrorIs(t, err, ErrGroupNotAvailable)
	require.ErrorIs(t, err, cause)
	_, err = g.Poll(within(t), 0) // by the commit in the background
	for err == nil {
		_, err = g.Poll(within(t), 0)
	}
	require.ErrorIs(t, err, ErrStorageFailed)
	_, err = l.JoinGroup(within(t), "g", []string{"t"})
	require.ErrorIs(t, err, ErrStorageFailed)
	offsets, err := l.GroupOffsets(within(t), "g")
	require.NoError(t, err, "what is durable can be read")
	require.Equal(t, Offset(1), offsets[TopicPartition{"t", 0}].Offset)
	require.ErrorIs(t, g.Close(), ErrStorageFailed)
	require.Error(t, l.Close())

	// What was written and not synced may be there or not: here it is not.
	l = openTest(t, Config{fs: mem.CrashClone(vfs.CrashCloneCfg{})})
	g = mustJoin(t, l, "g", []string{"t"})
	require.Equal(t, []string{"0:1=b"}, values(collect(t, g, 1)))
}

// collectUnmarked returns what the member can have at once.
func collectUnmarked(t *testing.T, g *ConsumerGroup) []Record {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	rs, err := g.Poll(ctx, 1)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		require.ErrorIs(t, err, ErrStorageFailed)
	}
	return rs
}

// TestGroupLosesTheCoordinator: the group's partition is given up and read anew,
// and a request under way is cut off; members go on.
func TestGroupLosesTheCoordinator(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{Partitions: 4})
	ledger, owners := newLedger(t, 4, 4*300), newOwners()
	done := make(chan struct{})
	for m := range 3 {
		g := mustJoin(t, l, "g", []string{"t"}, append(owners.options(m), WithAutoCommit(time.Millisecond))...)
		go func() {
			defer func() { done <- struct{}{} }()
			for r, err := range g.Records(context.Background()) {
				switch {
				case errors.Is(err, ErrClosed):
					return
				case errors.Is(err, coordinator.ErrNotCoordinator):
					// It goes on trying.
				case err != nil:
					t.Error(err)
				default:
					ledger.process(r)
					g.Mark(r)
				}
			}
		}()
	}
	c := l.groups.made.Load()
	for range 10 {
		unloaded := make(chan struct{})
		go func() {
			c.Unload(c.PartitionFor("g"))
			close(unloaded)
		}()
		produceMany(t, l, "t", 4, 30)
		<-unloaded
	}
	ledger.wait(t)
	require.NoError(t, l.Close())
	for range 3 {
		<-done
	}
	owners.check(t)
}

// TestOffsetsAreCompacted: __consumer_offsets keeps what counts.
func TestOffsetsAreCompacted(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, Config{Dir: dir})
	mustTopic(t, l, "t", TopicConfig{Partitions: 2})
	produceTo(t, l, "t", 1, strings.Split(strings.Repeat("x", 200), "")...)
	g := mustJoin(t, l, "g", []string{"t"}, WithAutoCommit(0))
	for range 200 {
		_ = collect(t, g, 1)
		require.NoError(t, g.Commit(t.Context()))
	}
	offsets, err := l.Topic(t.Context(), offsetsTopic)
	require.NoError(t, err)
	require.True(t, offsets.Info().Internal)
	part, err := offsets.Partition(l.groups.made.Load().PartitionFor("g"))
	require.NoError(t, err)
	r, err := part.local()
	require.NoError(t, err)
	before := r.Records()
	require.Greater(t, before, int64(200))
	_, err = r.Compact(t.Context(), store.CompactOptions{})
	require.NoError(t, err)
	require.Less(t, r.Records(), int64(20))
	require.NoError(t, l.Close())

	l = openTest(t, Config{Dir: dir})
	committed, err := l.GroupOffsets(t.Context(), "g")
	require.NoError(t, err)
	require.Equal(t, map[TopicPartition]OffsetAndMetadata{{"t", 1}: {Offset: 200}}, committed)
}

// TestGroupLostWhileClosing: Close says that marks were not committed, and each
// partition is told once.
func TestGroupLostWhileClosing(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{})
	produceTo(t, l, "t", 0, "a")
	events, on := recordEvents()
	var g *ConsumerGroup
	g = mustJoin(t, l, "g", []string{"t"}, append(on, WithAutoCommit(0), OnRevoked(func(ctx context.Context, tps []TopicPartition) {
		_, err := g.coord.Heartbeat(ctx, coordinator.HeartbeatRequest{Group: "g", Member: g.id, Epoch: coordinator.LeaveEpoch})
		require.NoError(t, err)
	}))...)
	_ = collect(t, g, 1)
	err := g.Close()
	require.ErrorIs(t, err, ErrMemberLost)
	require.Equal(t, err, g.Close())
	require.Equal(t, "assigned", await(t, events).what)
	require.Empty(t, events)

	// And lost before Close, without a Poll to tell it.
	events, on = recordEvents()
	g = mustJoin(t, l, "g", []string{"t"}, append(on, WithAutoCommit(0))...)
	_ = collect(t, g, 1)
	_, err = g.coord.Heartbeat(t.Context(), coordinator.HeartbeatRequest{Group: "g", Member: g.id, Epoch: coordinator.LeaveEpoch})
	require.NoError(t, err)
	require.ErrorIs(t, g.Commit(t.Context()), ErrMemberLost)
	require.ErrorIs(t, g.Close(), ErrMemberLost)
	require.Equal(t, "assigned", await(t, events).what)
	require.Equal(t, event{"lost", parts("t", 0)}, await(t, events))
	require.Empty(t, events)
}

// TestHooksMayAskForGroups: the first group makes a topic, which a hook is told.
func TestHooksMayAskForGroups(t *testing.T) {
	var l *Log
	told := make(chan string, 10)
	l = openTest(t, Config{Hooks: Hooks{TopicCreated: func(name string) {
		groups, err := l.Groups(context.Background())
		told <- fmt.Sprint(name, groups, err)
	}}})
	g := mustJoin(t, l, "g", []string{"t"})
	require.Equal(t, "__consumer_offsets[] <nil>", await(t, told))
	require.NoError(t, g.Close())
}

// TestGroupCommitsSurviveACrash: the power goes while members commit. Every
// acknowledged commit is there, none is ahead of what was asked for, and members
// of the next opening do not wait for those of the last.
func TestGroupCommitsSurviveACrash(t *testing.T) {
	t.Run("dynamic", func(t *testing.T) { commitAndCrash(t) })
	t.Run("static", func(t *testing.T) { commitAndCrash(t, WithInstanceID("same")) })
}

func commitAndCrash(t *testing.T, opts ...GroupOption) {
	fs := vfs.NewCrashableMem()
	rng := rand.New(rand.NewPCG(1, 2))
	tp := TopicPartition{"t", 0}
	var acked, asked atomic.Int64
	for round := range 15 {
		l, err := Open(t.Context(), Config{fs: fs})
		require.NoError(t, err)
		if round == 0 {
			mustTopic(t, l, "t", TopicConfig{})
		}
		produceTo(t, l, "t", 0, strings.Split(strings.Repeat("x", 5000), "")...)
		begin := time.Now()
		g := mustJoin(t, l, "g", []string{"t"}, opts...)
		rs, err := g.Poll(within(t), 1)
		require.NoError(t, err)
		require.Less(t, time.Since(begin), 10*time.Second)
		require.GreaterOrEqual(t, rs[0].Offset, Offset(acked.Load()))
		require.LessOrEqual(t, rs[0].Offset, Offset(asked.Load()))
		acked.Store(int64(rs[0].Offset))
		polling, stop := context.WithCancel(within(t))
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			for polling.Err() == nil {
				g.Mark(rs...)
				at := int64(rs[0].Offset) + 1
				asked.Store(at)
				if err := g.Commit(context.Background()); err != nil {
					t.Error(err)
					return
				}
				acked.Store(at)
				if rs, err = g.Poll(polling, 1); err != nil {
					if polling.Err() == nil { // else it was told to stop, or has read all there is
						t.Error(err)
					}
					return
				}
			}
		}()
		time.Sleep(time.Duration(rng.IntN(4000)) * time.Microsecond) // any moment will do
		sure := acked.Load()
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * rng.IntN(3), RNG: rng})
		possible := asked.Load()
		stop()
		<-stopped
		require.NoError(t, l.Close())
		acked.Store(sure)
		asked.Store(possible)
		fs = crashed
	}
	l := openTest(t, Config{fs: fs})
	offsets, err := l.GroupOffsets(t.Context(), "g")
	require.NoError(t, err)
	require.GreaterOrEqual(t, offsets[tp].Offset, Offset(acked.Load()))
	require.LessOrEqual(t, offsets[tp].Offset, Offset(asked.Load()))
	require.Greater(t, asked.Load(), int64(15))
}
