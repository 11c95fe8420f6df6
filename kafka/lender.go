package kafka

import (
	"math/bits"
	"sync"
)

const (
	// lentBytesMin and lentBytesMax bound the pieces of memory that are used again.
	lentBytesMin = 16 << 10
	lentBytesMax = 1 << 20
	// lentSteps is how many sizes there are from one power of two to the next, so that
	// no more than a quarter of a piece lies idle.
	lentSteps = 4
)

// lender has memory for what is needed for a moment only: batches on their way from the
// disk to a client, beginnings of frames. It has no more than was lent at a time, and the
// garbage collector takes what nobody borrows. It may be used concurrently.
type lender struct {
	pools [lentSteps*6 + 1]sync.Pool // of *piece, by class
}

// piece is lent memory.
type piece struct {
	b     []byte // all of it
	class int    // -1: too large to be used again
}

// lentClass returns the class of the pieces for n bytes, and their size.
func lentClass(n int) (class, size int) {
	if n <= lentBytesMin {
		return 0, lentBytesMin
	}
	if n > lentBytesMax {
		return -1, n
	}
	doublings := bits.Len(uint((n-1)/lentBytesMin)) - 1 // (n-1) is in [16 KiB << doublings, twice that)
	base := lentBytesMin << doublings
	step := base / lentSteps
	steps := (n - base + step - 1) / step
	return doublings*lentSteps + steps, base + steps*step
}

// get lends at least n bytes with any content. Who does not put them back loses nothing.
func (l *lender) get(n int) *piece {
	class, size := lentClass(n)
	if class >= 0 {
		if p, ok := l.pools[class].Get().(*piece); ok {
			return p
		}
	}
	return &piece{b: make([]byte, size), class: class}
}

// put takes a piece back. Nobody may use it any more.
func (l *lender) put(p *piece) {
	if p.class >= 0 {
		l.pools[p.class].Put(p)
	}
}

// loan is what was borrowed for one purpose. It is used by one goroutine at a time.
type loan struct {
	from   *lender
	pieces []*piece
}

// alloc returns n bytes with any content, until release.
func (l *loan) alloc(n int) []byte {
	p := l.from.get(n)
	l.pieces = append(l.pieces, p)
	return p.b[:n]
}

// release gives all back.
func (l *loan) release() {
	for i, p := range l.pieces {
		l.from.put(p)
		l.pieces[i] = nil
	}
	l.pieces = l.pieces[:0]
}
