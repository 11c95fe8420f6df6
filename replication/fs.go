package replication

import (
	"io"
	"os"
	"strings"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/vfs"
)

// FS is a file system for dragonboat's own files: the Raft snapshots of the
// metadata, and those of data shards while they are received.
type FS struct{ fs vfs.FS }

// NewMemFS returns an empty file system in memory, for tests. A Node that is
// opened anew on it finds what was there.
func NewMemFS() *FS { return &FS{vfs.NewStrictMem()} }

// Crash loses what was not synced. No Node may be open on the file system.
func (f *FS) Crash() {
	if m, ok := f.fs.(*vfs.MemFS); ok {
		m.ResetToSyncedState()
	}
}

// hostDir is what takes the place of the machine's name in paths.
const hostDir = "node"

// raftFS is the file system of one Node. dragonboat puts the machine's name into
// its paths, so that a container that comes back under another name would not
// find its files: here all names lead to one directory.
//
// It panics when a file cannot be written. So the first error fails the node,
// and the call waits until it is closed.
type raftFS struct {
	vfs.FS
	from, to string // prefixes of paths
	fault    *fault
}

var _ config.IFS = (*raftFS)(nil)

// newRaftFS returns the file system for a Node's directory, which is absolute.
func newRaftFS(inner vfs.FS, dir string, f *fault) (*raftFS, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	return &raftFS{
		FS:    inner,
		from:  inner.PathJoin(dir, host),
		to:    inner.PathJoin(dir, hostDir),
		fault: f,
	}, nil
}

// name returns the path that a file has here.
func (r *raftFS) name(name string) string {
	if rest, ok := strings.CutPrefix(name, r.from); ok && (rest == "" || os.IsPathSeparator(rest[0])) {
		return r.to + rest
	}
	return name
}

// settle fails the node for an error of a write. os.ErrNotExist and
// os.ErrExist are answers.
func (r *raftFS) settle(err error) error {
	if err == nil || os.IsNotExist(err) || os.IsExist(err) {
		return err
	}
	r.fault.fail(err)
	r.fault.wait()
	return nil
}

// file hides errors of writes in the same way.
type raftFile struct {
	vfs.File
	fs *raftFS
}

func (f *raftFile) Write(b []byte) (int, error) {
	if n, err := f.File.Write(b); err != nil {
		if err = f.fs.settle(err); err != nil {
			return n, err
		}
	}
	return len(b), nil
}

func (f *raftFile) WriteAt(b []byte, at int64) (int, error) {
	if n, err := f.File.WriteAt(b, at); err != nil {
		if err = f.fs.settle(err); err != nil {
			return n, err
		}
	}
	return len(b), nil
}

func (f *raftFile) Sync() error { return f.fs.settle(f.File.Sync()) }

func (r *raftFS) written(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		if err = r.settle(err); err != nil {
			return nil, err
		}
		return vfs.NewMem().Create("lost") // the node is being closed
	}
	return &raftFile{f, r}, nil
}

func (r *raftFS) Create(name string) (vfs.File, error) { return r.written(r.FS.Create(r.name(name))) }

func (r *raftFS) OpenForAppend(name string) (vfs.File, error) {
	return r.written(r.FS.OpenForAppend(r.name(name)))
}

func (r *raftFS) ReuseForWrite(oldname, newname string) (vfs.File, error) {
	return r.written(r.FS.ReuseForWrite(r.name(oldname), r.name(newname)))
}

func (r *raftFS) Link(oldname, newname string) error {
	return r.settle(r.FS.Link(r.name(oldname), r.name(newname)))
}

func (r *raftFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return r.FS.Open(r.name(name), opts...)
}

// OpenDir opens a directory, whose Sync is a write.
func (r *raftFS) OpenDir(name string) (vfs.File, error) {
	f, err := r.FS.OpenDir(r.name(name))
	if err != nil {
		return nil, err
	}
	return &raftFile{f, r}, nil
}

func (r *raftFS) Remove(name string) error    { return r.settle(r.FS.Remove(r.name(name))) }
func (r *raftFS) RemoveAll(name string) error { return r.settle(r.FS.RemoveAll(r.name(name))) }

func (r *raftFS) Rename(oldname, newname string) error {
	return r.settle(r.FS.Rename(r.name(oldname), r.name(newname)))
}

func (r *raftFS) MkdirAll(dir string, perm os.FileMode) error {
	return r.settle(r.FS.MkdirAll(r.name(dir), perm))
}

func (r *raftFS) Lock(name string) (io.Closer, error)          { return r.FS.Lock(r.name(name)) }
func (r *raftFS) List(dir string) ([]string, error)            { return r.FS.List(r.name(dir)) }
func (r *raftFS) Stat(name string) (os.FileInfo, error)        { return r.FS.Stat(r.name(name)) }
func (r *raftFS) GetDiskUsage(p string) (vfs.DiskUsage, error) { return r.FS.GetDiskUsage(r.name(p)) }
