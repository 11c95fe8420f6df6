package store

import (
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logStepBytes is how far ahead of its end a file of the write-ahead log takes
// space.
const logStepBytes = 4 << 20

// logStepFS lets the files of the write-ahead log take their space as they grow.
// Pebble would take a memtable's worth for each at once, and keeps some for later:
// a Log that holds a few records would have 70 MiB on disk, and after some use
// 400 MiB.
type logStepFS struct{ vfs.FS }

var _ vfs.FS = logStepFS{}

// Create makes a file.
func (s logStepFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, category)
	return asLogFile(f, name, err)
}

// ReuseForWrite makes a file of an old one.
func (s logStepFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.ReuseForWrite(oldname, newname, category)
	return asLogFile(f, newname, err)
}

// Unwrap returns the file system below.
func (s logStepFS) Unwrap() vfs.FS { return s.FS }

func asLogFile(f vfs.File, name string, err error) (vfs.File, error) {
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return &logFile{File: f}, nil
}

// logFile is a file of the write-ahead log, written from its begin to its end by
// one goroutine.
type logFile struct {
	vfs.File
	end   int64 // behind the last byte written
	taken int64 // space was taken up to here
}

var _ vfs.File = (*logFile)(nil)

// Preallocate does nothing: Write takes the space.
func (*logFile) Preallocate(int64, int64) error { return nil }

// Write appends to the file.
func (l *logFile) Write(p []byte) (int, error) {
	if need := l.end + int64(len(p)); need > l.taken {
		from := l.taken
		l.taken = (need/logStepBytes + 1) * logStepBytes
		// It only saves the file system work. If there is no space, the write
		// says so.
		_ = l.File.Preallocate(from, l.taken-from)
	}
	n, err := l.File.Write(p)
	l.end += int64(n)
	return n, err
}
