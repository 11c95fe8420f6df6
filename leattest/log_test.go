package leattest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/leattest"
)

// trial is a test inside of a test: it notes failures, and its cleanups run when
// end is called.
type trial struct {
	testing.TB
	cleanups []func()
	failures []string
}

func (t *trial) Helper()          {}
func (t *trial) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }
func (t *trial) Errorf(format string, args ...any) {
	t.failures = append(t.failures, fmt.Sprintf(format, args...))
}

// fatal is what a trial panics with in place of ending its goroutine.
type fatal string

func (t *trial) Fatalf(format string, args ...any) { panic(fatal(fmt.Sprintf(format, args...))) }

func (t *trial) end() {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
}

// useLog produces and reads a record.
func useLog(t *testing.T, log *leat.Log) {
	t.Helper()
	if _, err := log.CreateTopic(t.Context(), "t", leat.TopicConfig{}); err != nil {
		t.Fatal(err)
	}
	p, err := log.NewProducer()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.ProduceSync(t.Context(), leat.Record{Topic: "t", Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	c, err := log.NewConsumer(leat.Assign("t"))
	if err != nil {
		t.Fatal(err)
	}
	if rs, err := c.Poll(t.Context(), 0); err != nil || len(rs) != 1 {
		t.Fatal(rs, err)
	}
}

func TestNewClosesTheLog(t *testing.T) {
	for name, option := range map[string]leattest.Option{
		"in memory": nil,
		"on disk":   leattest.WithDir(t.TempDir()),
		"as usual":  leattest.WithConfig(func(c *leat.Config) { c.RetentionCheckInterval, c.CompactionInterval = 0, 0 }),
	} {
		t.Run(name, func(t *testing.T) {
			in := &trial{TB: t}
			log := leattest.New(in, option)
			useLog(t, log)
			in.end()
			if len(in.failures) > 0 {
				t.Errorf("failures: %q", in.failures)
			}
			if _, err := log.Topics(context.Background()); err != leat.ErrClosed {
				t.Errorf("the Log is open: %v", err)
			}
		})
	}
}

func TestNewFindsLeaks(t *testing.T) {
	for _, check := range []bool{true, false} {
		in := &trial{TB: t}
		var options []leattest.Option
		if !check {
			options = append(options, leattest.WithoutLeakCheck())
		}
		leattest.New(in, options...)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			<-stop
		}()
		in.end()
		close(stop)
		<-stopped
		if found := len(in.failures) == 1 && strings.Contains(in.failures[0], "TestNewFindsLeaks"); found != check {
			t.Errorf("with the check %v: failures %q", check, in.failures)
		}
	}
}

func TestNewFails(t *testing.T) {
	defer func() {
		if m, ok := recover().(fatal); !ok || !strings.Contains(string(m), "CacheBytes") {
			t.Errorf("ended with %v", m)
		}
	}()
	leattest.New(&trial{TB: t}, leattest.WithConfig(func(c *leat.Config) { c.CacheBytes = -1 }))
	t.Error("a bad config was taken")
}

// TestExample runs the test that the example shows.
func TestExample(t *testing.T) { testRetention(t) }

// TestNewOpensAgain uses one directory twice.
func TestNewOpensAgain(t *testing.T) {
	dir := t.TempDir()
	log := leattest.New(t, leattest.WithDir(dir))
	useLog(t, log)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	log = leattest.New(t, leattest.WithDir(dir))
	if _, err := log.Topic(t.Context(), "t"); err != nil {
		t.Error(err)
	}
}

func TestNewWithClock(t *testing.T) {
	clock := leattest.NewClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	log := leattest.New(t, leattest.WithClock(clock))
	topic, err := log.CreateTopic(t.Context(), "t", leat.TopicConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if got := topic.Info().Created; !got.Equal(clock.Now()) {
		t.Errorf("created at %v, the clock shows %v", got, clock.Now())
	}
	if n := clock.Pending(); n != 0 {
		t.Errorf("%d timers wait on the clock, want none", n)
	}
}

func TestNewInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { useLog(t, leattest.New(t)) })
}
