package store

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
)

func openMem(t *testing.T, fs FS) *Store {
	t.Helper()
	s, err := Open(Options{Dir: "log", FS: fs})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// sealed returns a batch of the given values, each its own timestamp.
func sealed(t testing.TB, producer int64, epoch int16, seq int32, ts int64, values ...string) *Append {
	t.Helper()
	var b recordbatch.Builder
	b.Reset(nil)
	for _, v := range values {
		require.NoError(t, b.Append(ts, nil, []byte(v), nil))
	}
	buf, err := b.Finish(recordbatch.FinishOptions{ProducerID: producer, ProducerEpoch: epoch, BaseSequence: seq})
	require.NoError(t, err)
	h, err := recordbatch.ParseHeader(buf)
	require.NoError(t, err)
	return &Append{Batch: buf, Header: h}
}

func appendTo(t testing.TB, p *Partition, a *Append) base.Offset {
	t.Helper()
	a.Partition = p
	require.NoError(t, p.store.Append([]*Append{a}, AppendHooks{}))
	require.NoError(t, a.Err)
	return a.BaseOffset
}

// values reads all values of [from, high watermark).
func values(t testing.TB, p *Partition, from base.Offset) []string {
	t.Helper()
	var out []string
	var f Fetch
	var it recordbatch.Iterator
	for {
		require.NoError(t, p.Read(&f, from, 1<<20))
		if len(f.Batches) == 0 {
			return out
		}
		for _, b := range f.Batches {
			require.NoError(t, it.Reset(b, nil))
			for it.Next() {
				r := it.Record()
				if r.Offset >= from {
					out = append(out, string(r.Value))
					from = r.Offset + 1
				}
			}
			require.NoError(t, it.Err())
		}
	}
}

func TestAppendReadReopen(t *testing.T) {
	fs := NewMemFS()
	s, err := Open(Options{Dir: "log", FS: fs})
	require.NoError(t, err)
	p, err := s.Partition(7)
	require.NoError(t, err)
	require.Equal(t, base.Offset(0), appendTo(t, p, sealed(t, -1, -1, -1, 1000, "a", "b")))
	require.Equal(t, base.Offset(2), appendTo(t, p, sealed(t, -1, -1, -1, 2000, "c")))
	require.Equal(t, []string{"a", "b", "c"}, values(t, p, 0))
	require.Equal(t, int64(3), p.Records())
	size := p.SizeBytes()
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Append(nil, AppendHooks{}), ErrClosed)
	require.ErrorIs(t, p.Read(&Fetch{}, 0, 1), ErrClosed)

	s = openMem(t, fs)
	p, err = s.Partition(7)
	require.NoError(t, err)
	require.Equal(t, base.Offset(3), p.HighWatermark())
	require.Equal(t, size, p.SizeBytes())
	require.Equal(t, int64(2000), p.MaxTimestamp())
	require.Equal(t, []string{"b", "c"}, values(t, p, 1))
	require.Equal(t, base.Offset(3), appendTo(t, p, sealed(t, -1, -1, -1, 3000, "d")))

	at, found, err := p.OffsetForTime(1500)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, base.Offset(2), at)
	_, found, err = p.OffsetForTime(3001)
	require.NoError(t, err)
	require.False(t, found)
}

func TestTrimMovesTheLogStartAndKeepsOffsets(t *testing.T) {
	fs := NewMemFS()
	s := openMem(t, fs)
	p, err := s.Partition(1)
	require.NoError(t, err)
	for i := range 10 {
		appendTo(t, p, sealed(t, -1, -1, -1, int64(i), "x", "y"))
	}
	require.NoError(t, p.TrimTo(5)) // in the middle of a batch
	require.Equal(t, base.Offset(5), p.LogStart())
	require.Equal(t, int64(16), p.Records(), "the batch that holds offset 5 stays whole")
	var f Fetch
	err = p.Read(&f, 4, 1<<20)
	var oor *OffsetOutOfRangeError
	require.True(t, errors.As(err, &oor))
	require.Equal(t, OffsetOutOfRangeError{Partition: 1, Offset: 4, LogStart: 5, HighWatermark: 20}, *oor)
	require.NoError(t, p.TrimTo(20))
	require.Equal(t, int64(0), p.SizeBytes())
	require.Error(t, p.TrimTo(21))
	require.NoError(t, s.Close())

	s = openMem(t, fs)
	p, err = s.Partition(1)
	require.NoError(t, err)
	require.Equal(t, base.Offset(20), p.LogStart())
	require.Equal(t, base.Offset(20), appendTo(t, p, sealed(t, -1, -1, -1, 3, "z")), "offsets are not used again")
}

func TestIdempotence(t *testing.T) {
	fs := NewMemFS()
	s := openMem(t, fs)
	p, err := s.Partition(1)
	require.NoError(t, err)
	for i := range int32(7) {
		appendTo(t, p, sealed(t, 5, 0, i*2, 0, "a", "b"))
	}
	again := func(epoch int16, seq int32) *Append {
		a := sealed(t, 5, epoch, seq, 0, "a", "b")
		a.Partition = p
		require.NoError(t, s.Append([]*Append{a}, AppendHooks{}))
		return a
	}
	check := func() {
		for seq := int32(4); seq <= 12; seq += 2 {
			a := again(0, seq)
			require.NoError(t, a.Err)
			require.True(t, a.Duplicate)
			require.Equal(t, base.Offset(seq), a.BaseOffset)
		}
		require.ErrorIs(t, again(0, 2).Err, ErrOutOfOrderSequence, "older than the window")
		require.ErrorIs(t, again(0, 16).Err, ErrOutOfOrderSequence, "a gap")
		require.ErrorIs(t, again(1, 14).Err, ErrOutOfOrderSequence, "a new epoch starts at 0")
		require.Equal(t, base.Offset(14), p.HighWatermark())
	}
	check()
	require.NoError(t, s.Close())
	s = openMem(t, fs)
	p, err = s.Partition(1)
	require.NoError(t, err)
	check()
	require.NoError(t, again(1, 0).Err)
	require.ErrorIs(t, again(0, 14).Err, ErrInvalidProducerEpoch)
}

func TestUpdateIsAllOrNothing(t *testing.T) {
	s := openMem(t, NewMemFS())
	p, err := s.Partition(3)
	require.NoError(t, err)
	appendTo(t, p, sealed(t, -1, -1, -1, 0, "a"))
	refused := errors.New("refused")
	require.ErrorIs(t, s.Update(func(tx *Tx) error {
		require.NoError(t, tx.Set("a", []byte("1")))
		require.NoError(t, tx.DropPartition(p))
		return refused
	}), refused)
	_, ok, err := s.Get("a")
	require.NoError(t, err)
	require.False(t, ok)
	appendTo(t, p, sealed(t, -1, -1, -1, 0, "b"))

	require.NoError(t, s.Update(func(tx *Tx) error {
		return errors.Join(tx.Set("a", []byte("1")), tx.DropPartition(p))
	}))
	a := sealed(t, -1, -1, -1, 0, "c")
	a.Partition = p
	require.NoError(t, s.Append([]*Append{a}, AppendHooks{}))
	require.ErrorIs(t, a.Err, ErrPartitionDropped)
	require.ErrorIs(t, p.Read(&Fetch{}, 0, 100), ErrPartitionDropped)
}
