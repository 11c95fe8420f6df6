package leat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// within bounds what a test waits for.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func mustJoin(t testing.TB, l *Log, group string, topics []string, opts ...GroupOption) *ConsumerGroup {
	t.Helper()
	g, err := l.JoinGroup(within(t), group, topics, opts...)
	require.NoError(t, err)
	return g
}

// collect polls and marks until n records are there.
func collect(t testing.TB, g *ConsumerGroup, n int) []Record {
	t.Helper()
	var out []Record
	for len(out) < n {
		rs, err := g.Poll(within(t), n-len(out))
		require.NoError(t, err)
		out = append(out, slices.Clone(rs)...)
		g.Mark(rs...)
	}
	return out
}

func TestGroupOfOne(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{Partitions: 2})
	produceTo(t, l, "t", 0, "a", "b")
	produceTo(t, l, "t", 1, "x")

	start := time.Now()
	g := mustJoin(t, l, "g", []string{"t"})
	require.Empty(t, g.Assignment())
	rs := collect(t, g, 3)
	require.Less(t, time.Since(start), 2*time.Second, "the first assignment does not wait for heartbeats")
	require.ElementsMatch(t, []string{"0:0=a", "0:1=b", "1:0=x"}, values(rs))
	require.Equal(t, []TopicPartition{{"t", 0}, {"t", 1}}, g.Assignment())

	require.NoError(t, g.Commit(t.Context()))
	committed, err := g.Committed(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[TopicPartition]OffsetAndMetadata{{"t", 0}: {Offset: 2}, {"t", 1}: {Offset: 1}}, committed)
	require.NoError(t, g.Close())
	require.NoError(t, g.Close())
	_, err = g.Poll(t.Context(), 0)
	require.ErrorIs(t, err, ErrClosed)

	produceTo(t, l, "t", 0, "c")
	g = mustJoin(t, l, "g", []string{"t"})
	require.Equal(t, []string{"0:2=c"}, values(collect(t, g, 1)))
	require.NoError(t, g.Close())
}

func TestGroupResumesAfterReopen(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, Config{Dir: dir})
	mustTopic(t, l, "t", TopicConfig{})
	produceTo(t, l, "t", 0, "a", "b", "c")
	g := mustJoin(t, l, "g", []string{"t"})
	rs := collect(t, g, 2)
	require.Len(t, rs, 2)
	require.NoError(t, l.Close()) // commits what is marked

	l = openTest(t, Config{Dir: dir})
	g = mustJoin(t, l, "g", []string{"t"})
	require.Equal(t, []string{"0:2=c"}, values(collect(t, g, 1)))
}

// TestGroupMembersComeAndGo: several members read a topic while it is written,
// and one leaves half way. In order, nothing is lost and nothing doubled.
func TestGroupMembersComeAndGo(t *testing.T) {
	const partitions, perPartition, members = 6, 500, 3
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{Partitions: partitions})
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()

	var mu sync.Mutex
	next := make([]Offset, partitions)
	total := 0
	owners := newOwners()
	var wg sync.WaitGroup
	for m := range members {
		g := mustJoin(t, l, "g", []string{"t"}, owners.options(m)...)
		wg.Go(func() {
			defer func() {
				if err := g.Close(); err != nil {
					t.Error(err)
				}
			}()
			mine := 0
			for r, err := range g.Records(ctx) {
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				if r.Offset != next[r.Partition] {
					t.Errorf("member %d: partition %d: offset %d, want %d", m, r.Partition, r.Offset, next[r.Partition])
				}
				next[r.Partition] = r.Offset + 1
				total++
				done := total == partitions*perPartition
				mu.Unlock()
				g.Mark(r)
				if mine++; m == 1 && mine == 100 {
					return
				}
				if done {
					cancel()
				}
			}
		})
	}
	wg.Go(func() {
		p, err := l.NewProducer(WithPartitioner(ManualPartitioner))
		if err != nil {
			t.Error(err)
			return
		}
		for i := range perPartition {
			for part := range partitions {
				p.Produce(ctx, Record{Topic: "t", Partition: int32(part), Value: fmt.Append(nil, i)}, nil)
			}
			if i%10 == 0 {
				if err := p.Flush(ctx); err != nil {
					t.Error(err)
				}
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	require.Equal(t, partitions*perPartition, total)
	owners.check(t)
}

// owners keeps who owns a partition, from OnAssigned to the end of OnRevoked.
type owners struct {
	mu       sync.Mutex
	of       map[TopicPartition]int
	problems []string
	changes  int
}

func newOwners() *owners { return &owners{of: make(map[TopicPartition]int)} }

func (o *owners) options(member int) []GroupOption {
	return []GroupOption{
		OnAssigned(func(_ context.Context, tps []TopicPartition) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.changes++
			for _, tp := range tps {
				if other, ok := o.of[tp]; ok {
					o.problems = append(o.problems, fmt.Sprintf("%v assigned to %d, %d has it", tp, member, other))
				}
				o.of[tp] = member
			}
		}),
		OnRevoked(func(_ context.Context, tps []TopicPartition) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.changes++
			for _, tp := range tps {
				if owner, ok := o.of[tp]; !ok || owner != member {
					o.problems = append(o.problems, fmt.Sprintf("%v revoked from %d, which did not have it", tp, member))
				}
				delete(o.of, tp)
			}
		}),
		OnLost(func(_ context.Context, tps []TopicPartition) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.problems = append(o.problems, fmt.Sprintf("%d lost %v", member, tps))
		}),
	}
}

func (o *owners) check(t *testing.T) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	require.Empty(t, o.problems)
	require.Empty(t, o.of, "all are given back")
	require.NotZero(t, o.changes)
}
