package scenario

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Header is one header of a record; keys may repeat.
type Header struct {
	Key   string
	Value []byte
}

// Record is a record as any of the clients sends or receives it.
type Record struct {
	Partition int
	Offset    int64
	Key       []byte // nil is no key
	Value     []byte
	Headers   []Header
	Timestamp int64 // milliseconds since 1970
}

// Sample is record i of the series that every client in every language produces: keys
// and none, headers of text and of bytes, values of several lengths in UTF-8, one
// second between timestamps.
func (e Env) Sample(i int) Record {
	r := Record{
		Value: fmt.Appendf(nil, "value-%04d-é✓-%s", i, strings.Repeat("abcdefghij", i%7*10)),
		Headers: []Header{
			{Key: "index", Value: fmt.Appendf(nil, "%d", i)},
			{Key: "bytes", Value: []byte{0x00, 0x01, 0xfe, 0xff}},
		},
		Timestamp: e.StartMillis + int64(i)*1000,
	}
	if i%4 != 3 {
		r.Key = fmt.Appendf(nil, "key-%04d", i)
	}
	return r
}

// Samples are the records lo to hi-1 of the series, for a partition.
func (e Env) Samples(partition, lo, hi int) []Record {
	recs := make([]Record, 0, hi-lo)
	for i := lo; i < hi; i++ {
		r := e.Sample(i)
		r.Partition = partition
		recs = append(recs, r)
	}
	return recs
}

// Same tells how a record that was read differs from what was to be expected, but for
// its offset; nil if it does not.
func Same(got, want Record) error {
	switch {
	case got.Partition != want.Partition:
		return fmt.Errorf("partition %d, want %d", got.Partition, want.Partition)
	case (got.Key == nil) != (want.Key == nil) || !bytes.Equal(got.Key, want.Key):
		return fmt.Errorf("key %q, want %q", got.Key, want.Key)
	case !bytes.Equal(got.Value, want.Value):
		return fmt.Errorf("value %q, want %q", got.Value, want.Value)
	case got.Timestamp != want.Timestamp:
		return fmt.Errorf("timestamp %d, want %d", got.Timestamp, want.Timestamp)
	case len(got.Headers) != len(want.Headers):
		return fmt.Errorf("%d headers, want %d", len(got.Headers), len(want.Headers))
	}
	for i, h := range got.Headers {
		if w := want.Headers[i]; h.Key != w.Key || !bytes.Equal(h.Value, w.Value) {
			return fmt.Errorf("header %d: %q=%q, want %q=%q", i, h.Key, h.Value, w.Key, w.Value)
		}
	}
	return nil
}

// SameAll checks records read from one partition against what was to be expected from
// an offset on, in order.
func SameAll(got, want []Record, from int64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].Offset != from+int64(i) {
			return fmt.Errorf("record %d: offset %d, want %d", i, got[i].Offset, from+int64(i))
		}
		if err := Same(got[i], want[i]); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
	}
	return nil
}

// SameValues checks the values of a partition after failover, which are different from
// each other, and tells what is wrong with them.
func SameValues(got, want []string) error {
	if slices.Equal(got, want) {
		return nil
	}
	missing, wrong := make(map[string]bool, len(want)), []string{}
	for _, v := range want {
		missing[v] = true
	}
	for i, v := range got {
		if !missing[v] {
			wrong = append(wrong, fmt.Sprintf("%q again at %d", v, i))
		}
		delete(missing, v)
	}
	for _, v := range want {
		if missing[v] {
			wrong = append(wrong, fmt.Sprintf("%q is lost", v))
		}
	}
	if len(wrong) == 0 {
		return fmt.Errorf("out of order: %v", got)
	}
	return fmt.Errorf("%d of %d values: %s", len(got), len(want), strings.Join(wrong[:min(len(wrong), 10)], ", "))
}
