package raftmeta

import (
	"context"
	"sync"
)

// A Watcher tells of changes of a Machine's image. It holds one image, the last
// that it told of, and no queue: who is slow gets one Delta over many changes.
// Close it when it is not needed any more.
type Watcher struct {
	m *Machine
	// news has room for one: there is something to tell. It is never closed.
	news chan struct{}
	// closed is closed by Close.
	closed    chan struct{}
	closeOnce sync.Once

	mu   sync.Mutex
	last *Image
}

// Watch returns a watcher whose first Delta begins with from. A nil from is the
// image of an empty cluster, so that the first Delta tells of all there is.
func (m *Machine) Watch(from *Image) *Watcher {
	if from == nil {
		from = emptyImage()
	}
	w := &Watcher{m: m, news: make(chan struct{}, 1), closed: make(chan struct{}), last: from}
	m.mu.Lock()
	m.watchers[w] = struct{}{}
	m.mu.Unlock()
	w.wake() // what is there may be news already
	return w
}

func (w *Watcher) wake() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// News delivers a value when Take may have something to tell, or the machine
// halted. It is never closed.
func (w *Watcher) News() <-chan struct{} { return w.news }

// Take returns what changed since the last Take or Next; false when there is no
// newer image. The Delta may be Empty: a refused command has an index too.
func (w *Watcher) Take() (Delta, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := Delta{From: w.last, To: w.m.Image()}
	w.last = d.To
	return d, d.To.index != d.From.index
}

// Next waits for a newer image and returns what changed since the last Take or
// Next. The error is that of ctx, or the machine's once it halted, or ErrClosed
// after Close.
func (w *Watcher) Next(ctx context.Context) (Delta, error) {
	for {
		if d, ok := w.Take(); ok {
			return d, nil
		}
		if err := w.m.Err(); err != nil {
			return Delta{}, err
		}
		select {
		case <-w.news:
		case <-w.closed:
			return Delta{}, ErrClosed
		case <-ctx.Done():
			return Delta{}, context.Cause(ctx)
		}
	}
}

// Close ends the watching; it may be called more than once.
func (w *Watcher) Close() {
	w.closeOnce.Do(func() {
		w.m.mu.Lock()
		delete(w.m.watchers, w)
		w.m.mu.Unlock()
		close(w.closed)
	})
}

// Wait waits until the machine has applied index, and returns its image then. A
// node that was told the result of a command at index sees its change so.
func (m *Machine) Wait(ctx context.Context, index RaftIndex) (*Image, error) {
	if img := m.Image(); img.index >= index {
		return img, nil
	}
	w := m.Watch(m.Image())
	defer w.Close()
	for {
		if img := m.Image(); img.index >= index {
			return img, nil
		}
		if _, err := w.Next(ctx); err != nil {
			return nil, err
		}
	}
}
