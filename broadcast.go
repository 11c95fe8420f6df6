package leat

import "sync"

// broadcast wakes all who wait for something to change.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{} // closed by the next fire; nil until asked for
}

// next returns a channel that is closed at the next fire. Ask for it before looking at
// what may change.
func (b *broadcast) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) fire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
