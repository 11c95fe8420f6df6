package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

func TestEpochEnd(t *testing.T) {
	s := openMem(t, NewMemFS())
	p, err := s.Partition(1)
	require.NoError(t, err)
	check := func(epoch, wantEpoch base.LeaderEpoch, wantEnd base.Offset) {
		t.Helper()
		at, end, err := p.EpochEnd(epoch)
		require.NoError(t, err)
		require.Equal(t, wantEpoch, at)
		require.Equal(t, wantEnd, end)
	}
	check(0, -1, -1)
	for _, epoch := range []base.LeaderEpoch{2, 2, 5, 5, 5, 9} {
		a := sealed(t, -1, -1, -1, 1, "a", "b", "c")
		a.Epoch = epoch
		appendTo(t, p, a)
	}
	check(1, -1, -1)
	check(2, 2, 6)
	check(4, 2, 6)
	check(5, 5, 15)
	check(8, 5, 15)
	check(9, 9, 18)
	check(100, 9, 18)
	require.NoError(t, p.TrimTo(7))
	check(5, 5, 15)
}
