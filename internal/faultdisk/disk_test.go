package faultdisk

import (
	"io/fs"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func create(t *testing.T, d *Disk, name string) vfs.File {
	t.Helper()
	f, err := d.FS().Create(name, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// keep writes a file that a power loss does not take.
func keep(t *testing.T, d *Disk, name, content string) {
	t.Helper()
	f := create(t, d, name)
	_, err := f.Write([]byte(content))
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	dir, err := d.FS().OpenDir("/")
	require.NoError(t, err)
	require.NoError(t, dir.Sync())
	require.NoError(t, dir.Close())
}

func TestCrash(t *testing.T) {
	t.Parallel()
	for percent, want := range map[int]string{0: "synced", 100: "synced and not"} {
		d := New(1)
		keep(t, d, "/f", "synced")
		f, err := d.FS().OpenReadWrite("/f", vfs.WriteCategoryUnspecified)
		require.NoError(t, err)
		_, err = f.WriteAt([]byte(" and not"), 6)
		require.NoError(t, err)
		old := d.FS()
		d.Crash(percent)
		data, err := readFile(d.FS(), "/f")
		require.NoError(t, err)
		require.Equal(t, want, string(data), "%d percent", percent)
		// What is left of the program writes to where nobody looks.
		_, err = f.WriteAt([]byte("!"), 0)
		require.NoError(t, err)
		require.NoError(t, f.Sync())
		require.NoError(t, f.Close())
		g, err := old.Create("/g", vfs.WriteCategoryUnspecified)
		require.NoError(t, err)
		require.NoError(t, g.Close())
		data, err = readFile(d.FS(), "/f")
		require.NoError(t, err)
		require.Equal(t, want, string(data))
		_, err = d.FS().Stat("/g")
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
}

func TestWipe(t *testing.T) {
	t.Parallel()
	d := New(1)
	keep(t, d, "/f", "x")
	d.Wipe()
	_, err := d.FS().Stat("/f")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	d := New(1)
	keep(t, d, "/f", "x")
	f := create(t, d, "/g")
	d.Fill()
	_, err := f.Write([]byte("x"))
	require.ErrorIs(t, err, syscall.ENOSPC)
	_, err = d.FS().Create("/h", vfs.WriteCategoryUnspecified)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, f.Sync())
	_, err = readFile(d.FS(), "/f")
	require.NoError(t, err)
	require.NoError(t, d.FS().Remove("/f"))
	d.Repair()
	_, err = f.Write([]byte("x"))
	require.NoError(t, err)
	d.FailSync()
	require.ErrorIs(t, f.Sync(), syscall.EIO)
	require.ErrorIs(t, f.SyncData(), syscall.EIO)
	_, err = f.Write([]byte("x"))
	require.NoError(t, err)
	d.Repair()
	require.NoError(t, f.Sync())
}

// TestHang sees that an fsync waits, and who ends it.
func TestHang(t *testing.T) {
	for name, end := range map[string]func(*Disk){
		"repair": (*Disk).Repair,
		"crash":  func(d *Disk) { d.Crash(0) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := New(1)
				f := create(t, d, "/f")
				d.HangSync()
				d.HangSync()
				done := make(chan error, 1)
				go func() { done <- f.Sync() }()
				synctest.Wait()
				require.Empty(t, done)
				_, err := f.Write([]byte("writes go on"))
				require.NoError(t, err)
				end(d)
				require.NoError(t, <-done)
			})
		})
	}
}

func TestDamage(t *testing.T) {
	t.Parallel()
	d := New(1)
	require.NoError(t, d.FS().MkdirAll("/a/b", 0o755))
	for _, name := range []string{"/a/1.log", "/a/b/2.log", "/a/b/3.sst", "/a/b/empty"} {
		f := create(t, d, name)
		if name != "/a/b/empty" {
			_, err := f.Write(make([]byte, 100))
			require.NoError(t, err)
		}
	}
	files, err := d.Files("/", ".log")
	require.NoError(t, err)
	require.Equal(t, []string{"/a/1.log", "/a/b/2.log"}, files)
	at, err := d.Flip("/a/b/2.log")
	require.NoError(t, err)
	data, err := readFile(d.FS(), "/a/b/2.log")
	require.NoError(t, err)
	require.Len(t, data, 100)
	for i, b := range data {
		if int64(i) == at {
			require.NotZero(t, b)
			require.Zero(t, b&(b-1), "one bit")
		} else {
			require.Zero(t, b)
		}
	}
	require.NoError(t, d.Truncate("/a/b/2.log", 7))
	data, err = readFile(d.FS(), "/a/b/2.log")
	require.NoError(t, err)
	require.Len(t, data, 7)
	require.Error(t, d.Truncate("/a/b/2.log", 8))
	_, err = d.Flip("/a/b/empty")
	require.ErrorContains(t, err, "empty")
	_, err = d.Flip("/a/none")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = d.Files("/none", "")
	require.Error(t, err)
}
