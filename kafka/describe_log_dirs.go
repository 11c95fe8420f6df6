package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// describeLogDirs tells what this node stores (KIP-113, KIP-827).
func describeLogDirs(ctx context.Context, c *conn, req *kmsg.DescribeLogDirsRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeLogDirsResponse()
	b := c.server.backend
	dir, err := b.LogDir(ctx)
	if err != nil {
		resp.ErrorCode = int16(c.code(err))
		return resp
	}
	o := kmsg.NewDescribeLogDirsResponseDir()
	o.Dir, o.TotalBytes, o.UsableBytes = dir.Path, dir.TotalBytes, dir.UsableBytes
	if dir.Err != nil {
		o.ErrorCode = int16(StorageError)
	}
	var topics []Topic
	wanted := make(map[string]map[int32]struct{}, len(req.Topics))
	if req.Topics == nil {
		topics = b.Topics()
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		if wanted[t.Topic] == nil {
			wanted[t.Topic] = make(map[int32]struct{}, len(t.Partitions))
			if topic := b.Topic(t.Topic); topic != nil { // Kafka leaves out what is not there
				topics = append(topics, topic)
			}
		}
		for _, n := range t.Partitions {
			wanted[t.Topic][n] = struct{}{}
		}
	}
	for _, t := range topics {
		sizes, err := t.Sizes(ctx)
		if err != nil && c.code(err) != UnknownTopicOrPartition { // it was just deleted
			o.ErrorCode = int16(c.code(err))
		}
		out := kmsg.NewDescribeLogDirsResponseDirTopic()
		out.Topic = t.Name()
		for _, s := range sizes {
			if _, ok := wanted[out.Topic][s.Partition]; !ok && req.Topics != nil {
				continue
			}
			p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
			p.Partition, p.Size, p.OffsetLag = s.Partition, s.Bytes, s.Lag
			out.Partitions = append(out.Partitions, p)
		}
		if len(out.Partitions) > 0 {
			o.Topics = append(o.Topics, out)
		}
	}
	resp.Dirs = append(resp.Dirs, o)
	return resp
}
