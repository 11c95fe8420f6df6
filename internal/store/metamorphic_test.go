package store

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
)

var (
	metaSeed  = flag.Uint64("store.seed", 0, "seed of TestMetamorphic; 0 takes new ones")
	metaRuns  = flag.Int("store.runs", 4, "runs of TestMetamorphic")
	metaSteps = flag.Int("store.steps", 400, "steps of a run of TestMetamorphic")
)

// TestMetamorphic does random things to a store and to the model and compares.
//
//	go test ./internal/store -run TestMetamorphic -store.seed N
func TestMetamorphic(t *testing.T) {
	for i := range *metaRuns {
		seed := *metaSeed
		if seed == 0 {
			seed = rand.Uint64()
		} else if i > 0 {
			break
		}
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			t.Parallel()
			newMetamorphic(t, seed).run(*metaSteps)
		})
	}
}

// fixedClock stands at one time.
type fixedClock struct {
	base.SystemClock
	now time.Time
}

func (c fixedClock) Now() time.Time { return c.now }

type metamorphic struct {
	t       *testing.T
	r       *rand.Rand
	disk    *vfs.MemFS
	opts    Options
	s       *Store
	m       *model
	now     int64
	value   int
	copies  int
	history []string
}

func newMetamorphic(t *testing.T, seed uint64) *metamorphic {
	x := &metamorphic{
		t: t, r: rand.New(rand.NewPCG(seed, 1)), disk: vfs.NewCrashableMem(), now: 1_700_000_000_000,
		m: &model{partitions: map[base.PartitionID]*modelPartition{}, settings: map[string]string{}, nextID: 1},
	}
	x.opts = Options{
		Dir:            "log",
		Clock:          fixedClock{now: time.UnixMilli(x.now)},
		MemTableBytes:  []int64{64 << 10, 256 << 10, 4 << 20}[x.r.IntN(3)],
		TailCacheBytes: []int64{1, 8 << 10, 1 << 20}[x.r.IntN(3)],
		CacheBytes:     1 << 20,
	}
	x.open(x.disk)
	for range 3 {
		x.m.partitions[x.m.nextID] = newModelPartition()
		x.m.nextID++
	}
	return x
}

func (x *metamorphic) open(fs *vfs.MemFS) {
	x.disk = fs
	x.opts.FS = fs
	s, err := Open(x.opts)
	x.ok(err)
	x.s = s
}

func (x *metamorphic) ok(err error) {
	x.t.Helper()
	if err != nil {
		n := max(0, len(x.history)-40)
		require.NoError(x.t, err, "the last steps were\n%s", strings.Join(x.history[n:], "\n"))
	}
}

func (x *metamorphic) say(format string, args ...any) {
	x.history = append(x.history, fmt.Sprintf(format, args...))
}

func (x *metamorphic) run(steps int) {
	ops := []struct {
		weight int
		op     func()
	}{
		{40, x.append}, {20, x.read}, {6, x.trim}, {8, x.compact}, {8, x.offsetForTime}, {6, x.update}, {1, x.drop},
		{2, x.flush}, {2, x.checkpoint}, {3, x.reopen}, {3, x.crash}, {3, x.crashUnderLoad},
	}
	total := 0
	for _, o := range ops {
		total += o.weight
	}
	for range steps {
		n := x.r.IntN(total)
		for _, o := range ops {
			if n -= o.weight; n < 0 {
				o.op()
				break
			}
		}
		if x.t.Failed() {
			break
		}
	}
	x.reopen()
	x.ok(x.s.Close())
}

func (x *metamorphic) partition() (base.PartitionID, *Partition, *modelPartition) {
	ids := slices.Sorted(maps.Keys(x.m.partitions))
	id := ids[x.r.IntN(len(ids))]
	p, err := x.s.Partition(id)
	x.ok(err)
	return id, p, x.m.partitions[id]
}

func (x *metamorphic) records() []kv {
	out := make([]kv, 1+x.r.IntN(4))
	for i := range out {
		out[i].key = fmt.Sprint("k", x.r.IntN(12))
		if x.r.IntN(8) == 0 {
			out[i].key = "-"
		}
		x.value++
		out[i].value = fmt.Sprint("v", x.value)
		switch x.r.IntN(20) {
		case 0, 1, 2:
			out[i].value = "-"
		case 3, 4:
			out[i].value += strings.Repeat("x", x.r.IntN(3000))
		case 5:
			if x.r.IntN(10) == 0 {
				out[i].value += strings.Repeat("y", 100<<10) // over a memtable's half
			}
		}
	}
	return out
}

// batch makes up a batch: a new one, a retry, or one that breaks a rule.
func (x *metamorphic) batch(m *modelPartition) modelAppend {
	a := modelAppend{records: x.records(), ts: x.now - int64(x.r.IntN(100_000)), id: -1, epoch: -1, seq: -1}
	if x.r.IntN(2) == 0 {
		return a
	}
	a.id, a.epoch, a.seq = int64(x.r.IntN(3)), 0, []int32{0, 0, math.MaxInt32 - 3}[x.r.IntN(3)]
	p := m.producers[a.id]
	if p == nil {
		return a
	}
	a.epoch = p.epoch
	last := p.batches[len(p.batches)-1].last
	a.seq = int32((int64(last) + 1) % (1 << 31))
	switch x.r.IntN(10) {
	case 0, 1, 2:
		w := p.batches[x.r.IntN(len(p.batches))]
		n := int((int64(w.last)-int64(w.first)+1<<31)%(1<<31)) + 1
		a.seq = w.first
		for len(a.records) < n {
			a.records = append(a.records, x.records()...)
		}
		a.records = a.records[:n]
	case 3:
		a.seq = int32((int64(a.seq) + 1 + int64(x.r.IntN(3))) % (1 << 31))
	case 4:
		a.seq = max(0, a.seq-20)
	case 5:
		a.epoch++
		a.seq = 0
	case 6:
		a.epoch++
	case 7:
		if a.epoch > 0 {
			a.epoch--
		}
	}
	return a
}

func (x *metamorphic) build(p *Partition, a modelAppend) *Append {
	codec := recordbatch.None
	if x.r.IntN(4) == 0 {
		codec = recordbatch.Snappy
	}
	out := keyed(x.t, recordbatch.FinishOptions{ProducerID: a.id, ProducerEpoch: a.epoch, BaseSequence: a.seq, Codec: codec}, a.ts, a.records...)
	out.Partition = p
	out.Epoch = base.LeaderEpoch(x.r.IntN(3))
	return out
}

func (x *metamorphic) append() {
	n := 1
	if x.r.IntN(4) == 0 {
		n = 1 + x.r.IntN(5)
	}
	var appends []*Append
	var models []modelAppend
	var at []base.Offset
	var dups []bool
	var errs []error
	for range n {
		id, p, m := x.partition()
		a := x.batch(m)
		o, dup, err := m.append(a)
		x.say("append to %d: producer %d epoch %d sequence %d, %d records: %d %v %v", id, a.id, a.epoch, a.seq, len(a.records), o, dup, err)
		appends, models = append(appends, x.build(p, a)), append(models, a)
		at, dups, errs = append(at, o), append(dups, dup), append(errs, err)
	}
	x.ok(x.s.Append(appends, AppendHooks{}))
	for i, a := range appends {
		if !errors.Is(a.Err, errs[i]) || (a.Err == nil && (a.BaseOffset != at[i] || a.Duplicate != dups[i])) {
			x.ok(fmt.Errorf("append %d of %+v: got %d, duplicate %v, %w; want %d, %v, %w", i, models[i], a.BaseOffset, a.Duplicate, a.Err, at[i], dups[i], errs[i]))
		}
	}
}

func (x *metamorphic) read() {
	_, p, m := x.partition()
	x.ok(m.checkRead(x.r, p))
}

func (x *metamorphic) trim() {
	id, p, m := x.partition()
	to := m.start + base.Offset(x.r.Int64N(int64(m.next-m.start)/2+3)) - 1
	x.say("trim %d to %d", id, to)
	err := p.TrimTo(to)
	if to > m.next {
		require.ErrorAs(x.t, err, new(*OffsetOutOfRangeError))
		return
	}
	x.ok(err)
	m.trim(to)
}

func (x *metamorphic) compact() {
	id, p, m := x.partition()
	x.now += int64(x.r.IntN(2000))
	o := CompactOptions{Now: x.now, DeleteRetention: time.Duration(1+x.r.IntN(3000)) * time.Millisecond}
	if x.r.IntN(2) == 0 {
		o.MemoryBytes = 1
	}
	if x.r.IntN(3) == 0 {
		o.MinLag = time.Duration(x.r.IntN(50_000)) * time.Millisecond
	}
	x.say("compact %d: %+v", id, o)
	_, err := p.Compact(x.t.Context(), o)
	x.ok(err)
	m.compact(o)
	x.ok(m.check(p))
}

func (x *metamorphic) offsetForTime() {
	id, p, m := x.partition()
	ms := x.now - int64(x.r.IntN(110_000)) + 5000
	at, found, err := p.OffsetForTime(ms)
	x.ok(err)
	want, ok := m.offsetForTime(ms)
	if found != ok || (found && at != want) {
		x.ok(fmt.Errorf("partition %d: the offset for %d is %d %v, want %d %v", id, ms, at, found, want, ok))
	}
}

func (x *metamorphic) update() {
	refused := errors.New("refused")
	refuse := x.r.IntN(4) == 0
	after := maps.Clone(x.m.settings)
	x.say("update, refused %v", refuse)
	durable := false
	err := x.s.Update(func(tx *Tx) error {
		for range 1 + x.r.IntN(3) {
			name := fmt.Sprint("s", x.r.IntN(10))
			if x.r.IntN(3) == 0 {
				delete(after, name)
				x.ok(tx.Delete(name))
				continue
			}
			after[name] = fmt.Sprint(x.r.Int())
			x.ok(tx.Set(name, []byte(after[name])))
		}
		tx.OnDurable(func() { durable = true })
		if refuse {
			return refused
		}
		return nil
	})
	if refuse {
		require.ErrorIs(x.t, err, refused)
	} else {
		x.ok(err)
		x.m.settings = after
	}
	require.Equal(x.t, !refuse, durable)
}

func (x *metamorphic) drop() {
	id, p, _ := x.partition()
	x.say("drop %d", id)
	x.ok(x.s.Update(func(tx *Tx) error { return tx.DropPartition(p) }))
	a := x.build(p, modelAppend{records: x.records(), id: -1})
	x.ok(x.s.Append([]*Append{a}, AppendHooks{}))
	require.ErrorIs(x.t, a.Err, ErrPartitionDropped)
	require.ErrorIs(x.t, p.Read(&Fetch{}, 0, 100), ErrPartitionDropped)
	_, err := p.Compact(x.t.Context(), CompactOptions{})
	require.ErrorIs(x.t, err, ErrPartitionDropped)
	// A store that is asked for the id anew shows nothing old.
	p, err = x.s.Partition(id)
	x.ok(err)
	x.ok(newModelPartition().check(p))
	delete(x.m.partitions, id)
	x.m.partitions[x.m.nextID] = newModelPartition()
	x.m.nextID++
}

func (x *metamorphic) flush() {
	x.say("flush")
	x.ok(x.s.Flush())
}

func (x *metamorphic) checkpoint() {
	x.copies++
	o := x.opts
	o.Dir = fmt.Sprint("copies/", x.copies)
	x.say("checkpoint to %s", o.Dir)
	x.ok(x.s.Checkpoint(o.Dir))
	s, err := Open(o)
	x.ok(err)
	x.ok(x.m.check(s))
	x.ok(s.Close())
	x.ok(x.disk.RemoveAll("copies"))
}

func (x *metamorphic) reopen() {
	x.say("reopen")
	x.ok(x.m.check(x.s))
	x.ok(x.s.Close())
	x.open(x.disk)
	x.ok(x.m.check(x.s))
}

func (x *metamorphic) clone() *vfs.MemFS {
	percent := []int{0, 50, 100}[x.r.IntN(3)]
	x.say("crash, %d%% of the unsynced survives", percent)
	return x.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(x.r.Uint64(), 1))})
}

func (x *metamorphic) crash() {
	crashed := x.clone()
	x.ok(x.s.Close())
	x.open(crashed)
	x.ok(x.m.check(x.s))
}

// crashUnderLoad crashes while appends are on their way. Those that were
// acknowledged by then must be there at their offsets, of the others any may
// be, whole, once, and in the order that they were written in.
func (x *metamorphic) crashUnderLoad() {
	type flight struct {
		id    base.PartitionID
		m     modelAppend
		a     *Append
		acked atomic.Bool
	}
	var flights []*flight
	var wg sync.WaitGroup
	for range 2 + x.r.IntN(10) {
		id, p, _ := x.partition()
		m := modelAppend{records: x.records(), ts: x.now, id: -1}
		f := &flight{id: id, m: m, a: x.build(p, m)}
		flights = append(flights, f)
	}
	x.say("%d appends under way", len(flights))
	for _, f := range flights {
		wg.Go(func() {
			if err := x.s.Append([]*Append{f.a}, AppendHooks{}); err != nil || f.a.Err != nil {
				x.t.Error(err, f.a.Err)
			}
			f.acked.Store(true)
		})
	}
	time.Sleep(time.Duration(x.r.IntN(200)) * time.Microsecond) // any moment is a good one
	var acked []bool
	for _, f := range flights {
		acked = append(acked, f.acked.Load())
	}
	crashed := x.clone()
	wg.Wait()
	x.ok(x.s.Close())
	x.open(crashed)
	order := slices.Clone(flights)
	slices.SortFunc(order, func(a, b *flight) int { return int(a.a.BaseOffset - b.a.BaseOffset) })
	for id, m := range x.m.partitions {
		p, err := x.s.Partition(id)
		x.ok(err)
		for _, f := range order {
			if f.id == id && f.a.BaseOffset < p.HighWatermark() {
				at, _, _ := m.append(f.m)
				require.Equal(x.t, f.a.BaseOffset, at)
			}
		}
	}
	for i, f := range flights {
		if acked[i] && x.m.partitions[f.id].next <= f.a.BaseOffset {
			x.ok(fmt.Errorf("the crash lost the acknowledged offset %d of partition %d", f.a.BaseOffset, f.id))
		}
	}
	x.ok(x.m.check(x.s))
}
