package leat

import (
	"context"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
)

// TestFullDisk: from the write on that finds no room, every write is an error that
// tells why, and the program is told once; what was acknowledged can be read, now
// and by the next Log on the directory.
func TestFullDisk(t *testing.T) {
	disk := vfs.NewCrashableMem()
	var full atomic.Bool
	fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return &os.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
		}
		return nil
	}))
	failed := make(chan error, 10)
	l, err := Open(t.Context(), Config{fs: fs, Hooks: Hooks{StorageFailed: func(err error) { failed <- err }}})
	require.NoError(t, err)
	topic := mustTopic(t, l, "t", TopicConfig{})
	produceTo(t, l, "t", 0, "a", "b")
	g := mustJoin(t, l, "g", []string{"t"})
	_ = collect(t, g, 1)
	require.NoError(t, g.Commit(t.Context()))
	c := mustConsumer(t, l, Assign("t"))
	p, err := l.NewProducer()
	require.NoError(t, err)

	full.Store(true)
	_, err = p.ProduceSync(t.Context(), Record{Topic: "t", Value: []byte("lost")})
	require.ErrorIs(t, err, ErrStorageFailed)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorIs(t, <-failed, syscall.ENOSPC)

	told := make(chan error, 1)
	p.Produce(t.Context(), Record{Topic: "t"}, func(_ RecordMetadata, err error) { told <- err })
	require.ErrorIs(t, <-told, ErrStorageFailed)
	part, err := topic.Partition(0)
	require.NoError(t, err)
	for name, write := range map[string]func(ctx context.Context) error{
		"CreateTopic": func(ctx context.Context) error { _, err := l.CreateTopic(ctx, "u", TopicConfig{}); return err },
		"AlterTopic": func(ctx context.Context) error {
			return l.AlterTopic(ctx, "t", func(c *TopicConfig) { c.RetentionBytes = 1 })
		},
		"AddPartitions": func(ctx context.Context) error { return l.AddPartitions(ctx, "t", 2) },
		"DeleteTopic":   func(ctx context.Context) error { return l.DeleteTopic(ctx, "t") },
		"DeleteRecords": func(ctx context.Context) error { return part.DeleteRecords(ctx, 1) },
		"Checkpoint":    func(ctx context.Context) error { return l.Checkpoint(ctx, "copy") },
	} {
		require.ErrorIs(t, write(t.Context()), ErrStorageFailed, name)
	}
	require.Equal(t, 1, topic.NumPartitions())
	rs, err := c.Poll(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, []string{"0:0=a", "0:1=b"}, values(rs))
	_ = l.Close() // may say that it could not write; it must end
	require.Empty(t, failed, "it is told once")

	full.Store(false)
	l = openTest(t, Config{fs: disk})
	rs, err = mustConsumer(t, l, Assign("t")).Poll(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, []string{"0:0=a", "0:1=b"}, values(rs))
	require.Equal(t, []string{"0:1=b"}, values(collect(t, mustJoin(t, l, "g", []string{"t"}), 1)))
}
