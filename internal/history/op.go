package history

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Never is the end of a call that did not end.
const Never = time.Duration(math.MaxInt64)

// None is the committed offset of a partition without one.
const None = int64(-1)

// Outcome is what a client knows of its call.
type Outcome uint8

// The outcomes.
const (
	Unknown Outcome = iota // it may have happened, may happen yet, or never
	OK                     // it happened between begin and end
	Failed                 // it did not happen, and will not
)

// String returns the outcome's name.
func (o Outcome) String() string {
	switch o {
	case OK:
		return "ok"
	case Failed:
		return "failed"
	}
	return "unknown"
}

// Partition names a partition. Topic is an incarnation, see [Incarnation].
type Partition struct {
	Topic  string
	Number int32
}

// String returns topic/number.
func (p Partition) String() string { return fmt.Sprintf("%s/%d", p.Topic, p.Number) }

// Incarnation returns the name by which a history knows the n-th topic of a
// name, from 0; the first has the name itself.
func Incarnation(topic string, n int) string {
	if n == 0 {
		return topic
	}
	return fmt.Sprintf("%s#%d", topic, n)
}

// topicName returns the name of the topic of an incarnation.
func topicName(incarnation string) string {
	name, _, _ := strings.Cut(incarnation, "#")
	return name
}

// Record is a record at its offset.
type Record struct {
	Offset int64
	Value  string
}

// Op is one call of a client.
type Op struct {
	Client     string
	Action     Action
	Start, End time.Duration // since the history began; End is Never while it runs
	Outcome    Outcome
	Result     Result // of an outcome of OK
	Err        string // of the other outcomes
}

// Result is what a call that was OK gave.
type Result struct {
	Offset  int64    // of Send: of the first value. Of EndOffset, Committed: the offset
	Records []Record // of Read
}

// String returns the call on a line, with its times.
func (o Op) String() string {
	var b strings.Builder
	end := "never"
	if o.End != Never {
		end = seconds(o.End)
	}
	fmt.Fprintf(&b, "[%s .. %s] %s: %s: %s", seconds(o.Start), end, o.Client, o.Action, o.Outcome)
	if o.Outcome == OK {
		b.WriteString(o.Action.result(o.Result))
	} else if o.Err != "" {
		fmt.Fprintf(&b, ": %s", o.Err)
	}
	return b.String()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.6fs", d.Seconds()) }

// Action is what a call asks for.
type Action interface {
	fmt.Stringer
	result(Result) string
}

// Send appends values to a partition, in order, at consecutive offsets.
type Send struct {
	Partition Partition
	Producer  string // a producer id: one that starts anew is another
	// Sequence counts the producer's sends to the partition in the order in which
	// they were first called. A retry has the number of the first try.
	Sequence   int64
	Values     []string
	Idempotent bool
	// Batch tells that the values went as one record batch, so that the window of
	// duplicates is known to count it as one.
	Batch bool
}

// Read asks for records from a position on.
type Read struct {
	Partition Partition
	Position  int64
	// Current tells that the answer is of the leader, and as new as the call. A
	// replica that lags may answer others.
	Current bool
}

// Seek says where the client reads next, because somebody told it to; None: that
// its next Read may be anywhere, as after a rebalance.
type Seek struct {
	Partition Partition
	Position  int64
}

// EndOffset asks the leader for the offset after the last readable record.
type EndOffset struct{ Partition Partition }

// Trim asks to remove the records before an offset.
type Trim struct {
	Partition Partition
	Before    int64
}

// Commit stores a group's offset of a partition.
type Commit struct {
	Group      string
	Partition  Partition
	Member     string
	Generation int64 // None: not known
	Offset     int64
}

// Committed asks for a group's offset of a partition.
type Committed struct {
	Group     string
	Partition Partition
}

// Own says that a member of a group was given a partition.
type Own struct {
	Group      string
	Partition  Partition
	Member     string
	Generation int64 // None: not known
}

// Fault says that something was broken.
type Fault struct{ What string }

// Heal says that all is whole again, and within which time calls have to succeed.
type Heal struct{ Within time.Duration }

// Drained says that some clients have together read all there is.
type Drained struct{ Readers []string }

func (s Send) String() string {
	kind := ""
	if s.Idempotent {
		kind = " idempotent"
	}
	return fmt.Sprintf("send %s to %s as%s producer %s sequence %d", quoted(s.Values), s.Partition, kind, s.Producer, s.Sequence)
}
func (s Send) result(r Result) string { return fmt.Sprintf(" at offset %d", r.Offset) }

func (r Read) String() string {
	kind := "read"
	if r.Current {
		kind = "read of the leader"
	}
	return fmt.Sprintf("%s %s from %d", kind, r.Partition, r.Position)
}

func (r Read) result(res Result) string {
	switch n := len(res.Records); {
	case n == 0:
		return " nothing"
	case n <= 4:
		return fmt.Sprintf(" %q", res.Records)
	default:
		return fmt.Sprintf(" %d records, %q to %q", n, res.Records[0], res.Records[n-1])
	}
}

func (s Seek) String() string {
	if s.Position == None {
		return fmt.Sprintf("lose the position in %s", s.Partition)
	}
	return fmt.Sprintf("seek in %s to %d", s.Partition, s.Position)
}
func (s Seek) result(Result) string { return "" }

func (e EndOffset) String() string         { return fmt.Sprintf("end offset of %s", e.Partition) }
func (e EndOffset) result(r Result) string { return fmt.Sprintf(" %d", r.Offset) }

func (t Trim) String() string       { return fmt.Sprintf("trim %s before %d", t.Partition, t.Before) }
func (t Trim) result(Result) string { return "" }

func (c Commit) String() string {
	return fmt.Sprintf("commit %d of %s for group %s as member %s%s", c.Offset, c.Partition, c.Group, c.Member, generation(c.Generation))
}
func (c Commit) result(Result) string { return "" }

func (c Committed) String() string {
	return fmt.Sprintf("committed offset of %s for group %s", c.Partition, c.Group)
}

func (c Committed) result(r Result) string {
	if r.Offset == None {
		return " none"
	}
	return fmt.Sprintf(" %d", r.Offset)
}

func (o Own) String() string {
	return fmt.Sprintf("own %s in group %s as member %s%s", o.Partition, o.Group, o.Member, generation(o.Generation))
}
func (o Own) result(Result) string { return "" }

func generation(g int64) string {
	if g == None {
		return ""
	}
	return fmt.Sprintf(" of generation %d", g)
}

func (f Fault) String() string       { return "fault: " + f.What }
func (f Fault) result(Result) string { return "" }

func (h Heal) String() string       { return fmt.Sprintf("heal; calls succeed within %s", h.Within) }
func (h Heal) result(Result) string { return "" }

func (d Drained) String() string       { return fmt.Sprintf("%q have read everything", d.Readers) }
func (d Drained) result(Result) string { return "" }

// quoted returns a few of values.
func quoted(values []string) string {
	if len(values) <= 4 {
		return fmt.Sprintf("%q", values)
	}
	return fmt.Sprintf("%d values, %q to %q,", len(values), values[0], values[len(values)-1])
}

// String returns offset=value.
func (r Record) String() string { return fmt.Sprintf("%d=%s", r.Offset, r.Value) }
