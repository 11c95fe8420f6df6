package leattest

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leatlog/leat/internal/base"
)

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// fired returns the time that t delivered, and false when it has not fired.
func fired(t base.Timer) (time.Time, bool) {
	select {
	case at := <-t.C():
		return at, true
	default:
		return time.Time{}, false
	}
}

func wantFired(t *testing.T, timer base.Timer, after time.Duration) {
	t.Helper()
	if at, ok := fired(timer); !ok || !at.Equal(start.Add(after)) {
		t.Errorf("fired: %v at %v, want at %v", ok, at, start.Add(after))
	}
}

func wantSilent(t *testing.T, timer base.Timer) {
	t.Helper()
	if at, ok := fired(timer); ok {
		t.Errorf("fired at %v, want silence", at)
	}
}

func TestClockAdvance(t *testing.T) {
	c := NewClock(start)
	second, minute := c.NewTimer(time.Second), c.NewTimer(time.Minute)
	now, past := c.NewTimer(0), c.NewTimer(-time.Hour)
	wantFired(t, now, 0)
	wantFired(t, past, 0)
	if got := c.Pending(); got != 2 {
		t.Errorf("%d pending, want 2", got)
	}

	c.Advance(time.Second - 1)
	wantSilent(t, second)
	c.Advance(1)
	wantFired(t, second, time.Second)
	wantSilent(t, minute)
	c.Advance(time.Hour)
	wantFired(t, minute, time.Minute)
	wantSilent(t, second)

	c.Advance(-time.Hour)
	c.Advance(0)
	if got, want := c.Now(), start.Add(time.Hour+time.Second); !got.Equal(want) {
		t.Errorf("the clock shows %v, want %v", got, want)
	}
	if got := c.Pending(); got != 0 {
		t.Errorf("%d pending, want 0", got)
	}
}

// TestClockOrder sees the order of firing through timers that share a channel.
func TestClockOrder(t *testing.T) {
	c := NewClock(start)
	shared := make(chan time.Time, 4)
	for _, d := range []time.Duration{3, 1, 2, 1} {
		timer := c.NewTimer(d).(*timer)
		timer.c = shared
	}
	var seqs []uint64
	for _, p := range c.pending {
		seqs = append(seqs, p.seq)
	}
	if want := [4]uint64{2, 4, 3, 1}; [4]uint64(seqs) != want {
		t.Errorf("pending in the order %v, want %v", seqs, want)
	}
	c.Advance(10)
	for _, want := range []time.Duration{1, 1, 2, 3} {
		if got := (<-shared).Sub(start); got != want {
			t.Errorf("fired %v after the start, want %v", got, want)
		}
	}
}

func TestClockStop(t *testing.T) {
	c := NewClock(start)
	waiting, rung := c.NewTimer(time.Minute), c.NewTimer(time.Second)
	c.Advance(time.Second)
	if !waiting.Stop() {
		t.Error("Stop of a waiting timer: false")
	}
	if waiting.Stop() {
		t.Error("Stop of a stopped timer: true")
	}
	if !rung.Stop() { // as time.Timer does: what it held was taken away
		t.Error("Stop of a timer whose time nobody received: false")
	}
	wantSilent(t, rung)
	c.Advance(time.Hour)
	wantSilent(t, waiting)

	done := c.NewTimer(1)
	c.Advance(1)
	<-done.C()
	if done.Stop() {
		t.Error("Stop of a timer that fired: true")
	}
}

func TestClockReset(t *testing.T) {
	c := NewClock(start)
	timer := c.NewTimer(time.Second)
	if !timer.Reset(time.Minute) {
		t.Error("Reset of a waiting timer: false")
	}
	c.Advance(time.Second)
	wantSilent(t, timer)
	c.Advance(59 * time.Second)
	if !timer.Reset(time.Minute) { // fired, not received
		t.Error("Reset of a timer whose time nobody received: false")
	}
	wantSilent(t, timer)
	c.Advance(time.Minute)
	wantFired(t, timer, 2*time.Minute)
	if timer.Reset(0) {
		t.Error("Reset of a timer that fired: true")
	}
	wantFired(t, timer, 2*time.Minute)
	timer.Reset(math.MaxInt64)
	c.Advance(time.Hour)
	wantSilent(t, timer)
}

func TestClockJump(t *testing.T) {
	c := NewClock(start)
	timer := c.NewTimer(time.Minute)
	c.Jump(time.Hour)
	wantSilent(t, timer)
	c.Jump(-2 * time.Hour)
	if got, want := c.Now(), start.Add(-time.Hour); !got.Equal(want) {
		t.Errorf("the clock shows %v, want %v", got, want)
	}
	c.Advance(time.Minute)
	wantFired(t, timer, time.Minute-time.Hour)
}

func TestClockBlockUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClock(start)
		if err := c.BlockUntil(t.Context(), 0); err != nil {
			t.Error(err)
		}
		reached := make(chan error, 1)
		go func() { reached <- c.BlockUntil(t.Context(), 2) }()
		one := c.NewTimer(time.Second)
		synctest.Wait()
		select {
		case err := <-reached:
			t.Fatalf("one timer of two, and BlockUntil returned %v", err)
		default:
		}
		one.Reset(time.Minute) // the same timer: still one
		synctest.Wait()
		if len(reached) != 0 {
			t.Fatal("a timer was counted twice")
		}
		c.NewTimer(time.Second)
		if err := <-reached; err != nil {
			t.Error(err)
		}

		ctx, cancel := context.WithCancel(t.Context())
		go func() { reached <- c.BlockUntil(ctx, 3) }()
		synctest.Wait()
		cancel()
		if err := <-reached; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		if len(c.waiters) != 0 {
			t.Errorf("%d waiters are left behind", len(c.waiters))
		}
	})
}

// TestClockConcurrent is for the race detector: every timer fires exactly once
// while others come and go.
func TestClockConcurrent(t *testing.T) {
	c := NewClock(start)
	const workers, rounds = 8, 100
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			timer := c.NewTimer(time.Second)
			for range rounds {
				<-timer.C()
				timer.Reset(time.Second)
			}
			if !timer.Stop() {
				t.Error("the last timer was not running")
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for {
		select {
		case <-done:
			if got := c.Pending(); got != 0 {
				t.Errorf("%d pending, want 0", got)
			}
			return
		default:
			c.Advance(time.Second)
		}
	}
}
