package recordbatch

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

// testdata/kafka has what MemoryRecords of Apache Kafka's own
// kafka-clients 4.1.1 makes of variedRecords, in each codec, and a commit
// marker, and what its compaction leaves of none.batch; testdata/leat has the same records as this package encodes them.

var update = flag.Bool("update", false, "write testdata/leat anew")

func goldenOptions(codec Codec) FinishOptions {
	return FinishOptions{Codec: codec, BaseOffset: 1000, LeaderEpoch: 7,
		ProducerID: 42, ProducerEpoch: 3, BaseSequence: 99, Transactional: true}
}

func readFile(t testing.TB, elem ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, elem...)...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReadsKafkasBytes(t *testing.T) {
	for _, codec := range allCodecs {
		t.Run(codec.String(), func(t *testing.T) {
			golden := readFile(t, "kafka", codec.String()+".batch")
			h, err := Verify(golden)
			if err != nil {
				t.Fatal(err)
			}
			want := Header{
				BaseOffset: 1000, BatchLength: int32(len(golden) - 12), LeaderEpoch: 7, Magic: 2, CRC: h.CRC,
				Attributes: Attributes(codec) | transactionalBit, LastOffsetDelta: 6,
				BaseTimestamp: 1_700_000_000_000, MaxTimestamp: 1_700_000_100_000,
				ProducerID: 42, ProducerEpoch: 3, BaseSequence: 99, NumRecords: 7,
			}
			if h != want {
				t.Fatalf("%+v, want\n%+v", h, want)
			}
			if err := diffRecords(collect(t, golden, NewDecompressor(0)), variedRecords()); err != nil {
				t.Fatal(err)
			}
			SetBaseOffset(golden, 0)
			if _, err := Validate(golden, Limits{}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestSameBytesAsKafka(t *testing.T) {
	if ours, golden := mustBuild(t, variedRecords(), goldenOptions(None)), readFile(t, "kafka", "none.batch"); !bytes.Equal(ours, golden) {
		t.Fatalf("ours\n%x\nKafka's\n%x", ours, golden)
	}
}

// A consumer walks over a marker without noticing, but for IsControl.
func TestReadsKafkasControlBatch(t *testing.T) {
	golden := readFile(t, "kafka", "commit-marker.batch")
	h, err := Verify(golden)
	if err != nil || !h.IsControl() || !h.IsTransactional() || h.BaseOffset != 1007 || h.ProducerID != 42 ||
		h.BaseSequence != NoSequence || h.LastSequence() != NoSequence || h.NumRecords != 1 {
		t.Fatalf("%+v, %v", h, err)
	}
	want := []testRecord{{0, 1_700_000_000_500, []byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 5}, nil}}
	if err := diffRecords(collect(t, golden, nil), want); err != nil {
		t.Fatal(err)
	}
}

// The uncompressed batch is pinned byte by byte. Compressors may change with
// their version: what they once wrote must only stay readable.
func TestReadsOurOwnBytes(t *testing.T) {
	for _, codec := range allCodecs {
		name := filepath.Join("testdata", "leat", codec.String()+".batch")
		if *update {
			if err := os.WriteFile(name, mustBuild(t, variedRecords(), goldenOptions(codec)), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		golden := readFile(t, "leat", codec.String()+".batch")
		if _, err := Verify(golden); err != nil {
			t.Fatal(codec, err)
		}
		if err := diffRecords(collect(t, golden, nil), variedRecords()); err != nil {
			t.Fatal(codec, err)
		}
		if ours := mustBuild(t, variedRecords(), goldenOptions(codec)); codec == None && !bytes.Equal(ours, golden) {
			t.Fatalf("encoded as\n%x, golden\n%x", ours, golden)
		}
	}
}

// Compaction leaves the bytes that Kafka's cleaner leaves, delete horizon and
// empty batches included.
func TestFiltersAsKafka(t *testing.T) {
	const horizon = 1_800_000_000_000 + 86_400_000
	for _, c := range []struct {
		name string
		keep string
	}{{"filter-135", "135"}, {"filter-014", "014"}, {"filter-none", ""}} {
		t.Run(c.name, func(t *testing.T) {
			out, kept, err := Filter(readFile(t, "kafka", "none.batch"), nil, func(r *Record) bool {
				return bytes.IndexByte([]byte(c.keep), byte('0'+r.Offset-1000)) >= 0
			}, FilterOptions{KeepEmpty: true, DeleteHorizon: horizon})
			if err != nil || kept != len(c.keep) {
				t.Fatal(kept, err)
			}
			if golden := readFile(t, "kafka", c.name+".batch"); !bytes.Equal(out, golden) {
				t.Fatalf("ours\n%x\nKafka's\n%x", out, golden)
			}
		})
	}
}
