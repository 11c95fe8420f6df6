package kafka

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/internal/store"
)

const (
	// produceVersionMin is the first version whose batches are of format 2. The
	// older ones are advertised, for what clients conclude from it, and refused.
	produceVersionMin = 3
	// produceVersionZstd is the first version in which zstd is allowed (KIP-110).
	produceVersionZstd = 7
	// produceVersionLeader is the first version that tells the leader and where it is
	// to who asked another node (KIP-951).
	produceVersionLeader = 10
	// frameKeptShare: a batch is stored as it lies in its frame if those of the
	// frame that are stored make up at least three quarters of it. Else they are
	// copied, so that little that is stored does not keep much alive.
	frameKeptNum, frameKeptDen = 3, 4
	// appendingBytesMax is how much a connection may have under way and be read on. It
	// is enough for one commit to be built while the one before is fsynced; what a client
	// sends beyond that would take memory and wait.
	appendingBytesMax = 12 << 20
)

// produced is what becomes of one partition of a Produce.
type produced struct {
	partition *kmsg.ProduceResponseTopicPartition
	append    *Append // nil if it was refused before
	logAppend int64   // the time that all records got, or -1
}

// produce stores batches. It returns as soon as their order against later requests
// is settled; the answer follows when they are durable. held is released then.
func (c *conn) produce(r *request, req *kmsg.ProduceRequest, frame []byte, held int64) error {
	resp := kmsg.NewPtrProduceResponse()
	handed := false
	defer func() {
		if !handed {
			c.requests.release(held)
		}
	}()
	var all []produced
	resp.Topics = make([]kmsg.ProduceResponseTopic, len(req.Topics))
	for i := range req.Topics {
		t := &req.Topics[i]
		out := &resp.Topics[i]
		out.Topic, out.TopicID = t.Topic, t.TopicID
		out.Partitions = make([]kmsg.ProduceResponseTopicPartition, len(t.Partitions))
		topic, code := c.produceTopic(req, t)
		for j := range t.Partitions {
			out.Partitions[j] = kmsg.NewProduceResponseTopicPartition()
			p := &out.Partitions[j]
			p.Partition = t.Partitions[j].Partition
			p.BaseOffset, p.LogAppendTime, p.LogStartOffset = -1, -1, -1
			one := produced{partition: p, logAppend: -1}
			if code != None {
				p.ErrorCode = int16(code)
			} else if err := c.prepare(&one, req.Version, topic, &t.Partitions[j]); err != nil {
				c.refuse(req.Version, p, err)
			}
			all = append(all, one)
		}
	}
	appends, bytes := make([]*Append, 0, len(all)), 0
	for _, one := range all {
		if one.append != nil {
			appends = append(appends, one.append)
			bytes += len(one.append.Batch)
		}
	}
	if bytes < cap(frame)/frameKeptDen*frameKeptNum {
		for _, a := range appends {
			a.Batch = append([]byte(nil), a.Batch...)
		}
	}
	a := &answer{}
	var failed error
	a.build = func() net.Buffers {
		ok := c.finishProduce(req.Version, all, failed)
		a.failed = !ok
		c.addEndpoints(resp)
		if req.Acks == 0 {
			if !ok {
				return nil // all that an acks=0 client can learn is that it is closed
			}
			return net.Buffers{}
		}
		return net.Buffers{r.encode(resp)}
	}
	if len(appends) == 0 {
		return c.send(r, a)
	}
	a.pending.Store(true)
	if err := c.send(r, a); err != nil {
		return err
	}
	var once sync.Once
	finish := func(err error) {
		once.Do(func() {
			failed = err
			a.pending.Store(false)
		})
	}
	enqueued := make(chan struct{})
	hooks := store.AppendHooks{Enqueued: func() { close(enqueued) }}
	if req.Acks == 1 || req.Acks == 0 {
		hooks.Applied = func() { // it must not wait for the client
			finish(nil)
			c.wg.Go(c.flush)
		}
	}
	timeout := max(time.Duration(req.TimeoutMillis)*time.Millisecond, 0)
	handed = true
	c.appendBegins(len(frame))
	c.wg.Go(func() {
		err := c.server.backend.Append(c.ctx, appends, timeout, hooks)
		c.requests.release(held)
		c.appendEnds(len(frame))
		finish(err)
		c.flush()
	})
	<-enqueued
	return c.awaitAppends()
}

// appendBegins and appendEnds count the bytes of requests whose appends are under way.
func (c *conn) appendBegins(n int) {
	c.mu.Lock()
	c.appending += n
	c.mu.Unlock()
}

func (c *conn) appendEnds(n int) {
	c.mu.Lock()
	c.appending -= n
	c.mu.Unlock()
	select {
	case c.less <- struct{}{}:
	default: // the one that is there tells it, too
	}
}

// awaitAppends waits while too much is under way for more to be read.
func (c *conn) awaitAppends() error {
	for {
		c.mu.Lock()
		much := c.appending > appendingBytesMax
		c.mu.Unlock()
		if !much {
			return nil
		}
		select {
		case <-c.less:
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
	}
}

// produceTopic finds the topic of a part of a request, or the code that all of its
// partitions get.
func (c *conn) produceTopic(req *kmsg.ProduceRequest, t *kmsg.ProduceRequestTopic) (Topic, Code) {
	switch {
	case req.Version < produceVersionMin:
		return nil, UnsupportedVersion
	case req.Acks < -1 || req.Acks > 1:
		return nil, InvalidRequiredAcks
	case req.TransactionID != nil:
		return nil, TransactionalIDAuthorization
	}
	var topic Topic
	missing := UnknownTopicOrPartition
	if req.Version >= 13 {
		topic, missing = c.server.backend.TopicByID(t.TopicID), UnknownTopicID
	} else {
		topic = c.server.backend.Topic(t.Topic)
	}
	switch {
	case topic == nil:
		return nil, missing
	case topic.IsInternal():
		return nil, InvalidTopic
	}
	return topic, None
}

// errOneBatch is what Kafka's InvalidRecordException says of the partitions of a
// Produce.
var errOneBatch = &recordbatch.InvalidRecordError{Record: recordbatch.NoRecord, Rule: "a Produce has exactly one batch for each partition"}

// prepare checks the batch of a partition and makes it what is to be stored.
func (c *conn) prepare(one *produced, version int16, t Topic, p *kmsg.ProduceRequestTopicPartition) error {
	at, err := c.leading(t, p.Partition, noEpoch)
	if err != nil {
		return err
	}
	if len(p.Records) == 0 {
		return errOneBatch
	}
	batch, rest, err := recordbatch.Next(p.Records)
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return errOneBatch
	}
	h, err := recordbatch.ParseHeader(batch)
	switch {
	case err != nil:
		return err
	case h.IsTransactional():
		return &recordbatch.InvalidRecordError{Record: recordbatch.NoRecord, Rule: "transactions are not served"}
	case h.Codec() == recordbatch.Zstd && version < produceVersionZstd:
		return &recordbatch.CodecError{Codec: h.Codec()}
	}
	rules := t.Rules()
	recode := rules.Recompress && rules.Codec != h.Codec()
	if h.Codec() != recordbatch.None || recode {
		// As many at a time as there are processors: each may unpack to a lot.
		var d *recordbatch.Decompressor
		select {
		case d = <-c.server.unpack:
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
		defer func() { c.server.unpack <- d }()
		rules.Limits.Decompressor = d
	}
	if h, err = recordbatch.Validate(batch, rules.Limits); err != nil {
		return err
	}
	if recode {
		if batch, err = recompress(batch, &h, rules.Limits.Decompressor, rules.Codec); err != nil {
			return err
		}
		if limit := rules.Limits.MaxBatchBytes; limit > 0 && len(batch) > limit {
			return &recordbatch.TooLargeError{Size: len(batch), Limit: limit}
		}
	}
	if rules.Limits.LogAppendTime {
		one.logAppend = rules.AppendTime
		recordbatch.SetLogAppendTime(batch, rules.AppendTime)
		recordbatch.Reseal(batch)
	}
	if h, err = recordbatch.ParseHeader(batch); err != nil {
		return err
	}
	one.append = &Append{Replica: at.Replica, Append: store.Append{Batch: batch, Header: h, Epoch: at.Epoch}}
	return nil
}

// recompress encodes a batch anew, as the topic's compression.type wants it.
func recompress(batch []byte, h *recordbatch.Header, d *recordbatch.Decompressor, codec recordbatch.Codec) ([]byte, error) {
	var it recordbatch.Iterator
	if err := it.Reset(batch, d); err != nil {
		return nil, err
	}
	var b recordbatch.Builder
	b.Reset(nil)
	var headers []recordbatch.RecordHeader
	for it.Next() {
		rec := it.Record()
		var err error
		if headers, err = rec.Headers(headers[:0]); err != nil {
			return nil, err
		}
		if err := b.Append(rec.Timestamp, rec.Key, rec.Value, headers); err != nil {
			return nil, err
		}
	}
	if err := it.Err(); err != nil {
		return nil, err
	}
	return b.Finish(recordbatch.FinishOptions{Codec: codec,
		ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch, BaseSequence: h.BaseSequence})
}

// refuse fills in what is wrong with a partition's batch.
func (c *conn) refuse(version int16, p *kmsg.ProduceResponseTopicPartition, err error) {
	p.ErrorCode = int16(c.batchCode(err))
	text := err.Error()
	p.ErrorMessage = &text
	var invalid *recordbatch.InvalidRecordError
	if errors.As(err, &invalid) && invalid.Record != recordbatch.NoRecord {
		r := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		r.RelativeOffset, r.ErrorMessage = int32(invalid.Record), &invalid.Rule
		p.ErrorRecords = append(p.ErrorRecords, r)
	}
	var moved *NotLeaderError
	if version >= produceVersionLeader && errors.As(err, &moved) && moved.Leader != NoNode {
		p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch = moved.Leader, moved.Epoch
	}
}

// addEndpoints tells where the leaders are that the partitions name (KIP-951).
func (c *conn) addEndpoints(resp *kmsg.ProduceResponse) {
	var leaders map[int32]struct{}
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			if id := resp.Topics[i].Partitions[j].CurrentLeader.LeaderID; id != NoNode {
				if leaders == nil {
					leaders = make(map[int32]struct{})
				}
				leaders[id] = struct{}{}
			}
		}
	}
	for _, n := range c.endpoints(leaders) {
		b := kmsg.NewProduceResponseBroker()
		b.NodeID, b.Host, b.Port, b.Rack = n.ID, n.Host, n.Port, rackOf(&n)
		resp.Brokers = append(resp.Brokers, b)
	}
}

// batchCode is Kafka's code for an error about a produced batch.
func (c *conn) batchCode(err error) Code {
	switch {
	case errors.Is(err, recordbatch.ErrCorrupt):
		return CorruptMessage
	case errors.Is(err, recordbatch.ErrUnsupportedMagic):
		return UnsupportedForMessageFormat
	case errors.Is(err, recordbatch.ErrUnsupportedCodec):
		return UnsupportedCompressionType
	case errors.Is(err, recordbatch.ErrInvalidRecord):
		return InvalidRecord
	case errors.Is(err, recordbatch.ErrInvalidTimestamp):
		return InvalidTimestamp
	case errors.Is(err, recordbatch.ErrTooLarge), errors.Is(err, recordbatch.ErrDecompressedTooLarge):
		return MessageTooLarge
	case errors.Is(err, store.ErrOutOfOrderSequence):
		return OutOfOrderSequenceNumber
	case errors.Is(err, store.ErrInvalidProducerEpoch):
		return InvalidProducerEpoch
	}
	return c.code(err)
}

// code is Kafka's code for an error of the backend or the store.
func (c *conn) code(err error) Code {
	if code, known := CodeOf(err); known {
		return code
	}
	switch {
	case errors.Is(err, store.ErrPartitionDropped):
		return UnknownTopicOrPartition
	case errors.Is(err, store.ErrFailed), errors.Is(err, store.ErrCorrupt), errors.Is(err, store.ErrClosed):
		return StorageError
	}
	var oor *store.OffsetOutOfRangeError
	if errors.As(err, &oor) {
		return OffsetOutOfRange
	}
	return c.server.backend.Code(err)
}

// finishProduce fills in what became of the batches. It reports whether all is well.
func (c *conn) finishProduce(version int16, all []produced, failed error) bool {
	ok := true
	for _, one := range all {
		p := one.partition
		if a := one.append; a != nil {
			err := failed
			if err == nil {
				err = a.Err
			}
			if err != nil {
				c.refuse(version, p, fmt.Errorf("partition %d: %w", p.Partition, err))
			} else {
				p.BaseOffset = int64(a.BaseOffset)
				p.LogStartOffset = int64(a.Replica.LogStart())
				p.LogAppendTime = one.logAppend
			}
		}
		ok = ok && p.ErrorCode == 0
	}
	return ok
}
