package history

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Invariants is what the checks look after, by number.
var Invariants = map[int]string{
	0:  "the history can be judged",
	1:  "an acknowledged record is readable at its acknowledged offset",
	2:  "one value per partition and offset, on every replica",
	3:  "a send that failed is never read",
	4:  "an idempotent send appears once, and a retry returns the first offset",
	5:  "the duplicate window is five batches, and beyond it is an error",
	6:  "one producer's order in a partition is the offsets' order",
	7:  "offsets only grow and are never used again",
	8:  "a consumer polls without gaps and never goes backwards",
	9:  "nothing is readable before it is durable",
	13: "a committed offset never goes back or changes by itself",
	14: "a partition has one owner per generation, and a stale commit is refused",
	15: "at one applied index replicas have equal content",
	16: "appends, reads of the leader and end offsets are linearizable",
	17: "what nobody sent is never read",
	19: "after a fault heals, calls succeed and every acknowledged record is seen",
	20: "only what may be removed is removed, and what is removed stays so",
}

// toldOf is how many violations of one invariant a Report's error tells in full.
const toldOf = 5

// Violation is an invariant that was broken.
type Violation struct {
	Invariant int
	Text      string // what is wrong
	Ops       []Op   // the calls that show it
}

// String returns the violation in lines: what is wrong, then the calls by time.
func (v Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "invariant %d, %s: %s", v.Invariant, Invariants[v.Invariant], v.Text)
	for _, o := range v.Ops {
		fmt.Fprintf(&b, "\n    %s", o)
	}
	return b.String()
}

// Report is what Check found, and how much there was to check.
type Report struct {
	Seed       uint64
	Violations []Violation

	Sends, Acked  int // calls of Send; those that were OK
	Reads         int // calls of Read that gave records
	RecordsRead   int
	Commits       int // calls of Commit that were OK
	EndOffsets    int // calls of EndOffset that were OK
	Replicas      int // replicas of partitions
	UnknownFound  int // sends of an unknown outcome whose values were seen
	UnknownAbsent int // and those whose were not
	// Timeouts is how many pieces of the history porcupine could not finish in its
	// time; the check by offsets covers those of partitions.
	Timeouts int
}

// Err returns nil, or an error that tells the seed and what was broken.
func (r *Report) Err() error {
	if len(r.Violations) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "history of seed %d: %d violations", r.Seed, len(r.Violations))
	told := map[int]int{}
	for _, v := range r.Violations {
		if told[v.Invariant]++; told[v.Invariant] <= toldOf {
			fmt.Fprintf(&b, "\n%s", v)
		}
	}
	for _, i := range r.Broken() {
		if more := told[i] - toldOf; more > 0 {
			fmt.Fprintf(&b, "\ninvariant %d: %d more", i, more)
		}
	}
	return errors.New(b.String())
}

// Broken returns the numbers of the invariants that were broken, ascending.
func (r *Report) Broken() []int {
	var broken []int
	for _, v := range r.Violations {
		broken = append(broken, v.Invariant)
	}
	slices.Sort(broken)
	return slices.Compact(broken)
}

// String returns the counts on a line.
func (r *Report) String() string {
	return fmt.Sprintf("seed %d: %d violations; %d of %d sends acknowledged, %d of unknown outcome found and %d not; %d reads of %d records; %d end offsets; %d commits; %d replicas; %d time-outs of the model checker",
		r.Seed, len(r.Violations), r.Acked, r.Sends, r.UnknownFound, r.UnknownAbsent, r.Reads, r.RecordsRead, r.EndOffsets, r.Commits, r.Replicas, r.Timeouts)
}
