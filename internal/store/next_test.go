package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

func TestNextBatch(t *testing.T) {
	s, p := openPartition(t, Options{FS: NewMemFS()})
	defer s.Close()
	next := func(after base.Offset) base.Offset {
		o, err := p.NextBatch(after)
		require.NoError(t, err)
		return o
	}
	require.Equal(t, base.Offset(0), next(0), "an empty partition")
	for _, values := range [][]string{{"0", "1", "2"}, {"3"}, {"4", "5"}} {
		appendTo(t, p, sealed(t, -1, -1, -1, 1, values...))
	}
	require.Equal(t, []base.Offset{3, 3, 3, 4, 6, 6, 6}, []base.Offset{next(0), next(1), next(2), next(3), next(4), next(5), next(99)})
}
