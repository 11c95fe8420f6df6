package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// requestTimeout is how long a request may wait for others, by what the client says
// and no longer than half an hour.
func requestTimeout(millis int32) time.Duration {
	return min(max(time.Duration(millis)*time.Millisecond, 0), 30*time.Minute)
}

// partitionList collects the partitions that a request names, each once.
type partitionList struct {
	list []TopicPartition
	seen map[TopicPartition]struct{}
}

func (l *partitionList) add(topic string, partitions ...int32) {
	if l.seen == nil {
		l.seen = make(map[TopicPartition]struct{})
		l.list = []TopicPartition{} // nil would be all of them
	}
	for _, n := range partitions {
		if p := (TopicPartition{topic, n}); first(l.seen, p) {
			l.list = append(l.list, p)
		}
	}
}

// electLeaders moves leaders (KIP-183, KIP-460).
func electLeaders(ctx context.Context, c *conn, req *kmsg.ElectLeadersRequest) kmsg.Response {
	resp := kmsg.NewPtrElectLeadersResponse()
	var wanted partitionList
	if req.Topics != nil {
		wanted.add("")
	}
	for i := range req.Topics {
		wanted.add(req.Topics[i].Topic, req.Topics[i].Partitions...)
	}
	kind := ElectionType(req.ElectionType)
	var results []PartitionResult
	err := refuse(InvalidRequest, "there is no type %d of elections", kind)
	if kind == PreferredElection || kind == UncleanElection {
		results, err = c.server.backend.ElectLeaders(ctx, kind, wanted.list, requestTimeout(req.TimeoutMillis))
	}
	if err != nil {
		resp.ErrorCode = int16(c.code(err))
		results = results[:0]
		for _, p := range wanted.list { // version 0 has no other place for it
			results = append(results, PartitionResult{p, err})
		}
	}
	at := make(map[string]int)
	for _, r := range results {
		i, ok := at[r.Topic]
		if !ok {
			i = len(resp.Topics)
			at[r.Topic] = i
			t := kmsg.NewElectLeadersResponseTopic()
			t.Topic = r.Topic
			resp.Topics = append(resp.Topics, t)
		}
		p := kmsg.NewElectLeadersResponseTopicPartition()
		p.Partition = r.Partition
		p.ErrorCode, p.ErrorMessage = c.describe(r.Err)
		resp.Topics[i].Partitions = append(resp.Topics[i].Partitions, p)
	}
	return resp
}
