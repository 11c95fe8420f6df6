package leat

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGroupsWithoutAny: a Log that no group uses has neither the topic nor a
// goroutine for them, and asking does not make them.
func TestGroupsWithoutAny(t *testing.T) {
	l := openTest(t, Config{})
	ctx := t.Context()
	groups, err := l.Groups(ctx)
	require.NoError(t, err)
	require.Empty(t, groups)
	_, err = l.DescribeGroup(ctx, "g")
	require.ErrorIs(t, err, ErrUnknownGroup)
	_, err = l.GroupLag(ctx, "g")
	require.ErrorIs(t, err, ErrUnknownGroup)
	_, err = l.ResetGroupOffsets(ctx, "g", Earliest)
	require.ErrorIs(t, err, ErrUnknownGroup)
	require.ErrorIs(t, l.DeleteGroup(ctx, "g"), ErrUnknownGroup)
	require.ErrorIs(t, l.DeleteGroupOffsets(ctx, "g", parts("t", 0)...), ErrUnknownGroup)
	offsets, err := l.GroupOffsets(ctx, "g")
	require.NoError(t, err)
	require.Empty(t, offsets)
	topics, err := l.Topics(ctx)
	require.NoError(t, err)
	require.Empty(t, topics)
}

func TestGroupAdmin(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, Config{Dir: dir})
	ctx := t.Context()
	mustTopic(t, l, "t", TopicConfig{Partitions: 2})
	mustTopic(t, l, "u", TopicConfig{})
	produceTo(t, l, "t", 0, "a", "b", "c")
	produceTo(t, l, "u", 0, "x", "y")
	g := mustJoin(t, l, "g", []string{"t"}, WithClientID("me"), WithAssignor(Range), WithAutoCommit(0))
	_ = collect(t, g, 2)
	require.NoError(t, g.CommitOffsets(ctx, map[TopicPartition]OffsetAndMetadata{{"t", 0}: {Offset: 1, LeaderEpoch: 0, Metadata: "note"}}))

	groups, err := l.Groups(ctx)
	require.NoError(t, err)
	require.Equal(t, []GroupInfo{{"g", GroupStable}}, groups)
	d, err := l.DescribeGroup(ctx, "g")
	require.NoError(t, err)
	require.Equal(t, GroupStable, d.State)
	require.Equal(t, Range, d.Assignor)
	require.Len(t, d.Members, 1)
	m := d.Members[0]
	require.Equal(t, g.MemberID(), m.ID)
	require.Equal(t, "me", m.ClientID)
	require.Equal(t, d.Epoch, m.Epoch)
	require.Equal(t, []string{"t"}, m.Topics)
	require.Equal(t, parts("t", 0, 1), m.Assigned)
	require.Equal(t, parts("t", 0, 1), m.Target)
	require.Empty(t, m.Revoking)
	require.Equal(t, defaultMaxPollInterval/4*5, m.RebalanceTimeout)

	lags, err := l.GroupLag(ctx, "g")
	require.NoError(t, err)
	require.Len(t, lags, 2)
	require.False(t, lags[0].CommittedAt.IsZero())
	lags[0].CommittedAt = lags[1].CommittedAt
	require.Equal(t, []PartitionLag{
		{TopicPartition: TopicPartition{"t", 0}, Committed: 1, Metadata: "note", HighWatermark: 3, Lag: 2, Member: g.MemberID()},
		{TopicPartition: TopicPartition{"t", 1}, Committed: -1, Member: g.MemberID()},
	}, lags)
	require.Equal(t, map[TopicPartition]int64{{"t", 0}: 1, {"t", 1}: 0}, g.Lag(), "from the position")

	// As long as somebody reads, nothing of that can be changed from outside.
	_, err = l.ResetGroupOffsets(ctx, "g", Earliest)
	require.ErrorIs(t, err, ErrGroupNotEmpty)
	var ge *GroupError
	require.ErrorAs(t, err, &ge)
	require.Equal(t, "g", ge.Group)
	require.ErrorIs(t, l.SetGroupOffsets(ctx, "g", map[TopicPartition]OffsetAndMetadata{{"t", 0}: {}}), ErrGroupNotEmpty)
	require.ErrorIs(t, l.DeleteGroup(ctx, "g"), ErrGroupNotEmpty)
	require.ErrorIs(t, l.DeleteGroupOffsets(ctx, "g", parts("t", 0)...), ErrGroupSubscribed)
	require.Equal(t, 1, l.Metrics().GroupMembers)
	require.NoError(t, g.Close())
	require.Zero(t, l.Metrics().GroupMembers)
	// One, by hand: it took the marks back, so there was none to commit at the end.
	require.Equal(t, GroupMetrics{CommittedOffsets: 1, PartitionsAssigned: 2, PartitionsRevoked: 2}, l.Metrics().Groups)

	at, err := l.ResetGroupOffsets(ctx, "g", AtOffset(99))
	require.NoError(t, err)
	require.Equal(t, map[TopicPartition]Offset{{"t", 0}: 3, {"t", 1}: 0}, mergeOffsets(at, map[TopicPartition]Offset{{"t", 1}: 0}))
	at, err = l.ResetGroupOffsets(ctx, "g", Latest, "t", "u")
	require.NoError(t, err)
	require.Equal(t, map[TopicPartition]Offset{{"t", 0}: 3, {"t", 1}: 0, {"u", 0}: 2}, at)
	require.NoError(t, l.SetGroupOffsets(ctx, "g", map[TopicPartition]OffsetAndMetadata{{"u", 0}: {Offset: 1, Metadata: "from u"}}))
	require.NoError(t, l.DeleteGroupOffsets(ctx, "g", parts("t", 0, 1)...))

	require.NoError(t, l.Close())
	l = openTest(t, Config{Dir: dir})
	offsets, err := l.GroupOffsets(ctx, "g")
	require.NoError(t, err)
	require.Equal(t, map[TopicPartition]OffsetAndMetadata{{"u", 0}: {Offset: 1, Metadata: "from u"}}, offsets)
	require.NoError(t, l.DeleteGroup(ctx, "g"))
	require.ErrorIs(t, l.DeleteGroup(ctx, "g"), ErrUnknownGroup)
	groups, err = l.Groups(ctx)
	require.NoError(t, err)
	require.Empty(t, groups)

	// A group that nobody has joined can be given its offsets.
	at, err = l.ResetGroupOffsets(ctx, "new", AtOffset(2), "t")
	require.NoError(t, err)
	require.Len(t, at, 2)
	g = mustJoin(t, l, "new", []string{"t"})
	require.Equal(t, []string{"0:2=c"}, values(collect(t, g, 1)))
}

func mergeOffsets(a, b map[TopicPartition]Offset) map[TopicPartition]Offset {
	for tp, o := range b {
		if _, ok := a[tp]; !ok {
			a[tp] = o
		}
	}
	return a
}

func TestGroupBadInput(t *testing.T) {
	l := openTest(t, Config{Groups: GroupsConfig{MaxMembers: 1}})
	mustTopic(t, l, "t", TopicConfig{})
	ctx := t.Context()
	for _, tc := range []struct {
		what   string
		group  string
		topics []string
		opts   []GroupOption
		is     error
		text   string
	}{
		{"no group", "", []string{"t"}, nil, ErrInvalidName, "group"},
		{"long group", strings.Repeat("g", 40000), []string{"t"}, nil, ErrInvalidName, "32767"},
		{"no topics", "g", nil, nil, ErrInvalidConfig, "at least one topic"},
		{"bad topic", "g", []string{"a/b"}, nil, ErrInvalidName, "a/b"},
		{"assign", "g", []string{"t"}, []GroupOption{Assign("t", 0)}, ErrInvalidConfig, "the group assigns"},
		{"assignor", "g", []string{"t"}, []GroupOption{WithAssignor("sticky")}, ErrInvalidConfig, "uniform, range or roundrobin"},
		{"instance", "g", []string{"t"}, []GroupOption{WithInstanceID(strings.Repeat("i", 40000))}, ErrInvalidConfig, "32767"},
		{"client", "g", []string{"t"}, []GroupOption{WithClientID(strings.Repeat("i", 40000))}, ErrInvalidConfig, "32767"},
		{"session", "g", []string{"t"}, []GroupOption{WithSessionTimeout(1)}, ErrInvalidConfig, "session.timeout.ms"},
		{"poll interval", "g", []string{"t"}, []GroupOption{WithMaxPollInterval(-1)}, ErrInvalidConfig, "max.poll.interval.ms"},
		{"rebalance", "g", []string{"t"}, []GroupOption{WithRebalanceTimeout(1)}, ErrInvalidConfig, "rebalance.timeout.ms"},
		{"poll records", "g", []string{"t"}, []GroupOption{WithMaxPollRecords(-1)}, ErrInvalidConfig, "max.poll.records"},
		{"start", "g", []string{"t"}, []GroupOption{StartAt(nil)}, ErrInvalidConfig, "StartAt"},
	} {
		_, err := l.JoinGroup(ctx, tc.group, tc.topics, append(tc.opts, nil)...)
		require.ErrorIs(t, err, tc.is, tc.what)
		require.ErrorContains(t, err, tc.text, tc.what)
	}
	topics, err := l.Topics(ctx)
	require.NoError(t, err)
	require.Len(t, topics, 1, "nothing was made for them")

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = l.JoinGroup(cancelled, "g", []string{"t"})
	require.ErrorIs(t, err, context.Canceled)

	g := mustJoin(t, l, "g", []string{"t"})
	_, err = l.JoinGroup(ctx, "g", []string{"t"})
	require.ErrorIs(t, err, ErrGroupFull)
	_, err = g.Poll(cancelled, 0)
	require.ErrorIs(t, err, context.Canceled)
	produceTo(t, l, "t", 0, "a")
	_ = collect(t, g, 1)
	tp := TopicPartition{"t", 0}
	require.ErrorIs(t, g.CommitOffsets(ctx, map[TopicPartition]OffsetAndMetadata{tp: {Metadata: strings.Repeat("m", 5000)}}), ErrOffsetMetadataTooLarge)
	err = g.CommitOffsets(ctx, map[TopicPartition]OffsetAndMetadata{tp: {Offset: -1}})
	var oe *OffsetError
	require.ErrorAs(t, err, &oe)
	require.ErrorIs(t, g.CommitOffsets(ctx, map[TopicPartition]OffsetAndMetadata{{"t", 7}: {}}), ErrNotAssigned)
	g.Mark(Record{Topic: "t", Offset: 1 << 40}, Record{Topic: "nope"}, Record{Topic: "t", Partition: -1}, Record{Topic: "t", Offset: -5})
	require.NoError(t, g.Commit(ctx))
	committed, err := g.Committed(ctx)
	require.NoError(t, err)
	require.Equal(t, map[TopicPartition]OffsetAndMetadata{tp: {Offset: 1}}, committed)

	require.ErrorIs(t, l.AddPartitions(ctx, offsetsTopic, 99), ErrInvalidName)
	p, err := l.NewProducer()
	require.NoError(t, err)
	_, err = p.ProduceSync(ctx, Record{Topic: offsetsTopic, Key: []byte("k")})
	require.ErrorIs(t, err, ErrInvalidName)
	require.NoError(t, p.Close())
	require.ErrorIs(t, l.SetGroupOffsets(ctx, "h", map[TopicPartition]OffsetAndMetadata{{"nope", 0}: {}}), ErrUnknownTopic)
	_, err = l.ResetGroupOffsets(ctx, "h", nil, "t")
	require.ErrorIs(t, err, ErrInvalidConfig)
	_, err = l.ResetGroupOffsets(ctx, "h", Latest, "nope")
	require.ErrorIs(t, err, ErrUnknownTopic)
	_, err = Open(ctx, Config{InMemory: true, Groups: GroupsConfig{SessionTimeout: 1}})
	require.ErrorIs(t, err, ErrInvalidConfig)
}

// TestGroupSeekAndMarks: marks go forward only, CommitOffsets takes them back.
func TestGroupSeekAndMarks(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{})
	produceTo(t, l, "t", 0, "a", "b", "c", "d")
	tp := TopicPartition{"t", 0}
	g := mustJoin(t, l, "g", []string{"t"}, WithAutoCommit(0), OnAssigned(func(context.Context, []TopicPartition) {}))
	rs := collect(t, g, 3)
	commit := func(want Offset) {
		t.Helper()
		require.NoError(t, g.Commit(t.Context()))
		committed, err := g.Committed(t.Context(), tp)
		require.NoError(t, err)
		require.Equal(t, want, committed[tp].Offset)
	}
	commit(3)
	g.Mark(rs[0])
	commit(3)
	require.NoError(t, g.Seek(tp, 1))
	again, err := g.Poll(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, []string{"0:1=b"}, values(again))
	g.Mark(again...)
	commit(3)
	require.NoError(t, g.CommitOffsets(t.Context(), map[TopicPartition]OffsetAndMetadata{tp: {Offset: 1}}))
	commit(1)
	g.Mark(again...)
	commit(2)
	pos, err := g.Position(tp)
	require.NoError(t, err)
	require.Equal(t, Offset(2), pos)

	require.NoError(t, g.Pause())
	short, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = g.Poll(short, 0)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, g.Resume(tp))
	require.Equal(t, []string{"0:2=c", "0:3=d"}, values(collect(t, g, 2)))
	require.ErrorIs(t, g.Seek(TopicPartition{"t", 1}, 0), ErrNotAssigned)
}
