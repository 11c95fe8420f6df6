package raftmeta

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// TestWatcherMerges gives one watcher many changes at once.
func TestWatcherMerges(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	w := c.m.Watch(c.img())
	defer w.Close()
	if _, ok := w.Take(); ok {
		t.Error("there was news of nothing")
	}
	a := c.create("a", 1, 1, nil)
	c.create("b", 1, 1, nil)
	c.must(&DeleteTopic{a.ID})
	c.create("c", 1, 1, nil)
	d, err := w.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for change := range d.Topics() {
		if change.Old != nil || change.New == nil {
			t.Errorf("got %+v", change)
		}
		names = append(names, change.New.Name)
	}
	if len(names) != 2 || names[0] != "b" || names[1] != "c" || d.To != c.img() {
		t.Errorf("told of %v", names)
	}
	for range d.Brokers() {
		t.Error("a broker changed")
	}
	// A refused command is no change, but has an index.
	c.apply(&DeleteTopic{a.ID})
	d, err = w.Next(t.Context())
	if err != nil || !d.Empty() || d.To.Index() != c.index {
		t.Errorf("got %v, empty %t", err, d.Empty())
	}
}

func TestWatcherEnds(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	w := c.m.Watch(c.img())
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	if _, err := w.Next(ctx); !errors.Is(err, cause) {
		t.Errorf("got %v, want the context's cause", err)
	}
	done := make(chan error)
	go func() {
		_, err := w.Next(context.Background())
		done <- err
	}()
	w.Close()
	w.Close()
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if len(c.m.watchers) != 0 {
		t.Error("the machine keeps a closed watcher")
	}
}

// TestWatchersRace reads, watches and waits while commands are applied.
func TestWatchersRace(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	const commands = 300
	last := c.index + commands
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			w := c.m.Watch(nil)
			defer w.Close()
			var at RaftIndex
			for at < last {
				d, err := w.Next(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if d.From.Index() != at || d.To.Index() <= at {
					t.Errorf("from %d to %d, after %d", d.From.Index(), d.To.Index(), at)
				}
				at = d.To.Index()
				for range d.Brokers() {
				}
				if problem := d.To.valid(); problem != "" {
					t.Error(problem)
				}
			}
		})
		wg.Go(func() {
			if img, err := c.m.Wait(t.Context(), last); err != nil || img.Index() != last {
				t.Errorf("got %v", err)
			}
		})
	}
	for i := range commands {
		c.must(&DrainBroker{NodeID(i%3 + 1), i%2 == 0})
	}
	wg.Wait()
}
