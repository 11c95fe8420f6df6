package leat

import (
	"sync"

	"github.com/leatlog/leat/internal/base"
)

// arrivals is the shards of this node that got or lost partitions since somebody
// looked. There are no more of them than shards.
type arrivals struct {
	news chan struct{} // room for one

	mu     sync.Mutex
	shards map[base.ShardID]bool
}

func newArrivals() *arrivals {
	return &arrivals{news: make(chan struct{}, 1), shards: make(map[base.ShardID]bool)}
}

// note is told by replication. It does not block.
func (a *arrivals) note(shard base.ShardID) {
	a.mu.Lock()
	a.shards[shard] = true
	a.mu.Unlock()
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// take returns the shards, in no order, and forgets them.
func (a *arrivals) take() []base.ShardID {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]base.ShardID, 0, len(a.shards))
	for id := range a.shards {
		all = append(all, id)
	}
	clear(a.shards)
	return all
}
