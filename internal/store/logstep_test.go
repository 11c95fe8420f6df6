//go:build unix

package store

import (
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestASmallLogTakesLittleDisk looks at the blocks that the files take, which
// their sizes do not tell.
func TestASmallLogTakesLittleDisk(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir})
	require.NoError(t, err)
	p, err := s.Partition(1)
	require.NoError(t, err)
	taken := func() (bytes int64) {
		require.NoError(t, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			bytes += info.Sys().(*syscall.Stat_t).Blocks * 512
			return nil
		}))
		return bytes
	}
	appendTo(t, p, sealed(t, -1, -1, -1, 0, "a"))
	require.Less(t, taken(), int64(3*logStepBytes))
	for range 30 {
		appendTo(t, p, sealed(t, -1, -1, -1, 0, string(make([]byte, 1<<20))))
	}
	require.Less(t, taken(), int64(100<<20), "30 MiB in the log, and in tables when flushed")
	require.NoError(t, s.Close())
}
