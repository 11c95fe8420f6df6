package coordinator

import (
	"container/heap"
	"time"
)

// alarm is something that is due at a time: a classic member's session, a
// rebalance. The zero value with ring set is one that is not set.
type alarm struct {
	at  time.Time
	seq uint64 // those of one time ring in the order in which they were set
	pos int    // its place in the heap plus one; 0: not set
	// ring decides what happens, in the partition's goroutine. The alarm is not
	// set any more when it is called.
	ring func(*tx)
}

// alarms are those of a partition, by time.
type alarms struct {
	heap alarmHeap
	seq  uint64
}

// set sets the alarm, or sets it anew.
func (a *alarms) set(al *alarm, at time.Time) {
	a.seq++
	al.at, al.seq = at, a.seq
	if al.pos == 0 {
		heap.Push(&a.heap, al)
	} else {
		heap.Fix(&a.heap, al.pos-1)
	}
}

// stop unsets the alarm, if it is set.
func (a *alarms) stop(al *alarm) {
	if al.pos != 0 {
		heap.Remove(&a.heap, al.pos-1)
	}
}

// next returns when the first alarm is due, and whether there is one.
func (a *alarms) next() (time.Time, bool) {
	if len(a.heap) == 0 {
		return time.Time{}, false
	}
	return a.heap[0].at, true
}

// ringAlarms rings all that are due. One that is set meanwhile for a time that has
// come rings too. What does not fit into one round waits for the next.
func (t *tx) ringAlarms() {
	for t.bytes <= t.opts.MaxBatchBytes {
		at, any := t.alarms.next()
		if !any || at.After(t.now) {
			return
		}
		heap.Pop(&t.alarms.heap).(*alarm).ring(t)
	}
}

// alarmHeap is for container/heap.
type alarmHeap []*alarm

var _ heap.Interface = (*alarmHeap)(nil)

func (h alarmHeap) Len() int { return len(h) }

func (h alarmHeap) Less(i, j int) bool {
	if c := h[i].at.Compare(h[j].at); c != 0 {
		return c < 0
	}
	return h[i].seq < h[j].seq
}

func (h alarmHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i+1, j+1
}

// Push is heap's; use set.
func (h *alarmHeap) Push(x any) {
	al := x.(*alarm)
	*h = append(*h, al)
	al.pos = len(*h)
}

// Pop is heap's; use stop.
func (h *alarmHeap) Pop() any {
	last := len(*h) - 1
	al := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	al.pos = 0
	return al
}
