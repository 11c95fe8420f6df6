package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// start is where consume begins in a partition.
type start struct {
	kind   startKind
	offset int64     // of fromOffset; how many before the end, of fromTail
	at     time.Time // of fromTime
}

type startKind int

const (
	fromEarliest startKind = iota
	fromLatest
	fromOffset
	fromTail
	fromTime
)

// parseStart reads --offset and --since, one of which may be "".
func parseStart(offset, since string, now time.Time) (start, error) {
	switch {
	case offset != "" && since != "":
		return start{}, usagef("--offset and --since exclude each other")
	case since != "":
		at, err := parseTime(since, now)
		if err != nil {
			return start{}, usagef("--since: %w", err)
		}
		return start{kind: fromTime, at: at}, nil
	case offset == "" || offset == "earliest":
		return start{kind: fromEarliest}, nil
	case offset == "latest":
		return start{kind: fromLatest}, nil
	}
	n, err := strconv.ParseInt(offset, 10, 64)
	if err != nil {
		return start{}, usagef("--offset %q must be earliest, latest, an offset, or -N for the last N of each partition", offset)
	}
	if n < 0 {
		return start{kind: fromTail, offset: -n}, nil
	}
	return start{kind: fromOffset, offset: n}, nil
}

// parseTime reads a time, RFC 3339 or how long ago.
func parseTime(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil {
		if d < 0 {
			return time.Time{}, fmt.Errorf("%q must not be negative: it is how long ago", s)
		}
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q must be how long ago, such as 10m or 36h, or a time such as 2026-01-31T12:00:00Z", s)
}

// clientOffset is the start in the client's terms.
func (s start) clientOffset() kgo.Offset {
	o := kgo.NewOffset()
	switch s.kind {
	case fromLatest:
		return o.AtEnd()
	case fromOffset:
		return o.At(s.offset)
	case fromTail:
		return o.AtEnd().Relative(-s.offset)
	case fromTime:
		return o.AfterMilli(s.at.UnixMilli())
	}
	return o.AtStart()
}

// resetOffset is where to go on when a partition does not have the offset to begin at,
// being shorter or trimmed: at the nearest that it has.
func (s start) resetOffset() kgo.Offset {
	if s.kind == fromTime {
		return kgo.NewOffset().AtStart()
	}
	return s.clientOffset()
}

// span is the offsets [from, to) of a partition.
type span struct{ from, to int64 }

// spans are the spans of partitions of topics.
type spans map[string]map[int32]span

// resolve returns what there is to be read now from the start on. committed makes it
// end where transactions are undecided.
func (s start) resolve(ctx context.Context, adm *kadm.Client, topics []string, committed bool) (spans, error) {
	first, err := adm.ListStartOffsets(ctx, topics...)
	if err == nil {
		err = first.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the first offsets: %w", err)
	}
	listEnds := adm.ListEndOffsets
	if committed {
		listEnds = adm.ListCommittedOffsets
	}
	ends, err := listEnds(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the last offsets: %w", err)
	}
	var times kadm.ListedOffsets
	if s.kind == fromTime {
		times, err = adm.ListOffsetsAfterMilli(ctx, s.at.UnixMilli(), topics...)
		if err == nil {
			err = times.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("asking for offsets by time: %w", err)
		}
	}
	out := make(spans)
	ends.Each(func(e kadm.ListedOffset) {
		sp := span{from: offsetOr(first, e.Topic, e.Partition, 0), to: e.Offset}
		lowest := sp.from
		switch s.kind {
		case fromLatest:
			sp.from = sp.to
		case fromOffset:
			sp.from = s.offset
		case fromTail:
			sp.from = sp.to - s.offset
		case fromTime:
			sp.from = offsetOr(times, e.Topic, e.Partition, sp.to)
		}
		sp.from = min(max(sp.from, lowest), max(sp.to, lowest))
		if out[e.Topic] == nil {
			out[e.Topic] = make(map[int32]span)
		}
		out[e.Topic][e.Partition] = sp
	})
	return out, nil
}
