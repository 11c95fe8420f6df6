package coordinator

import "sync"

// watchers are the channels on which members of this process learn that a
// heartbeat is worth while.
type watchers struct {
	mu sync.Mutex
	by map[memberName]map[*watcher]struct{}
}

type watcher struct {
	// c holds one signal; it is never closed.
	c chan struct{}
}

func (w *watcher) signal() {
	select {
	case w.c <- struct{}{}:
	default: // one is waiting already
	}
}

// Watch returns a channel that gets a value whenever the member's next heartbeat
// would bring something new: a new epoch or assignment, a partition that has come
// free, the news that the member is no more, or that the coordinator was unloaded
// or closed. Several such events may be one value. The channel is never closed.
//
// Watch before the first heartbeat, under an id of the member's own choice: what
// happened before Watch is told by the heartbeat after it. The member need not
// exist yet. Call stop when done; it may be called more than once.
func (c *Coordinator) Watch(group, member string) (news <-chan struct{}, stop func()) {
	name := memberName{group, member}
	w := &watcher{c: make(chan struct{}, 1)}
	c.watchers.mu.Lock()
	defer c.watchers.mu.Unlock()
	if c.watchers.by[name] == nil {
		c.watchers.by[name] = make(map[*watcher]struct{})
	}
	c.watchers.by[name][w] = struct{}{}
	return w.c, func() {
		c.watchers.mu.Lock()
		defer c.watchers.mu.Unlock()
		delete(c.watchers.by[name], w)
		if len(c.watchers.by[name]) == 0 {
			delete(c.watchers.by, name)
		}
	}
}

// fire signals the watchers of a member.
func (w *watchers) fire(name memberName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for watcher := range w.by[name] {
		watcher.signal()
	}
}

// fireAll signals the watchers of all members of groups that match.
func (w *watchers) fireAll(match func(group string) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, set := range w.by {
		if match(name.group) {
			for watcher := range set {
				watcher.signal()
			}
		}
	}
}
