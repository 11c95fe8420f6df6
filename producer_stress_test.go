package leat

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// idle checks what a producer counts once it has nothing to do.
func (p *Producer) idle(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Zero(t, p.buffered, "buffered")
	require.Zero(t, p.pending, "pending")
	require.Zero(t, p.dueCount, "dueCount")
	require.Zero(t, p.syncWaiting, "syncWaiting")
	require.Equal(t, 1, p.flushing, "that of Close")
	require.Zero(t, p.rounds, "rounds")
	require.Zero(t, p.callbackBytes, "callbackBytes")
	require.Empty(t, p.space)
	require.Empty(t, p.active)
	require.Empty(t, p.callbacks)
	require.Len(t, p.groups, 1)
	for _, g := range p.groups {
		require.Zero(t, g.batches)
	}
}

// failingFS fails every write once told to.
type failingFS struct {
	vfs.FS
	failing atomic.Bool
}

var errDisk = errors.New("disk is gone")

func (f *failingFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return file, err
	}
	return &failingFile{file, f}, nil
}

type failingFile struct {
	vfs.File
	fs *failingFS
}

func (f *failingFile) Write(p []byte) (int, error) {
	if f.fs.failing.Load() {
		return 0, errDisk
	}
	return f.File.Write(p)
}

func (f *failingFile) Sync() error {
	if f.fs.failing.Load() {
		return errDisk
	}
	return f.File.Sync()
}

func (f *failingFile) SyncData() error {
	if f.fs.failing.Load() {
		return errDisk
	}
	return f.File.SyncData()
}

var _ vfs.File = (*failingFile)(nil)

// Producers of every kind are used in every way, until they or the Log are
// closed or the disk fails: each record is answered for once, nobody waits for
// ever, and nothing stays counted.
func TestProducersInEveryWay(t *testing.T) {
	for _, end := range []string{"producer", "log", "disk"} {
		for _, acks := range []Acks{AcksAll, AcksLeader, AcksNone} {
			for _, linger := range []time.Duration{0, 3 * time.Millisecond} {
				t.Run(fmt.Sprintf("%s/acks=%d/linger=%v", end, acks, linger), func(t *testing.T) {
					t.Parallel()
					produceInEveryWay(t, end, WithAcks(acks), WithLinger(linger))
				})
			}
		}
	}
}

func produceInEveryWay(t *testing.T, end string, opts ...ProducerOption) {
	disk := &failingFS{FS: vfs.NewMem()}
	l, err := Open(t.Context(), Config{fs: disk, AutoCreateTopics: true})
	require.NoError(t, err)
	mustTopic(t, l, "small", TopicConfig{Partitions: 5, MaxMessageBytes: 2000})
	mustTopic(t, l, "large", TopicConfig{Partitions: 2})
	p, err := l.NewProducer(append(opts, WithBufferBytes(bufferBytesMin), WithBatchBytes(3000))...)
	require.NoError(t, err)
	var produced, told, twice, ended atomic.Int64
	var wg sync.WaitGroup
	for i := range 6 {
		rng := rand.New(rand.NewPCG(uint64(i), 7))
		record := func() Record {
			r := Record{Topic: []string{"small", "large"}[rng.IntN(2)], Value: make([]byte, rng.IntN(2500))}
			if rng.IntN(50) == 0 {
				r.Topic = "no/topic"
			}
			if rng.IntN(50) == 0 {
				r.Value = make([]byte, bufferBytesMin*3/4)
			}
			return r
		}
		context1 := func() (context.Context, context.CancelFunc) {
			if rng.IntN(4) == 0 {
				return context.WithTimeout(context.Background(), time.Duration(rng.IntN(2000))*time.Microsecond)
			}
			return context.Background(), func() {}
		}
		wg.Go(func() {
			for range 10_000 {
				ctx, cancel := context1()
				var err error
				switch k := rng.IntN(20); {
				case k < 12:
					produced.Add(1)
					var once atomic.Bool
					p.Produce(ctx, record(), func(_ RecordMetadata, err error) {
						if !once.CompareAndSwap(false, true) {
							twice.Add(1)
						}
						told.Add(1)
						if errors.Is(err, ErrClosed) || errors.Is(err, ErrStorageFailed) {
							ended.Add(1)
						}
					})
				case k < 18:
					rs := make([]Record, 1+rng.IntN(80)) // up to more than the buffer holds
					for i := range rs {
						rs[i] = record()
					}
					_, err = p.ProduceSync(ctx, rs...)
				case k < 19:
					err = p.Flush(ctx)
				default:
					p.Produce(ctx, record(), nil)
				}
				cancel()
				if errors.Is(err, ErrClosed) || errors.Is(err, ErrStorageFailed) || ended.Load() > 0 {
					return
				}
			}
		})
	}
	require.Eventually(t, func() bool { return told.Load() > 500 }, 30*time.Second, time.Millisecond)
	switch end {
	case "producer":
		_ = p.Close() // the first failure of a record without a callback
	case "log":
		_ = l.Close()
	case "disk":
		disk.failing.Store(true)
	}
	wg.Wait()
	_ = p.Close()
	require.Equal(t, produced.Load(), told.Load())
	require.Zero(t, twice.Load())
	p.idle(t)
	if err := l.Close(); end == "disk" {
		require.ErrorIs(t, err, ErrStorageFailed)
	}
}
