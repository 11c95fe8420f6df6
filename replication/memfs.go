package replication

import (
	"sync"

	"github.com/lni/vfs"
)

// NewMemFS returns an empty file system in memory, for tests. A Node that is
// opened anew on it finds what was there.
func NewMemFS() *FS { return &FS{&memFS{MemFS: vfs.NewStrictMem()}} }

// Crash takes the power from a file system in memory: what was not synced before
// is lost once Restart is called. A Node that is open on it may go on until then.
// with, if not nil, is called at that moment, to crash the disk that the store is
// on: what one of the two has, and the other relies on, must not differ.
func (f *FS) Crash(with func()) {
	m, ok := f.fs.(*memFS)
	if !ok {
		return
	}
	m.syncs.Lock()
	defer m.syncs.Unlock()
	m.SetIgnoreSyncs(true)
	if with != nil {
		with()
	}
}

// Restart brings a file system in memory back, as the last Crash left it. No Node
// may be open on it.
func (f *FS) Restart() {
	m, ok := f.fs.(*memFS)
	if !ok {
		return
	}
	m.syncs.Lock()
	defer m.syncs.Unlock()
	m.ResetToSyncedState()
	m.SetIgnoreSyncs(false)
}

// memFS lets no sync happen in the middle of a crash.
type memFS struct {
	*vfs.MemFS
	syncs sync.RWMutex // held for reading by each sync
}

var _ vfs.FS = (*memFS)(nil)

type memFile struct {
	vfs.File
	fs *memFS
}

func (f *memFile) Sync() error {
	f.fs.syncs.RLock()
	defer f.fs.syncs.RUnlock()
	return f.File.Sync()
}

func (m *memFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &memFile{f, m}, nil
}

func (m *memFS) Create(name string) (vfs.File, error) { return m.wrap(m.MemFS.Create(name)) }
func (m *memFS) OpenForAppend(name string) (vfs.File, error) {
	return m.wrap(m.MemFS.OpenForAppend(name))
}
func (m *memFS) OpenDir(name string) (vfs.File, error) { return m.wrap(m.MemFS.OpenDir(name)) }

func (m *memFS) ReuseForWrite(oldname, newname string) (vfs.File, error) {
	return m.wrap(m.MemFS.ReuseForWrite(oldname, newname))
}
