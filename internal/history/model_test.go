package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

// TestOutOfOrderIsPorcupine compares the check by offsets with the model checker
// on random events of a partition.
func TestOutOfOrderIsPorcupine(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 5))
	wrong := 0
	for run := range 20_000 {
		var events []event
		taken := map[int64]bool{}
		for range 1 + rng.IntN(7) {
			start := time.Duration(rng.IntN(12))
			e := event{kind: eventKind(rng.IntN(4)), offset: rng.Int64N(5), start: start, end: start + time.Duration(rng.IntN(8))}
			if e.kind == appended && rng.IntN(6) == 0 {
				e.end = Never
			}
			if e.kind == appended && taken[e.offset] {
				continue
			}
			taken[e.offset] = taken[e.offset] || e.kind == appended
			events = append(events, e)
		}
		// The check by offsets uses reads only of what was appended, as porcupine's.
		slices.SortStableFunc(events, func(a, b event) int { return int(a.start - b.start) })
		a, b, found := outOfOrder(events)
		right := porcupine.CheckOperations(partitionModel(events), operations(events))
		require.Equal(t, right, !found, "run %d: %+v: %+v, %+v", run, events, a, b)
		if found {
			wrong++
			require.Greater(t, b.start, a.end, "run %d", run)
		}
	}
	require.Greater(t, wrong, 4000, "of the runs many are wrong")
	require.Less(t, wrong, 16_000, "and many right")
}

// simulation is a log without faults of its own, and clients that lose answers.
type simulation struct {
	*History
	rng       *rand.Rand
	now       time.Duration
	log       []string // by offset
	start     int64
	committed int64
}

// call records a call that takes effect between its begin and its end.
func (s *simulation) call(client string, a Action, o Outcome, do func() Result) {
	begin := s.now
	s.now += time.Duration(1 + s.rng.IntN(1000))
	r := do()
	s.now += time.Duration(1 + s.rng.IntN(1000))
	// Calls overlap: each is told to have begun earlier and ended later.
	op := Op{Client: client, Action: a, Start: max(0, begin-time.Duration(s.rng.IntN(3000))), End: s.now + time.Duration(s.rng.IntN(3000)), Outcome: o}
	if o == OK {
		op.Result = r
	} else {
		op.Err = "lost"
	}
	s.Add(op)
}

// simulate returns a right history.
func simulate(seed uint64) *simulation {
	s := &simulation{History: New(seed), rng: rand.New(rand.NewPCG(seed, 0)), committed: None}
	sequence := map[string]int64{}
	position := map[string]int64{}
	last := map[string]time.Duration{} // a consumer's calls follow each other
	for range 300 {
		switch s.rng.IntN(8) {
		case 0, 1, 2:
			p := fmt.Sprintf("p%d", s.rng.IntN(3))
			a := Send{Partition: tp, Producer: p, Sequence: sequence[p], Idempotent: true}
			for i := range 1 + s.rng.IntN(3) {
				a.Values = append(a.Values, fmt.Sprintf("%s-%d-%d", p, sequence[p], i))
			}
			sequence[p]++
			outcome := []Outcome{OK, OK, OK, Unknown, Failed}[s.rng.IntN(5)]
			arrives := outcome == OK || (outcome == Unknown && s.rng.IntN(2) == 0)
			at := int64(len(s.log))
			s.call(p, a, outcome, func() Result {
				if arrives {
					s.log = append(s.log, a.Values...)
				}
				return Result{Offset: at}
			})
			if arrives && s.rng.IntN(2) == 0 {
				s.call(p, a, OK, func() Result { return Result{Offset: at} })
			}
		case 3, 4:
			c := fmt.Sprintf("c%d", s.rng.IntN(2))
			at := max(position[c], s.start)
			end := at + s.rng.Int64N(int64(len(s.log))-at+1) // it may lag
			op := Op{Client: c, Action: Read{Partition: tp, Position: position[c]}, Outcome: OK}
			op.Start = max(last[c], s.now)
			s.now += 100
			op.End = max(op.Start, s.now) + 1
			last[c] = op.End
			op.Result.Records = records(at, s.log[at:end]...)
			if len(op.Result.Records) > 0 {
				position[c] = end
			}
			s.Add(op)
		case 5:
			s.call("admin", EndOffset{tp}, OK, func() Result { return Result{Offset: int64(len(s.log))} })
		case 6:
			offset := s.rng.Int64N(1000)
			s.call("m", Commit{"g", tp, "m", None, offset}, OK, func() Result { s.committed = offset; return Result{} })
			s.call("m", Committed{"g", tp}, OK, func() Result { return Result{Offset: s.committed} })
		case 7:
			if s.rng.IntN(5) == 0 && int64(len(s.log)) > s.start+40 {
				before := s.start + s.rng.Int64N(20)
				s.call("admin", Trim{tp, before}, OK, func() Result { s.start = before; return Result{} })
			}
		}
	}
	return s
}

func (s *simulation) addReplicas(change func([]Record) []Record) {
	whole := records(s.start, s.log[s.start:]...)
	s.Replica(Replica{Name: "n1", Partition: tp, Start: s.start, End: int64(len(s.log)), Records: whole})
	s.Replica(Replica{Name: "n2", Partition: tp, Start: s.start, End: int64(len(s.log)), Records: change(slices.Clone(whole))})
}

// TestRightHistories sees that nothing is found in what a right log did, though
// answers are lost, readers lag and calls overlap.
func TestRightHistories(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		s := simulate(seed)
		s.addReplicas(func(r []Record) []Record { return r })
		r := s.Check()
		require.NoError(t, r.Err())
		require.Positive(t, r.Acked)
		require.Positive(t, r.RecordsRead)
		require.Positive(t, r.EndOffsets)
		require.Positive(t, r.Commits)
		require.Positive(t, r.UnknownFound+r.UnknownAbsent)
		require.Zero(t, r.Timeouts)
	}
}

// TestWrongHistories breaks right histories in one place each.
func TestWrongHistories(t *testing.T) {
	t.Parallel()
	same := func(r []Record) []Record { return r }
	for _, tt := range []struct {
		name   string
		broken int // among others
		do     func(*simulation)
	}{
		{"a record is missing", 7, func(s *simulation) {
			s.addReplicas(func(r []Record) []Record { i := s.rng.IntN(len(r)); return slices.Delete(r, i, i+1) })
		}},
		{"the last acknowledged record is lost", 1, func(s *simulation) {
			at := int64(len(s.log))
			s.call("last", Send{Partition: tp, Producer: "last", Values: []string{"z"}, Idempotent: true}, OK, func() Result { return Result{Offset: at} })
			s.addReplicas(same)
		}},
		{"two records are swapped", 2, func(s *simulation) {
			s.addReplicas(func(r []Record) []Record {
				i := s.rng.IntN(len(r) - 1)
				r[i].Value, r[i+1].Value = r[i+1].Value, r[i].Value
				return r
			})
		}},
		{"a record is there again at the end", 4, func(s *simulation) {
			s.log = append(s.log, s.log[len(s.log)-1-s.rng.IntN(10)])
			s.addReplicas(same)
		}},
		{"a record is of nobody", 17, func(s *simulation) {
			s.log = append(s.log, "?")
			s.addReplicas(same)
		}},
		{"an end offset is old", 16, func(s *simulation) {
			s.call("last", Send{Partition: tp, Producer: "last", Values: []string{"z"}, Idempotent: true}, OK, func() Result {
				s.log = append(s.log, "z")
				return Result{Offset: int64(len(s.log)) - 1}
			})
			s.now += 10_000 // after all that is under way
			s.call("admin", EndOffset{tp}, OK, func() Result { return Result{Offset: int64(len(s.log)) - 1} })
			s.addReplicas(same)
		}},
		{"a commit is gone", 13, func(s *simulation) {
			s.now += 10_000
			s.call("m", Commit{"g", tp, "m", None, 5000}, OK, func() Result { return Result{} })
			s.now += 10_000
			s.call("m", Committed{"g", tp}, OK, func() Result { return Result{Offset: s.committed} })
		}},
		{"a consumer skips", 8, func(s *simulation) {
			n := int64(len(s.log))
			s.Add(Op{Client: "late", Action: Read{Partition: tp, Position: n - 2}, Start: s.now, End: s.now + 1, Outcome: OK, Result: Result{Records: records(n-1, s.log[n-1])}})
			s.addReplicas(same)
		}},
		{"more is removed than was asked for", 20, func(s *simulation) {
			s.start++
			s.addReplicas(same)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := range uint64(20) {
				s := simulate(seed)
				tt.do(s)
				require.Contains(t, s.Check().Broken(), tt.broken, "seed %d", seed)
			}
		})
	}
}

// TestManyOps sees that a long history is checked in pieces and soon.
func TestManyOps(t *testing.T) {
	t.Parallel()
	h := New(1)
	s := script{h}
	const n = 4000
	for i := range n {
		s.sent("p", i, 3*i, 3*i+20, OK, int64(i), fmt.Sprint(i))
		s.commit("m", None, 3*i, 3*i+1, int64(i), OK)
		s.committed(3*i+1, 3*i+2, int64(i))
		if i%10 == 9 {
			s.end(3*i, 3*i+20, int64(i+1))
		}
	}
	begun := time.Now()
	r := h.Check()
	require.NoError(t, r.Err())
	require.Equal(t, n, r.Acked)
	require.Zero(t, r.Timeouts)
	t.Logf("%d calls in %v", len(h.Ops()), time.Since(begun))
}
