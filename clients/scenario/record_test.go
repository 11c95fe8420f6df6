package scenario

import "testing"

func TestSameAllSeesEveryDifference(t *testing.T) {
	t.Parallel()
	env := Env{StartMillis: 1_700_000_000_000}
	read := func() []Record {
		recs := env.Samples(2, 5, 9)
		for i := range recs {
			recs[i].Offset = int64(5 + i)
		}
		return recs
	}
	want := env.Samples(2, 5, 9)
	if err := SameAll(read(), want, 5); err != nil {
		t.Fatalf("the same records differ: %v", err)
	}
	for name, change := range map[string]func([]Record) []Record{
		"one less":         func(r []Record) []Record { return r[:3] },
		"one more":         func(r []Record) []Record { return append(r, r[0]) },
		"order":            func(r []Record) []Record { r[0], r[1] = r[1], r[0]; return r },
		"offset":           func(r []Record) []Record { r[3].Offset++; return r },
		"partition":        func(r []Record) []Record { r[1].Partition = 1; return r },
		"key":              func(r []Record) []Record { r[0].Key = []byte("other"); return r },
		"empty for no key": func(r []Record) []Record { r[2].Key = []byte{}; return r },
		"value":            func(r []Record) []Record { r[0].Value = nil; return r },
		"timestamp":        func(r []Record) []Record { r[0].Timestamp++; return r },
		"no headers":       func(r []Record) []Record { r[0].Headers = nil; return r },
		"header's key":     func(r []Record) []Record { r[0].Headers[0].Key = "other"; return r },
		"header's value":   func(r []Record) []Record { r[0].Headers[1].Value = nil; return r },
	} {
		if SameAll(change(read()), want, 5) == nil {
			t.Errorf("%s: not seen", name)
		}
	}
}
