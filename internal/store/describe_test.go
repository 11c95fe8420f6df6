package store

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDiskUsage(t *testing.T) {
	s, err := Open(Options{Dir: t.TempDir()})
	require.NoError(t, err)
	total, usable, err := s.DiskUsage()
	require.NoError(t, err)
	require.Positive(t, total)
	require.LessOrEqual(t, usable, total)
	require.NoError(t, s.Close())
}
