package store

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// TestTableBufferWritesEverythingInOrder compares a buffered file with what was
// written to it, looking at it in between.
func TestTableBufferWritesEverythingInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	fs := tableBufferFS{vfs.NewMem()}
	f, err := fs.Create("000001.blob", vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	var want []byte
	for range 300 {
		p := make([]byte, rng.IntN(1+rng.IntN(2*tableWriteBytes)))
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		want = append(want, p...) // before: under the race detector Pebble's MemFS spoils p
		n, err := f.Write(p)
		require.NoError(t, err)
		require.Equal(t, len(p), n)
		switch rng.IntN(8) {
		case 0:
			require.NoError(t, f.Sync())
		case 1:
			_, err := f.SyncTo(int64(len(want)))
			require.NoError(t, err)
		case 2:
			info, err := f.Stat()
			require.NoError(t, err)
			require.Equal(t, int64(len(want)), info.Size())
		case 3:
			require.NoError(t, f.SyncData())
		}
		if len(want) > 32<<20 {
			break
		}
	}
	require.NoError(t, f.Close())
	r, err := fs.Open("000001.blob")
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.True(t, bytes.Equal(want, got))
}

// brokenFile refuses every write.
type brokenFile struct{ vfs.File }

var errBroken = errors.New("broken")

func (brokenFile) Write([]byte) (int, error) { return 0, errBroken }
func (brokenFile) Close() error              { return nil }

func TestTableBufferTellsALateError(t *testing.T) {
	b := &tableBuffer{File: brokenFile{}}
	_, err := b.Write([]byte("x"))
	require.NoError(t, err, "it is collected")
	require.ErrorIs(t, b.Close(), errBroken)
	b = &tableBuffer{File: brokenFile{}}
	_, err = b.Write([]byte("x"))
	require.NoError(t, err)
	require.ErrorIs(t, b.Sync(), errBroken)
}
