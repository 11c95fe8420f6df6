package history

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var tp = Partition{Topic: "orders", Number: 0}

// script writes a history by hand; times are in milliseconds.
type script struct{ *History }

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func (s script) op(client string, start, end int, a Action, o Outcome, r Result) {
	s.Add(Op{Client: client, Action: a, Start: ms(start), End: ms(end), Outcome: o, Result: r})
}

// sent is an idempotent send of a value, by a producer that is its own client.
func (s script) sent(producer string, seq, start, end int, o Outcome, offset int64, values ...string) {
	s.op(producer, start, end, Send{Partition: tp, Producer: producer, Sequence: int64(seq), Values: values, Idempotent: true, Batch: true}, o, Result{Offset: offset})
}

func records(start int64, values ...string) []Record {
	var rs []Record
	for i, v := range values {
		rs = append(rs, Record{start + int64(i), v})
	}
	return rs
}

func (s script) read(client string, start, end int, position int64, values ...string) {
	s.op(client, start, end, Read{Partition: tp, Position: position}, OK, Result{Records: records(position, values...)})
}

func (s script) readCurrent(client string, start, end int, position int64, values ...string) {
	s.op(client, start, end, Read{Partition: tp, Position: position, Current: true}, OK, Result{Records: records(position, values...)})
}

func (s script) end(start, end int, offset int64) {
	s.op("admin", start, end, EndOffset{tp}, OK, Result{Offset: offset})
}

func (s script) trim(start, end int, before int64, o Outcome) {
	s.op("admin", start, end, Trim{tp, before}, o, Result{})
}

func (s script) commit(member string, generation int64, start, end int, offset int64, o Outcome) {
	s.op(member, start, end, Commit{"g", tp, member, generation, offset}, o, Result{})
}

func (s script) committed(start, end int, offset int64) {
	s.op("admin", start, end, Committed{"g", tp}, OK, Result{Offset: offset})
}

func (s script) own(member string, generation int64, at int) {
	s.op(member, at, at, Own{"g", tp, member, generation}, OK, Result{})
}

func (s script) replica(name string, start int64, values ...string) {
	s.Replica(Replica{Name: name, Partition: tp, Start: start, End: start + int64(len(values)), Records: records(start, values...)})
}

// TestChecks has a right history and a wrong one that is like it, or several, for
// each invariant.
func TestChecks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		broken []int // nil: a right one
		do     func(script)
	}{
		{"nothing", nil, func(s script) {}},
		{"one value, two sends", []int{0}, func(s script) {
			s.sent("p", 0, 0, 1, Failed, 0, "a")
			s.sent("p", 1, 2, 3, Failed, 0, "a")
		}},
		{"one sequence, two values", []int{0}, func(s script) {
			s.sent("p", 0, 0, 1, Failed, 0, "a")
			s.sent("p", 0, 2, 3, Failed, 0, "b")
		}},

		{"acknowledged and there", nil, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a", "b")
			s.replica("n1", 0, "a", "b")
			s.replica("n2", 0, "a", "b")
		}},
		{"acknowledged and lost by one replica", []int{1}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a", "b")
			s.replica("n1", 0, "a", "b")
			s.replica("n2", 0, "a")
		}},
		{"acknowledged and replaced", []int{1, 2, 16}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a")
			s.sent("q", 0, 0, 1, Unknown, 0, "b")
			s.replica("n1", 0, "b")
		}},
		{"acknowledged and trimmed", nil, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a", "b")
			s.trim(2, 3, 1, OK)
			s.replica("n1", 1, "b")
		}},

		{"two replicas, two values", []int{2, 16}, func(s script) {
			s.sent("p", 0, 0, 1, Unknown, 0, "a")
			s.sent("q", 0, 0, 1, Unknown, 0, "b")
			s.replica("n1", 0, "a")
			s.replica("n2", 0, "b")
		}},
		{"two reads, two values", []int{2, 16}, func(s script) {
			s.sent("p", 0, 0, 1, Unknown, 0, "a")
			s.sent("q", 0, 0, 1, Unknown, 0, "b")
			s.read("c", 2, 3, 0, "a")
			s.read("d", 4, 5, 0, "b")
		}},
		{"two acknowledgements of an offset", []int{2, 7, 16}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a")
			s.sent("q", 0, 2, 3, OK, 0, "b")
		}},

		{"failed and not there", nil, func(s script) {
			s.sent("p", 0, 0, 1, Failed, 0, "a")
			s.replica("n1", 0)
		}},
		{"failed and read", []int{3}, func(s script) {
			s.sent("p", 0, 0, 1, Failed, 0, "a")
			s.read("c", 2, 3, 0, "a")
		}},
		{"failed and on a replica", []int{3}, func(s script) {
			s.sent("p", 0, 0, 1, Failed, 0, "a")
			s.replica("n1", 0, "a")
		}},
		{"failed first, unknown then", nil, func(s script) {
			s.sent("p", 0, 0, 1, Failed, 0, "a")
			s.sent("p", 0, 2, 3, Unknown, 0, "a")
			s.replica("n1", 0, "a")
		}},
		{"unknown, either way", nil, func(s script) {
			s.sent("p", 0, 0, 1, Unknown, 0, "a")
			s.sent("p", 1, 2, 3, Unknown, 0, "b")
			s.replica("n1", 0, "a")
		}},

		{"a retry with its first offset", nil, func(s script) {
			s.sent("p", 0, 0, 1, Unknown, 0, "a")
			s.sent("p", 0, 2, 3, OK, 0, "a")
			s.sent("p", 0, 4, 5, OK, 0, "a")
			s.replica("n1", 0, "a")
		}},
		{"a retry that was appended", []int{4}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a")
			s.sent("p", 0, 2, 3, OK, 1, "a")
		}},
		{"an idempotent send that is there twice", []int{4}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a")
			s.replica("n1", 0, "a", "a")
		}},
		{"another send that is there twice", nil, func(s script) {
			s.op("p", 0, 1, Send{Partition: tp, Producer: "p", Values: []string{"a"}}, OK, Result{Offset: 1})
			s.replica("n1", 0, "a", "a")
		}},

		{"a late retry that is refused", nil, func(s script) {
			for i := range 6 {
				s.sent("p", i, 2*i, 2*i+1, OK, int64(i), fmt.Sprint(i))
			}
			s.sent("p", 0, 20, 21, Failed, 0, "0")
			s.sent("p", 1, 22, 23, OK, 1, "1")
		}},
		{"a late retry that is acknowledged", []int{5}, func(s script) {
			for i := range 6 {
				s.sent("p", i, 2*i, 2*i+1, OK, int64(i), fmt.Sprint(i))
			}
			s.sent("p", 0, 20, 21, OK, 0, "0")
		}},
		{"a late retry that is appended", []int{4, 5}, func(s script) {
			for i := range 6 {
				s.sent("p", i, 2*i, 2*i+1, OK, int64(i), fmt.Sprint(i))
			}
			s.sent("p", 0, 20, 21, OK, 6, "0")
		}},

		{"one producer, in order", nil, func(s script) {
			s.sent("p", 0, 0, 10, OK, 0, "a", "b")
			s.sent("p", 1, 1, 9, OK, 2, "c")
		}},
		{"one producer, out of order", []int{6}, func(s script) {
			s.sent("p", 0, 0, 10, OK, 1, "a")
			s.sent("p", 1, 1, 9, OK, 0, "b")
		}},
		{"one producer, out of order where it was read", []int{6}, func(s script) {
			s.sent("p", 0, 0, 10, Unknown, 0, "a")
			s.sent("p", 1, 1, 9, Unknown, 0, "b")
			s.read("c", 11, 12, 0, "b", "a")
		}},

		{"an offset used again, after a crash", []int{2, 7, 16}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a")
			s.sent("p", 1, 2, 3, OK, 1, "b")
			s.sent("q", 0, 4, 5, OK, 1, "c")
		}},
		{"an offset below one that was read", []int{7, 16}, func(s script) {
			s.sent("p", 0, 0, 1, Unknown, 0, "a")
			s.op("c", 2, 3, Read{Partition: tp, Position: 5}, OK, Result{Records: records(5, "a")})
			s.sent("q", 0, 4, 5, OK, 3, "c")
		}},
		{"a replica with a hole", []int{7}, func(s script) {
			s.sent("p", 0, 0, 1, Unknown, 0, "a")
			s.sent("p", 1, 0, 1, Unknown, 0, "b")
			s.Replica(Replica{Name: "n1", Partition: tp, End: 3, Records: []Record{{0, "a"}, {2, "b"}}})
		}},
		{"a replica that ends behind its records", []int{7}, func(s script) {
			s.Replica(Replica{Name: "n1", Partition: tp, End: 3})
		}},
		{"a compacted replica", nil, func(s script) {
			s.Declare("orders", Topic{Compacted: true})
			s.sent("p", 0, 0, 1, OK, 0, "a")
			s.sent("p", 1, 2, 3, OK, 1, "b")
			s.sent("p", 2, 4, 5, OK, 2, "c")
			s.read("c", 6, 7, 0, "a", "b", "c")
			s.Replica(Replica{Name: "n1", Partition: tp, End: 3, Records: []Record{{0, "a"}, {2, "c"}}})
		}},

		{"a consumer", nil, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a", "b", "c")
			s.op("c", 2, 2, Seek{tp, 0}, OK, Result{})
			s.read("c", 2, 3, 0, "a", "b")
			s.read("c", 4, 5, 2, "c")
			s.read("c", 6, 7, 3)
			s.op("c", 8, 8, Seek{tp, 1}, OK, Result{})
			s.read("c", 9, 10, 1, "b")
			s.op("c", 11, 11, Seek{tp, None}, OK, Result{})
			s.read("c", 12, 13, 0, "a")
		}},
		{"a consumer that skips", []int{8}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a", "b", "c")
			s.op("c", 2, 3, Read{Partition: tp}, OK, Result{Records: []Record{{0, "a"}, {2, "c"}}})
		}},
		{"a consumer that skips between reads", []int{8}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a", "b", "c")
			s.read("c", 2, 3, 0, "a")
			s.op("c", 4, 5, Read{Partition: tp, Position: 1}, OK, Result{Records: []Record{{2, "c"}}})
		}},
		{"a consumer that goes back", []int{8}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a", "b")
			s.read("c", 2, 3, 0, "a", "b")
			s.op("c", 4, 5, Read{Partition: tp, Position: 2}, OK, Result{Records: []Record{{1, "b"}}})
		}},
		{"a consumer that jumps", []int{8}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a", "b")
			s.read("c", 2, 3, 0, "a")
			s.read("c", 4, 5, 2)
		}},
		{"a consumer over a trim", nil, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a", "b", "c")
			s.trim(2, 3, 2, Unknown)
			s.op("c", 3, 4, Read{Partition: tp}, OK, Result{Records: []Record{{2, "c"}}})
		}},
		{"a consumer before a trim", []int{8}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a", "b", "c")
			s.op("c", 3, 4, Read{Partition: tp}, OK, Result{Records: []Record{{2, "c"}}})
			s.trim(5, 6, 2, OK)
		}},

		{"read and there", nil, func(s script) {
			s.sent("p", 0, 0, 1, Unknown, 0, "a")
			s.read("c", 0, 1, 0, "a")
			s.replica("n1", 0, "a")
		}},
		{"read and lost", []int{9}, func(s script) {
			s.sent("p", 0, 0, 1, Unknown, 0, "a")
			s.read("c", 0, 1, 0, "a")
			s.replica("n1", 0)
		}},
		{"read before it was sent", []int{7, 9, 16}, func(s script) {
			s.read("c", 0, 1, 0, "a")
			s.sent("p", 0, 2, 3, OK, 0, "a")
		}},

		{"commits", nil, func(s script) {
			s.committed(0, 1, None)
			s.commit("m", 1, 2, 3, 5, OK)
			s.committed(4, 5, 5)
			s.commit("m", 1, 6, 7, 9, Unknown)
			s.committed(8, 9, 5)
			s.committed(10, 11, 9)
			s.commit("m", 1, 12, 13, 11, Failed)
			s.committed(14, 15, 9)
			s.commit("m", 1, 16, 17, 2, OK) // back on purpose
			s.committed(18, 19, 2)
		}},
		{"a commit that went back", []int{13}, func(s script) {
			s.commit("m", 1, 0, 1, 5, OK)
			s.commit("m", 1, 2, 3, 9, OK)
			s.committed(4, 5, 5)
		}},
		{"a commit that was lost", []int{13}, func(s script) {
			s.commit("m", 1, 0, 1, 5, OK)
			s.committed(4, 5, None)
		}},
		{"a commit of nobody", []int{13}, func(s script) {
			s.commit("m", 1, 0, 1, 5, OK)
			s.committed(4, 5, 0)
		}},
		{"a failed commit that happened", []int{13}, func(s script) {
			s.commit("m", 1, 0, 1, 5, Failed)
			s.committed(4, 5, 5)
		}},
		{"a commit that comes and goes", []int{13}, func(s script) {
			s.commit("m", 1, 0, 1, 5, OK)
			s.commit("m", 1, 2, 3, 9, Unknown)
			s.committed(4, 5, 9)
			s.committed(6, 7, 5)
		}},

		{"owners", nil, func(s script) {
			s.own("m1", 1, 0)
			s.commit("m1", 1, 1, 2, 5, OK)
			s.own("m2", 2, 3)
			s.commit("m1", 1, 4, 5, 7, Failed)
			s.commit("m2", 2, 4, 5, 6, OK)
			s.own("m1", 3, 6)
			s.commit("m1", 3, 7, 8, 8, OK)
		}},
		{"two owners", []int{14}, func(s script) {
			s.own("m1", 1, 0)
			s.own("m2", 1, 5)
		}},
		{"a stale commit", []int{14}, func(s script) {
			s.own("m1", 1, 0)
			s.own("m2", 2, 3)
			s.commit("m1", 1, 4, 5, 7, OK)
		}},
		{"a stale commit without generations", []int{14}, func(s script) {
			s.own("m1", None, 0)
			s.own("m2", None, 3)
			s.commit("m1", None, 4, 5, 7, OK)
		}},
		{"a commit beside the new owner", nil, func(s script) {
			s.own("m1", None, 0)
			s.commit("m1", None, 1, 4, 7, OK)
			s.own("m2", None, 2)
		}},

		{"equal replicas", nil, func(s script) {
			for _, n := range []string{"n1", "n2"} {
				s.Replica(Replica{Name: n, Partition: tp, Applied: 7, Hash: "x"})
			}
			s.Replica(Replica{Name: "n3", Partition: tp, Applied: 8, Hash: "y"})
		}},
		{"unequal replicas", []int{15}, func(s script) {
			s.Replica(Replica{Name: "n1", Partition: tp, Applied: 7, Hash: "x"})
			s.Replica(Replica{Name: "n2", Partition: tp, Applied: 7, Hash: "y"})
		}},

		{"end offsets", nil, func(s script) {
			s.end(0, 1, 0)
			s.sent("p", 0, 2, 9, OK, 0, "a")
			s.end(3, 4, 0)
			s.end(5, 6, 1)
			s.sent("p", 1, 10, 11, Unknown, 0, "b")
			s.end(12, 13, 1)
			s.end(14, 15, 2)
			s.readCurrent("c", 16, 17, 2)
			s.read("d", 18, 19, 0)
		}},
		{"a stale end offset", []int{16}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a")
			s.end(2, 3, 0)
		}},
		{"end offsets that go back", []int{16}, func(s script) {
			s.sent("p", 0, 0, 9, OK, 0, "a")
			s.end(2, 3, 1)
			s.end(4, 5, 0)
		}},
		{"an end offset ahead of its time", []int{16}, func(s script) {
			s.end(0, 1, 1)
			s.sent("p", 0, 2, 3, OK, 0, "a")
		}},
		{"a stale read of the leader", []int{16}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a")
			s.readCurrent("c", 2, 3, 0)
		}},
		{"a stale read of a follower", nil, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a")
			s.read("c", 2, 3, 0)
		}},
		{"appends out of their order in time", []int{7, 16}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 1, "a")
			s.sent("q", 0, 2, 3, OK, 0, "b")
		}},

		{"a value of nobody", []int{17}, func(s script) { s.read("c", 0, 1, 0, "?") }},
		{"a value of another partition", []int{17}, func(s script) {
			s.op("p", 0, 1, Send{Partition: Partition{"orders", 1}, Producer: "p", Values: []string{"a"}}, OK, Result{})
			s.read("c", 2, 3, 0, "a")
		}},

		{"progress after a heal", nil, func(s script) {
			s.op("nemesis", 0, 0, Fault{"cut"}, OK, Result{})
			s.sent("p", 0, 0, 100, Unknown, 0, "a")
			s.op("nemesis", 100, 100, Heal{ms(50)}, OK, Result{})
			s.sent("p", 1, 120, 140, OK, 0, "b")
			s.sent("p", 2, 160, 300, OK, 1, "c")
		}},
		{"no progress after a heal", []int{19}, func(s script) {
			s.op("nemesis", 100, 100, Heal{ms(50)}, OK, Result{})
			s.sent("p", 0, 90, 120, Unknown, 0, "a")
			s.sent("p", 1, 120, 200, OK, 0, "b")
		}},
		{"a call that never ends after a heal", []int{19}, func(s script) {
			s.op("nemesis", 100, 100, Heal{ms(50)}, OK, Result{})
			s.Add(Op{Client: "c", Action: Read{Partition: tp}, Start: ms(90), End: Never})
		}},
		{"a fault soon after a heal", nil, func(s script) {
			s.op("nemesis", 100, 100, Heal{ms(50)}, OK, Result{})
			s.op("nemesis", 130, 130, Fault{"cut"}, OK, Result{})
			s.sent("p", 0, 110, 300, Unknown, 0, "a")
		}},
		{"drained", nil, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a", "b", "c")
			s.trim(1, 2, 1, OK)
			s.read("c1", 2, 3, 1, "b")
			s.read("c2", 2, 3, 2, "c")
			s.op("main", 4, 4, Drained{[]string{"c1", "c2"}}, OK, Result{})
			s.sent("p", 1, 5, 6, OK, 3, "d")
		}},
		{"not drained", []int{19}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a", "b", "c")
			s.read("c1", 2, 3, 0, "a", "b")
			s.read("other", 2, 3, 2, "c")
			s.op("main", 4, 4, Drained{[]string{"c1", "c2"}}, OK, Result{})
		}},

		{"removed unasked", []int{20}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a", "b")
			s.trim(2, 3, 2, Failed)
			s.replica("n1", 1, "b")
		}},
		{"removed by retention", nil, func(s script) {
			s.Declare("orders", Topic{Retained: true})
			s.sent("p", 0, 0, 1, OK, 0, "a", "b")
			s.replica("n1", 1, "b")
		}},
		{"not removed", []int{20}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a", "b")
			s.trim(2, 3, 1, OK)
			s.replica("n1", 0, "a", "b")
		}},
		{"read after it was removed", []int{20}, func(s script) {
			s.sent("p", 0, 0, 1, OK, 0, "a", "b")
			s.trim(2, 3, 1, OK)
			s.readCurrent("c", 4, 5, 0, "a")
		}},
		{"a topic made again shows what was in the old", []int{20}, func(s script) {
			old := Partition{Incarnation("orders", 0), 0}
			again := Partition{Incarnation("orders", 1), 0}
			s.op("p", 0, 1, Send{Partition: old, Producer: "p", Values: []string{"a"}}, OK, Result{})
			s.op("c", 2, 3, Read{Partition: again}, OK, Result{Records: records(0, "a")})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := New(7)
			tt.do(script{h})
			r := h.Check()
			require.Equal(t, tt.broken, r.Broken(), "%v", r.Err())
			if tt.broken == nil {
				require.NoError(t, r.Err())
			} else {
				require.ErrorContains(t, r.Err(), "seed 7")
			}
		})
	}
}

// TestReport sees what a person is told.
func TestReport(t *testing.T) {
	t.Parallel()
	h := New(99)
	s := script{h}
	s.sent("p", 0, 1, 2, OK, 0, "a", "b", "c", "d", "e", "f", "g")
	s.replica("node2", 0)
	r := h.Check()
	require.Len(t, r.Violations, 7)
	require.Equal(t, `history of seed 99: 7 violations
invariant 1, an acknowledged record is readable at its acknowledged offset: orders/0 offset 0, acknowledged as "a", is missing on replica node2, which holds [0, 0)
    [0.001000s .. 0.002000s] p: send 7 values, "a" to "g", to orders/0 as idempotent producer p sequence 0: ok at offset 0`,
		r.Err().Error()[:len(r.Err().Error())-len(rest(r.Err().Error(), 3))])
	require.ErrorContains(t, r.Err(), "\ninvariant 1: 2 more")
	require.Contains(t, r.String(), "seed 99: 7 violations; 1 of 1 sends acknowledged")
}

// rest returns s from the end of its n-th line on.
func rest(s string, n int) string {
	for i, c := range s {
		if c == '\n' {
			if n--; n == 0 {
				return s[i:]
			}
		}
	}
	return ""
}

func TestRecording(t *testing.T) {
	t.Parallel()
	h := New(1)
	send := Send{Partition: tp, Producer: "p", Values: []string{"a"}}
	ok := h.Begin("p", send)
	failed := h.Begin("q", EndOffset{tp})
	unknown := h.Begin("r", Committed{"g", tp})
	h.Begin("s", Trim{tp, 3})
	h.Note("n", Fault{"cut"})
	unknown.Unknown(fmt.Errorf("connection lost"))
	failed.Failed(fmt.Errorf("refused"))
	ok.OK(Result{Offset: 5})
	ops := h.Ops()
	require.Len(t, ops, 5)
	require.True(t, slices.IsSortedFunc(ops, func(a, b Op) int { return int(a.Start - b.Start) }))
	byClient := map[string]Op{}
	for _, o := range ops {
		require.LessOrEqual(t, o.Start, o.End)
		byClient[o.Client] = o
	}
	require.Equal(t, OK, byClient["p"].Outcome)
	require.EqualValues(t, 5, byClient["p"].Result.Offset)
	require.GreaterOrEqual(t, byClient["p"].End, byClient["r"].End)
	require.Contains(t, byClient["q"].String(), "end offset of orders/0: failed: refused")
	require.Contains(t, byClient["r"].String(), "unknown: connection lost")
	require.Contains(t, byClient["s"].String(), "never] s: trim orders/0 before 3: unknown")
	require.Equal(t, "orders#2/0", Partition{Incarnation("orders", 2), 0}.String())
}
