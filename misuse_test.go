package leat_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat"
)

// Functions of the program's that panic, or are missing, are errors of the call
// that was given them, and do no harm to the next.

func TestAlterTopicSurvivesItsFunction(t *testing.T) {
	l := open(t, leat.Config{InMemory: true})
	topic := create(t, l, "orders", leat.TopicConfig{})
	before := topic.Config()
	for _, alter := range []func(*leat.TopicConfig){
		nil,
		func(c *leat.TopicConfig) { c.Retention = time.Hour; panic("mine") },
	} {
		err := l.AlterTopic(t.Context(), "orders", alter)
		require.ErrorContains(t, err, `topic "orders": leat: the function given to AlterTopic panicked`)
		require.NotContains(t, err.Error(), "\n")
		require.Equal(t, before, topic.Config())
	}
	require.NoError(t, l.AlterTopic(t.Context(), "orders", func(c *leat.TopicConfig) { c.Retention = time.Hour }))
	require.Equal(t, time.Hour, topic.Config().Retention)
}

func TestAlterTopicTellsARuleOnce(t *testing.T) {
	l := open(t, leat.Config{InMemory: true})
	create(t, l, "orders", leat.TopicConfig{})
	err := l.AlterTopic(t.Context(), "orders", func(c *leat.TopicConfig) { c.MaxMessageBytes = -3 })
	require.EqualError(t, err, `topic "orders": leat: invalid config: "max.message.bytes" = "-3": must be a whole number from 1 to 268435456`)
}

func TestPartitionerThatPanicsCostsNoRoom(t *testing.T) {
	l := open(t, leat.Config{InMemory: true})
	create(t, l, "orders", leat.TopicConfig{})
	panics := true
	p, err := l.NewProducer(leat.WithBufferBytes(64<<10), leat.WithNonBlocking(),
		leat.WithPartitioner(func(*leat.Record, int32) int32 {
			if panics {
				panic("mine")
			}
			return 0
		}))
	require.NoError(t, err)
	r := leat.Record{Topic: "orders", Value: make([]byte, 32<<10)}
	for range 10 {
		_, err := p.ProduceSync(t.Context(), r)
		require.EqualError(t, err, `leat: topic "orders": the partitioner panicked: mine`)
	}
	panics = false
	_, err = p.ProduceSync(t.Context(), r)
	require.NoError(t, err)
}

func TestPartitionOfADeletedTopic(t *testing.T) {
	l := open(t, leat.Config{InMemory: true})
	topic := create(t, l, "orders", leat.TopicConfig{})
	produce(t, l, "orders", 0, "a")
	part, err := topic.Partition(0)
	require.NoError(t, err)
	require.NoError(t, l.DeleteTopic(t.Context(), "orders"))

	_, err = part.Info(t.Context())
	require.ErrorIs(t, err, leat.ErrTopicDeleted)
	_, _, err = part.OffsetForTime(t.Context(), time.Now())
	require.ErrorIs(t, err, leat.ErrTopicDeleted)
	require.ErrorIs(t, part.DeleteRecords(t.Context(), 1), leat.ErrTopicDeleted)
}

func TestDeleteRecordsBelowZero(t *testing.T) {
	l := open(t, leat.Config{InMemory: true})
	topic := create(t, l, "orders", leat.TopicConfig{})
	part, err := topic.Partition(0)
	require.NoError(t, err)
	require.ErrorIs(t, part.DeleteRecords(t.Context(), -1), leat.ErrOffsetOutOfRange)
}

// A program that wrote to __consumer_offsets, or changed how it is kept, would
// lose its groups.
func TestInternalTopicsAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	l := open(t, leat.Config{Dir: dir})
	create(t, l, "orders", leat.TopicConfig{})
	produce(t, l, "orders", 0, "a", "b")
	g, err := l.JoinGroup(t.Context(), "billing", []string{"orders"})
	require.NoError(t, err)
	rs, err := g.Poll(t.Context(), 1)
	require.NoError(t, err)
	g.Mark(rs...)
	require.NoError(t, g.Commit(t.Context()))

	const internal = "__consumer_offsets"
	p, err := l.NewProducer(leat.WithPartitioner(leat.ManualPartitioner))
	require.NoError(t, err)
	_, err = p.ProduceSync(t.Context(), leat.Record{Topic: internal, Key: []byte("x"), Value: []byte("y")})
	require.ErrorIs(t, err, leat.ErrInvalidName)
	require.ErrorIs(t, l.AddPartitions(t.Context(), internal, 90), leat.ErrInvalidName)
	require.ErrorIs(t, l.DeleteTopic(t.Context(), internal), leat.ErrInvalidName)
	require.ErrorIs(t, l.AlterTopic(t.Context(), internal, func(c *leat.TopicConfig) { c.CleanupPolicy = leat.Delete }), leat.ErrInvalidConfig)
	require.NoError(t, l.AlterTopic(t.Context(), internal, func(c *leat.TopicConfig) { c.MinCleanableDirtyRatio = 0.25 }))
	topic, err := l.Topic(t.Context(), internal)
	require.NoError(t, err)
	for n := range topic.NumPartitions() {
		part, err := topic.Partition(int32(n))
		require.NoError(t, err)
		require.ErrorIs(t, part.DeleteRecords(t.Context(), 0), leat.ErrInvalidName)
	}

	require.NoError(t, l.Close())
	l = open(t, leat.Config{Dir: dir})
	g, err = l.JoinGroup(t.Context(), "billing", []string{"orders"})
	require.NoError(t, err)
	rs, err = g.Poll(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, leat.Offset(1), rs[0].Offset)
	require.NoError(t, g.Close())
}

func TestResetOfAGroupWithMembersThatCommittedNothing(t *testing.T) {
	l := open(t, leat.Config{InMemory: true})
	create(t, l, "orders", leat.TopicConfig{})
	g, err := l.JoinGroup(t.Context(), "billing", []string{"orders"})
	require.NoError(t, err)
	_, err = l.ResetGroupOffsets(t.Context(), "billing", leat.Earliest)
	require.ErrorIs(t, err, leat.ErrGroupNotEmpty)
	require.NoError(t, g.Close())
	at, err := l.ResetGroupOffsets(t.Context(), "billing", leat.Earliest)
	require.NoError(t, err)
	require.Empty(t, at)
}
