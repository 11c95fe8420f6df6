package leat

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/store"
)

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]Config{
		"Dir":                      {},
		"InMemory":                 {Dir: "x", InMemory: true},
		"CacheBytes":               {CacheBytes: -1},
		"TailCacheBytes":           {TailCacheBytes: -1},
		"MemTableBytes":            {MemTableBytes: 1<<20 - 1},
		"MemTableBytes, above":     {MemTableBytes: 2<<30 + 1},
		"ProducerIDExpiration":     {ProducerIDExpiration: -1},
		"Groups.OffsetsPartitions": {Groups: GroupsConfig{OffsetsPartitions: 1001}},
		"Groups.SessionTimeout":    {Groups: GroupsConfig{SessionTimeout: -1}},
		"Groups.HeartbeatInterval": {Groups: GroupsConfig{HeartbeatInterval: time.Hour}},
		"Groups.MaxMembers":        {Groups: GroupsConfig{MaxMembers: -1}},
		"Groups.OffsetsRetention":  {Groups: GroupsConfig{OffsetsRetention: -1}},
		"max.message.bytes":        {TopicDefaults: TopicConfig{MaxMessageBytes: -1}},
		"partitions":               {TopicDefaults: TopicConfig{Partitions: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "Dir" && name != "InMemory" {
				c.InMemory = true
			}
			l, err := Open(t.Context(), c)
			require.Nil(t, l)
			var ce *ConfigError
			require.ErrorAs(t, err, &ce)
			require.ErrorIs(t, err, ErrInvalidConfig)
			require.NotEmpty(t, ce.Property)
			require.NotEmpty(t, ce.Rule)
			require.ErrorContains(t, err, ce.Property)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Open(ctx, Config{InMemory: true})
	require.ErrorIs(t, err, context.Canceled)
}

func TestOpenTwice(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, Config{Dir: dir})
	mustTopic(t, l, "t", TopicConfig{})
	_, err := Open(t.Context(), Config{Dir: dir})
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, dir)
	produceTo(t, l, "t", 0, "a") // the first is as it was
	require.NoError(t, l.Close())
	openTest(t, Config{Dir: dir})
}

// TestOpenReadsNoOtherTopics: a topic's record that is of a later version, or no
// record at all, is an error that names it.
func TestOpenReadsNoOtherTopics(t *testing.T) {
	for _, tt := range []struct {
		value string
		want  error
	}{
		{fmt.Sprintf(`{"version":%d,"name":"t"}`, topicRecordVersion+1), ErrNewerFormat},
		{`{"version":1,"name":`, ErrCorrupt},
		{``, ErrCorrupt},
	} {
		fs := store.NewMemFS()
		l := openTest(t, Config{fs: fs})
		mustTopic(t, l, "t", TopicConfig{})
		require.NoError(t, l.store.Update(func(tx *store.Tx) error { return tx.Set(topicSettingPrefix+"t", []byte(tt.value)) }))
		require.NoError(t, l.Close())
		_, err := Open(t.Context(), Config{fs: fs})
		require.ErrorIs(t, err, tt.want)
		require.ErrorContains(t, err, topicSettingPrefix+"t")
		require.False(t, errors.Is(err, ErrLocked))
	}
}
