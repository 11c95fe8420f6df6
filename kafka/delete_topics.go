package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// deleteTopics removes topics, by name or id.
func deleteTopics(ctx context.Context, c *conn, req *kmsg.DeleteTopicsRequest) kmsg.Response {
	resp := kmsg.NewPtrDeleteTopicsResponse()
	for i := range req.TopicNames {
		resp.Topics = append(resp.Topics, c.deleteTopic(ctx, &req.TopicNames[i], [16]byte{}))
	}
	for i := range req.Topics {
		resp.Topics = append(resp.Topics, c.deleteTopic(ctx, req.Topics[i].Topic, req.Topics[i].TopicID))
	}
	return resp
}

func (c *conn) deleteTopic(ctx context.Context, name *string, id [16]byte) kmsg.DeleteTopicsResponseTopic {
	o := kmsg.NewDeleteTopicsResponseTopic()
	o.Topic, o.TopicID = name, id
	b := c.server.backend
	var t Topic
	err := refuse(UnknownTopicID, "no topic has the id %x", id)
	if name != nil {
		t = b.Topic(*name)
		err = refuse(UnknownTopicOrPartition, "there is no topic %q", *name)
	} else {
		t = b.TopicByID(id)
	}
	if t != nil {
		found := t.Name()
		o.Topic, o.TopicID = &found, t.UniqueID()
		err = b.DeleteTopic(ctx, t)
	}
	o.ErrorCode, o.ErrorMessage = c.describe(err)
	return o
}
