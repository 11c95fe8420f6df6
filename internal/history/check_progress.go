package history

import "slices"

// checkProgress looks for calls that succeed after each heal (invariant 19).
func (c *checker) checkProgress() {
	kinds := []struct {
		name string
		is   func(Op) bool
	}{
		{"send", func(o Op) bool { _, ok := o.Action.(Send); return ok }},
		{"read", func(o Op) bool { _, ok := o.Action.(Read); return ok }},
		{"commit", func(o Op) bool { _, ok := o.Action.(Commit); return ok }},
	}
	for i, o := range c.ops {
		heal, ok := o.Action.(Heal)
		if !ok {
			continue
		}
		until := o.End + heal.Within
		// A fault that comes before the time is up excuses.
		if slices.ContainsFunc(c.ops[i:], func(o Op) bool { _, ok := o.Action.(Fault); return ok && o.Start <= until }) {
			continue
		}
		for _, kind := range kinds {
			tried, later, done := -1, false, false
			for j, p := range c.ops {
				if !kind.is(p) || p.Start < o.End && p.End < o.End {
					continue
				}
				if p.Outcome == OK && p.End <= until {
					done = true
					break
				}
				if p.Start <= until && tried < 0 {
					tried = j
				}
				later = later || p.End > until
			}
			// Clients that stopped before the time was up prove nothing.
			if tried >= 0 && !done && later {
				c.violated(19, []int{i, tried}, "no %s succeeded within %s", kind.name, heal.Within)
			}
		}
	}
}

// checkDrained looks for acknowledged records in what readers saw that read
// everything (invariant 19).
func (c *checker) checkDrained() {
	for i, o := range c.ops {
		drained, ok := o.Action.(Drained)
		if !ok {
			continue
		}
		seen := make(map[Partition]map[int64]bool)
		for _, r := range c.ops {
			a, ok := r.Action.(Read)
			if !ok || r.Outcome != OK || !slices.Contains(drained.Readers, r.Client) {
				continue
			}
			if seen[a.Partition] == nil {
				seen[a.Partition] = make(map[int64]bool)
			}
			for _, rec := range r.Result.Records {
				seen[a.Partition][rec.Offset] = true
			}
		}
		for _, f := range c.sorted() {
			if f.Compacted || f.Retained {
				continue
			}
			removed := c.trimmed(f, Never)
			for _, s := range f.sends {
				if s.outcome != OK || s.end >= o.Start {
					continue
				}
				for n, v := range s.Values {
					if at := s.offset + int64(n); at >= removed && !seen[f.Partition][at] {
						c.violated(19, append([]int{i}, s.ops...), "%s offset %d, acknowledged as %q, was seen by none of them", f.Partition, at, v)
					}
				}
			}
		}
	}
}
