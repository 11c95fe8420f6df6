package leat

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

var (
	modelRuns = flag.Int("leat.model-runs", 30, "runs of TestModel")
	modelOps  = flag.Int("leat.model-ops", 250, "operations of a run of TestModel")
	modelSeed = flag.Uint64("leat.model-seed", 0, "seed of the first run of TestModel; 0 takes a new one")
)

// TestModel drives a Log with random operations, reopens it and takes the power
// away, and compares all of it with a plain model in memory.
func TestModel(t *testing.T) {
	seed := *modelSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	for run := range uint64(*modelRuns) {
		m := &logModel{t: t, rng: rand.New(rand.NewPCG(seed+run, 0)), topics: map[string]*modelTopic{}, fs: vfs.NewCrashableMem()}
		m.open()
		for op := range *modelOps {
			m.step()
			if t.Failed() {
				t.Fatalf("operation %d: replay with -leat.model-runs=1 -leat.model-seed=%d", op, seed+run)
			}
		}
		m.check()
		require.NoError(t, m.log.Close())
		if t.Failed() {
			t.Fatalf("replay with -leat.model-runs=1 -leat.model-seed=%d", seed+run)
		}
	}
}

// logModel is a Log and what must be in it. Every operation is acknowledged
// before the next begins, so that a crash may change nothing.
type logModel struct {
	t   *testing.T
	rng *rand.Rand
	fs  *vfs.MemFS

	log      *Log
	producer *Producer
	topics   map[string]*modelTopic
	n        int
}

type modelTopic struct {
	id         TopicID
	partitions []*modelPartition
	maxBytes   int
}

type modelPartition struct {
	start   Offset
	records []Record // by offset
}

func (m *logModel) open() {
	var err error
	m.log, err = Open(m.t.Context(), Config{fs: m.fs, MemTableBytes: 1 << 20, TailCacheBytes: 32 << 10})
	require.NoError(m.t, err)
	codecs := []Compression{Uncompressed, Gzip, Snappy, LZ4, Zstd}
	m.producer, err = m.log.NewProducer(WithCompression(codecs[m.rng.IntN(len(codecs))]), WithBatchBytes(1+m.rng.IntN(4000)))
	require.NoError(m.t, err)
}

func (m *logModel) step() {
	switch k := m.rng.IntN(100); {
	case k < 40:
		m.produce()
	case k < 65:
		m.read()
	case k < 70:
		m.createTopic()
	case k < 73:
		m.deleteTopic()
	case k < 77:
		m.addPartitions()
	case k < 81:
		m.alterTopic()
	case k < 88:
		m.deleteRecords()
	case k < 92:
		require.NoError(m.t, m.log.store.Flush())
	case k < 96:
		require.NoError(m.t, m.log.Close())
		m.open()
		m.check()
	default:
		m.crash()
		m.check()
	}
}

// crash goes on with what a power loss leaves of the file system.
func (m *logModel) crash() {
	percent := []int{0, 50, 100}[m.rng.IntN(3)]
	left := m.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: m.rng})
	require.NoError(m.t, m.log.Close())
	m.fs = left
	m.open()
}

// pick returns a topic, or nil when there is none.
func (m *logModel) pick() (string, *modelTopic) {
	if len(m.topics) == 0 {
		return "", nil
	}
	names := slices.Sorted(maps.Keys(m.topics))
	name := names[m.rng.IntN(len(names))]
	return name, m.topics[name]
}

func (m *logModel) createTopic() {
	name := fmt.Sprintf("topic-%d", m.rng.IntN(6))
	cfg := TopicConfig{Partitions: 1 + m.rng.IntN(4)}
	topic, err := m.log.CreateTopic(m.t.Context(), name, cfg)
	if m.topics[name] != nil {
		require.ErrorIs(m.t, err, ErrTopicExists)
		return
	}
	require.NoError(m.t, err)
	mt := &modelTopic{id: topic.ID(), maxBytes: topic.Config().MaxMessageBytes}
	for range cfg.Partitions {
		mt.partitions = append(mt.partitions, &modelPartition{})
	}
	m.topics[name] = mt
}

func (m *logModel) deleteTopic() {
	name, mt := m.pick()
	if mt == nil {
		require.ErrorIs(m.t, m.log.DeleteTopic(m.t.Context(), "topic-0"), ErrUnknownTopic)
		return
	}
	require.NoError(m.t, m.log.DeleteTopic(m.t.Context(), name))
	delete(m.topics, name)
}

func (m *logModel) addPartitions() {
	name, mt := m.pick()
	if mt == nil {
		return
	}
	total := m.rng.IntN(8)
	err := m.log.AddPartitions(m.t.Context(), name, total)
	if total <= len(mt.partitions) {
		require.ErrorIs(m.t, err, ErrInvalidConfig)
		return
	}
	require.NoError(m.t, err)
	for len(mt.partitions) < total {
		mt.partitions = append(mt.partitions, &modelPartition{})
	}
}

func (m *logModel) alterTopic() {
	name, mt := m.pick()
	if mt == nil {
		return
	}
	mt.maxBytes = 200 + m.rng.IntN(5000)
	require.NoError(m.t, m.log.AlterTopic(m.t.Context(), name, func(c *TopicConfig) { c.MaxMessageBytes = mt.maxBytes }))
}

func (m *logModel) record(name string) Record {
	m.n++
	r := Record{Topic: name, Timestamp: time.UnixMilli(1_700_000_000_000 + int64(m.n))}
	if m.rng.IntN(3) > 0 {
		r.Key = fmt.Appendf(nil, "key-%d", m.rng.IntN(20))
	}
	if m.rng.IntN(10) > 0 {
		r.Value = fmt.Appendf(nil, "value-%d-%0*d", m.n, m.rng.IntN(1500), 0)
	}
	for i := range m.rng.IntN(3) {
		r.Headers = append(r.Headers, Header{Key: fmt.Sprint("h", i), Value: fmt.Append(nil, m.n)})
	}
	return r
}

func (m *logModel) produce() {
	name, mt := m.pick()
	if mt == nil {
		_, err := m.producer.ProduceSync(m.t.Context(), Record{Topic: "topic-0"})
		require.ErrorIs(m.t, err, ErrUnknownTopic)
		return
	}
	rs := make([]Record, 1+m.rng.IntN(12))
	for i := range rs {
		rs[i] = m.record(name)
	}
	ms, err := m.producer.ProduceSync(m.t.Context(), rs...)
	if err != nil {
		require.ErrorIs(m.t, err, ErrRecordTooLarge)
	}
	for i, md := range ms {
		if md.Offset < 0 {
			require.Error(m.t, err)
			require.Greater(m.t, len(rs[i].Value)+200, mt.maxBytes, "it was refused as too large")
			continue
		}
		p := mt.partitions[md.Partition]
		require.Equal(m.t, Offset(len(p.records)), md.Offset)
		if rs[i].Key != nil {
			require.Equal(m.t, KeyPartitioner(&rs[i], int32(len(mt.partitions))), md.Partition)
		}
		rs[i].Partition, rs[i].Offset = md.Partition, md.Offset
		p.records = append(p.records, rs[i])
	}
}

func (m *logModel) deleteRecords() {
	name, mt := m.pick()
	if mt == nil {
		return
	}
	n := int32(m.rng.IntN(len(mt.partitions)))
	mp := mt.partitions[n]
	to := Offset(m.rng.IntN(len(mp.records) + 2))
	topic, err := m.log.Topic(m.t.Context(), name)
	require.NoError(m.t, err)
	p, err := topic.Partition(n)
	require.NoError(m.t, err)
	err = p.DeleteRecords(m.t.Context(), to)
	if int(to) > len(mp.records) {
		require.ErrorIs(m.t, err, ErrOffsetOutOfRange)
		return
	}
	require.NoError(m.t, err)
	mp.start = max(mp.start, to)
}

// read compares what a consumer gets from a random place on.
func (m *logModel) read() {
	name, mt := m.pick()
	if mt == nil {
		return
	}
	n := int32(m.rng.IntN(len(mt.partitions)))
	mp := mt.partitions[n]
	from := Offset(m.rng.IntN(len(mp.records) + 1))
	c, err := m.log.NewConsumer(Assign(name, n), StartAt(AtOffset(from)), WithFetchBytes(1+m.rng.IntN(10000)))
	require.NoError(m.t, err)
	defer func() { require.NoError(m.t, c.Close()) }()
	if from < mp.start {
		_, err := c.Poll(m.t.Context(), 0)
		var oor *OffsetOutOfRangeError
		require.True(m.t, errors.As(err, &oor), "%v", err)
		require.Equal(m.t, OffsetOutOfRangeError{Topic: name, Partition: n, Offset: from, LogStart: mp.start, HighWatermark: Offset(len(mp.records))}, *oor)
		return
	}
	for want := mp.records[from:]; len(want) > 0; {
		rs, err := c.Poll(m.t.Context(), 1+m.rng.IntN(20))
		require.NoError(m.t, err)
		require.LessOrEqual(m.t, len(rs), len(want))
		for i := range rs {
			m.same(&want[i], &rs[i])
		}
		want = want[len(rs):]
	}
}

func (m *logModel) same(want, got *Record) {
	require.Equal(m.t, want.Topic, got.Topic)
	require.Equal(m.t, want.Partition, got.Partition)
	require.Equal(m.t, want.Offset, got.Offset)
	require.Equal(m.t, want.Key, got.Key)
	require.Equal(m.t, want.Value, got.Value)
	require.Equal(m.t, want.Headers, got.Headers)
	require.True(m.t, want.Timestamp.Equal(got.Timestamp), "%v, want %v", got.Timestamp, want.Timestamp)
}

// check compares the whole Log.
func (m *logModel) check() {
	infos, err := m.log.Topics(m.t.Context())
	require.NoError(m.t, err)
	var names []string
	for _, info := range infos {
		names = append(names, info.Name)
	}
	require.Equal(m.t, slices.Sorted(maps.Keys(m.topics)), names)
	for name, mt := range m.topics {
		topic, err := m.log.Topic(m.t.Context(), name)
		require.NoError(m.t, err)
		require.Equal(m.t, mt.id, topic.ID())
		require.Equal(m.t, mt.maxBytes, topic.Config().MaxMessageBytes)
		require.Equal(m.t, len(mt.partitions), topic.NumPartitions())
		for i, mp := range mt.partitions {
			p, err := topic.Partition(int32(i))
			require.NoError(m.t, err)
			info, err := p.Info(m.t.Context())
			require.NoError(m.t, err)
			require.Equal(m.t, mp.start, info.LogStart)
			require.Equal(m.t, Offset(len(mp.records)), info.HighWatermark)
			m.checkTime(p, mp)
			if mp.start == info.HighWatermark {
				continue
			}
			c, err := m.log.NewConsumer(Assign(name, int32(i)), StartAt(Earliest))
			require.NoError(m.t, err)
			for want := mp.records[mp.start:]; len(want) > 0; {
				rs, err := c.Poll(m.t.Context(), 0)
				require.NoError(m.t, err)
				for i := range rs {
					m.same(&want[i], &rs[i])
				}
				want = want[len(rs):]
			}
			require.NoError(m.t, c.Close())
		}
	}
}

func (m *logModel) checkTime(p *Partition, mp *modelPartition) {
	at := time.UnixMilli(1_700_000_000_000 + int64(m.rng.IntN(m.n+2)))
	o, ts, err := p.OffsetForTime(m.t.Context(), at)
	require.NoError(m.t, err)
	for _, r := range mp.records[mp.start:] {
		if !r.Timestamp.Before(at) {
			require.Equal(m.t, r.Offset, o)
			require.True(m.t, r.Timestamp.Equal(ts))
			return
		}
	}
	require.Equal(m.t, Offset(len(mp.records)), o)
	require.True(m.t, ts.IsZero())
}
