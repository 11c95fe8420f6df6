package store

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

// TestOpenFaults lets the disk fail at each write of Open and Close in turn,
// with a log to replay. Open gives an error and nothing else, the next one has
// all that was acknowledged.
func TestOpenFaults(t *testing.T) {
	for _, once := range []bool{false, true} {
		t.Run(fmt.Sprintf("once=%v", once), func(t *testing.T) {
			t.Parallel()
			for n := int64(1); ; n++ {
				disk := vfs.NewCrashableMem()
				var f faults
				o := Options{Dir: "log", FS: f.wrap(disk)}
				s, p := openPartition(t, o)
				var a acks
				for range 5 {
					a.add(1, appendTo(t, p, sealed(t, -1, -1, -1, 1, "v")), "v")
				}
				crashed := disk.CrashClone(vfs.CrashCloneCfg{})
				require.NoError(t, s.Close())

				var ops, notices atomic.Int64
				o.FS = f.wrap(crashed)
				o.OnFail = func(error) { notices.Add(1) }
				f.set(func(op errorfs.Op) error {
					if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpLock {
						if i := ops.Add(1); i == n || (i > n && !once) {
							return syscall.ENOSPC
						}
					}
					return nil
				})
				var err error
				within(t, fmt.Sprintf("Open with fault %d", n), func() { s, err = Open(o) })
				opened := err == nil
				if opened { // an obsolete file that cannot be removed is no failure; else it is met later
					within(t, fmt.Sprintf("Close with fault %d", n), func() { err = s.Close() })
				} else {
					require.Nil(t, s)
					require.ErrorIs(t, err, syscall.ENOSPC, "fault %d", n)
					require.ErrorContains(t, err, "log")
					require.Zero(t, notices.Load(), "nobody has the store yet")
				}
				if err != nil {
					require.ErrorIs(t, err, syscall.ENOSPC, "fault %d", n)
				}
				f.hook.Store(nil)
				for _, fs := range []FS{crashed.CrashClone(vfs.CrashCloneCfg{}), crashed} {
					o.FS, o.OnFail = fs, nil
					s, err := Open(o)
					require.NoError(t, err, "after fault %d", n)
					a.require(t, s)
					require.NoError(t, s.Close())
				}
				if ops.Load() < n {
					require.True(t, opened)
					require.Greater(t, n, int64(10))
					return
				}
			}
		})
	}
}

func TestDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir})
	require.NoError(t, err)
	_, err = Open(Options{Dir: dir})
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, dir)
	require.NoError(t, s.Update(func(tx *Tx) error { return tx.Set("a", nil) }), "the first is not disturbed")
	require.NoError(t, s.Close())
	s, err = Open(Options{Dir: dir})
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

func TestDirectoryThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("mine"), 0o600))
	for _, path := range []string{file, filepath.Join(file, "below")} {
		_, err := Open(Options{Dir: path})
		require.Error(t, err)
		require.ErrorContains(t, err, file)
		require.NotErrorIs(t, err, ErrLocked)
	}
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "mine", string(data))

	// A read-only file system, told apart from a directory in use.
	for _, cause := range []error{syscall.EROFS, syscall.EACCES} {
		disk := vfs.NewMem()
		s, err := Open(Options{Dir: "log", FS: disk})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		var f faults
		f.set(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				return &os.PathError{Op: "open", Path: op.Path, Err: cause}
			}
			return nil
		})
		_, err = Open(Options{Dir: "log", FS: f.wrap(disk)})
		require.ErrorIs(t, err, cause)
		require.NotErrorIs(t, err, ErrLocked)
		_, err = Open(Options{Dir: "new", FS: f.wrap(disk)})
		require.ErrorIs(t, err, cause)
	}
}

func TestNewerFormat(t *testing.T) {
	fs := vfs.NewMem()
	s, err := Open(Options{Dir: "log", FS: fs})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	marker := func(v pebble.FormatMajorVersion) string {
		return fmt.Sprintf("log/marker.format-version.000099.%03d", v)
	}
	f, err := fs.Create(marker(pebble.FormatNewest+1), vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	_, err = Open(Options{Dir: "log", FS: fs})
	require.ErrorIs(t, err, ErrNewerFormat)
	require.ErrorContains(t, err, "log")
}

// TestForeignDirectory: files of others are left alone, a database of another
// program is refused.
func TestForeignDirectory(t *testing.T) {
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll("log", 0o755))
	for _, name := range []string{"README", "notes.txt", "x.log.gz"} {
		f, err := fs.Create("log/"+name, vfs.WriteCategoryUnspecified)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	s, p := openPartition(t, Options{FS: fs})
	appendTo(t, p, sealed(t, -1, -1, -1, 1, "a"))
	s, p = reopen(t, s, 1)
	require.Equal(t, []string{"a"}, values(t, p, 0))
	require.NoError(t, s.Close())
	for _, name := range []string{"README", "notes.txt"} {
		_, err := fs.Stat("log/" + name)
		require.NoError(t, err)
	}

	db, err := pebble.Open("other", &pebble.Options{FS: fs})
	require.NoError(t, err)
	require.NoError(t, db.Set([]byte("theirs"), []byte("1"), pebble.Sync))
	require.NoError(t, db.Close())
	_, err = Open(Options{Dir: "other", FS: fs})
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, "format record")
}

func TestClosedStore(t *testing.T) {
	s, p := openPartition(t, Options{})
	appendTo(t, p, sealed(t, -1, -1, -1, 1, "a"))
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	_, err := s.Partition(1)
	require.ErrorIs(t, err, ErrClosed)
	_, _, err = s.Get("a")
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorIs(t, s.Scan("", nil), ErrClosed)
	require.ErrorIs(t, s.Update(nil), ErrClosed)
	require.ErrorIs(t, s.Flush(), ErrClosed)
	require.ErrorIs(t, s.Checkpoint("copy"), ErrClosed)
	require.ErrorIs(t, p.TrimTo(1), ErrClosed)
	require.ErrorIs(t, p.TrimTo(0), ErrClosed)
	_, _, err = p.OffsetForTime(1)
	require.ErrorIs(t, err, ErrClosed)
	_, err = p.DirtyRatio()
	require.ErrorIs(t, err, ErrClosed)
	require.Equal(t, base.Offset(1), p.HighWatermark())
	_ = s.Metrics()
}
