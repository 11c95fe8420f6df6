package store

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
)

var corruptAll = flag.Bool("store.corrupt-all", false, "TestDamagedFiles: damage every byte, not a sample")

// files are the contents of a directory.
type files map[string][]byte

func readFiles(t *testing.T, fs vfs.FS, dir string) files {
	t.Helper()
	names, err := fs.List(dir)
	require.NoError(t, err)
	out := files{}
	for _, name := range names {
		if name == "LOCK" {
			continue
		}
		f, err := fs.Open(fs.PathJoin(dir, name))
		require.NoError(t, err)
		out[name], err = io.ReadAll(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	return out
}

func (fl files) mem(t *testing.T) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll("log", 0o755))
	for name, data := range fl {
		f, err := fs.Create(path.Join("log", name), vfs.WriteCategoryUnspecified)
		require.NoError(t, err)
		_, err = f.Write(bytes.Clone(data))
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	return fs
}

// history is what was acknowledged, in order: each step is a batch's records or
// a setting.
type history struct {
	setting string
	p       base.PartitionID
	at      base.Offset
	values  []string
}

// damaged makes a store with something in every kind of file, and returns its
// files, closed or as a killed process leaves them, with its history.
func damaged(t *testing.T, closed bool) (files, []history) {
	fs := vfs.NewCrashableMem()
	o := Options{Dir: "log", FS: fs, Clock: fixedClock{}}
	s, err := Open(o)
	require.NoError(t, err)
	var h []history
	r := rand.New(rand.NewPCG(5, 5))
	step := func() {
		id := base.PartitionID(1 + r.IntN(3))
		p, err := s.Partition(id)
		require.NoError(t, err)
		var v []string
		for range 1 + r.IntN(3) {
			v = append(v, fmt.Sprint("value ", len(h), strings.Repeat("z", r.IntN(300))))
		}
		h = append(h, history{p: id, at: appendTo(t, p, sealed(t, int64(id), 0, int32(p.HighWatermark()), 1000, v...)), values: v})
		name := fmt.Sprint("setting ", len(h))
		require.NoError(t, s.Update(func(tx *Tx) error { return tx.Set(name, []byte(name)) }))
		h = append(h, history{setting: name})
	}
	for range 12 {
		step()
	}
	require.NoError(t, s.Flush())
	for range 6 {
		step()
	}
	require.NoError(t, s.Flush())
	for range 6 {
		step()
	}
	if !closed {
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: r})
		require.NoError(t, s.Close())
		return readFiles(t, crashed, "log"), h
	}
	require.NoError(t, s.Close())
	return readFiles(t, fs, "log"), h
}

// outcome opens a store and reads all of it. prefix is how many steps of the
// history it shows, if it shows exactly that; err is what was reported.
func outcome(t *testing.T, fl files, h []history) (prefix int, err error) {
	t.Helper()
	s, err := Open(Options{Dir: "log", FS: fl.mem(t), Clock: fixedClock{}})
	if err != nil {
		require.Nil(t, s)
		require.Contains(t, err.Error(), "log")
		return 0, err
	}
	defer func() {
		if cerr := s.Close(); cerr != nil && err == nil {
			err = cerr
		}
	}()
	got := map[base.PartitionID]map[base.Offset]string{}
	ends := map[base.PartitionID]base.Offset{}
	for id := range base.PartitionID(4) {
		p, err := s.Partition(id)
		if err != nil {
			return 0, err
		}
		ends[id] = p.HighWatermark()
		got[id] = map[base.Offset]string{}
		var f Fetch
		for at := p.LogStart(); at < p.HighWatermark(); {
			if err := p.Read(&f, at, 1<<20); err != nil {
				return 0, err
			}
			if len(f.Batches) == 0 {
				return 0, fmt.Errorf("nothing at %d of [%d, %d), and no error", at, p.LogStart(), p.HighWatermark())
			}
			for _, b := range f.Batches {
				head, records, err := decodeBatch(b)
				require.NoError(t, err)
				for _, r := range records {
					got[id][r.offset] = r.value
				}
				at = head.NextOffset()
			}
		}
		if err := p.scanIndex(0, p.HighWatermark(), func(base.Offset, *indexEntry) bool { return true }); err != nil {
			return 0, err
		}
		if _, _, err := p.OffsetForTime(500); err != nil {
			return 0, err
		}
	}
	settings := map[string]string{}
	if err := s.Scan("setting", func(name string, v []byte) error { settings[name] = string(v); return nil }); err != nil {
		return 0, err
	}
	// What is there must be the beginning of the history and nothing else.
	for prefix < len(h) {
		x := h[prefix]
		if x.setting != "" {
			if settings[x.setting] != x.setting {
				break
			}
			delete(settings, x.setting)
		} else {
			if ends[x.p] < x.at+base.Offset(len(x.values)) {
				break
			}
			for i, v := range x.values {
				if got[x.p][x.at+base.Offset(i)] != v {
					return prefix, errWrongData
				}
				delete(got[x.p], x.at+base.Offset(i))
			}
		}
		prefix++
	}
	for id := range got {
		if len(got[id]) > 0 || len(settings) > 0 {
			return prefix, errWrongData // something behind what is missing is there
		}
	}
	return prefix, nil
}

// errWrongData is not an error of the store but the lack of one.
var errWrongData = errors.New("wrong data, or a hole in the history, and no error")

// TestDamagedFiles flips a byte and cuts a file, at every place of every file
// of a small store, or a sample of them. What comes of it is an error, or all
// that was stored: never wrong data, never a panic. Only the last log of a
// process that was killed may end early, which cannot be told from a write that
// the kill interrupted.
func TestDamagedFiles(t *testing.T) {
	for _, closed := range []bool{true, false} {
		t.Run(fmt.Sprintf("closed=%v", closed), func(t *testing.T) {
			t.Parallel()
			whole, h := damaged(t, closed)
			prefix, err := outcome(t, whole, h)
			require.NoError(t, err)
			require.Equal(t, len(h), prefix)
			var logs []string
			kinds := map[string]int{}
			for name := range whole {
				kinds[path.Ext(name)]++
				if path.Ext(name) == ".log" {
					logs = append(logs, name)
				}
			}
			require.Positive(t, kinds[".sst"])
			require.Positive(t, kinds[".blob"])
			slices.Sort(logs)
			lastLog := logs[len(logs)-1]
			found, fine, shorter := map[string]int{}, map[string]int{}, map[string]int{}
			check := func(name, what string, changed files) {
				prefix, err := outcome(t, changed, h)
				switch {
				case errors.Is(err, errWrongData):
					t.Errorf("%s, %s: from step %d of %d: %v", name, what, prefix, len(h), err)
				case err != nil:
					found[name]++
				case prefix == len(h):
					fine[name]++
				case name == lastLog && !closed:
					shorter[name]++
				default:
					t.Errorf("%s, %s: only %d of %d steps are left, and no error", name, what, prefix, len(h))
				}
			}
			for name, data := range whole {
				step := 1
				if !*corruptAll {
					step = max(1, len(data)/15)
				}
				for at := 0; at < len(data); at += step {
					changed := files{}
					for n, d := range whole {
						changed[n] = d
					}
					changed[name] = bytes.Clone(data)
					changed[name][at] ^= 1 << (at % 8)
					check(name, fmt.Sprintf("byte %d of %d flipped", at, len(data)), changed)
					changed[name] = data[:at]
					check(name, fmt.Sprintf("cut to %d of %d", at, len(data)), changed)
				}
				changed := files{}
				for n, d := range whole {
					if n != name {
						changed[n] = d
					}
				}
				check(name, "missing", changed)
			}
			for name := range whole {
				t.Logf("%-32s %5d bytes: %4d reported, %4d harmless, %4d cut short", name, len(whole[name]), found[name], fine[name], shorter[name])
			}
		})
	}
}

// TestDamagedRecords: damage that the database cannot see, for it was written
// so, is met by our own checks.
func TestDamagedRecords(t *testing.T) {
	s, p := openPartition(t, Options{TailCacheBytes: 1})
	appendTo(t, p, sealed(t, -1, -1, -1, 10, "a"))
	bad := appendTo(t, p, sealed(t, -1, -1, -1, 20, "b"))
	appendTo(t, p, sealed(t, -1, -1, -1, 30, "c"))
	put := func(key, value []byte) {
		require.NoError(t, s.db.Set(key, value, nil))
	}
	data, index := entryKey(kindData, 1, bad), entryKey(kindIndex, 1, bad)
	good, ok, err := s.get(data)
	require.NoError(t, err)
	require.True(t, ok)
	entry, _, err := s.get(index)
	require.NoError(t, err)

	corrupt := func(err error) {
		t.Helper()
		var c *CorruptBatchError
		require.ErrorAs(t, err, &c)
		require.ErrorIs(t, err, ErrCorrupt)
		require.Equal(t, bad, c.Offset)
		require.Equal(t, base.PartitionID(1), c.Partition)
	}
	wrongOffset := bytes.Clone(good)
	recordbatch.SetBaseOffset(wrongOffset, 7)
	flipped := bytes.Clone(good)
	flipped[recordbatch.HeaderSize+2] ^= 1
	for _, v := range [][]byte{nil, good[:20], flipped, wrongOffset, append(bytes.Clone(good), 0)} {
		put(data, v)
		var f Fetch
		err := p.Read(&f, 0, 1<<20)
		corrupt(err)
		require.Len(t, f.Batches, 1, "what lies before it is delivered")
		corrupt(p.Read(&f, bad, 1<<20))
		require.NoError(t, p.Read(&f, bad+1, 1<<20), "what lies behind it can be read")
		_, err = p.Compact(t.Context(), CompactOptions{})
		corrupt(err)
	}
	put(data, good)
	for _, v := range [][]byte{nil, {9}, entry[:len(entry)-1], append(bytes.Clone(entry), 0)} {
		put(index, v)
		_, _, err = p.OffsetForTime(20)
		corrupt(err)
		corrupt(p.TrimTo(3))
		_, err = p.Compact(t.Context(), CompactOptions{})
		corrupt(err)
		_, err = p.OffsetForSize(1)
		corrupt(err)
	}
	require.Equal(t, base.Offset(0), p.LogStart())
	require.NoError(t, s.Close())
	s, err = Open(s.opts)
	require.NoError(t, err)
	_, err = s.Partition(1)
	corrupt(err)
	for _, kind := range []byte{kindState, kindProducers} {
		require.NoError(t, s.db.Set(partitionKey(kind, 9), []byte("nonsense"), nil))
		_, err = s.Partition(9)
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, "cannot be decoded")
		require.NoError(t, s.db.Delete(partitionKey(kind, 9), nil))
	}
	require.NoError(t, s.db.Set(metaKey(formatKey), []byte{formatRaft + 1}, nil))
	require.NoError(t, s.Close())
	_, err = Open(s.opts)
	require.ErrorIs(t, err, ErrNewerFormat)
	require.False(t, errors.Is(err, ErrCorrupt))
}
