package leat_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/leattest"
)

// A topic that is deleted and made anew under its name, within a fetch session by name:
// the session tells of the first, and then serves the second.
func TestKafkaSessionTopicDeleted(t *testing.T) {
	log := leattest.New(t)
	ctx := testContext(t)
	_, err := log.CreateTopic(ctx, "t", leat.TopicConfig{})
	require.NoError(t, err)
	addr := serveKafka(t, log)
	p := kafkaClient(t, addr)
	require.NoError(t, p.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("first")}).FirstErr())
	c := dial(t, addr)
	fetch := func(session, epoch int32, wait time.Duration, topics ...string) *kmsg.FetchResponse {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.MaxBytes, req.MinBytes, req.MaxWaitMillis = 12, 1<<20, 1, int32(wait.Milliseconds())
		req.SessionID, req.SessionEpoch = session, epoch
		for _, name := range topics {
			rt := kmsg.NewFetchRequestTopic()
			rt.Topic = name
			rp := kmsg.NewFetchRequestTopicPartition()
			rp.PartitionMaxBytes = 1 << 20
			rt.Partitions = append(rt.Partitions, rp)
			req.Topics = append(req.Topics, rt)
		}
		return roundTrip(t, c, req).(*kmsg.FetchResponse)
	}
	resp := fetch(0, 0, 0, "t")
	id := resp.SessionID
	require.Positive(t, id)
	require.NotEmpty(t, resp.Topics[0].Partitions[0].RecordBatches)
	require.NoError(t, log.DeleteTopic(ctx, "t"))
	resp = fetch(id, 1, time.Minute) // does not wait
	require.EqualValues(t, kerr.UnknownTopicOrPartition.Code, resp.Topics[0].Partitions[0].ErrorCode)
	_, err = log.CreateTopic(ctx, "t", leat.TopicConfig{})
	require.NoError(t, err)
	resp = fetch(id, 2, 0)
	require.Zero(t, resp.Topics[0].Partitions[0].ErrorCode, "that the error is over is news")
	require.Zero(t, resp.Topics[0].Partitions[0].HighWatermark)
	require.Empty(t, fetch(id, 3, 0).Topics)
}
