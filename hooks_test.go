package leat

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHooks: what a program is told of topics, in order and when it is done.
func TestHooks(t *testing.T) {
	var got []string
	l := openTest(t, Config{AutoCreateTopics: true, Hooks: Hooks{
		TopicCreated: func(topic string) { got = append(got, "created "+topic) },
		TopicDeleted: func(topic string) { got = append(got, "deleted "+topic) },
		RecordsRemoved: func(tp TopicPartition, from, to Offset) {
			got = append(got, fmt.Sprintf("removed %v [%d,%d)", tp, from, to))
		},
	}})
	topic := mustTopic(t, l, "t", TopicConfig{})
	_, err := l.CreateTopic(t.Context(), "t", TopicConfig{})
	require.ErrorIs(t, err, ErrTopicExists)
	produceTo(t, l, "t", 0, "a", "b", "c")
	produceTo(t, l, "auto", 0, "x")
	part, err := topic.Partition(0)
	require.NoError(t, err)
	require.NoError(t, part.DeleteRecords(t.Context(), 2))
	require.NoError(t, part.DeleteRecords(t.Context(), 1)) // nothing to do
	require.NoError(t, l.DeleteTopic(t.Context(), "t"))
	require.ErrorIs(t, l.DeleteTopic(t.Context(), "t"), ErrUnknownTopic)
	require.Equal(t, []string{"created t", "created auto", "removed " + (TopicPartition{"t", 0}).String() + " [0,2)", "deleted t"}, got)
}
