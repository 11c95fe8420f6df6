package peer

import (
	"context"
	"encoding/binary"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/recordbatch"
)

// FetchRequest asks for batches of some partitions.
type FetchRequest struct {
	// MaxWait is how long the peer may wait until there are MinBytes in all
	// (fetch.max.wait.ms, fetch.min.bytes).
	MaxWait  time.Duration
	MinBytes int
	// MaxBytes bounds the batches of all partitions, but for a first one that is
	// larger (fetch.max.bytes). Zero is a quarter of Config.MaxResponseBytes, which
	// is also the most.
	MaxBytes int
	// Rack is where the reader is (client.rack).
	Rack string
	// ReadCommitted stops before the first open transaction (isolation.level).
	ReadCommitted bool
	Partitions    []FetchPartition
}

// FetchPartition is a partition to read from.
type FetchPartition struct {
	TopicPartition
	Offset base.Offset // the first that is wanted
	// LeaderEpoch is the partition's as the caller knows it; a leader of another
	// refuses (KIP-320). -1 is not known.
	LeaderEpoch base.LeaderEpoch
	// MaxBytes bounds the partition's batches as FetchRequest's does all
	// (max.partition.fetch.bytes). Zero is the request's.
	MaxBytes int
}

// Fetched is what there is of a partition.
type Fetched struct {
	// Batches are RecordBatches as they are stored, whole, in the order of their
	// offsets; the first may begin before the offset that was asked for. Only
	// their lengths were checked: recordbatch.Verify checks the rest. They lie in
	// one block with all of the answer.
	Batches       [][]byte
	HighWatermark base.Offset // -1 if the peer does not know
	LastStable    base.Offset
	LogStart      base.Offset
	// PreferredReplica is the node that the reader should rather ask (KIP-392); 0 if
	// none.
	PreferredReplica base.NodeID
	// Err is an *Error, or about batches that cannot be told apart: those before are
	// in Batches.
	Err error
}

// Fetch reads from partitions, which may wait at the peer. The results are in the
// order of the request's partitions. The error is about the request in whole: an
// *Error, ErrInvalidRequest, or one of Wait's.
func (p *Pool) Fetch(ctx context.Context, id base.NodeID, r FetchRequest) ([]Fetched, error) {
	index, err := indexTopics(len(r.Partitions), func(i int) *TopicPartition { return &r.Partitions[i].TopicPartition })
	if err != nil {
		return nil, err
	}
	maxBytes := p.cfg.MaxResponseBytes / 4
	if r.MaxBytes > 0 {
		maxBytes = min(maxBytes, r.MaxBytes)
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = millis32(r.MaxWait.Milliseconds()), int32(min(max(r.MinBytes, 0), math.MaxInt32)), int32(maxBytes)
	req.SessionEpoch, req.Rack = -1, r.Rack // no session
	if r.ReadCommitted {
		req.IsolationLevel = 1
	}
	for i := range index.topics {
		t := &index.topics[i]
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic, topic.TopicID = t.Topic, t.TopicID
		for _, j := range t.indexes {
			topic.Partitions = append(topic.Partitions, fetchPartition(&r.Partitions[j], maxBytes))
		}
		req.Topics = append(req.Topics, topic)
	}
	answer, err := p.Do(ctx, id, req)
	if err != nil {
		return nil, err
	}
	return fetched(answerer{id, kmsg.Fetch}, answer.(*kmsg.FetchResponse), index, r.Partitions)
}

func fetchPartition(fp *FetchPartition, maxBytes int) kmsg.FetchRequestTopicPartition {
	o := kmsg.NewFetchRequestTopicPartition()
	o.Partition, o.FetchOffset, o.CurrentLeaderEpoch = fp.Partition, int64(fp.Offset), int32(fp.LeaderEpoch)
	o.PartitionMaxBytes = int32(maxBytes)
	if fp.MaxBytes > 0 {
		o.PartitionMaxBytes = int32(min(maxBytes, fp.MaxBytes))
	}
	return o
}

// fetched puts an answer in the order of the request.
func fetched(from answerer, resp *kmsg.FetchResponse, index *topicIndex, asked []FetchPartition) ([]Fetched, error) {
	if err := from.code(resp.ErrorCode, nil); err != nil {
		return nil, err
	}
	out := make([]Fetched, len(asked))
	fill := newFill(from, index, len(asked), func(i int) *TopicPartition { return &asked[i].TopicPartition })
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			o := &t.Partitions[j]
			k := fill.place(t.Topic, t.TopicID, o.Partition)
			if k < 0 {
				continue
			}
			f := &out[k]
			f.HighWatermark, f.LastStable, f.LogStart = base.Offset(o.HighWatermark), base.Offset(o.LastStableOffset), base.Offset(o.LogStartOffset)
			if o.PreferredReadReplica > 0 {
				f.PreferredReplica = base.NodeID(o.PreferredReadReplica)
			}
			if f.Err = from.partition(&asked[k].TopicPartition, o.ErrorCode, nil, o.CurrentLeader.LeaderID, o.CurrentLeader.LeaderEpoch); f.Err == nil {
				f.Batches, f.Err = splitBatches(o.RecordBatches)
			}
		}
	}
	if err := fill.done(); err != nil {
		return nil, err
	}
	return out, nil
}

// splitBatches cuts what a peer sent into batches. A last one that is cut short is left
// out, as Kafka allows it.
func splitBatches(b []byte) (batches [][]byte, err error) {
	for len(b) >= recordbatch.HeaderSize {
		if length := int64(int32(binary.BigEndian.Uint32(b[8:]))); length > int64(len(b))-12 {
			break
		}
		batch, rest, err := recordbatch.Next(b)
		if err != nil {
			return batches, err
		}
		batches = append(batches, batch[:len(batch):len(batch)])
		b = rest
	}
	return batches, nil
}
