package leat

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A time that milliseconds since 1970 cannot hold is refused, not stored as
// another.
func TestTimestampsBeyondMilliseconds(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{MessageTimestampAfterMax: Forever})
	p, err := l.NewProducer()
	require.NoError(t, err)
	for _, at := range []time.Time{time.Unix(math.MaxInt64/1000+1, 0), time.Unix(1<<60, 0), time.Unix(3*(math.MaxInt64/1000)-500, 0), time.Unix(-1<<60, 0)} {
		_, err := p.ProduceSync(t.Context(), Record{Topic: "t", Timestamp: at})
		require.ErrorIs(t, err, ErrInvalidRecord, at.Unix())
	}
	last := time.UnixMilli(math.MaxInt64)
	m, err := p.ProduceSync(t.Context(), Record{Topic: "t", Timestamp: last})
	require.NoError(t, err)
	require.True(t, last.Equal(m[0].Timestamp))
}

// A missing context is an error like another.
func TestNilContext(t *testing.T) {
	var none context.Context
	_, err := Open(none, Config{InMemory: true})
	require.ErrorIs(t, err, ErrInvalidConfig)
	l := openTest(t, Config{})
	_, err = l.CreateTopic(none, "t", TopicConfig{})
	require.ErrorIs(t, err, ErrInvalidConfig)
	p, err := l.NewProducer()
	require.NoError(t, err)
	_, err = p.ProduceSync(none, Record{Topic: "t"})
	require.ErrorIs(t, err, ErrInvalidConfig)
	_, err = p.ProduceSync(none)
	require.ErrorIs(t, err, ErrInvalidConfig)
	require.ErrorIs(t, p.Flush(none), ErrInvalidConfig)
	c, err := l.NewConsumer()
	require.NoError(t, err)
	_, err = c.Poll(none, 1)
	require.ErrorIs(t, err, ErrInvalidConfig)
}
