package raftmeta

import (
	"cmp"
	"slices"
	"time"
)

const (
	// DefaultSessionTimeout is after how long without a heartbeat a broker is
	// fenced (broker.session.timeout.ms).
	DefaultSessionTimeout = 9 * time.Second
	// DefaultHeartbeatInterval is how often a broker sends one
	// (broker.heartbeat.interval.ms).
	DefaultHeartbeatInterval = 2 * time.Second
)

// A Liveness judges by heartbeats which brokers are alive. The node that leads
// the metadata has one, and makes a new one whenever it comes to lead: then every
// broker has a whole session to be heard of. It reads no clock, and is not safe
// for concurrent use.
type Liveness struct {
	timeout time.Duration
	started time.Time
	heard   map[NodeID]heartbeat
}

// heartbeat is when a life of a broker was heard of last.
type heartbeat struct {
	incarnation Incarnation
	at          time.Time
	ready       bool
}

// NewLiveness returns a tracker that fences who was not heard of for timeout, 0
// being DefaultSessionTimeout, counted from now.
func NewLiveness(timeout time.Duration, now time.Time) *Liveness {
	if timeout <= 0 {
		timeout = DefaultSessionTimeout
	}
	return &Liveness{timeout: timeout, started: now, heard: make(map[NodeID]heartbeat)}
}

// Heartbeat notes that the node's life was heard of at a time. ready says that
// the node has caught up with the metadata and may be unfenced; one that is to
// shut down says that it is not, and is fenced at once. A heartbeat of an
// incarnation that is not the one that registered counts for nothing.
func (l *Liveness) Heartbeat(node NodeID, incarnation Incarnation, ready bool, now time.Time) {
	l.heard[node] = heartbeat{incarnation, now, ready}
}

// Decide returns the commands that make the fences of the image what the
// heartbeats say at a time, by node, and when it should be asked again if no
// heartbeat comes before; zero for never. It returns the same commands again
// until the image shows them.
func (l *Liveness) Decide(img *Image, now time.Time) (commands []Command, next time.Time) {
	for node := range l.heard {
		if b := img.Broker(node); b == nil || b.Removed {
			delete(l.heard, node) // what is kept is bounded by the brokers there are
		}
	}
	for b := range img.Brokers() {
		epoch := BrokerEpoch{Node: b.ID, Epoch: b.Epoch}
		h, heard := l.heard[b.ID]
		if !heard || h.incarnation != b.Incarnation {
			h = heartbeat{at: l.started, ready: !b.Fenced}
			heard = false
		}
		until := h.at.Add(l.timeout)
		alive := h.ready && now.Before(until)
		switch {
		case alive && b.Fenced && heard:
			commands = append(commands, &UnfenceBroker{epoch})
		case !alive && !b.Fenced:
			commands = append(commands, &FenceBroker{epoch})
		}
		if alive && (next.IsZero() || until.Before(next)) {
			next = until
		}
	}
	return commands, next
}

// Silence is how long a broker has not been heard of.
type Silence struct {
	Node NodeID
	For  time.Duration
}

// Silent returns for each broker how long it has not been heard of at a time,
// the longest first; one that was not heard of yet counts from the beginning.
func (l *Liveness) Silent(img *Image, now time.Time) []Silence {
	var silent []Silence
	for b := range img.Brokers() {
		at := l.started
		if h, ok := l.heard[b.ID]; ok && h.incarnation == b.Incarnation {
			at = h.at
		}
		silent = append(silent, Silence{b.ID, now.Sub(at)})
	}
	slices.SortFunc(silent, func(a, b Silence) int { return cmp.Or(cmp.Compare(b.For, a.For), cmp.Compare(a.Node, b.Node)) })
	return silent
}
