package leat

import (
	"sync"
	"time"

	"github.com/leatlog/leat/internal/base"
)

// leadership says who leads a shard in a term of its Raft group, which is the leader
// epoch of its partitions. A node of 0 means that nobody does, as far as is known.
type leadership struct {
	Shard base.ShardID `json:"shard"`
	Node  base.NodeID  `json:"node"`
	Term  uint64       `json:"term"`
}

func (l leadership) epoch() base.LeaderEpoch { return base.LeaderEpoch(l.Term) }

// leaderTable is who leads which shard, as far as this node knows: of its own shards
// from their Raft groups, of the others from what the nodes tell each other.
type leaderTable struct {
	changed broadcast

	mu      sync.Mutex
	by      map[base.ShardID]leadership
	waiters map[*leaderWaiter]struct{}
}

// leaderWaiter waits for an answer of a leader.
type leaderWaiter struct {
	at    leadership
	gone  func()
	timer *time.Timer // runs gone; nil until another node leads
}

// leaderGrace is how long an answer of a former leader is waited for: one that moved the
// lead elsewhere answers at once, one that died or hangs never does.
const leaderGrace = 200 * time.Millisecond

// attend calls gone, once, a moment after another node is known to lead, unless release
// was called before.
func (t *leaderTable) attend(at leadership, gone func()) (release func()) {
	w := &leaderWaiter{at: at, gone: gone}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiters == nil {
		t.waiters = make(map[*leaderWaiter]struct{})
	}
	t.waiters[w] = struct{}{}
	w.tellLocked(t.by[at.Shard])
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.waiters, w)
		if w.timer != nil {
			w.timer.Stop()
		}
	}
}

func (w *leaderWaiter) tellLocked(l leadership) {
	if l.Shard == w.at.Shard && l.Node != 0 && l.Node != w.at.Node && w.timer == nil {
		w.timer = time.AfterFunc(leaderGrace, w.gone)
	}
}

// learn takes note of a leadership, unless a later one of the shard is known. Within a
// term a leader is found and lost once.
func (t *leaderTable) learn(l leadership) (news bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.by[l.Shard]
	if l.Term < old.Term || l == old || l.Term == old.Term && l.Node == 0 {
		return false
	}
	if t.by == nil {
		t.by = make(map[base.ShardID]leadership)
	}
	t.by[l.Shard] = l
	for w := range t.waiters {
		w.tellLocked(l)
	}
	t.changed.fire()
	return true
}

// lost takes note that a leader did not answer or is not the leader, without a word on
// who is.
func (t *leaderTable) lost(l leadership) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by[l.Shard] == l {
		t.by[l.Shard] = leadership{Shard: l.Shard, Term: l.Term}
		t.changed.fire()
	}
}

func (t *leaderTable) get(shard base.ShardID) leadership {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l, ok := t.by[shard]; ok {
		return l
	}
	return leadership{Shard: shard}
}

// led returns what a node leads, in no order.
func (t *leaderTable) led(by base.NodeID) []leadership {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []leadership
	for _, l := range t.by {
		if l.Node == by {
			all = append(all, l)
		}
	}
	return all
}

// all returns what is known, in no order.
func (t *leaderTable) all() []leadership {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]leadership, 0, len(t.by))
	for _, l := range t.by {
		all = append(all, l)
	}
	return all
}

// next returns a channel that is closed at the next change.
func (t *leaderTable) next() <-chan struct{} { return t.changed.next() }
