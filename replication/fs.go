package replication

import (
	"errors"
	"io"
	"os"
	"runtime"
	"strings"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/statemachine"
	"github.com/lni/vfs"
)

// FS is a file system for dragonboat's own files: the Raft snapshots of the
// metadata, and those of data shards while they are received.
type FS struct{ fs vfs.FS }

// hostDir is what takes the place of the machine's name in paths.
const hostDir = "node"

// raftFS is the file system of one Node. dragonboat puts the machine's name into
// its paths, so that a container that comes back under another name would not
// find its files: here all names lead to one directory.
//
// It panics when a file cannot be written, but for the error that says that a Raft
// snapshot was stopped, which it takes as part of being closed. So an error fails
// the node and becomes that one.
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

// mkdirSynced makes a directory, and those above it, that a power loss does not
// take again.
func mkdirSynced(fs vfs.FS, dir string) error {
	var made []string // the directories that get a new entry
	for at := dir; fs.PathDir(at) != at; at = fs.PathDir(at) {
		_, err := fs.Stat(at)
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		made = append(made, fs.PathDir(at))
	}
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, parent := range made {
		d, err := fs.OpenDir(parent)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// receiving is in the path of a Raft snapshot that comes in.
const receiving = ".receiving"

// settle fails the node for an error of a write. os.ErrNotExist and os.ErrExist
// are answers.
//
// What is received is written by a goroutine of the Transport, within its
// handler: dragonboat has no error there that it does not panic for. That
// goroutine is ended, with all its deferred calls; its connection is of no use any
// more.
func (r *raftFS) settle(name string, err error) error {
	if err == nil || errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrExist) {
		return err
	}
	r.fault.fail(err)
	if strings.Contains(name, receiving) {
		runtime.Goexit()
	}
	return statemachine.ErrSnapshotStopped
}

// removed is settle for a removal, of which dragonboat hears nothing: what is left
// over is removed at the next start.
func (r *raftFS) removed(err error) error {
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.fault.fail(err)
		return nil
	}
	return err
}

// raftFile settles errors of writes in the same way.
type raftFile struct {
	vfs.File
	fs   *raftFS
	name string
}

func (f *raftFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	return n, f.fs.settle(f.name, err)
}

func (f *raftFile) WriteAt(b []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(b, at)
	return n, f.fs.settle(f.name, err)
}

func (f *raftFile) Sync() error  { return f.fs.settle(f.name, f.File.Sync()) }
func (f *raftFile) Close() error { return f.fs.settle(f.name, f.File.Close()) }

func (r *raftFS) written(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, r.settle(name, err)
	}
	return &raftFile{f, r, name}, nil
}

func (r *raftFS) Create(name string) (vfs.File, error) {
	f, err := r.FS.Create(r.name(name))
	return r.written(name, f, err)
}

func (r *raftFS) OpenForAppend(name string) (vfs.File, error) {
	f, err := r.FS.OpenForAppend(r.name(name))
	return r.written(name, f, err)
}

func (r *raftFS) ReuseForWrite(oldname, newname string) (vfs.File, error) {
	f, err := r.FS.ReuseForWrite(r.name(oldname), r.name(newname))
	return r.written(newname, f, err)
}

func (r *raftFS) Link(oldname, newname string) error {
	return r.settle(newname, r.FS.Link(r.name(oldname), r.name(newname)))
}

func (r *raftFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return r.FS.Open(r.name(name), opts...)
}

// OpenDir opens a directory, whose Sync is a write.
func (r *raftFS) OpenDir(name string) (vfs.File, error) {
	f, err := r.FS.OpenDir(r.name(name))
	return r.written(name, f, err)
}

func (r *raftFS) Remove(name string) error    { return r.removed(r.FS.Remove(r.name(name))) }
func (r *raftFS) RemoveAll(name string) error { return r.removed(r.FS.RemoveAll(r.name(name))) }

func (r *raftFS) Rename(oldname, newname string) error {
	return r.settle(oldname, r.FS.Rename(r.name(oldname), r.name(newname)))
}

func (r *raftFS) MkdirAll(dir string, perm os.FileMode) error {
	return r.settle(dir, r.FS.MkdirAll(r.name(dir), perm))
}

func (r *raftFS) Lock(name string) (io.Closer, error)          { return r.FS.Lock(r.name(name)) }
func (r *raftFS) List(dir string) ([]string, error)            { return r.FS.List(r.name(dir)) }
func (r *raftFS) Stat(name string) (os.FileInfo, error)        { return r.FS.Stat(r.name(name)) }
func (r *raftFS) GetDiskUsage(p string) (vfs.DiskUsage, error) { return r.FS.GetDiskUsage(r.name(p)) }
