package leat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestConsumerModel drives a consumer with random calls while producers write,
// and compares all it does with what positions must be. A record's value is its
// offset, so that every record tells where it belongs.
func TestConsumerModel(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := newConsumerModel(t, seed)
			for range 400 {
				m.step()
			}
			m.finish()
		})
	}
}

const modelPartitions = 4

type consumerModel struct {
	*testing.T
	rng       *rand.Rand
	log       *Log
	topic     *Topic
	c         *Consumer
	positions [modelPartitions]Offset // -1 when not assigned
	paused    [modelPartitions]bool
	written   sync.WaitGroup
}

const modelRecords = 3000 // a partition

func newConsumerModel(t *testing.T, seed uint64) *consumerModel {
	m := &consumerModel{T: t, rng: rand.New(rand.NewPCG(seed, 1))}
	// Small caches make some reads come from disk.
	m.log = openTest(t, Config{TailCacheBytes: 16 << 10})
	m.topic = mustTopic(t, m.log, "t", TopicConfig{Partitions: modelPartitions})
	for i := range int32(modelPartitions) {
		codec := Uncompressed + Compression((seed+uint64(i))%5)
		rng := rand.New(rand.NewPCG(seed, uint64(i)+2))
		m.written.Go(func() { m.write(i, codec, rng) })
	}
	m.c = mustConsumer(t, m.log, Assign("t"), WithResetPolicy(ResetEarliest), WithFetchBytes(1+m.rng.IntN(8<<10)))
	return m
}

func (m *consumerModel) write(partition int32, codec Compression, rng *rand.Rand) {
	p, err := m.log.NewProducer(WithPartitioner(ManualPartitioner), WithCompression(codec))
	if err != nil {
		m.Error(err)
		return
	}
	for next := 0; next < modelRecords; {
		var rs []Record
		for n := 1 + rng.IntN(200); n > 0 && next < modelRecords; n-- {
			r := Record{Topic: "t", Partition: partition, Value: strconv.AppendInt(nil, int64(next), 10)}
			if rng.IntN(8) == 0 {
				r.Headers = []Header{{Key: "h", Value: r.Value}}
			}
			rs = append(rs, r)
			next++
		}
		if _, err := p.ProduceSync(context.Background(), rs...); err != nil {
			m.Error(err)
			return
		}
	}
	if err := p.Close(); err != nil {
		m.Error(err)
	}
}

func (m *consumerModel) tp(i int) TopicPartition { return TopicPartition{"t", int32(i)} }

func (m *consumerModel) highWatermark(i int) Offset {
	r, err := m.topic.state.Load().partitions[i].replica()
	require.NoError(m, err)
	return r.HighWatermark()
}

func (m *consumerModel) logStart(i int) Offset {
	r, err := m.topic.state.Load().partitions[i].replica()
	require.NoError(m, err)
	return r.LogStart()
}

// ready reports whether a record is there to be handed out.
func (m *consumerModel) ready() bool {
	for i, at := range m.positions {
		if at >= 0 && !m.paused[i] && at < m.highWatermark(i) {
			return true
		}
	}
	return false
}

func (m *consumerModel) see(r *Record) {
	i := int(r.Partition)
	want := max(m.positions[i], m.logStart(i))
	if m.positions[i] < 0 || m.paused[i] || r.Topic != "t" || r.Offset != want || string(r.Value) != fmt.Sprint(want) {
		m.Fatalf("got %q at %s/%d offset %d, want offset %d; position %d, paused %v",
			r.Value, r.Topic, r.Partition, r.Offset, want, m.positions[i], m.paused[i])
	}
	if len(r.Headers) > 0 && (len(r.Headers) != 1 || !bytes.Equal(r.Headers[0].Value, r.Value)) {
		m.Fatalf("offset %d has headers %q", r.Offset, r.Headers)
	}
	m.positions[i]++
	m.positions[i] = max(m.positions[i], r.Offset+1)
}

func (m *consumerModel) step() {
	i := m.rng.IntN(modelPartitions)
	at := m.positions[i]
	switch m.rng.IntN(12) {
	case 0, 1, 2:
		if m.ready() {
			n := 1 + m.rng.IntN(400)
			rs, err := m.c.Poll(m.Context(), n)
			require.NoError(m, err)
			require.True(m, len(rs) > 0 && len(rs) <= n)
			for j := range rs {
				m.see(&rs[j])
			}
		}
	case 3, 4, 5:
		m.iterate(1 + m.rng.IntN(500))
	case 6:
		to := Offset(m.rng.Int64N(int64(m.highWatermark(i)) + 1))
		if err := m.c.Seek(m.tp(i), to); at < 0 {
			require.ErrorIs(m, err, ErrNotAssigned)
		} else {
			require.NoError(m, err)
			m.positions[i] = to
		}
	case 7:
		if at >= 0 {
			if m.paused[i] {
				require.NoError(m, m.c.Resume(m.tp(i)))
			} else {
				require.NoError(m, m.c.Pause(m.tp(i)))
			}
			m.paused[i] = !m.paused[i]
		}
	case 8:
		if at >= 0 {
			require.NoError(m, m.c.RemovePartitions(m.tp(i)))
			m.positions[i], m.paused[i] = -1, false
		} else {
			to := Offset(m.rng.Int64N(int64(m.highWatermark(i)) + 1))
			require.NoError(m, m.c.AddPartitions(AtOffset(to), m.tp(i)))
			m.positions[i] = to
		}
	case 9:
		lo, hi := m.logStart(i), m.highWatermark(i)
		p, err := m.topic.Partition(int32(i))
		require.NoError(m, err)
		require.NoError(m, p.DeleteRecords(m.Context(), lo+Offset(m.rng.Int64N(int64(hi-lo)/16+1))))
	case 10:
		if at >= 0 {
			require.NoError(m, m.c.SeekToBeginning(m.tp(i)))
			m.positions[i] = m.logStart(i)
		}
	case 11:
		m.checkPositions()
	}
}

// iterate takes up to n records, and changes things on the way.
func (m *consumerModel) iterate(n int) {
	if !m.ready() {
		return
	}
	for r, err := range m.c.Records(m.Context()) {
		require.NoError(m, err)
		m.see(&r)
		if m.rng.IntN(100) == 0 {
			i := m.rng.IntN(modelPartitions)
			if m.positions[i] >= 0 {
				m.positions[i] = m.logStart(i)
				require.NoError(m, m.c.Seek(m.tp(i), m.positions[i]))
			}
		}
		if m.rng.IntN(100) == 0 {
			require.NoError(m, m.c.Pause())
			require.NoError(m, m.c.Resume())
			m.paused = [modelPartitions]bool{}
		}
		if n--; n <= 0 || !m.ready() {
			break
		}
	}
}

func (m *consumerModel) checkPositions() {
	var assigned, paused []TopicPartition
	for i, at := range m.positions {
		got, err := m.c.Position(m.tp(i))
		if at < 0 {
			require.ErrorIs(m, err, ErrNotAssigned)
			continue
		}
		require.NoError(m, err)
		require.Equal(m, at, got)
		assigned = append(assigned, m.tp(i))
		if m.paused[i] {
			paused = append(paused, m.tp(i))
		}
	}
	require.ElementsMatch(m, assigned, m.c.Assignment())
	require.ElementsMatch(m, paused, m.c.Paused())
}

// finish reads all to the end.
func (m *consumerModel) finish() {
	for i := range m.positions {
		if m.positions[i] < 0 {
			require.NoError(m, m.c.AddPartitions(Earliest, m.tp(i)))
			m.positions[i] = m.logStart(i)
		}
	}
	require.NoError(m, m.c.Resume())
	m.paused = [modelPartitions]bool{}
	done := func() bool {
		for i := range m.positions {
			if m.positions[i] < modelRecords {
				return false
			}
		}
		return true
	}
	for !done() {
		rs, err := m.c.Poll(m.Context(), 0) // waits for the producers too
		require.NoError(m, err)
		for j := range rs {
			m.see(&rs[j])
		}
	}
	m.written.Wait()
	m.checkPositions()
	for tp, lag := range m.c.Lag() {
		require.Zero(m, lag, tp)
	}
	require.NoError(m, m.c.Close())
	_, err := m.c.Poll(m.Context(), 0)
	require.True(m, errors.Is(err, ErrClosed))
}
