package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/leatlog/leat"
)

// output is what the consumer makes, and what it was made from.
type output struct {
	Balances map[string]int64 `json:"balances"` // in cents
	Applied  int              `json:"applied"`  // payments
	// Offsets are where to go on in each partition.
	Offsets map[string]leat.Offset `json:"offsets"`
}

// apply takes a payment into the balances, and moves the offset past it.
func (o *output) apply(r *leat.Record) error {
	name := partitionName(r.Topic, r.Partition)
	if r.Offset != o.Offsets[name] {
		return fmt.Errorf("%s: got offset %d, want %d", name, r.Offset, o.Offsets[name])
	}
	cents, err := strconv.ParseInt(string(r.Value), 10, 64)
	if err != nil {
		return fmt.Errorf("%s offset %d: %w", name, r.Offset, err)
	}
	o.Balances[string(r.Key)] += cents
	o.Applied++
	o.Offsets[name] = r.Offset + 1
	return nil
}

// load reads the output; without a file it is empty.
func load(file string) (*output, error) {
	o := &output{Balances: make(map[string]int64), Offsets: make(map[string]leat.Offset)}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, o); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return o, nil
}

// save replaces the file as a whole: after a crash it is the old one or the new.
func (o *output) save(file string) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), "balances-*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	// The name is durable when the directory is. Not every system can sync one.
	d, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	_ = d.Sync()
	return d.Close()
}
