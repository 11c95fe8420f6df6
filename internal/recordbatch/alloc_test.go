package recordbatch

import "testing"

func TestAppendDoesNotAllocate(t *testing.T) {
	var b Builder
	b.Reset(make([]byte, 0, 1<<20))
	key, value := []byte("key"), make([]byte, 100)
	headers := []RecordHeader{{"trace", []byte("0123456789abcdef")}}
	if n := testing.AllocsPerRun(1000, func() {
		if err := b.Append(int64(b.Len()), key, value, headers); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatal(n, "allocations a record")
	}
}

func TestBuildUncompressedDoesNotAllocate(t *testing.T) {
	buf := make([]byte, 0, 1<<16)
	value := make([]byte, 100)
	var b Builder
	if n := testing.AllocsPerRun(100, func() {
		b.Reset(buf)
		for i := range 100 {
			if err := b.Append(int64(i), nil, value, nil); err != nil {
				t.Fatal(err)
			}
		}
		out, err := b.Finish(FinishOptions{ProducerID: NoProducerID})
		if err != nil || &out[0] != &buf[:1][0] {
			t.Fatal("not in the buffer", err)
		}
	}); n != 0 {
		t.Fatal(n, "allocations a batch")
	}
}

func TestIterateDoesNotAllocate(t *testing.T) {
	batch := mustBuild(t, variedRecords(), FinishOptions{})
	var it Iterator
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := Verify(batch); err != nil {
			t.Fatal(err)
		}
		if err := it.Reset(batch, nil); err != nil {
			t.Fatal(err)
		}
		n := 0
		for it.Next() {
			n++
		}
		if n != 7 || it.Err() != nil {
			t.Fatal(n, it.Err())
		}
	}); n != 0 {
		t.Fatal(n, "allocations a batch")
	}
}

// A Decompressor allocates for a batch, if at all, but not for its records.
func TestIterateCompressedAllocations(t *testing.T) {
	for _, codec := range allCodecs[1:] {
		batch := benchBatch(t, 5000, 100, codec)
		d := NewDecompressor(0)
		var it Iterator
		n := testing.AllocsPerRun(20, func() {
			if err := it.Reset(batch, d); err != nil {
				t.Fatal(err)
			}
			for it.Next() {
			}
			if it.Err() != nil {
				t.Fatal(it.Err())
			}
		})
		if n > 20 {
			t.Fatal(codec, n, "allocations for 5,000 records")
		}
		t.Logf("%v: %v allocations", codec, n)
	}
}

func TestValidateDoesNotAllocate(t *testing.T) {
	recs := variedRecords()
	batch := mustBuild(t, recs, FinishOptions{})
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Validate(batch, Limits{}); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatal(n, "allocations a batch")
	}
}

func TestFilterOfAllDoesLittle(t *testing.T) {
	batch := benchBatch(t, 1000, 100, None)
	if n := testing.AllocsPerRun(100, func() {
		if _, _, err := Filter(batch, nil, func(*Record) bool { return true }, FilterOptions{}); err != nil {
			t.Fatal(err)
		}
	}); n > 4 {
		t.Fatal(n, "allocations a batch")
	}
}
