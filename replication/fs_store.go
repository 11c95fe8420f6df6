package replication

import (
	"errors"
	"io"
	"os"

	"github.com/lni/vfs"

	"github.com/leatlog/leat/internal/store"
)

// NewFS returns a file system for dragonboat's own files that keeps them on one of
// a Store, so that a test's disk loses, fills and fails both alike.
func NewFS(fs store.FS) *FS { return &FS{storeFS{fs}} }

// storeFS is a store's file system as dragonboat wants it. What it does not
// implement is of the same form in both.
type storeFS struct{ store.FS }

var _ vfs.FS = storeFS{}

// diskCategory is what the store's file system counts dragonboat's writes under.
const diskCategory = "raft"

func (s storeFS) Create(name string) (vfs.File, error) {
	// Only what is opened for reading and writing can be written at an offset.
	f, err := s.FS.Create(name, diskCategory)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return s.openReadWrite(name)
}

func (s storeFS) openReadWrite(name string) (*storeFile, error) {
	f, err := s.FS.OpenReadWrite(name, diskCategory)
	if err != nil {
		return nil, err
	}
	return &storeFile{f: f, stat: func() (os.FileInfo, error) { return f.Stat() }}, nil
}

func (s storeFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := s.FS.Open(name)
	if err != nil {
		return nil, err
	}
	file := &storeFile{f: f, stat: func() (os.FileInfo, error) { return f.Stat() }}
	for _, o := range opts {
		o.Apply(file)
	}
	return file, nil
}

func (s storeFS) OpenDir(name string) (vfs.File, error) {
	f, err := s.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &storeFile{f: f, stat: func() (os.FileInfo, error) { return f.Stat() }}, nil
}

func (s storeFS) OpenForAppend(name string) (vfs.File, error) {
	f, err := s.openReadWrite(name)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (s storeFS) ReuseForWrite(oldname, newname string) (vfs.File, error) {
	if err := s.FS.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return s.openReadWrite(newname)
}

func (s storeFS) Stat(name string) (os.FileInfo, error) { return s.FS.Stat(name) }

func (s storeFS) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	u, err := s.FS.GetDiskUsage(path)
	return vfs.DiskUsage{AvailBytes: u.AvailBytes, TotalBytes: u.TotalBytes, UsedBytes: u.UsedBytes}, err
}

// storeFile is a file of a storeFS, with the position that dragonboat's have.
type storeFile struct {
	f interface {
		io.Closer
		io.ReaderAt
		io.WriterAt
		Sync() error
	}
	stat func() (os.FileInfo, error)
	at   int64
}

var _ vfs.File = (*storeFile)(nil)

func (f *storeFile) Read(b []byte) (int, error) {
	n, err := f.f.ReadAt(b, f.at)
	f.at += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (f *storeFile) Write(b []byte) (int, error) {
	n, err := f.f.WriteAt(b, f.at)
	f.at += int64(n)
	return n, err
}

func (f *storeFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		info, err := f.stat()
		if err != nil {
			return 0, err
		}
		offset += info.Size()
	default:
		return 0, os.ErrInvalid
	}
	if offset < 0 {
		return 0, os.ErrInvalid
	}
	f.at = offset
	return offset, nil
}

func (f *storeFile) ReadAt(b []byte, at int64) (int, error)  { return f.f.ReadAt(b, at) }
func (f *storeFile) WriteAt(b []byte, at int64) (int, error) { return f.f.WriteAt(b, at) }
func (f *storeFile) Stat() (os.FileInfo, error)              { return f.stat() }
func (f *storeFile) Sync() error                             { return f.f.Sync() }
func (f *storeFile) Close() error                            { return f.f.Close() }
