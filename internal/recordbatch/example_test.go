package recordbatch_test

import (
	"fmt"

	"github.com/leatlog/leat/internal/recordbatch"
)

func Example() {
	var b recordbatch.Builder
	for _, word := range []string{"corn", "flour", "bread"} {
		if err := b.Append(1_700_000_000_000, nil, []byte(word), nil); err != nil {
			fmt.Println(err)
			return
		}
	}
	batch, err := b.Finish(recordbatch.FinishOptions{ProducerID: recordbatch.NoProducerID})
	if err != nil {
		fmt.Println(err)
		return
	}
	// What the log does with it.
	if _, err := recordbatch.Validate(batch, recordbatch.Limits{}); err != nil {
		fmt.Println(err)
		return
	}
	recordbatch.SetBaseOffset(batch, 40)
	recordbatch.SetLeaderEpoch(batch, 3)
	// What a consumer does with it.
	var it recordbatch.Iterator
	if err := it.Reset(batch, nil); err != nil {
		fmt.Println(err)
		return
	}
	for it.Next() {
		r := it.Record()
		fmt.Println(r.Offset, string(r.Value))
	}
	fmt.Println(it.Err())
	// Output:
	// 40 corn
	// 41 flour
	// 42 bread
	// <nil>
}

func ExampleFilter() {
	var b recordbatch.Builder
	for _, kv := range []string{"a1", "b1", "a2"} {
		if err := b.Append(1_700_000_000_000, []byte(kv[:1]), []byte(kv[1:]), nil); err != nil {
			fmt.Println(err)
			return
		}
	}
	batch, err := b.Finish(recordbatch.FinishOptions{ProducerID: recordbatch.NoProducerID, BaseOffset: 7})
	if err != nil {
		fmt.Println(err)
		return
	}
	latest := map[string]int64{"a": 9, "b": 8}
	out, kept, err := recordbatch.Filter(batch, nil, func(r *recordbatch.Record) bool {
		return latest[string(r.Key)] == int64(r.Offset)
	}, recordbatch.FilterOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	h, err := recordbatch.Verify(out)
	fmt.Println(kept, "of offsets", h.BaseOffset, "to", h.LastOffset(), err)
	// Output:
	// 2 of offsets 7 to 9 <nil>
}
