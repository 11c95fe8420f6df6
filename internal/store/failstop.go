package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// flushCategory is how Pebble tells that a file will hold a memtable.
const flushCategory vfs.DiskWriteCategory = "pebble-memtable-flush"

// errStopped is what Pebble's background work gets after a failure.
var errStopped = errors.New("the store has failed and writes no more files")

// failStopFS stands between Pebble and the disk. Pebble has no way out when it
// cannot write: for the write-ahead log and the manifest it panics with locks
// held, some of which end the process and some every later call; for blob files
// it runs into a nil pointer on a goroutine of its own; and a flush that failed
// is tried again and again without a pause.
//
// With the first error of a write the file system freezes: the directory stays
// as it is at that moment, as after a crash, and the store is told, which from
// then on takes no writes and acknowledges none. Pebble is not told and goes on
// in memory: what belongs to the log, the manifest and their markers is taken
// and thrown away; tables that are being written, and those that a flush
// writes, go to files in memory, together no more than the memtables held and
// the running compactions were about to write, so that nobody waits for a flush
// for ever; further compactions wait for Close. Reads go on, of the disk and of
// those files. Opening the directory again recovers it as after a crash.
type failStopFS struct {
	vfs.FS
	dir    string
	onFail func(error)

	frozen atomic.Bool

	stopOnce sync.Once
	stop     chan struct{} // closed by release: nothing waits any more

	mem   *vfs.MemFS // what was made since the freeze
	mu    sync.Mutex
	inMem map[string]bool // the names in mem
}

var _ vfs.FS = (*failStopFS)(nil)

func newFailStopFS(inner vfs.FS, dir string, onFail func(error)) *failStopFS {
	return &failStopFS{
		FS:     inner,
		dir:    inner.PathDir(inner.PathJoin(dir, "x")),
		onFail: onFail,
		stop:   make(chan struct{}),
		mem:    vfs.NewMem(),
		inMem:  make(map[string]bool),
	}
}

// freeze stops all writes. The store must know of its failure before: a commit
// whose fsync is only pretended would else find no failure behind it and be
// acknowledged.
func (g *failStopFS) freeze() { g.frozen.Store(true) }

// release ends the waiting of compactions, before the database is closed.
func (g *failStopFS) release() { g.stopOnce.Do(func() { close(g.stop) }) }

// trip reports an error; the file system is frozen when it returns.
func (g *failStopFS) trip(op, name string, err error) {
	g.onFail(fmt.Errorf("%s %s: %w", op, name, err))
	g.freeze()
}

// owns tells whether a file belongs to the store and not to a checkpoint.
func (g *failStopFS) owns(name string) bool { return g.PathDir(name) == g.dir }

func isTable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

func (g *failStopFS) create(op, name string, category vfs.DiskWriteCategory, do func() (vfs.File, error)) (vfs.File, error) {
	if !g.owns(name) {
		return do()
	}
	if !g.frozen.Load() {
		f, err := do()
		if err == nil {
			return &failStopFile{File: f, fs: g, name: name, table: isTable(name)}, nil
		}
		g.trip(op, name, err)
	}
	if isTable(name) && category != flushCategory {
		<-g.stop
		return nil, errStopped
	}
	return g.createInMem(name)
}

func (g *failStopFS) createInMem(name string) (vfs.File, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.mem.MkdirAll(g.dir, 0o755); err != nil {
		return nil, err
	}
	f, err := g.mem.Create(name, vfs.WriteCategoryUnspecified)
	if err == nil {
		g.inMem[name] = true
	}
	return f, err
}

func (g *failStopFS) isInMem(name string) bool {
	if !g.frozen.Load() {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inMem[name]
}

// Create makes a file, in memory after a failure.
func (g *failStopFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.create("creating", name, category, func() (vfs.File, error) { return g.FS.Create(name, category) })
}

// ReuseForWrite makes a file of an old one, in memory after a failure.
func (g *failStopFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.create("creating", newname, category, func() (vfs.File, error) {
		return g.FS.ReuseForWrite(oldname, newname, category)
	})
}

// OpenReadWrite opens a file for reading and writing.
func (g *failStopFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.create("opening", name, category, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, category, opts...) })
}

// Open opens a file for reading.
func (g *failStopFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if g.isInMem(name) {
		return g.mem.Open(name, opts...)
	}
	return g.FS.Open(name, opts...)
}

// OpenDir opens a directory for syncing.
func (g *failStopFS) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil || !g.owns(g.PathJoin(name, "x")) {
		return f, err
	}
	return &failStopFile{File: f, fs: g, name: name}, nil
}

// Remove removes a file, but leaves the disk alone after a failure.
func (g *failStopFS) Remove(name string) error {
	if g.owns(name) && g.frozen.Load() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.inMem[name] {
			delete(g.inMem, name)
			return g.mem.Remove(name)
		}
		return nil
	}
	return g.FS.Remove(name)
}

// RemoveAll removes a directory, but leaves the disk alone after a failure.
func (g *failStopFS) RemoveAll(name string) error {
	if g.owns(name) && g.frozen.Load() {
		return nil
	}
	return g.FS.RemoveAll(name)
}

// Link makes a hard link.
func (g *failStopFS) Link(oldname, newname string) error {
	if g.owns(newname) && g.frozen.Load() {
		return errStopped
	}
	return g.FS.Link(oldname, newname)
}

// Rename renames a file.
func (g *failStopFS) Rename(oldname, newname string) error {
	if g.owns(newname) && g.frozen.Load() {
		return errStopped
	}
	return g.FS.Rename(oldname, newname)
}

// Stat describes a file.
func (g *failStopFS) Stat(name string) (vfs.FileInfo, error) {
	if g.isInMem(name) {
		return g.mem.Stat(name)
	}
	return g.FS.Stat(name)
}

// Unwrap returns the file system below.
func (g *failStopFS) Unwrap() vfs.FS { return g.FS }

// failStopFile is a file, or the directory, that is written to.
type failStopFile struct {
	vfs.File
	fs    *failStopFS
	name  string
	table bool

	written int64    // bytes of a table on disk
	mem     vfs.File // where a table goes on after a failure
}

var _ vfs.File = (*failStopFile)(nil)

// do calls write unless it is too late for that; done tells that it succeeded.
// The error is nil when Pebble must not be told.
func (f *failStopFile) do(op string, write func() error) (done bool, err error) {
	if f.fs.frozen.Load() {
		return false, nil
	}
	err = write()
	if err == nil || errors.Is(err, fs.ErrClosed) {
		return err == nil, err
	}
	f.fs.trip(op, f.name, err)
	return false, nil
}

// Write appends to the file.
func (f *failStopFile) Write(p []byte) (int, error) {
	n := 0
	done, err := f.do("writing", func() (err error) { n, err = f.File.Write(p); return err })
	f.written += int64(n)
	if done || err != nil {
		return n, err
	}
	if f.table {
		if err := f.moveToMem(); err != nil {
			return n, err
		}
		if _, err := f.mem.Write(p[n:]); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

// moveToMem copies what is written so far to a file in memory. What cannot be
// read back stays zero, for a read's checksum to find.
func (f *failStopFile) moveToMem() (err error) {
	if f.mem != nil {
		return nil
	}
	if f.mem, err = f.fs.createInMem(f.name); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for at := int64(0); at < f.written; {
		n := min(int64(len(buf)), f.written-at)
		clear(buf[:n])
		_, _ = f.File.ReadAt(buf[:n], at)
		if _, err := f.mem.Write(buf[:n]); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// WriteAt writes at an offset.
func (f *failStopFile) WriteAt(p []byte, at int64) (n int, err error) {
	done, err := f.do("writing", func() (err error) { n, err = f.File.WriteAt(p, at); return err })
	if done || err != nil {
		return n, err
	}
	return len(p), nil
}

// Sync makes the file durable.
func (f *failStopFile) Sync() error {
	_, err := f.do("fsync of", f.File.Sync)
	return err
}

// SyncData makes the data of the file durable.
func (f *failStopFile) SyncData() error {
	_, err := f.do("fsync of", f.File.SyncData)
	return err
}

// SyncTo begins to make a prefix durable.
func (f *failStopFile) SyncTo(length int64) (full bool, err error) {
	_, err = f.do("fsync of", func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, err
}

// Close closes the file, always.
func (f *failStopFile) Close() error {
	err := f.File.Close()
	if f.mem != nil {
		err = errors.Join(err, f.mem.Close())
	}
	_, err = f.do("closing", func() error { return err })
	return err
}
