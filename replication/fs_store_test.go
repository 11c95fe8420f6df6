package replication

import (
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/faultdisk"
)

func TestStoreFS(t *testing.T) {
	t.Parallel()
	disk := faultdisk.New(1)
	fs := NewFS(disk.FS()).fs
	require.NoError(t, fs.MkdirAll("/d", 0o755))
	f, err := fs.Create("/d/f")
	require.NoError(t, err)
	_, err = f.Write([]byte("header, body"))
	require.NoError(t, err)
	_, err = f.Seek(0, io.SeekStart)
	require.NoError(t, err)
	_, err = f.Write([]byte("HEADER"))
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("B"), 8)
	require.NoError(t, err)
	at, err := f.Seek(1, io.SeekCurrent)
	require.NoError(t, err)
	require.EqualValues(t, 7, at)
	rest, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, " Body", string(rest))
	_, err = f.Seek(-1, io.SeekStart)
	require.ErrorIs(t, err, os.ErrInvalid)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
	for _, name := range []string{"/", "/d"} {
		dir, err := fs.OpenDir(name)
		require.NoError(t, err)
		require.NoError(t, dir.Sync())
		require.NoError(t, dir.Close())
	}

	f, err = fs.OpenForAppend("/d/f")
	require.NoError(t, err)
	_, err = f.Write([]byte(", tail"))
	require.NoError(t, err)
	content := func() string {
		t.Helper()
		f, err := fs.Open("/d/f")
		require.NoError(t, err)
		defer f.Close()
		info, err := f.Stat()
		require.NoError(t, err)
		b, err := io.ReadAll(f)
		require.NoError(t, err)
		require.EqualValues(t, info.Size(), len(b))
		return string(b)
	}
	require.Equal(t, "HEADER, Body, tail", content())
	disk.Crash(0)
	fs = NewFS(disk.FS()).fs
	require.Equal(t, "HEADER, Body", content(), "what was not synced is lost")
	require.NoError(t, f.Close())

	f, err = fs.ReuseForWrite("/d/f", "/d/g")
	require.NoError(t, err)
	_, err = f.Write([]byte("h"))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	_, err = fs.Stat("/d/f")
	require.True(t, os.IsNotExist(err))
	f, err = fs.Create("/d/g")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	info, err := fs.Stat("/d/g")
	require.NoError(t, err)
	require.Zero(t, info.Size(), "made anew")
	_, err = fs.Open("/d/none")
	require.True(t, os.IsNotExist(err))
	disk.Fill()
	_, err = fs.Create("/d/h")
	require.Error(t, err)
}
