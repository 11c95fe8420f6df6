package leat

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/coordinator"
)

// polling polls and marks in a goroutine until the member or the Log is closed,
// and sends what it gets.
func polling(t *testing.T, g *ConsumerGroup) <-chan Record {
	out := make(chan Record, 10000)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(out)
		for r, err := range g.Records(context.Background()) {
			if err != nil {
				if !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
				return
			}
			g.Mark(r)
			out <- r
		}
	})
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	})
	return out
}

// events are calls of a member's callbacks.
type event struct {
	what string
	tps  []TopicPartition
}

func recordEvents() (<-chan event, []GroupOption) {
	c := make(chan event, 1000)
	on := func(what string) func(context.Context, []TopicPartition) {
		return func(_ context.Context, tps []TopicPartition) { c <- event{what, tps} }
	}
	return c, []GroupOption{OnAssigned(on("assigned")), OnRevoked(on("revoked")), OnLost(on("lost"))}
}

func await[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v, ok := <-c:
		require.True(t, ok, "closed")
		return v
	case <-within(t).Done():
		t.Fatal("waited in vain")
		panic("unreachable")
	}
}

func parts(topic string, numbers ...int32) []TopicPartition {
	var tps []TopicPartition
	for _, n := range numbers {
		tps = append(tps, TopicPartition{topic, n})
	}
	return tps
}

// TestGroupRevokesInPoll: a member gives up what another is to have in its own
// Poll, with the callback first; what it commits there is where the other begins.
func TestGroupRevokesInPoll(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{Partitions: 2})
	for p := range int32(2) {
		produceTo(t, l, "t", p, "a", "b", "c", "d")
	}
	var a *ConsumerGroup
	events, on := recordEvents()
	a = mustJoin(t, l, "g", []string{"t"}, append(on, WithAutoCommit(0), OnRevoked(func(ctx context.Context, tps []TopicPartition) {
		for _, tp := range tps {
			require.Contains(t, a.Assignment(), tp, "it has it still")
			require.NoError(t, a.CommitOffsets(ctx, map[TopicPartition]OffsetAndMetadata{tp: {Offset: 3, Metadata: "so far"}}))
		}
	}))...)
	rs, err := a.Poll(within(t), 0)
	require.NoError(t, err)
	require.Len(t, rs, 8)
	require.Equal(t, event{"assigned", parts("t", 0, 1)}, await(t, events))

	eventsB, on := recordEvents()
	b := mustJoin(t, l, "g", []string{"t"}, on...)
	got := polling(t, b)
	short, cancel := context.WithCancel(t.Context())
	cancelled := make(chan error)
	go func() {
		_, err := a.Poll(short, 0)
		cancelled <- err
	}()
	e := await(t, eventsB)
	require.Equal(t, "assigned", e.what)
	require.Len(t, e.tps, 1)
	cancel()
	require.ErrorIs(t, await(t, cancelled), context.Canceled)

	r := await(t, got)
	require.Equal(t, Offset(3), r.Offset)
	require.Equal(t, e.tps[0].Partition, r.Partition)
	committed, err := a.Committed(t.Context(), e.tps...)
	require.NoError(t, err)
	require.Contains(t, committed, e.tps[0])
	require.Len(t, a.Assignment(), 1)
	require.NotContains(t, a.Assignment(), e.tps[0])

	// It has given it up: it cannot commit for it any more.
	require.ErrorIs(t, a.CommitOffsets(t.Context(), map[TopicPartition]OffsetAndMetadata{e.tps[0]: {Offset: 1}}), ErrNotAssigned)
	a.Mark(rs...)
	require.NoError(t, a.Commit(t.Context()))
	require.NoError(t, b.Commit(t.Context()))
	committed, err = b.Committed(t.Context(), e.tps...)
	require.NoError(t, err)
	require.Equal(t, Offset(4), committed[e.tps[0]].Offset)
	require.NoError(t, a.Close())
}

// TestGroupMemberFenced: a member that the group has thrown out gets nothing more,
// cannot commit, learns why once, and comes back.
func TestGroupMemberFenced(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{})
	produceTo(t, l, "t", 0, "a", "b", "c")
	events, on := recordEvents()
	g := mustJoin(t, l, "g", []string{"t"}, append(on, WithAutoCommit(0))...)
	rs := collect(t, g, 2)
	require.Equal(t, "assigned", await(t, events).what)

	_, err := g.coord.Heartbeat(t.Context(), coordinator.HeartbeatRequest{Group: "g", Member: g.id, Epoch: coordinator.LeaveEpoch})
	require.NoError(t, err)
	err = g.Commit(t.Context())
	var lost *MemberLostError
	require.ErrorAs(t, err, &lost)
	require.ErrorIs(t, err, ErrMemberLost)
	require.ErrorIs(t, err, ErrUnknownMember)
	require.Equal(t, parts("t", 0), lost.Partitions)
	require.Empty(t, g.Assignment())
	g.Mark(rs...)
	require.ErrorIs(t, g.CommitOffsets(t.Context(), map[TopicPartition]OffsetAndMetadata{{"t", 0}: {Offset: 1}}), ErrMemberLost)

	_, err = g.Poll(t.Context(), 0)
	require.ErrorIs(t, err, ErrMemberLost)
	require.Equal(t, event{"lost", parts("t", 0)}, await(t, events))
	require.ErrorIs(t, g.Commit(t.Context()), ErrMemberLost)

	require.Equal(t, []string{"0:0=a", "0:1=b", "0:2=c"}, values(collect(t, g, 3)), "nothing was committed")
	require.Equal(t, event{"assigned", parts("t", 0)}, await(t, events))
	require.NoError(t, g.Commit(t.Context()))
	require.NoError(t, g.Close())
	require.Equal(t, "revoked", await(t, events).what)
}

// TestGroupStaticMembers: one that comes back gets what it had, and nobody else
// notices.
func TestGroupStaticMembers(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{Partitions: 4})
	eventsA, on := recordEvents()
	a := mustJoin(t, l, "g", []string{"t"}, append(on, WithInstanceID("a"))...)
	polling(t, a)
	require.Equal(t, event{"assigned", parts("t", 0, 1, 2, 3)}, await(t, eventsA))

	eventsB, on := recordEvents()
	b := mustJoin(t, l, "g", []string{"t"}, append(on, WithInstanceID("b"))...)
	polling(t, b)
	require.Equal(t, "revoked", await(t, eventsA).what)
	had := await(t, eventsB)
	require.Len(t, had.tps, 2)

	_, err := l.JoinGroup(t.Context(), "g", []string{"t"}, WithInstanceID("b"))
	require.ErrorIs(t, err, ErrUnreleasedInstance)

	require.NoError(t, b.Close())
	d, err := l.DescribeGroup(t.Context(), "g")
	require.NoError(t, err)
	i := slices.IndexFunc(d.Members, func(m GroupMember) bool { return m.InstanceID == "b" })
	require.EqualValues(t, -2, d.Members[i].Epoch)
	require.Equal(t, had.tps, d.Members[i].Assigned)

	eventsB, on = recordEvents()
	b = mustJoin(t, l, "g", []string{"t"}, append(on, WithInstanceID("b"))...)
	polling(t, b)
	require.Equal(t, had, await(t, eventsB))
	require.Empty(t, eventsA)
}

// TestGroupTwins: a member whose place another one has taken stops, and cannot come
// back before that one has left.
func TestGroupTwins(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{})
	produceTo(t, l, "t", 0, "a", "b", "c")
	events, on := recordEvents()
	g := mustJoin(t, l, "g", []string{"t"}, append(on, WithInstanceID("one"), WithAutoCommit(0))...)
	rs := collect(t, g, 1)
	require.NoError(t, g.Commit(t.Context()))
	require.Equal(t, "assigned", await(t, events).what)
	// As if it was away for a while: its place is free.
	_, err := g.coord.Heartbeat(t.Context(), coordinator.HeartbeatRequest{Group: "g", Member: g.id, InstanceID: "one", Epoch: coordinator.StaticLeaveEpoch})
	require.NoError(t, err)
	twin := mustJoin(t, l, "g", []string{"t"}, WithInstanceID("one"), WithAutoCommit(0))
	require.Equal(t, []string{"0:1=b"}, values(collect(t, twin, 1)))
	require.NoError(t, twin.Commit(t.Context()))

	tp := TopicPartition{"t", 0}
	g.Mark(rs...)
	require.ErrorIs(t, g.CommitOffsets(t.Context(), map[TopicPartition]OffsetAndMetadata{tp: {Offset: 0}}), ErrMemberLost)
	offsets, err := l.GroupOffsets(t.Context(), "g")
	require.NoError(t, err)
	require.Equal(t, Offset(2), offsets[tp].Offset, "it did not go back")
	_, err = g.Poll(t.Context(), 0)
	require.ErrorIs(t, err, ErrMemberLost)
	require.Equal(t, event{"lost", parts("t", 0)}, await(t, events))
	_, err = g.Poll(within(t), 0)
	require.ErrorIs(t, err, ErrUnreleasedInstance)
	require.NoError(t, twin.Close())
	for { // it goes on trying
		rs, err = g.Poll(within(t), 0)
		if err == nil {
			break
		}
		require.ErrorIs(t, err, ErrUnreleasedInstance)
	}
	require.Equal(t, []string{"0:2=c"}, values(rs))
	require.NoError(t, g.Close())
}

// TestGroupFollowsTopics: partitions that a topic gets, a topic that is made after
// the join, one that is deleted and one that is made anew.
func TestGroupFollowsTopics(t *testing.T) {
	l := openTest(t, Config{})
	events, on := recordEvents()
	g := mustJoin(t, l, "g", []string{"t", "u"}, append(on, WithAutoCommit(0))...)
	got := polling(t, g)

	mustTopic(t, l, "t", TopicConfig{})
	require.Equal(t, event{"assigned", parts("t", 0)}, await(t, events))
	require.NoError(t, l.AddPartitions(t.Context(), "t", 3))
	require.Equal(t, event{"assigned", parts("t", 1, 2)}, await(t, events))
	produceTo(t, l, "t", 2, "a", "b")
	require.Equal(t, "a", string(await(t, got).Value))
	require.Equal(t, "b", string(await(t, got).Value))
	require.NoError(t, g.Commit(t.Context()))

	require.NoError(t, l.DeleteTopic(t.Context(), "t"))
	require.Equal(t, event{"revoked", parts("t", 0, 1, 2)}, await(t, events))
	mustTopic(t, l, "u", TopicConfig{})
	require.Equal(t, event{"assigned", parts("u", 0)}, await(t, events))
	mustTopic(t, l, "t", TopicConfig{Partitions: 3})
	require.Equal(t, event{"assigned", parts("t", 0, 1, 2)}, await(t, events))
	produceTo(t, l, "t", 2, "new")
	r := await(t, got)
	require.Equal(t, "new", string(r.Value), "the offset of the old topic is not the new one's")
	require.Equal(t, Offset(0), r.Offset)
}

func TestGroupCallbackPanics(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{})
	produceTo(t, l, "t", 0, "a")
	boom := func(context.Context, []TopicPartition) { panic("mine") }
	g := mustJoin(t, l, "g", []string{"t"}, OnAssigned(boom), OnRevoked(boom))
	_, err := g.Poll(t.Context(), 0)
	require.EqualError(t, err, "leat: the function given to OnAssigned panicked: mine")
	require.Equal(t, []string{"0:0=a"}, values(collect(t, g, 1)))
	require.EqualError(t, g.Close(), "leat: the function given to OnRevoked panicked: mine")
	committed, err := l.GroupOffsets(t.Context(), "g")
	require.NoError(t, err)
	require.Equal(t, map[TopicPartition]OffsetAndMetadata{{"t", 0}: {Offset: 1}}, committed, "it has left in order all the same")
	d, err := l.DescribeGroup(t.Context(), "g")
	require.NoError(t, err)
	require.Empty(t, d.Members)
}

// TestLogCloseEndsMembers: whatever they are doing, and what is marked is
// committed.
func TestLogCloseEndsMembers(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, Config{Dir: dir})
	mustTopic(t, l, "t", TopicConfig{Partitions: 4})
	for p := range int32(4) {
		produceTo(t, l, "t", p, "a", "b")
	}
	var got []<-chan Record
	for range 3 {
		got = append(got, polling(t, mustJoin(t, l, "g", []string{"t"})))
	}
	idle := mustJoin(t, l, "h", []string{"t"})
	_ = collect(t, idle, 8)
	seen := make(map[TopicPartition]Offset)
	for len(seen) < 4 || slices.ContainsFunc(parts("t", 0, 1, 2, 3), func(tp TopicPartition) bool { return seen[tp] != 2 }) {
		select {
		case r := <-got[0]:
			seen[TopicPartition{r.Topic, r.Partition}] = r.Offset + 1
		case r := <-got[1]:
			seen[TopicPartition{r.Topic, r.Partition}] = r.Offset + 1
		case r := <-got[2]:
			seen[TopicPartition{r.Topic, r.Partition}] = r.Offset + 1
		case <-within(t).Done():
			t.Fatal("waited in vain")
		}
	}
	require.NoError(t, l.Close())
	require.ErrorIs(t, idle.Commit(t.Context()), ErrClosed)
	_, err := idle.Poll(t.Context(), 0)
	require.ErrorIs(t, err, ErrClosed)
	_, err = l.JoinGroup(t.Context(), "g", []string{"t"})
	require.ErrorIs(t, err, ErrClosed)

	l = openTest(t, Config{Dir: dir})
	for _, group := range []string{"g", "h"} {
		lags, err := l.GroupLag(t.Context(), group)
		require.NoError(t, err)
		require.Len(t, lags, 4)
		for _, p := range lags {
			require.Zero(t, p.Lag, "%s %v", group, p)
			require.Equal(t, Offset(2), p.Committed)
		}
	}
}

// TestGroupAfterACrash: the members of a Log that ended without closing do not
// hold up those of the next opening.
func TestGroupAfterACrash(t *testing.T) {
	dir := t.TempDir() + "/copy"
	l := openTest(t, Config{Dir: t.TempDir()})
	mustTopic(t, l, "t", TopicConfig{Partitions: 2})
	produceTo(t, l, "t", 0, "a", "b")
	g := mustJoin(t, l, "g", []string{"t"})
	_ = collect(t, g, 1)
	require.NoError(t, g.Commit(t.Context()))
	s := mustJoin(t, l, "s", []string{"t"}, WithInstanceID("one"))
	_ = collect(t, s, 1)
	require.NoError(t, s.Commit(t.Context()))
	require.NoError(t, l.Checkpoint(t.Context(), dir)) // what a crash leaves

	l = openTest(t, Config{Dir: dir})
	g = mustJoin(t, l, "g", []string{"t"})
	require.Equal(t, []string{"0:1=b"}, values(collect(t, g, 1)))
	require.Equal(t, parts("t", 0, 1), g.Assignment())
	s = mustJoin(t, l, "s", []string{"t"}, WithInstanceID("one"))
	require.Equal(t, []string{"0:1=b"}, values(collect(t, s, 1)))
}
