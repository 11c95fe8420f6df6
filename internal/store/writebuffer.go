package store

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// tableWriteBytes is how much of a table is collected before it goes to the
// operating system.
const tableWriteBytes = 512 << 10

// tableBufferFS collects the writes to tables and blob files. Pebble hands them
// down in pieces of at most a block, and a block here is a record batch: with
// 1,000 partitions and batches of 32 to 64 KiB that were three times as many
// calls to the operating system, and a quarter of the time spent in it.
//
// It lies above failStopFS, which therefore sees the bytes in their order and
// decides what a failing disk means.
type tableBufferFS struct{ vfs.FS }

var _ vfs.FS = tableBufferFS{}

// Create makes a file.
func (b tableBufferFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := b.FS.Create(name, category)
	if err != nil || !isTable(name) {
		return f, err
	}
	return &tableBuffer{File: f}, nil
}

// Unwrap returns the file system below.
func (b tableBufferFS) Unwrap() vfs.FS { return b.FS }

// tableBuffer is a table that is being written, from its begin to its end, by one
// goroutine.
type tableBuffer struct {
	vfs.File
	buf []byte // written to tableBuffer and not yet to File; its capacity is tableWriteBytes
}

var _ vfs.File = (*tableBuffer)(nil)

// Write appends to the file. An error may be that of earlier bytes.
func (t *tableBuffer) Write(p []byte) (int, error) {
	if len(t.buf)+len(p) > tableWriteBytes {
		if err := t.flush(); err != nil {
			return 0, err
		}
		if len(p) >= tableWriteBytes {
			return t.File.Write(p)
		}
	}
	if t.buf == nil {
		t.buf = make([]byte, 0, tableWriteBytes)
	}
	t.buf = append(t.buf, p...)
	return len(p), nil
}

func (t *tableBuffer) flush() error {
	if len(t.buf) == 0 {
		return nil
	}
	_, err := t.File.Write(t.buf)
	t.buf = t.buf[:0]
	return err
}

// WriteAt writes at an offset.
func (t *tableBuffer) WriteAt(p []byte, at int64) (int, error) {
	if err := t.flush(); err != nil {
		return 0, err
	}
	return t.File.WriteAt(p, at)
}

// Read reads on.
func (t *tableBuffer) Read(p []byte) (int, error) {
	if err := t.flush(); err != nil {
		return 0, err
	}
	return t.File.Read(p)
}

// ReadAt reads at an offset.
func (t *tableBuffer) ReadAt(p []byte, at int64) (int, error) {
	if err := t.flush(); err != nil {
		return 0, err
	}
	return t.File.ReadAt(p, at)
}

// Stat describes the file.
func (t *tableBuffer) Stat() (vfs.FileInfo, error) {
	if err := t.flush(); err != nil {
		return nil, err
	}
	return t.File.Stat()
}

// Sync makes the file durable.
func (t *tableBuffer) Sync() error {
	if err := t.flush(); err != nil {
		return err
	}
	return t.File.Sync()
}

// SyncData makes the data of the file durable.
func (t *tableBuffer) SyncData() error {
	if err := t.flush(); err != nil {
		return err
	}
	return t.File.SyncData()
}

// SyncTo begins to make a prefix durable.
func (t *tableBuffer) SyncTo(length int64) (bool, error) {
	if err := t.flush(); err != nil {
		return false, err
	}
	return t.File.SyncTo(length)
}

// Close writes what is left and closes the file, always.
func (t *tableBuffer) Close() error {
	err := t.flush()
	t.buf = nil
	return errors.Join(err, t.File.Close())
}
