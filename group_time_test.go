package leat_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/leattest"
)

// advanceUntil moves the clock until c has something. Each step gives the
// goroutines that it wakes the time to set their timers again.
func advanceUntil[T any](t *testing.T, clock *leattest.Clock, step time.Duration, c <-chan T) T {
	t.Helper()
	began := time.Now()
	for {
		select {
		case v := <-c:
			return v
		case <-time.After(2 * time.Millisecond):
			require.Less(t, time.Since(began), 30*time.Second, "waited in vain")
			clock.Advance(step)
		}
	}
}

// sit polls in a goroutine until ctx ends, and sends what it is assigned.
func sit(ctx context.Context, t *testing.T, l *leat.Log, group string, opts ...leat.GroupOption) (<-chan []leat.TopicPartition, func()) {
	assigned := make(chan []leat.TopicPartition, 100)
	opts = append(opts, leat.OnAssigned(func(_ context.Context, tps []leat.TopicPartition) { assigned <- tps }))
	g, err := l.JoinGroup(t.Context(), group, []string{"t"}, opts...)
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			rs, err := g.Poll(ctx, 0)
			if err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				break
			}
			g.Mark(rs...)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	return assigned, func() { <-done }
}

// TestMemberThatDoesNotPoll loses its partitions to one that does, learns why, and
// comes back. What it had marked is committed.
func TestMemberThatDoesNotPoll(t *testing.T) {
	clock := leattest.NewClock(start)
	l := open(t, leat.Config{Clock: clock, Groups: leat.GroupsConfig{SessionTimeout: 24 * time.Hour}})
	create(t, l, "t", leat.TopicConfig{Partitions: 2})
	produce(t, l, "t", 0, "a", "b", "c")
	produce(t, l, "t", 1, "x")

	var lost []leat.TopicPartition
	g, err := l.JoinGroup(t.Context(), "g", []string{"t"}, leat.WithMaxPollInterval(time.Minute), leat.WithAutoCommit(0),
		leat.OnLost(func(_ context.Context, tps []leat.TopicPartition) { lost = tps }))
	require.NoError(t, err)
	rs, err := g.Poll(t.Context(), 2)
	require.NoError(t, err)
	require.Len(t, rs, 2)
	g.Mark(rs...)

	ctx, cancel := context.WithCancel(t.Context())
	assigned, wait := sit(ctx, t, l, "g")
	joined := clock.Now()
	tps := map[leat.TopicPartition]bool{}
	for len(tps) < 2 {
		for _, tp := range advanceUntil(t, clock, time.Second, assigned) {
			tps[tp] = true
		}
	}
	require.GreaterOrEqual(t, clock.Now().Sub(joined), 50*time.Second, "not before its time")
	require.Less(t, clock.Now().Sub(joined), 3*time.Minute)

	require.Empty(t, g.Assignment())
	_, err = g.Poll(t.Context(), 0)
	var e *leat.MemberLostError
	require.ErrorAs(t, err, &e)
	require.ErrorIs(t, err, leat.ErrMaxPollInterval)
	require.Equal(t, "g", e.Group)
	require.Equal(t, g.MemberID(), e.Member)
	require.Len(t, e.Partitions, 2)
	require.Equal(t, e.Partitions, lost)
	offsets, err := l.GroupOffsets(t.Context(), "g")
	require.NoError(t, err)
	require.GreaterOrEqual(t, offsets[leat.TopicPartition{Topic: "t"}].Offset, leat.Offset(2), "what was marked is committed")

	cancel()
	wait()
	produce(t, l, "t", 0, "d")
	seen := ""
	for seen != "d" {
		rs, err := g.Poll(t.Context(), 1)
		require.NoError(t, err)
		seen = string(rs[0].Value)
		g.Mark(rs...)
	}
	require.NoError(t, g.Close())
}

// TestMemberThatPollsStays: whatever the clock says, as long as it polls, or waits
// in Poll, and its heartbeats are sent.
func TestMemberThatPollsStays(t *testing.T) {
	clock := leattest.NewClock(start)
	l := open(t, leat.Config{Clock: clock})
	create(t, l, "t", leat.TopicConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	assigned, wait := sit(ctx, t, l, "g", leat.WithMaxPollInterval(time.Minute))
	<-assigned
	for range 100 { // 300 s: five sessions and more
		clock.Advance(3 * time.Second)
		_, err := l.DescribeGroup(ctx, "g")
		require.NoError(t, err)
		time.Sleep(time.Millisecond) // its heartbeats are sent by a goroutine that has a timer only
	}
	d, err := l.DescribeGroup(ctx, "g")
	require.NoError(t, err)
	require.Len(t, d.Members, 1)
	require.EqualValues(t, 1, d.Members[0].Epoch, "it never left")
	cancel()
	wait()
}

// TestAutoCommit: marks are committed in the background, at their time, or not if
// it is off.
func TestAutoCommit(t *testing.T) {
	clock := leattest.NewClock(start)
	l := open(t, leat.Config{Clock: clock, Groups: leat.GroupsConfig{SessionTimeout: 24 * time.Hour}})
	create(t, l, "t", leat.TopicConfig{})
	produce(t, l, "t", 0, "a", "b")
	join := func(group string, every time.Duration) *leat.ConsumerGroup {
		g, err := l.JoinGroup(t.Context(), group, []string{"t"}, leat.WithAutoCommit(every))
		require.NoError(t, err)
		rs, err := g.Poll(t.Context(), 1)
		require.NoError(t, err)
		g.Mark(rs...)
		return g
	}
	auto, manual := join("auto", 10*time.Second), join("manual", 0)
	committed := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(committed)
		for {
			offsets, err := l.GroupOffsets(context.Background(), "auto")
			if err != nil || len(offsets) > 0 {
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	clock.Advance(9 * time.Second)
	offsets, err := l.GroupOffsets(t.Context(), "auto")
	require.NoError(t, err)
	require.Empty(t, offsets)
	advanceUntil(t, clock, time.Second, committed)
	close(stop)
	clock.Advance(time.Minute)
	offsets, err = l.GroupOffsets(t.Context(), "auto")
	require.NoError(t, err)
	require.Equal(t, map[leat.TopicPartition]leat.OffsetAndMetadata{{Topic: "t"}: {Offset: 1}}, offsets)
	offsets, err = l.GroupOffsets(t.Context(), "manual")
	require.NoError(t, err)
	require.Empty(t, offsets)
	require.NoError(t, manual.Commit(t.Context()))
	offsets, err = l.GroupOffsets(t.Context(), "manual")
	require.NoError(t, err)
	require.Len(t, offsets, 1)
	require.NoError(t, auto.Close())
	require.NoError(t, manual.Close())
}
