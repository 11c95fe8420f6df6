package store

import (
	"bytes"
	"encoding/hex"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
)

var update = flag.Bool("store.update", false, "rewrite the golden bytes of what is on disk")

// golden are values whose bytes on disk must never change: what a store wrote
// once is read for ever.
func golden() (entries map[string]indexEntry, states map[string]partitionState, producers map[string]*producerTable) {
	entries = map[string]indexEntry{
		"entry-zero": {producerID: -1, producerEpoch: -1, baseSequence: -1},
		"entry-plain": {lastOffsetDelta: 9, records: 10, size: 1000, epoch: 3, maxTimestamp: 1_700_000_000_000,
			bytesTotal: 123_456, recordsTotal: 789, producerID: -1, producerEpoch: -1, baseSequence: -1},
		"entry-producer": {lastOffsetDelta: 300, records: 200, size: 70_000, epoch: -1, maxTimestamp: -1,
			bytesTotal: 1 << 40, recordsTotal: 1 << 33, producerID: 4000, producerEpoch: 7, baseSequence: 99},
		"entry-max": {lastOffsetDelta: math.MaxInt32, records: math.MaxInt32, size: math.MaxInt32, epoch: math.MaxInt32 - 1,
			maxTimestamp: math.MaxInt64, bytesTotal: math.MaxInt64, recordsTotal: math.MaxInt64,
			producerID: math.MaxInt64, producerEpoch: math.MaxInt16, baseSequence: math.MaxInt32},
		"entry-replicated": {lastOffsetDelta: 9, records: 10, size: 1000, epoch: 3, maxTimestamp: 1_700_000_000_000,
			bytesTotal: 123_456, recordsTotal: 789, producerID: -1, producerEpoch: -1, baseSequence: -1,
			position: 70_000, appendedAt: 1_700_000_000_123},
		"entry-replicated-max": {lastOffsetDelta: math.MaxInt32, records: math.MaxInt32, size: math.MaxInt32, epoch: math.MaxInt32 - 1,
			maxTimestamp: math.MaxInt64, bytesTotal: math.MaxInt64, recordsTotal: math.MaxInt64,
			producerID: math.MaxInt64, producerEpoch: math.MaxInt16, baseSequence: math.MaxInt32,
			position: math.MaxUint64, appendedAt: math.MinInt64},
	}
	states = map[string]partitionState{
		"state-zero": {},
		"state-plain": {logStart: 5, next: 500, maxTimestamp: 1_700_000_000_000, bytesTotal: 10_000, recordsTotal: 495,
			bytesRemoved: 3000, recordsRemoved: 20, compactedTo: 400},
		"state-max": {logStart: math.MaxInt64, next: math.MaxInt64, maxTimestamp: math.MinInt64, bytesTotal: math.MaxInt64,
			recordsTotal: math.MaxInt64, bytesRemoved: math.MaxInt64, recordsRemoved: math.MaxInt64, compactedTo: math.MaxInt64},
		"state-replicated": {logStart: 5, next: 500, maxTimestamp: 1_700_000_000_000, bytesTotal: 10_000, recordsTotal: 495,
			bytesRemoved: 3000, recordsRemoved: 20, compactedTo: 400, shard: 16, epoch: 7, appendedAt: 1_700_000_000_123},
	}
	one := &producerTable{}
	for i := range int32(7) {
		one.record(77, 2, i*10, 10, base.Offset(i)*100, 1_700_000_000_000+int64(i))
	}
	wrapped := &producerTable{}
	wrapped.record(0, 0, math.MaxInt32-1, 4, 1<<40, -1)
	several := &producerTable{}
	for id := range int64(20) {
		several.record(id*37%20, int16(id), 0, 1, base.Offset(id), id)
	}
	producers = map[string]*producerTable{"producers-none": {}, "producers-one": one, "producers-wrapped": wrapped, "producers-several": several}
	return entries, states, producers
}

// goldenBytes reads the bytes of a name, or writes them with -store.update.
func goldenBytes(t *testing.T, name string, encoded []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".hex")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(hex.EncodeToString(encoded)+"\n"), 0o644))
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	want, err := hex.DecodeString(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	require.Equal(t, want, encoded, name)
}

func TestGoldenBytes(t *testing.T) {
	entries, states, producers := golden()
	for name, want := range entries {
		b := want.appendTo(nil)
		goldenBytes(t, name, b)
		var got indexEntry
		require.NoError(t, got.decode(b))
		require.Equal(t, want, got)
	}
	for name, want := range states {
		b := want.encode()
		goldenBytes(t, name, b)
		var got partitionState
		require.NoError(t, got.decode(b))
		require.Equal(t, want, got)
	}
	for name, want := range producers {
		b := want.encode(12_345)
		goldenBytes(t, name, b)
		var got producerTable
		next, err := got.decode(b)
		require.NoError(t, err)
		require.Equal(t, base.Offset(12_345), next)
		require.Len(t, got.entries, len(want.entries))
		for id, e := range want.entries {
			require.Equal(t, e, got.entries[id])
		}
	}
	for name, want := range goldenRaft() {
		b := want.appendTo(nil)
		require.Len(t, b, want.size())
		goldenBytes(t, name, b)
		var got raftEntry
		require.NoError(t, got.decode(b))
		require.Equal(t, want, got)
	}
	goldenBytes(t, "raft-snapshot", encodeRaftSnapshot(300, []byte("meta")))
	goldenBytes(t, "raft-start", encodeRaftStart(300, 299))
	goldenBytes(t, "shard-record", (&shardRecord{applied: 300}).encode())
	goldenBytes(t, "shard-record-importing", (&shardRecord{applied: 300, importing: true}).encode())
	goldenBytes(t, "key-raft-state", raftMetaKey(16, 3, raftState))
	goldenBytes(t, "key-raft-entry", raftEntryKey(16, 3, 258))
	goldenBytes(t, "key-shard", shardKey(kindShard, 16))
	goldenBytes(t, "key-member", memberKey(16, 258))
	goldenBytes(t, "key-shard-setting", shardSettingKey(16, "a"))
	goldenBytes(t, "key-deferred", deferredKey(16, 258, 3, deferredAll))
	goldenBytes(t, "key-data", entryKey(kindData, 258, 772))
	goldenBytes(t, "key-index", entryKey(kindIndex, math.MaxUint64, math.MaxInt64))
	goldenBytes(t, "key-state", partitionKey(kindState, 1))
	goldenBytes(t, "key-producers", partitionKey(kindProducers, 1))
	goldenBytes(t, "key-setting", metaKey("topic/a"))
}

// goldenRaft are entries of a Raft log.
func goldenRaft() map[string]raftEntry {
	return map[string]raftEntry{
		"raft-entry-empty":   {head: []byte{}},
		"raft-entry-head":    {head: []byte("head")},
		"raft-entry-payload": {hasPayload: true, partition: 300, payloadSize: 70_000, payloadCRC: 0x01020304, head: []byte("head")},
		"raft-entry-max":     {hasPayload: true, partition: math.MaxUint64, payloadSize: math.MaxInt32, payloadCRC: math.MaxUint32, head: []byte{}},
	}
}

func FuzzRaftEntry(f *testing.F) {
	for _, e := range goldenRaft() {
		f.Add(e.appendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e, again raftEntry
		if e.decode(b) != nil {
			return
		}
		out := e.appendTo(nil)
		if len(out) != e.size() || len(out) > len(b) {
			t.Fatalf("%d bytes became %d, size says %d", len(b), len(out), e.size())
		}
		if err := again.decode(out); err != nil || !bytes.Equal(again.head, e.head) || again.partition != e.partition ||
			again.payloadSize != e.payloadSize || again.payloadCRC != e.payloadCRC || again.hasPayload != e.hasPayload {
			t.Fatalf("%+v became %+v, %v", e, again, err)
		}
		if e.hasPayload != (e.payloadSize > 0) || len(e.head) > len(b) {
			t.Fatalf("impossible %+v", e)
		}
	})
}

func FuzzRaftRecords(f *testing.F) {
	f.Add(encodeRaftSnapshot(300, []byte("meta")))
	f.Add(encodeRaftStart(300, 299))
	f.Add((&shardRecord{applied: 300, importing: true}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if index, meta, err := decodeRaftSnapshot(b); err == nil {
			i, m, err := decodeRaftSnapshot(encodeRaftSnapshot(index, meta))
			if err != nil || i != index || !bytes.Equal(m, meta) {
				t.Fatalf("%d %x became %d %x, %v", index, meta, i, m, err)
			}
		}
		if first, applied, err := decodeRaftStart(b); err == nil {
			fi, a, err := decodeRaftStart(encodeRaftStart(first, applied))
			if err != nil || fi != first || a != applied || a >= fi {
				t.Fatalf("%d %d became %d %d, %v", first, applied, fi, a, err)
			}
		}
		var r, again shardRecord
		if r.decode(b) == nil {
			if err := again.decode(r.encode()); err != nil || again != r {
				t.Fatalf("%+v became %+v, %v", r, again, err)
			}
		}
	})
}

// What decodes must encode to something that decodes to the same; the bytes may
// differ, for a varint can be written longer than need be. Nothing may panic,
// nor allocate for what the bytes only claim to hold.

func FuzzIndexEntry(f *testing.F) {
	entries, _, _ := golden()
	for _, e := range entries {
		f.Add(e.appendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e, again indexEntry
		if e.decode(b) != nil {
			return
		}
		out := e.appendTo(nil)
		if err := again.decode(out); err != nil || again != e || len(out) > len(b) || len(out) > 128 {
			t.Fatalf("%+v became %+v, %v", e, again, err)
		}
		if e.lastOffsetDelta < 0 || e.records < 0 || e.size < 0 || e.epoch < -1 || e.producerID < -1 {
			t.Fatalf("impossible %+v", e)
		}
	})
}

func FuzzPartitionState(f *testing.F) {
	_, states, _ := golden()
	for _, s := range states {
		f.Add(s.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s, again partitionState
		if s.decode(b) != nil {
			return
		}
		if err := again.decode(s.encode()); err != nil || again != s {
			t.Fatalf("%+v became %+v, %v", s, again, err)
		}
		if s.logStart < 0 || s.next < 0 || s.compactedTo < 0 {
			t.Fatalf("impossible %+v", s)
		}
	})
}

func FuzzProducerTable(f *testing.F) {
	_, _, producers := golden()
	for _, p := range producers {
		f.Add(p.encode(7))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p, again producerTable
		next, err := p.decode(b)
		if err != nil {
			return
		}
		if err := p.valid(); err != nil {
			t.Fatal(err)
		}
		out := p.encode(next)
		n, err := again.decode(out)
		if err != nil || n != next || len(again.entries) != len(p.entries) {
			t.Fatalf("%d entries became %d, %v", len(p.entries), len(again.entries), err)
		}
		for id, e := range p.entries {
			if *again.entries[id] != *e {
				t.Fatalf("producer %d: %+v became %+v", id, e, again.entries[id])
			}
			// And every check ends without a panic.
			_, _ = p.check(1, id, e.epoch, 0, 1)
			p.record(id, e.epoch, 5, 1, next, 0)
		}
		if err := p.valid(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestDecodersWantAllBytes: no prefix of an encoding decodes, nor one with a
// byte behind it, nor another version.
func TestDecodersWantAllBytes(t *testing.T) {
	entries, states, producers := golden()
	check := func(b []byte, decode func([]byte) error) {
		t.Helper()
		require.NoError(t, decode(b))
		for i := range b {
			require.Error(t, decode(b[:i]), "%x cut to %d", b, i)
		}
		require.Error(t, decode(append(bytes.Clone(b), 0)))
		other := bytes.Clone(b)
		other[0]++
		require.Error(t, decode(other))
	}
	for _, e := range entries {
		check(e.appendTo(nil), new(indexEntry).decode)
	}
	for _, s := range states {
		check(s.encode(), new(partitionState).decode)
	}
	check(encodeRaftStart(300, 299), func(b []byte) error { _, _, err := decodeRaftStart(b); return err })
	check((&shardRecord{applied: 300}).encode(), new(shardRecord).decode)
	for _, p := range producers {
		check(p.encode(9), func(b []byte) error { _, err := new(producerTable).decode(b); return err })
	}
}

func TestProducerTableIsBounded(t *testing.T) {
	var p producerTable
	for i := range int64(maxProducersPerPartition + 100) {
		p.record(i, 0, 0, 1, base.Offset(i), i/2)
	}
	require.NoError(t, p.valid())
	require.Len(t, p.entries, maxProducersPerPartition)
	require.NotContains(t, p.entries, int64(99), "the one that was silent for longest went")
	require.Contains(t, p.entries, int64(100))
	p.expire(math.MaxInt64)
	require.Empty(t, p.entries)
}
