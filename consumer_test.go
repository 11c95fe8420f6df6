package leat

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// produceTo stores values in one partition, each call a batch of its own.
func produceTo(t testing.TB, l *Log, topic string, partition int32, values ...string) {
	t.Helper()
	p, err := l.NewProducer(WithPartitioner(ManualPartitioner))
	require.NoError(t, err)
	rs := make([]Record, len(values))
	for i, v := range values {
		rs[i] = Record{Topic: topic, Partition: partition, Value: []byte(v)}
	}
	_, err = p.ProduceSync(context.Background(), rs...)
	require.NoError(t, err)
	require.NoError(t, p.Close())
}

func mustConsumer(t testing.TB, l *Log, opts ...ConsumerOption) *Consumer {
	t.Helper()
	c, err := l.NewConsumer(opts...)
	require.NoError(t, err)
	return c
}

// values returns the records as "partition:offset=value".
func values(rs []Record) []string {
	var out []string
	for _, r := range rs {
		out = append(out, fmt.Sprintf("%d:%d=%s", r.Partition, r.Offset, r.Value))
	}
	return out
}

func TestPoll(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{Partitions: 2})
	produceTo(t, l, "t", 0, "a", "b", "c")
	produceTo(t, l, "t", 1, "x")
	c := mustConsumer(t, l, Assign("t"))
	rs, err := c.Poll(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, []string{"0:0=a", "0:1=b"}, values(rs))
	rs, err = c.Poll(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, []string{"0:2=c", "1:0=x"}, values(rs))
	require.Equal(t, "t", rs[0].Topic)
	require.Equal(t, map[TopicPartition]int64{{"t", 0}: 0, {"t", 1}: 0}, c.Lag())

	got := make(chan []string)
	go func() {
		rs, err := c.Poll(context.Background(), 0)
		if err != nil {
			t.Error(err)
		}
		got <- values(rs)
	}()
	produceTo(t, l, "t", 1, "y")
	require.Equal(t, []string{"1:1=y"}, <-got)
}

func TestRecordsBreakKeepsThePosition(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{Partitions: 1})
	var want []string
	for i := range 1000 {
		want = append(want, fmt.Sprint(i))
	}
	produceTo(t, l, "t", 0, want...)
	c := mustConsumer(t, l, Assign("t", 0))
	next := 0
	for next < 1000 {
		n := next
		for r, err := range c.Records(t.Context()) {
			require.NoError(t, err)
			require.Equal(t, Offset(next), r.Offset)
			require.Equal(t, want[next], string(r.Value))
			if next++; next-n == 1+n%7 || next == 1000 {
				break
			}
		}
		at, err := c.Position(TopicPartition{"t", 0})
		require.NoError(t, err)
		require.Equal(t, Offset(next), at)
		if next%3 == 0 && next < 1000 {
			rs, err := c.Poll(t.Context(), 2)
			require.NoError(t, err)
			require.Equal(t, Offset(next), rs[0].Offset)
			next += len(rs)
		}
	}
}
