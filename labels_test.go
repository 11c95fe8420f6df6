package leat

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

// TestLabels sees the labels of each role in a dump of the goroutines.
func TestLabels(t *testing.T) {
	clock := &seenClock{seen: make(chan string, 1)}
	l := openTest(t, Config{Clock: clock})
	mustTopic(t, l, "t", TopicConfig{})
	dump := func() string {
		var b bytes.Buffer
		require.NoError(t, pprof.Lookup("goroutine").WriteTo(&b, 1))
		return b.String()
	}
	label := func(r role) string {
		return fmt.Sprintf(`"leat.log":"leat", "leat.role":%q`, roleNames[r])
	}

	require.Eventually(t, func() bool {
		d := dump()
		return strings.Contains(d, label(roleRetention)) && strings.Contains(d, label(roleCompaction))
	}, 10*time.Second, time.Millisecond)

	// The program's labels are not those of the library's goroutines.
	pprof.Do(t.Context(), pprof.Labels("program", "mine"), func(ctx context.Context) {
		p, err := l.NewProducer(WithLinger(time.Hour))
		require.NoError(t, err)
		defer func() { require.NoError(t, p.Close()) }()
		dumps := make(chan string, 1)
		p.Produce(ctx, Record{Topic: "t"}, func(RecordMetadata, error) { dumps <- dump() })
		require.Eventually(t, func() bool { return strings.Contains(dump(), label(roleLinger)) }, 10*time.Second, time.Millisecond)
		require.NoError(t, p.Flush(ctx))
		d := <-dumps
		require.Contains(t, d, label(roleCallback))
		require.Contains(t, d, `"program":"mine"`)
		require.NotContains(t, d, `"program":"mine", "leat`)
		require.NotContains(t, d, `"leat.role":"callback", "program"`)
	})

	// The goroutine that appends asks for the time when it is done.
	p, err := l.NewProducer()
	require.NoError(t, err)
	p.Produce(t.Context(), Record{Topic: "t"}, nil)
	clock.armed.Store(true)
	p.Produce(t.Context(), Record{Topic: "t"}, nil)
	require.NoError(t, p.Close())
	require.Contains(t, <-clock.seen, label(roleAppend))
}

// seenClock keeps the goroutines that were there at a time when one of those that
// append asked for the time.
type seenClock struct {
	base.SystemClock
	armed atomic.Bool
	seen  chan string
}

func (c *seenClock) Now() time.Time {
	var b bytes.Buffer
	if c.armed.Load() && pprof.Lookup("goroutine").WriteTo(&b, 1) == nil && strings.Contains(b.String(), `"append"`) {
		select {
		case c.seen <- b.String():
		default:
		}
	}
	return c.SystemClock.Now()
}

func BenchmarkLabel(b *testing.B) {
	l := &Log{labels: newLabels("dir")}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b.Loop() {
			l.label(roleAppend)
		}
	}()
	<-done
}
