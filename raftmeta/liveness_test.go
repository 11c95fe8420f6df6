package raftmeta

import (
	"testing"
	"time"
)

// TestLiveness follows three brokers over the minutes of a clock of its own.
func TestLiveness(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	start := time.Unix(1_000_000, 0)
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	l := NewLiveness(0, start)
	life := func(node NodeID) Incarnation { return c.img().Broker(node).Incarnation }
	// decide applies what is decided and compares who is fenced after it.
	decide := func(seconds, next float64, want ...NodeID) {
		t.Helper()
		commands, again := l.Decide(c.img(), at(seconds))
		if same, _ := l.Decide(c.img(), at(seconds)); len(same) != len(commands) {
			t.Errorf("at %v s: decided %v, then %v", seconds, commands, same)
		}
		propose(c, commands)
		fenced := make(map[NodeID]bool)
		for b := range c.img().Brokers() {
			if b.Fenced {
				fenced[b.ID] = true
			}
		}
		if len(fenced) != len(want) {
			t.Errorf("at %v s: fenced %v, want %v", seconds, fenced, want)
		}
		for _, n := range want {
			if !fenced[n] {
				t.Errorf("at %v s: fenced %v, want %v", seconds, fenced, want)
			}
		}
		if next == 0 != again.IsZero() || next != 0 && !again.Equal(at(next)) {
			t.Errorf("at %v s: again at %v, want %v s", seconds, again.Sub(start), next)
		}
		if rest, _ := l.Decide(c.img(), at(seconds)); len(rest) != 0 {
			t.Errorf("at %v s: still %v", seconds, rest)
		}
	}
	decide(8.9, 9) // a new leader waits a whole session
	l.Heartbeat(1, life(1), true, at(8.9))
	l.Heartbeat(2, life(2), true, at(8.9))
	l.Heartbeat(3, Incarnation{9}, true, at(8.9)) // not who registered
	l.Heartbeat(9, Incarnation{9}, true, at(8.9)) // nobody
	decide(9, 17.9, 3)
	if len(l.heard) != 3 {
		t.Errorf("it keeps %v", l.heard)
	}
	l.Heartbeat(3, life(3), true, at(10))
	decide(10, 17.9)
	l.Heartbeat(1, life(1), true, at(12))
	decide(17.9, 19, 2)
	l.Heartbeat(1, life(1), false, at(18)) // shuts down
	decide(18, 19, 1, 2)
	r := c.must(register(1, "", 2, 1)) // started again
	decide(18.5, 19, 1, 2)
	l.Heartbeat(1, life(1), false, at(18.6)) // and has not caught up
	decide(18.7, 19, 1, 2)
	l.Heartbeat(1, life(1), true, at(18.8))
	decide(18.9, 19, 2)
	if b := c.img().Broker(1); b.Epoch != r.Epoch {
		t.Errorf("epoch %d, registered with %d", b.Epoch, r.Epoch)
	}
	if got := l.Silent(c.img(), at(20)); len(got) != 3 || got[0] != (Silence{2, 11100 * time.Millisecond}) || got[2].Node != 1 {
		t.Errorf("silent: %v", got)
	}
	decide(60, 0, 1, 2, 3)
}
