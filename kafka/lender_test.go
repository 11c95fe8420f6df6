package kafka

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLentClasses(t *testing.T) {
	sizes := make(map[int]int)
	last := 0
	for n := 1; n <= lentBytesMax; n += 1 + n/1000 {
		class, size := lentClass(n)
		require.GreaterOrEqual(t, size, n)
		require.True(t, size == lentBytesMin || size*3/4 < n, "%d bytes get %d", n, size)
		require.GreaterOrEqual(t, class, last, "%d bytes", n)
		if known, ok := sizes[class]; ok {
			require.Equal(t, known, size, "class %d", class)
		}
		sizes[class], last = size, class
	}
	class, size := lentClass(lentBytesMax)
	require.Equal(t, len(new(lender).pools)-1, class, "the largest pieces are of the last class")
	require.Equal(t, lentBytesMax, size)
	class, size = lentClass(lentBytesMax + 1)
	require.Equal(t, -1, class)
	require.Equal(t, lentBytesMax+1, size)
}

func TestLoan(t *testing.T) {
	var l lender
	borrowed := loan{from: &l}
	seen := make(map[*byte]bool)
	for _, n := range []int{1, 16 << 10, 16<<10 + 1, 1 << 20, 1<<20 + 1, 5 << 20} {
		b := borrowed.alloc(n)
		require.Len(t, b, n)
		require.False(t, seen[&b[0]], "what is lent is nobody else's")
		seen[&b[0]] = true
	}
	borrowed.release()
	require.Empty(t, borrowed.pieces)
	borrowed.release() // nothing is given back twice
	a, b := borrowed.alloc(100<<10), borrowed.alloc(100<<10)
	require.NotSame(t, &a[0], &b[0])
}
