package leat

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The directory is the one that was meant when the Log was opened.
func TestRelativeDirSurvivesChdir(t *testing.T) {
	home := t.TempDir()
	t.Chdir(home)
	l, err := Open(t.Context(), Config{Dir: "log", MemTableBytes: 1 << 20})
	require.NoError(t, err)
	mustTopic(t, l, "t", TopicConfig{})
	p, err := l.NewProducer()
	require.NoError(t, err)
	elsewhere := t.TempDir()
	t.Chdir(elsewhere)
	for range 40 { // new files of the write-ahead log, flushes
		_, err = p.ProduceSync(t.Context(), Record{Topic: "t", Value: make([]byte, 200<<10)})
		require.NoError(t, err)
	}
	require.NoError(t, l.Close())
	left, err := os.ReadDir(elsewhere)
	require.NoError(t, err)
	require.Empty(t, left)
	l, err = Open(t.Context(), Config{Dir: filepath.Join(home, "log")})
	require.NoError(t, err)
	topic, err := l.Topic(t.Context(), "t")
	require.NoError(t, err)
	part, err := topic.Partition(0)
	require.NoError(t, err)
	info, err := part.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, Offset(40), info.HighWatermark)
	require.NoError(t, l.Close())
}

// One directory has many names.
func TestDirUnderAnotherNameIsLocked(t *testing.T) {
	home := t.TempDir()
	t.Chdir(home)
	l, err := Open(t.Context(), Config{Dir: filepath.Join(home, "log")})
	require.NoError(t, err)
	require.NoError(t, os.Symlink("log", "link"))
	for _, name := range []string{"log", "./log", "link", filepath.Join(home, "link", "."), "log/../log"} {
		_, err := Open(t.Context(), Config{Dir: name})
		require.ErrorIs(t, err, ErrLocked, name)
	}
	mustTopic(t, l, "t", TopicConfig{})
	require.NoError(t, l.Close())
}
