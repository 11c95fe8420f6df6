package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordReader reads records that a delimiter separates. It is used by one goroutine.
type recordReader struct {
	scanner   *bufio.Scanner
	bytesMax  int
	json      bool
	separator []byte // between key and value; nil: there is no key
	emptyNull bool   // an empty value is null
	read      int64  // pieces so far
}

func newRecordReader(r io.Reader, delimiter string, bytesMax int) *recordReader {
	s := bufio.NewScanner(r)
	s.Buffer(nil, bytesMax+len(delimiter))
	s.Split(func(data []byte, atEOF bool) (advance int, token []byte, err error) {
		if i := bytes.Index(data, []byte(delimiter)); i >= 0 {
			return i + len(delimiter), data[:i], nil
		}
		if atEOF && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	})
	return &recordReader{scanner: s, bytesMax: bytesMax}
}

// next returns a record, its bytes being the caller's, or io.EOF. A partition that the
// input does not name is -1.
func (r *recordReader) next() (*kgo.Record, error) {
	for {
		if !r.scanner.Scan() {
			switch err := r.scanner.Err(); {
			case err == nil:
				return nil, io.EOF
			case errors.Is(err, bufio.ErrTooLong):
				return nil, hintf(fmt.Errorf("record %d of the input is longer than %d bytes", r.read+1, r.bytesMax),
					"--max-record-bytes allows more; --delimiter says what is between records")
			default:
				return nil, fmt.Errorf("reading the input: %w", err)
			}
		}
		r.read++
		piece := bytes.Clone(r.scanner.Bytes())
		if r.json && len(bytes.TrimSpace(piece)) == 0 {
			continue // between records
		}
		rec, err := r.parse(piece)
		if err != nil {
			return nil, fmt.Errorf("record %d of the input %w", r.read, err)
		}
		return rec, nil
	}
}

func (r *recordReader) parse(piece []byte) (*kgo.Record, error) {
	if r.json {
		return parseJSON(piece)
	}
	if piece == nil {
		piece = []byte{}
	}
	rec := &kgo.Record{Partition: -1, Value: piece}
	if r.separator != nil {
		key, value, ok := bytes.Cut(piece, r.separator)
		if !ok {
			return nil, fmt.Errorf("has no key separator %q", r.separator)
		}
		rec.Key, rec.Value = key, value
	}
	if r.emptyNull && len(rec.Value) == 0 {
		rec.Value = nil
	}
	return rec, nil
}
