package leattest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/internal/history"
)

const (
	// sendEvery is the pace of a producer, inFlightMax how many of its sends may be
	// without an answer.
	sendEvery   = 3 * time.Millisecond
	inFlightMax = 200
	// deliveryTimeout is after how long a producer gives up.
	deliveryTimeout = 4 * time.Second
	pollTimeout     = 300 * time.Millisecond
	callTimeout     = 5 * time.Second
)

// startClients starts those of every node, and those outside of the cluster.
func (r *torture) startClients(seed uint64) {
	for id := 1; id <= 3; id++ {
		rng := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(id)<<8|n)) }
		r.clients.Go(func() { r.produce(id, rng(1)) })
		r.clients.Go(func() { r.consume(id, rng(2)) })
		r.clients.Go(func() { r.join(id, rng(3)) })
	}
	r.clients.Go(func() { r.produceOutside(rand.New(rand.NewPCG(seed, 4))) })
	r.clients.Go(func() { r.ask(rand.New(rand.NewPCG(seed, 5))) })
}

// pauseProducers lets producers send no more, and waits for their answers.
func (r *torture) pauseProducers() {
	r.quiet.Store(true)
	for r.sending.Load() > 0 && r.pause(5*time.Millisecond) {
	}
}

// sender numbers the sends of a producer and records them.
type sender struct {
	r        *torture
	producer string
	next     [torturePartitions]int64
	inFlight chan struct{}
}

func (r *torture) newSender(client string) *sender {
	return &sender{r: r, producer: r.life(client), inFlight: make(chan struct{}, inFlightMax)}
}

// begin records a send; its call's end must be followed by done. It returns false
// when there is nothing to send now.
func (s *sender) begin(rng *rand.Rand, idempotent bool) (p int32, value string, call history.Call, ok bool) {
	if s.r.quiet.Load() {
		return 0, "", call, false
	}
	select {
	case s.inFlight <- struct{}{}:
	case <-s.r.ctx.Done():
		return 0, "", call, false
	}
	s.r.sending.Add(1)
	if s.r.quiet.Load() {
		s.done()
		return 0, "", call, false
	}
	p = rng.Int32N(torturePartitions)
	value = fmt.Sprintf("%s/%d/%d", s.producer, p, s.next[p])
	call = s.r.h.Begin(s.producer, history.Send{
		Partition: partition(p), Producer: s.producer, Sequence: s.next[p], Values: []string{value}, Idempotent: idempotent,
	})
	s.next[p]++
	return p, value, call, true
}

func (s *sender) done() {
	<-s.inFlight
	s.r.sending.Add(-1)
}

// produce sends by the library, on one node after the other life of it.
func (r *torture) produce(id int, rng *rand.Rand) {
	for r.pause(10 * time.Millisecond) {
		l := r.c.Node(id)
		if l == nil {
			continue
		}
		idempotent := rng.IntN(4) > 0
		opts := []leat.ProducerOption{leat.WithPartitioner(leat.ManualPartitioner), leat.WithDeliveryTimeout(deliveryTimeout)}
		if !idempotent {
			opts = append(opts, leat.WithoutIdempotence())
		}
		p, err := l.NewProducer(opts...)
		if err != nil {
			continue
		}
		r.produceBy(l, p, r.newSender(fmt.Sprintf("producer%d", id)), idempotent, rng)
		_ = p.Close() // what became of each record was told
	}
}

// produceBy sends until the node has closed the producer, or for some time.
func (r *torture) produceBy(l *leat.Log, p *leat.Producer, s *sender, idempotent bool, rng *rand.Rand) {
	var closed atomic.Bool
	for n := 3000; n > 0 && !closed.Load() && r.pause(sendEvery); n-- {
		to, value, call, ok := s.begin(rng, idempotent)
		if !ok {
			continue
		}
		rec := leat.Record{Topic: tortureTopic, Partition: to, Value: []byte(value)}
		refused := rng.IntN(100) == 0
		if refused {
			rec.Headers = []leat.Header{{Key: "too large", Value: make([]byte, 2<<20)}}
		}
		p.Produce(r.ctx, rec, func(m leat.RecordMetadata, err error) {
			defer s.done()
			switch {
			case errors.Is(err, leat.ErrRecordTooLarge):
				call.Failed(err)
			case err == nil && !r.c.Killed(l):
				call.OK(history.Result{Offset: int64(m.Offset)})
			case err == nil:
				call.Unknown(errors.New("the node was killed"))
			default:
				call.Unknown(err)
				closed.Store(closed.Load() || errors.Is(err, leat.ErrClosed) || errors.Is(err, leat.ErrStorageFailed))
			}
		})
	}
}

// produceOutside sends by a client of Kafka's protocol.
func (r *torture) produceOutside(rng *rand.Rand) {
	for r.pause(10 * time.Millisecond) {
		client, err := kgo.NewClient(kgo.SeedBrokers(r.c.ClientAddrs()...), kgo.Dialer(r.c.Dial),
			kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(tortureTopic),
			kgo.RecordDeliveryTimeout(deliveryTimeout), kgo.ProduceRequestTimeout(deliveryTimeout), kgo.ProducerLinger(0),
			kgo.MetadataMinAge(100*time.Millisecond))
		if err != nil {
			r.t.Error(err)
			return
		}
		s := r.newSender("kafka")
		for n := 3000; n > 0 && r.pause(sendEvery); n-- {
			to, value, call, ok := s.begin(rng, true)
			if !ok {
				continue
			}
			client.Produce(r.ctx, &kgo.Record{Partition: to, Value: []byte(value)}, func(rec *kgo.Record, err error) {
				defer s.done()
				if err == nil {
					call.OK(history.Result{Offset: rec.Offset})
				} else {
					call.Unknown(err)
				}
			})
		}
		client.Close()
	}
}

// reader follows the positions of a consumer and records its reads.
type reader struct {
	r    *torture
	name string
	next map[int32]int64
	// moved is when positions were given up last: a poll that began before read on
	// after it.
	moved time.Duration
}

// got records what a poll returned that began at a time.
func (d *reader) got(begun time.Duration, rs []leat.Record) {
	byPartition := make(map[int32][]history.Record)
	for _, rec := range rs {
		byPartition[rec.Partition] = append(byPartition[rec.Partition], history.Record{Offset: int64(rec.Offset), Value: strings.Clone(string(rec.Value))})
	}
	begun = max(begun, d.moved)
	for p, records := range byPartition {
		at, ok := d.next[p]
		if !ok {
			at = records[0].Offset
		}
		d.next[p] = records[len(records)-1].Offset + 1
		d.r.h.Add(history.Op{Client: d.name, Action: history.Read{Partition: partition(p), Position: at},
			Start: begun, End: d.r.h.Since(), Outcome: history.OK, Result: history.Result{Records: records}})
	}
}

// consume reads by the library, from the replicas of one node after the other life
// of it, and goes on where it was or begins anew.
func (r *torture) consume(id int, rng *rand.Rand) {
	d := &reader{r: r, name: r.life(fmt.Sprintf("consumer%d", id)), next: make(map[int32]int64)}
	for r.pause(10 * time.Millisecond) {
		l := r.c.Node(id)
		if l == nil {
			continue
		}
		if rng.IntN(4) == 0 {
			d = &reader{r: r, name: r.life(fmt.Sprintf("consumer%d", id)), next: make(map[int32]int64)}
		}
		c, err := l.NewConsumer(leat.Assign(tortureTopic), leat.StartAt(func(p *leat.Partition) (leat.Offset, error) {
			at, ok := d.next[p.Number()]
			if !ok {
				d.next[p.Number()] = 0
			}
			return leat.Offset(at), nil
		}))
		if err != nil {
			continue
		}
		for n := 1000; n > 0; n-- {
			begun := r.h.Since()
			ctx, cancel := context.WithTimeout(r.ctx, pollTimeout)
			rs, err := c.Poll(ctx, 500)
			cancel()
			if r.c.Killed(l) || r.ctx.Err() != nil {
				break
			}
			d.got(begun, rs)
			var out *leat.OffsetOutOfRangeError
			if errors.As(err, &out) {
				// The replica is behind what was read elsewhere: it will come.
				_ = c.Seek(leat.TopicPartition{Topic: out.Topic, Partition: out.Partition}, out.Offset)
				r.pause(10 * time.Millisecond)
			} else if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				break
			}
		}
		_ = c.Close() // it may have been closed with its node
	}
}

// join reads as a member of the group, and commits what it read.
func (r *torture) join(id int, rng *rand.Rand) {
	for r.pause(10 * time.Millisecond) {
		l := r.c.Node(id)
		if l == nil {
			continue
		}
		m := &member{l: l, reader: reader{r: r, name: r.life(fmt.Sprintf("member%d", id)), next: make(map[int32]int64)}}
		r.mu.Lock()
		r.members = append(r.members, m.name)
		r.mu.Unlock()
		ctx, cancel := context.WithTimeout(r.ctx, callTimeout)
		g, err := l.JoinGroup(ctx, tortureGroup, []string{tortureTopic}, leat.WithAutoCommit(0),
			leat.OnAssigned(m.assigned), leat.OnRevoked(m.revoked), leat.OnLost(m.revoked))
		cancel()
		if err != nil {
			continue
		}
		m.mu.Lock()
		m.g = g
		m.mu.Unlock()
		for n := 200 + rng.IntN(400); n > 0; n-- {
			if !m.poll(g) {
				break
			}
		}
		_ = g.Close() // it may have been closed with its node
	}
}

// member is one membership of the group.
type member struct {
	reader
	l *leat.Log

	mu sync.Mutex
	g  *leat.ConsumerGroup
}

// assigned is called by Poll.
func (m *member) assigned(_ context.Context, tps []leat.TopicPartition) {
	for _, tp := range tps {
		delete(m.next, tp.Partition)
		m.r.h.Note(m.name, history.Seek{Partition: partition(tp.Partition), Position: history.None})
		if !m.r.c.Killed(m.l) {
			m.r.h.Note(m.name, history.Own{Group: tortureGroup, Partition: partition(tp.Partition), Member: m.name, Generation: history.None})
		}
	}
	m.moved = m.r.h.Since()
}

func (m *member) revoked(_ context.Context, tps []leat.TopicPartition) {
	for _, tp := range tps {
		delete(m.next, tp.Partition)
	}
}

// poll reads once and commits. It returns false when the membership is over.
func (m *member) poll(g *leat.ConsumerGroup) bool {
	begun := m.r.h.Since()
	ctx, cancel := context.WithTimeout(m.r.ctx, pollTimeout)
	rs, err := g.Poll(ctx, 500)
	cancel()
	if m.r.c.Killed(m.l) || m.r.ctx.Err() != nil {
		return false
	}
	m.got(begun, rs)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return !errors.Is(err, leat.ErrClosed) && m.r.pause(20*time.Millisecond)
	}
	offsets := make(map[leat.TopicPartition]leat.OffsetAndMetadata)
	var calls []history.Call
	for _, rec := range rs {
		offsets[leat.TopicPartition{Topic: tortureTopic, Partition: rec.Partition}] = leat.OffsetAndMetadata{Offset: rec.Offset + 1, LeaderEpoch: rec.LeaderEpoch}
	}
	if len(offsets) == 0 {
		return true
	}
	for tp, o := range offsets {
		calls = append(calls, m.r.h.Begin(m.name, history.Commit{
			Group: tortureGroup, Partition: partition(tp.Partition), Member: m.name, Generation: history.None, Offset: int64(o.Offset),
		}))
	}
	ctx, cancel = context.WithTimeout(m.r.ctx, callTimeout)
	err = g.CommitOffsets(ctx, offsets)
	cancel()
	for _, call := range calls {
		switch {
		case err == nil && !m.r.c.Killed(m.l):
			call.OK(history.Result{})
		case err == nil:
			call.Unknown(errors.New("the node was killed"))
		default:
			call.Unknown(err)
		}
	}
	return true
}

// ask asks leaders for end offsets and coordinators for committed ones.
func (r *torture) ask(rng *rand.Rand) {
	client, err := kgo.NewClient(kgo.SeedBrokers(r.c.ClientAddrs()...), kgo.Dialer(r.c.Dial), kgo.MetadataMinAge(50*time.Millisecond), kgo.RetryTimeout(callTimeout))
	if err != nil {
		r.t.Error(err)
		return
	}
	defer client.Close()
	for r.pause(20 * time.Millisecond) {
		p := rng.Int32N(torturePartitions)
		if rng.IntN(2) == 0 {
			r.askEnd(client, p)
		} else {
			r.askCommitted(client)
		}
	}
}

func (r *torture) askEnd(client *kgo.Client, p int32) {
	req := kmsg.NewPtrListOffsetsRequest()
	part := kmsg.NewListOffsetsRequestTopicPartition()
	part.Partition, part.Timestamp = p, -1
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic, topic.Partitions = tortureTopic, append(topic.Partitions, part)
	req.ReplicaID, req.Topics = -1, append(req.Topics, topic)
	ctx, cancel := context.WithTimeout(r.ctx, callTimeout)
	defer cancel()
	call := r.h.Begin("asker", history.EndOffset{Partition: partition(p)})
	resp, err := req.RequestWith(ctx, client)
	switch {
	case err != nil:
		call.Unknown(err)
	case len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 || resp.Topics[0].Partitions[0].ErrorCode != 0:
		call.Unknown(fmt.Errorf("answer %+v", resp.Topics))
	default:
		call.OK(history.Result{Offset: resp.Topics[0].Partitions[0].Offset})
	}
}

func (r *torture) askCommitted(client *kgo.Client) {
	req := kmsg.NewPtrOffsetFetchRequest()
	topic := kmsg.NewOffsetFetchRequestTopic()
	topic.Topic = tortureTopic
	var calls [torturePartitions]history.Call
	for p := range int32(torturePartitions) {
		topic.Partitions = append(topic.Partitions, p)
		calls[p] = r.h.Begin("asker", history.Committed{Group: tortureGroup, Partition: partition(p)})
	}
	req.Group, req.Topics = tortureGroup, append(req.Topics, topic)
	ctx, cancel := context.WithTimeout(r.ctx, callTimeout)
	defer cancel()
	resp, err := req.RequestWith(ctx, client)
	if err == nil && resp.ErrorCode != 0 {
		err = fmt.Errorf("error code %d", resp.ErrorCode)
	}
	answers := make(map[int32]kmsg.OffsetFetchResponseTopicPartition)
	if err == nil {
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				answers[p.Partition] = p
			}
		}
	}
	for p, call := range calls {
		a, ok := answers[int32(p)]
		switch {
		case err != nil:
			call.Unknown(err)
		case !ok || a.ErrorCode != 0:
			call.Unknown(fmt.Errorf("answer %+v", a))
		default:
			call.OK(history.Result{Offset: a.Offset})
		}
	}
}
