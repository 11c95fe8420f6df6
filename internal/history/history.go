package history

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// History is what clients did and saw, and what replicas hold in the end.
type History struct {
	seed  uint64
	begun time.Time

	mu       sync.Mutex
	ops      []Op
	replicas []Replica
	topics   map[string]Topic
}

// Topic is what a topic may do to its records. The zero value keeps them all.
type Topic struct {
	// Retained topics remove old records by themselves.
	Retained bool
	// Compacted topics remove records in between.
	Compacted bool
}

// Replica is what a replica of a partition holds when all is over: all of it,
// after every fault is healed and the replica has caught up.
type Replica struct {
	Name      string // of its node
	Partition Partition
	Start     int64 // log start offset
	End       int64 // log end offset
	Records   []Record
	// Applied and Hash are the Raft index the replica has applied and a hash of
	// its content there; an empty Hash is not compared.
	Applied uint64
	Hash    string
}

// New returns an empty History, which begins now. The seed is told with what is
// found.
func New(seed uint64) *History {
	return &History{seed: seed, begun: time.Now(), topics: make(map[string]Topic)}
}

// Call is a call under way.
type Call struct {
	h *History
	i int
}

// Begin records that a client begins a call.
func (h *History) Begin(client string, a Action) Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, Op{Client: client, Action: a, Start: time.Since(h.begun), End: Never})
	return Call{h, len(h.ops) - 1}
}

// OK records that the call succeeded, and what it gave.
func (c Call) OK(r Result) { c.end(func(o *Op) { o.Outcome, o.Result = OK, r }) }

// Failed records that the call had no effect and will have none.
func (c Call) Failed(err error) { c.end(func(o *Op) { o.Outcome, o.Err = Failed, err.Error() }) }

// Unknown records that the client does not know whether the call has an effect.
func (c Call) Unknown(err error) { c.end(func(o *Op) { o.Outcome, o.Err = Unknown, err.Error() }) }

func (c Call) end(f func(*Op)) {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	o := &c.h.ops[c.i]
	o.End = time.Since(c.h.begun)
	f(o)
}

// Note records what takes no time: Seek, Own, Fault, Heal, Drained.
func (h *History) Note(client string, a Action) { h.Begin(client, a).OK(Result{}) }

// Add records a call whose times are known.
func (h *History) Add(o Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, o)
}

// Replica records what a replica holds in the end.
func (h *History) Replica(r Replica) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.replicas = append(h.replicas, r)
}

// Declare says what an incarnation of a topic may do to its records.
func (h *History) Declare(topic string, t Topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.topics[topic] = t
}

// Since returns the time since the history began.
func (h *History) Since() time.Duration { return time.Since(h.begun) }

// Ops returns the calls so far, by their start.
func (h *History) Ops() []Op {
	h.mu.Lock()
	ops := slices.Clone(h.ops)
	h.mu.Unlock()
	slices.SortStableFunc(ops, func(a, b Op) int { return cmp.Compare(a.Start, b.Start) })
	return ops
}
