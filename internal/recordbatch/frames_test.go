package recordbatch

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// testdata/frames has the same text packed by the codecs' C libraries, with
// the options that our own packing does not use: lz4 blocks that refer to
// earlier ones, checksums of blocks and contents, sizes given and not.
func TestFramesOfTheCLibraries(t *testing.T) {
	var text []byte
	for i := range 12000 {
		text = fmt.Appendf(text, "%d turns of the mill\n", i*i%997)
	}
	names, err := filepath.Glob("testdata/frames/*")
	if err != nil || len(names) != 6 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			packed := readFile(t, "frames", filepath.Base(name))
			var codec Codec
			for _, c := range allCodecs {
				if strings.HasSuffix(name, "."+c.String()) {
					codec = c
				}
			}
			d := NewDecompressor(len(text))
			for range 2 {
				if got, err := d.Decompress(codec, packed); err != nil || !bytes.Equal(got, text) {
					t.Fatal(len(got), err)
				}
			}
			if _, err := NewDecompressor(len(text)-1).Decompress(codec, packed); !errors.Is(err, ErrDecompressedTooLarge) {
				t.Fatal(err)
			}
			if _, err := d.Decompress(codec, packed[:len(packed)-1]); !errors.Is(err, ErrCorrupt) {
				t.Fatal("cut:", err)
			}
		})
	}
}

// testdata/kafka-python has three records as kafka-python 3.0.12 sends them.
func TestReadsKafkaPythonsBytes(t *testing.T) {
	var want []testRecord
	for i := range int32(3) {
		want = append(want, testRecord{i, 1_700_000_000_000 + int64(i), fmt.Appendf(nil, "k%d", i),
			bytes.Repeat([]byte("value "), 40), []RecordHeader{{"h", []byte("x")}}})
	}
	for _, codec := range allCodecs {
		b := readFile(t, "kafka-python", codec.String()+".batch")
		h, err := Validate(b, Limits{RequireKeys: true})
		if err != nil || h.Codec() != codec {
			t.Fatal(codec, h, err)
		}
		if err := diffRecords(collect(t, b, nil), want); err != nil {
			t.Fatal(codec, err)
		}
	}
}
