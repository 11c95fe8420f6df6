package history

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// Bounds of a run of porcupine: its memory grows with the square of the calls.
const (
	pieceOps  = 1500
	pieceTime = 20 * time.Second
)

// event is a call on a partition as far as its end offset is concerned. The
// state is the offset the next record gets; it only grows.
type event struct {
	kind       eventKind
	offset     int64
	start, end time.Duration
	op         int
}

type eventKind uint8

const (
	// appended: the state went from at most offset to offset+1.
	appended eventKind = iota
	// ended: the state was offset.
	ended
	// nothing: the state was at most offset, as nothing was there to read.
	nothing
	// something: the state was above offset, as a record was there to read.
	something
)

// key sorts events by the states in which they may happen: what sees a state
// goes before the append that ends it.
func (e event) key() int64 {
	if e.kind == appended {
		return 2*e.offset + 1
	}
	return 2 * e.offset
}

// checkLinear checks that appends, reads and end offsets of a partition can be
// put in an order that fits their times (invariant 16).
func (c *checker) checkLinear(f *facts) {
	events := c.events(f)
	found := false
	if a, b, ok := outOfOrder(events); ok {
		found = true
		c.violated(16, []int{a.op, b.op}, "%s: the second of these calls began after the first had ended, and their results are in the other order", f.Partition)
	}
	for piece := range slices.Chunk(events, pieceOps) {
		switch r, _ := porcupine.CheckOperationsVerbose(partitionModel(piece), operations(piece), pieceTime); r {
		case porcupine.Unknown:
			c.report.Timeouts++
		case porcupine.Illegal:
			if !found {
				found = true
				c.violated(16, []int{piece[0].op, piece[len(piece)-1].op}, "%s: %d calls from %s on are in no order that is right", f.Partition, len(piece), seconds(piece[0].start))
			}
		}
	}
}

// events returns the calls on a partition, by their start.
func (c *checker) events(f *facts) []event {
	var events []event
	for _, s := range f.sends {
		if !s.Idempotent && len(s.ops) > 1 {
			continue // it may be there more than once
		}
		for i, v := range s.Values {
			at, ok := f.known(s, i)
			if !ok || (s.outcome != OK && f.of[v].Offset != at) {
				continue
			}
			events = append(events, event{appended, at, s.start, s.end, s.ops[0]})
		}
	}
	for _, i := range f.ends {
		o := c.ops[i]
		events = append(events, event{ended, o.Result.Offset, o.Start, o.End, i})
	}
	for _, i := range f.reads {
		o := c.ops[i]
		if n := len(o.Result.Records); n > 0 {
			events = append(events, event{something, o.Result.Records[n-1].Offset, o.Start, o.End, i})
		} else if a := o.Action.(Read); a.Current {
			events = append(events, event{nothing, a.Position, o.Start, o.End, i})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.start, b.start) })
	return events
}

// outOfOrder looks for two events of which the second had to begin its effect
// after the first had ended, though its state comes before.
//
// The states order the events, so the earliest time for each is its start or
// that of one before it in that order, and if one has no time left then there is
// no order at all.
func outOfOrder(events []event) (first, second event, found bool) {
	sorted := slices.Clone(events)
	// A record that was read had been appended by the end of that read.
	ends := make(map[int64]event)
	for _, e := range events {
		if e.kind == something {
			if by, ok := ends[e.offset]; !ok || e.end < by.end {
				ends[e.offset] = e
			}
		}
	}
	slices.SortStableFunc(sorted, func(a, b event) int { return cmp.Compare(a.key(), b.key()) })
	latest := event{start: -1}
	for _, e := range sorted {
		switch e.kind {
		case appended:
			if latest.start > e.end {
				return e, latest, true
			}
			if by, ok := ends[e.offset]; ok && (latest.start > by.end || e.start > by.end) {
				if e.start > by.end {
					return by, e, true
				}
				return by, latest, true
			}
		case ended:
			if latest.start > e.end {
				return e, latest, true
			}
		case nothing: // it may have been in an earlier state
		case something:
			continue
		}
		if e.start > latest.start {
			latest = e
		}
	}
	return event{}, event{}, false
}

// partitionInput is what a step of the model needs to know of an event.
type partitionInput struct {
	event
	// before is the highest offset below the event's that an event appended, or -1.
	before int64
}

// partitionModel is a partition as porcupine knows it: the state is the next
// offset. Offsets that no event appended may be filled at any time: by sends that
// are not part of the events.
func partitionModel(events []event) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return int64(0) },
		Step: func(state, input, _ any) (bool, any) {
			next, in := state.(int64), input.(partitionInput)
			switch in.kind {
			case appended:
				return in.before < next && next <= in.offset, in.offset + 1
			case ended:
				return in.before < next && next <= in.offset, in.offset
			case nothing:
				return next <= in.offset, next
			default:
				return next > in.offset, next
			}
		},
	}
}

// operations returns events for porcupine. Reads of records whose append is not
// among them are left out.
func operations(events []event) []porcupine.Operation {
	var offsets []int64
	for _, e := range events {
		if e.kind == appended {
			offsets = append(offsets, e.offset)
		}
	}
	slices.Sort(offsets)
	var ops []porcupine.Operation
	for _, e := range events {
		i := sort.Search(len(offsets), func(i int) bool { return offsets[i] >= e.offset })
		if e.kind == something && (i == len(offsets) || offsets[i] != e.offset) {
			continue
		}
		in := partitionInput{event: e, before: -1}
		if i > 0 {
			in.before = offsets[i-1]
		}
		ops = append(ops, porcupine.Operation{Input: in, Call: int64(e.start), Return: int64(e.end)})
	}
	return ops
}
