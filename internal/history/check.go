package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Check looks for violations in what was recorded. Calls that have not ended
// count as unknown.
func (h *History) Check() *Report {
	c := &checker{
		report:     &Report{Seed: h.seed},
		ops:        h.Ops(),
		partitions: make(map[Partition]*facts),
		sends:      make(map[string]*send),
	}
	h.mu.Lock()
	c.replicas = slices.Clone(h.replicas)
	c.topics = maps.Clone(h.topics)
	h.mu.Unlock()
	c.report.Replicas = len(c.replicas)

	c.collectSends()
	c.collectSightings()
	for _, f := range c.sorted() {
		c.checkAcked(f)
		c.checkReadThenLost(f)
		c.checkOrder(f)
		c.checkGrowth(f)
		c.checkRemoval(f)
		c.checkLinear(f)
	}
	c.checkTries()
	c.checkConsumers()
	c.checkHashes()
	c.checkGroups()
	c.checkProgress()
	c.checkDrained()
	return c.report
}

// checker is a run of Check.
type checker struct {
	report     *Report
	ops        []Op // by start
	replicas   []Replica
	topics     map[string]Topic
	partitions map[Partition]*facts
	sends      map[string]*send // by value
	tries      []*send          // each once, by the start of the first try
}

// send is one send, in all its tries.
type send struct {
	Send
	ops     []int // the tries, indexes into checker.ops
	outcome Outcome
	// start and end bound when it took effect: the first begin, and the first end
	// of a try that was OK, else Never.
	start, end time.Duration
	offset     int64 // acknowledged by the first OK
	seenAt     []int64
}

// facts is what is known of a partition.
type facts struct {
	Partition
	Topic
	sends    []*send
	at       map[int64]sighting  // the first of each offset
	of       map[string]sighting // the first of each value
	replicas []Replica
	trims    []int // ops
	reads    []int // ops that were OK
	ends     []int // ops that were OK
}

// sighting is a place where a record was seen.
type sighting struct {
	Record
	op      int    // index into ops, or -1
	replica string // when op is -1
	ack     bool   // op is a Send
}

// facts returns what is known of a partition.
func (c *checker) facts(p Partition) *facts {
	f := c.partitions[p]
	if f == nil {
		f = &facts{Partition: p, Topic: c.topics[p.Topic], at: make(map[int64]sighting), of: make(map[string]sighting)}
		c.partitions[p] = f
	}
	return f
}

// sorted returns the partitions in an order that does not change.
func (c *checker) sorted() []*facts {
	return slices.SortedFunc(maps.Values(c.partitions), func(a, b *facts) int {
		return cmp.Or(cmp.Compare(a.Partition.Topic, b.Partition.Topic), cmp.Compare(a.Number, b.Number))
	})
}

func (c *checker) violated(invariant int, ops []int, format string, args ...any) {
	v := Violation{Invariant: invariant, Text: fmt.Sprintf(format, args...)}
	ops = slices.DeleteFunc(slices.Clone(ops), func(i int) bool { return i < 0 })
	slices.Sort(ops)
	for _, i := range slices.Compact(ops) {
		v.Ops = append(v.Ops, c.ops[i])
	}
	c.report.Violations = append(c.report.Violations, v)
}

// who names where something was seen, for a text.
func (c *checker) who(s sighting) string {
	switch {
	case s.op < 0:
		return "replica " + s.replica
	case s.ack:
		return c.ops[s.op].Client + "'s acknowledgement"
	}
	return c.ops[s.op].Client
}

// collectSends groups the tries of each send.
func (c *checker) collectSends() {
	type key struct {
		Partition
		producer string
		sequence int64
	}
	byKey := make(map[key]*send)
	for i, o := range c.ops {
		a, ok := o.Action.(Send)
		if !ok {
			continue
		}
		c.report.Sends++
		k := key{a.Partition, a.Producer, a.Sequence}
		s := byKey[k]
		if s == nil {
			s = &send{Send: a, outcome: Failed, start: o.Start, end: Never}
			byKey[k] = s
			c.tries = append(c.tries, s)
			f := c.facts(a.Partition)
			f.sends = append(f.sends, s)
		} else if !slices.Equal(s.Values, a.Values) {
			c.violated(0, []int{s.ops[0], i}, "two sends have one producer and sequence, and different values")
			continue
		}
		s.ops = append(s.ops, i)
		switch o.Outcome {
		case OK:
			c.report.Acked++
			if s.outcome != OK {
				s.outcome, s.offset = OK, o.Result.Offset
			}
			s.end = min(s.end, o.End)
		case Unknown:
			if s.outcome == Failed {
				s.outcome = Unknown
			}
		}
		for _, v := range a.Values {
			if other := c.sends[v]; other != nil && other != s {
				c.violated(0, []int{other.ops[0], i}, "two sends have the value %q", v)
			}
			c.sends[v] = s
		}
	}
}

// collectSightings notes where each record was seen, and what must not be seen.
func (c *checker) collectSightings() {
	for i, o := range c.ops {
		if o.Outcome != OK {
			if a, ok := o.Action.(Trim); ok {
				c.facts(a.Partition).trims = append(c.facts(a.Partition).trims, i)
			}
			continue
		}
		switch a := o.Action.(type) {
		case Send:
			for k, v := range a.Values {
				c.see(c.facts(a.Partition), sighting{Record{o.Result.Offset + int64(k), v}, i, "", true})
			}
		case Read:
			f := c.facts(a.Partition)
			f.reads = append(f.reads, i)
			if len(o.Result.Records) > 0 {
				c.report.Reads++
				c.report.RecordsRead += len(o.Result.Records)
			}
			for _, r := range o.Result.Records {
				c.see(f, sighting{r, i, "", false})
			}
		case EndOffset:
			c.report.EndOffsets++
			c.facts(a.Partition).ends = append(c.facts(a.Partition).ends, i)
		case Trim:
			c.facts(a.Partition).trims = append(c.facts(a.Partition).trims, i)
		}
	}
	for _, r := range c.replicas {
		f := c.facts(r.Partition)
		f.replicas = append(f.replicas, r)
		for _, rec := range r.Records {
			c.see(f, sighting{rec, -1, r.Name, false})
		}
	}
	for _, s := range c.tries {
		if s.outcome == Unknown {
			if len(s.seenAt) > 0 {
				c.report.UnknownFound++
			} else {
				c.report.UnknownAbsent++
			}
		}
	}
}

// see notes a sighting, and reports what contradicts an earlier one or the sends
// (invariants 2, 3, 4, 9, 17 and 20).
func (c *checker) see(f *facts, s sighting) {
	if first, ok := f.at[s.Offset]; !ok {
		f.at[s.Offset] = s
	} else if first.Value != s.Value {
		c.violated(2, []int{first.op, s.op}, "%s offset %d is %q for %s and %q for %s",
			f.Partition, s.Offset, first.Value, c.who(first), s.Value, c.who(s))
	}
	sent := c.sends[s.Value]
	first, again := f.of[s.Value]
	if !again {
		f.of[s.Value] = s
	}
	switch {
	case sent == nil:
		c.violated(17, []int{s.op}, "%s offset %d is %q for %s, which nobody sent", f.Partition, s.Offset, s.Value, c.who(s))
		return
	case sent.Partition != f.Partition && sent.Partition.Number == f.Number && topicName(sent.Partition.Topic) == topicName(f.Partition.Topic):
		c.violated(20, []int{sent.ops[0], s.op}, "%s offset %d is %q for %s, which was sent to another topic of the name", f.Partition, s.Offset, s.Value, c.who(s))
		return
	case sent.Partition != f.Partition:
		c.violated(17, []int{sent.ops[0], s.op}, "%s offset %d is %q for %s, which was sent to %s", f.Partition, s.Offset, s.Value, c.who(s), sent.Partition)
		return
	}
	if again && first.Offset != s.Offset && sent.Idempotent {
		c.violated(4, append([]int{first.op, s.op}, sent.ops...), "%s has %q at offset %d for %s and at offset %d for %s",
			f.Partition, s.Value, first.Offset, c.who(first), s.Offset, c.who(s))
	}
	if s.ack {
		return
	}
	if !slices.Contains(sent.seenAt, s.Offset) {
		sent.seenAt = append(sent.seenAt, s.Offset)
	}
	if sent.outcome == Failed {
		c.violated(3, append([]int{s.op}, sent.ops...), "%s offset %d is %q for %s, whose send failed", f.Partition, s.Offset, s.Value, c.who(s))
	}
	if s.op >= 0 && c.ops[s.op].End < sent.start {
		c.violated(9, []int{s.op, sent.ops[0]}, "%s offset %d was read before %q was sent", f.Partition, s.Offset, s.Value)
	}
	if s.op >= 0 && sent.Idempotent { // another copy may have come later
		sent.end = min(sent.end, c.ops[s.op].End) // it had happened by then
	}
}

// known returns at which offset the i-th value of a send is, if that is known.
func (f *facts) known(s *send, i int) (int64, bool) {
	if s.outcome == OK {
		return s.offset + int64(i), true
	}
	at, ok := f.of[s.Values[i]]
	return at.Offset, ok
}

// trimmed returns up to where a trim was asked for that may have happened by a
// time, at most.
func (c *checker) trimmed(f *facts, by time.Duration) int64 {
	var before int64
	for _, i := range f.trims {
		if o := c.ops[i]; o.Outcome != Failed && o.Start <= by {
			before = max(before, o.Action.(Trim).Before)
		}
	}
	return before
}
