package leat

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// A callback that does not return holds the producer up, but not a call whose
// context ends.
func TestProduceSyncBehindASlowCallback(t *testing.T) {
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{})
	p, err := l.NewProducer(WithBufferBytes(bufferBytesMin))
	require.NoError(t, err)
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	for range 2 {
		p.Produce(t.Context(), Record{Topic: "t", Value: make([]byte, 40<<10)}, func(RecordMetadata, error) { <-release })
	}
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.callbackBytes > p.cfg.bufferBytes && p.rounds == 0
	}, 10*time.Second, time.Millisecond)
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		ended := make(chan error, 1)
		go func() {
			_, err := p.ProduceSync(ctx, Record{Topic: "t"})
			ended <- err
		}()
		select {
		case err := <-ended:
			require.ErrorIs(t, err, context.DeadlineExceeded)
		case <-time.After(10 * time.Second):
			t.Error("ProduceSync does not return")
		}
		cancel()
	}
	free()
	require.NoError(t, p.Close())
}

// An acknowledgement that does not wait for the fsync shows nothing to readers.
func TestNothingIsReadableBeforeItIsDurable(t *testing.T) {
	disk := &slowFS{FS: vfs.NewMem(), hold: make(chan struct{})}
	l := openTest(t, Config{fs: disk})
	topic := mustTopic(t, l, "t", TopicConfig{})
	p, err := l.NewProducer(WithAcks(AcksLeader))
	require.NoError(t, err)
	c, err := l.NewConsumer(Assign("t"), StartAt(Earliest))
	require.NoError(t, err)
	part, err := topic.Partition(0)
	require.NoError(t, err)

	free := sync.OnceFunc(func() { close(disk.hold) })
	defer free()
	disk.holding.Store(true)
	patience, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	m, err := p.ProduceSync(patience, Record{Topic: "t"})
	require.NoError(t, err, "acks=1 does not wait for the disk")
	require.Equal(t, Offset(0), m[0].Offset)
	info, err := part.Info(t.Context())
	require.NoError(t, err)
	require.Zero(t, info.HighWatermark)
	require.Zero(t, info.Records)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	_, err = c.Poll(ctx, 0)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	cancel()
	free()
	rs, err := c.Poll(t.Context(), 0)
	require.NoError(t, err)
	require.Len(t, rs, 1)
}

// slowFS holds up fsyncs of the write-ahead log.
type slowFS struct {
	vfs.FS
	holding atomic.Bool
	hold    chan struct{} // closed to let them go on
}

func (f *slowFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return file, err
	}
	return &slowFile{file, f}, nil
}

type slowFile struct {
	vfs.File
	fs *slowFS
}

func (f *slowFile) wait() {
	if f.fs.holding.Load() {
		<-f.fs.hold
	}
}

func (f *slowFile) Sync() error     { f.wait(); return f.File.Sync() }
func (f *slowFile) SyncData() error { f.wait(); return f.File.SyncData() }
