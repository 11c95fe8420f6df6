package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// jsonRecord is a record as consume prints it with --json and produce reads it with
// --input json. Bytes that are not UTF-8 are in the field that ends in _base64.
type jsonRecord struct {
	Topic       string       `json:"topic,omitempty"`
	Partition   *int32       `json:"partition,omitempty"`
	Offset      *int64       `json:"offset,omitempty"`
	Timestamp   *time.Time   `json:"timestamp,omitempty"`
	Key         *string      `json:"key"` // null is no key
	KeyBase64   []byte       `json:"key_base64,omitempty"`
	Value       *string      `json:"value"` // null is a tombstone
	ValueBase64 []byte       `json:"value_base64,omitempty"`
	Headers     []jsonHeader `json:"headers"`
}

type jsonHeader struct {
	Key         string  `json:"key"`
	Value       *string `json:"value"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
}

// jsonBytes returns b for the field of texts, or for that of other bytes.
func jsonBytes(b []byte) (text *string, base64 []byte) {
	if b == nil {
		return nil, nil
	}
	if !utf8.Valid(b) {
		return nil, b
	}
	s := string(b)
	return &s, nil
}

// bytesOf is the other way round.
func bytesOf(text *string, base64 []byte, field string) ([]byte, error) {
	switch {
	case text != nil && base64 != nil:
		return nil, fmt.Errorf("has both %s and %s_base64", field, field)
	case text != nil:
		return []byte(*text), nil
	}
	return base64, nil
}

// appendJSON appends a record as a line of JSON.
func appendJSON(to []byte, r *kgo.Record) ([]byte, error) {
	at := r.Timestamp.UTC()
	j := jsonRecord{Topic: r.Topic, Partition: &r.Partition, Offset: &r.Offset, Timestamp: &at, Headers: []jsonHeader{}}
	j.Key, j.KeyBase64 = jsonBytes(r.Key)
	j.Value, j.ValueBase64 = jsonBytes(r.Value)
	for _, h := range r.Headers {
		jh := jsonHeader{Key: h.Key}
		jh.Value, jh.ValueBase64 = jsonBytes(h.Value)
		j.Headers = append(j.Headers, jh)
	}
	b := bytes.NewBuffer(to)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(&j)
	return b.Bytes(), err
}

// parseJSON reads a line of JSON. What the record leaves out is the program's choice:
// no partition is -1, no timestamp is zero. Topic and offset are not taken over.
func parseJSON(line []byte) (*kgo.Record, error) {
	var j jsonRecord
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&j); err != nil {
		return nil, fmt.Errorf("is not a record in JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has more than one JSON value")
	}
	r := &kgo.Record{Partition: -1}
	var err error
	if r.Key, err = bytesOf(j.Key, j.KeyBase64, "key"); err != nil {
		return nil, err
	}
	if r.Value, err = bytesOf(j.Value, j.ValueBase64, "value"); err != nil {
		return nil, err
	}
	for _, h := range j.Headers {
		v, err := bytesOf(h.Value, h.ValueBase64, "value")
		if err != nil {
			return nil, fmt.Errorf("header %q: %w", h.Key, err)
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: v})
	}
	if j.Partition != nil {
		if *j.Partition < 0 {
			return nil, fmt.Errorf("partition %d must not be negative", *j.Partition)
		}
		r.Partition = *j.Partition
	}
	if j.Timestamp != nil {
		r.Timestamp = *j.Timestamp
	}
	return r, nil
}
