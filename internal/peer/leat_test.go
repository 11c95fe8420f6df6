package peer_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/peer"
	"github.com/leatlog/leat/internal/recordbatch"
	"github.com/leatlog/leat/leattest"
)

const node base.NodeID = 1

// serveLeat serves a Log on a loopback address until the test ends.
func serveLeat(t testing.TB, log *leat.Log) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- log.ServeKafka(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, leat.ErrClosed) {
			t.Errorf("ServeKafka: %v", err)
		}
	})
	return ln.Addr().String()
}

// newPool returns a Pool that knows a node, closed when the test ends.
func newPool(t testing.TB, addr string, cfg peer.Config) *peer.Pool {
	t.Helper()
	p, err := peer.New(cfg)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	if addr != "" {
		require.NoError(t, p.SetAddress(node, addr))
	}
	return p
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// sealed returns a batch of records with these values.
func sealed(t testing.TB, values ...string) []byte {
	t.Helper()
	var b recordbatch.Builder
	b.Reset(nil)
	for _, v := range values {
		require.NoError(t, b.Append(1000, nil, []byte(v), nil))
	}
	batch, err := b.Finish(recordbatch.FinishOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1})
	require.NoError(t, err)
	return batch
}

// values returns those of the records of batches, from an offset on.
func values(t testing.TB, batches [][]byte, from base.Offset) (out []string) {
	t.Helper()
	for _, b := range batches {
		_, err := recordbatch.Verify(b)
		require.NoError(t, err)
		var it recordbatch.Iterator
		require.NoError(t, it.Reset(b, nil))
		for it.Next() {
			if r := it.Record(); r.Offset >= from {
				out = append(out, string(r.Value))
			}
		}
		require.NoError(t, it.Err())
	}
	return out
}

// topicNamed makes a topic and returns its partition 0, by name and id.
func topicNamed(t testing.TB, ctx context.Context, log *leat.Log, p *peer.Pool, name string, partitions int) peer.TopicPartition {
	t.Helper()
	_, err := log.CreateTopic(ctx, name, leat.TopicConfig{Partitions: partitions})
	require.NoError(t, err)
	m, err := p.Metadata(ctx, node, name)
	require.NoError(t, err)
	require.NoError(t, m.Topics[0].Err)
	require.Len(t, m.Topics[0].Partitions, partitions)
	require.Equal(t, node, m.Topics[0].Partitions[0].Leader)
	require.Equal(t, []base.NodeID{node}, m.Topics[0].Partitions[0].Replicas)
	return peer.TopicPartition{Topic: name, TopicID: m.Topics[0].ID}
}

func TestLeatProduceFetch(t *testing.T) {
	log := leattest.New(t)
	ctx := testContext(t)
	p := newPool(t, serveLeat(t, log), peer.Config{ClientID: "test"})
	both := topicNamed(t, ctx, log, p, "orders", 2)
	next := base.Offset(0)
	for name, tp := range map[string]peer.TopicPartition{"both": both, "name": {Topic: both.Topic}, "id": {TopicID: both.TopicID}} {
		got, err := p.Produce(ctx, node, peer.ProduceRequest{TopicPartition: tp, Batch: sealed(t, name+"-a", name+"-b")})
		require.NoError(t, err, name)
		require.Equal(t, peer.Produced{BaseOffset: next, LogAppendTime: -1}, got)
		fetched, err := p.Fetch(ctx, node, peer.FetchRequest{Partitions: []peer.FetchPartition{
			{TopicPartition: tp, Offset: next, LeaderEpoch: -1},
			{TopicPartition: peer.TopicPartition{Topic: tp.Topic, TopicID: tp.TopicID, Partition: 1}, LeaderEpoch: 0},
		}})
		require.NoError(t, err, name)
		require.NoError(t, fetched[0].Err)
		require.Equal(t, []string{name + "-a", name + "-b"}, values(t, fetched[0].Batches, next))
		next += 2
		require.Equal(t, next, fetched[0].HighWatermark)
		require.NoError(t, fetched[1].Err)
		require.Empty(t, fetched[1].Batches)
	}
	// A Fetch that waits does not hold up the Produce that it waits for.
	type result struct {
		fetched []peer.Fetched
		err     error
	}
	waiting := make(chan result, 1)
	go func() {
		f, err := p.Fetch(ctx, node, peer.FetchRequest{MaxWait: time.Minute, MinBytes: 1, Partitions: []peer.FetchPartition{{TopicPartition: both, Offset: next, LeaderEpoch: -1}}})
		waiting <- result{f, err}
	}()
	_, err := p.Produce(ctx, node, peer.ProduceRequest{TopicPartition: both, Batch: sealed(t, "late")})
	require.NoError(t, err)
	r := <-waiting
	require.NoError(t, r.err)
	require.Equal(t, []string{"late"}, values(t, r.fetched[0].Batches, next))
}

// What the listener refuses is an error that tells what of.
func TestLeatErrors(t *testing.T) {
	log := leattest.New(t)
	ctx := testContext(t)
	p := newPool(t, serveLeat(t, log), peer.Config{})
	tp := topicNamed(t, ctx, log, p, "orders", 1)

	_, err := p.Produce(ctx, node, peer.ProduceRequest{TopicPartition: peer.TopicPartition{Topic: "nope"}, Batch: sealed(t, "v")})
	require.ErrorIs(t, err, kerr.UnknownTopicOrPartition)
	var e *peer.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "nope", e.Topic)
	require.Equal(t, kmsg.Produce, e.API)
	require.True(t, e.Retriable())
	require.False(t, peer.Sent(err))
	_, err = p.Produce(ctx, node, peer.ProduceRequest{TopicPartition: peer.TopicPartition{TopicID: [16]byte{1, 2}}, Batch: sealed(t, "v")})
	require.ErrorIs(t, err, kerr.UnknownTopicID)
	require.ErrorContains(t, err, `"01020000000000000000000000000000" partition 0`)
	bad := sealed(t, "v")
	bad[len(bad)-1] ^= 1
	_, err = p.Produce(ctx, node, peer.ProduceRequest{TopicPartition: tp, Batch: bad})
	require.ErrorIs(t, err, kerr.CorruptMessage)
	require.ErrorContains(t, err, "CRC")

	fetched, err := p.Fetch(ctx, node, peer.FetchRequest{Partitions: []peer.FetchPartition{{TopicPartition: tp, Offset: 7, LeaderEpoch: -1}}})
	require.NoError(t, err)
	require.ErrorIs(t, fetched[0].Err, kerr.OffsetOutOfRange)
	fetched, err = p.Fetch(ctx, node, peer.FetchRequest{Partitions: []peer.FetchPartition{{TopicPartition: tp, LeaderEpoch: 9}}})
	require.NoError(t, err)
	require.ErrorIs(t, fetched[0].Err, kerr.UnknownLeaderEpoch)

	m, err := p.Metadata(ctx, node, "nope", "orders")
	require.NoError(t, err)
	require.ErrorIs(t, m.Topics[0].Err, kerr.UnknownTopicOrPartition)
	require.NoError(t, m.Topics[1].Err)
	require.Equal(t, node, m.Controller)
	require.Len(t, m.Brokers, 1)
	require.NotEmpty(t, m.ClusterID)
}

func TestLeatOffsets(t *testing.T) {
	log := leattest.New(t)
	ctx := testContext(t)
	p := newPool(t, serveLeat(t, log), peer.Config{})
	tp := topicNamed(t, ctx, log, p, "orders", 2)
	for range 3 {
		_, err := p.Produce(ctx, node, peer.ProduceRequest{TopicPartition: tp, Batch: sealed(t, "v")})
		require.NoError(t, err)
	}
	start, err := p.DeleteRecords(ctx, node, tp, 1)
	require.NoError(t, err)
	require.EqualValues(t, 1, start)
	_, err = p.DeleteRecords(ctx, node, tp, 9)
	require.ErrorIs(t, err, kerr.OffsetOutOfRange)
	second := peer.TopicPartition{Topic: tp.Topic, Partition: 1}
	got, err := p.ListOffsets(ctx, node, []peer.ListOffsetsPartition{
		{TopicPartition: second, Timestamp: peer.OffsetLatest, LeaderEpoch: -1},
		{TopicPartition: tp, Timestamp: peer.OffsetEarliest, LeaderEpoch: -1},
		{TopicPartition: peer.TopicPartition{Topic: "nope"}, Timestamp: peer.OffsetLatest, LeaderEpoch: -1},
	})
	require.NoError(t, err)
	require.EqualValues(t, 0, got[0].Offset)
	require.EqualValues(t, 1, got[1].Offset)
	require.ErrorIs(t, got[2].Err, kerr.UnknownTopicOrPartition)
	end, err := p.OffsetForLeaderEpoch(ctx, node, tp, -1, 0)
	require.NoError(t, err)
	require.Equal(t, peer.EpochEnd{Epoch: 0, End: 3}, end)
	_, err = p.OffsetForLeaderEpoch(ctx, node, tp, 5, 0)
	require.ErrorIs(t, err, kerr.UnknownLeaderEpoch)
}

func TestLeatGroups(t *testing.T) {
	log := leattest.New(t)
	ctx := testContext(t)
	p := newPool(t, serveLeat(t, log), peer.Config{})
	tp := topicNamed(t, ctx, log, p, "orders", 2)

	who, err := p.FindCoordinator(ctx, node, "billing", "other")
	require.NoError(t, err)
	require.Len(t, who, 2)
	require.NoError(t, who[0].Err)
	require.Equal(t, node, who[0].Node)
	require.Equal(t, "other", who[1].Group)

	hb := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	hb.Group, hb.MemberID, hb.RebalanceTimeoutMillis = "billing", "member-0000000000000001", 60_000
	hb.SubscribedTopicNames, hb.Topics = []string{"orders"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	joined, err := p.ConsumerGroupHeartbeat(ctx, node, hb)
	require.NoError(t, err)
	require.EqualValues(t, 1, joined.MemberEpoch)
	require.Len(t, joined.Assignment.Topics, 1)
	require.Equal(t, tp.TopicID, joined.Assignment.Topics[0].TopicID)

	committed, err := p.OffsetCommit(ctx, node, peer.CommitRequest{Group: "billing", Epoch: joined.MemberEpoch, MemberID: hb.MemberID,
		Offsets: []peer.CommitOffset{{TopicPartition: tp, Offset: 5, LeaderEpoch: -1, Metadata: "m"}}})
	require.NoError(t, err)
	require.Equal(t, []error{nil}, committed)
	committed, err = p.OffsetCommit(ctx, node, peer.CommitRequest{Group: "billing", Epoch: 7, MemberID: hb.MemberID,
		Offsets: []peer.CommitOffset{{TopicPartition: tp, Offset: 5, LeaderEpoch: -1}}})
	require.NoError(t, err)
	require.ErrorIs(t, committed[0], kerr.StaleMemberEpoch)

	second := peer.TopicPartition{TopicID: tp.TopicID, Partition: 1}
	offsets, err := p.OffsetFetch(ctx, node, peer.OffsetFetchRequest{Group: "billing", MemberID: hb.MemberID, Epoch: joined.MemberEpoch,
		Partitions: []peer.TopicPartition{second, {TopicID: tp.TopicID}}})
	require.NoError(t, err)
	require.EqualValues(t, -1, offsets[0].Offset)
	require.Equal(t, peer.FetchedOffset{TopicPartition: peer.TopicPartition{TopicID: tp.TopicID}, Offset: 5, LeaderEpoch: -1, Metadata: "m"}, offsets[1])
	offsets, err = p.OffsetFetch(ctx, node, peer.OffsetFetchRequest{Group: "billing", Epoch: -1})
	require.NoError(t, err)
	require.Len(t, offsets, 1)
	require.Equal(t, "orders", offsets[0].Topic)

	described, err := p.ConsumerGroupDescribe(ctx, node, "billing", "nope")
	require.NoError(t, err)
	require.NoError(t, described[0].Err)
	require.Len(t, described[0].Members, 1)
	require.ErrorIs(t, described[1].Err, kerr.GroupIDNotFound)
	listed, err := p.ListGroups(ctx, node, nil, nil)
	require.NoError(t, err)
	require.Len(t, listed, 1)
	require.Equal(t, "billing", listed[0].Group)

	deleted, err := p.OffsetDelete(ctx, node, "billing", []peer.TopicPartition{{Topic: "orders"}})
	require.NoError(t, err)
	require.ErrorIs(t, deleted[0], kerr.GroupSubscribedToTopic)
	removed, err := p.DeleteGroups(ctx, node, "billing", "nope")
	require.NoError(t, err)
	require.ErrorIs(t, removed[0], kerr.NonEmptyGroup)
	require.ErrorIs(t, removed[1], kerr.GroupIDNotFound)
	hb.MemberEpoch, hb.Topics = -1, nil
	_, err = p.ConsumerGroupHeartbeat(ctx, node, hb)
	require.NoError(t, err)
	hb.MemberEpoch = 3
	_, err = p.ConsumerGroupHeartbeat(ctx, node, hb)
	require.ErrorIs(t, err, kerr.UnknownMemberID)
	require.ErrorContains(t, err, `group "billing"`)
}

// The classic protocol goes through as it is, in the versions that it came in.
func TestLeatForward(t *testing.T) {
	log := leattest.New(t)
	ctx := testContext(t)
	p := newPool(t, serveLeat(t, log), peer.Config{})
	join := func(version int16, member string) *kmsg.JoinGroupResponse {
		req := kmsg.NewPtrJoinGroupRequest()
		req.Group, req.ProtocolType, req.MemberID = "classic", "consumer", member
		req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10_000, 10_000
		req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 0}}}
		req.SetVersion(version)
		resp, err := p.Forward(ctx, node, req)
		require.NoError(t, err)
		require.EqualValues(t, version, resp.GetVersion())
		return resp.(*kmsg.JoinGroupResponse)
	}
	need := join(9, "")
	require.EqualValues(t, kerr.MemberIDRequired.Code, need.ErrorCode)
	joined := join(9, need.MemberID)
	require.Zero(t, joined.ErrorCode)
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.Generation, sync.MemberID = "classic", joined.Generation, joined.MemberID
	sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: joined.MemberID, MemberAssignment: []byte("mine")}}
	sync.SetVersion(2)
	resp, err := p.Forward(ctx, node, sync)
	require.NoError(t, err)
	require.Equal(t, "mine", string(resp.(*kmsg.SyncGroupResponse).MemberAssignment))
	described, err := p.DescribeGroups(ctx, node, "classic")
	require.NoError(t, err)
	require.NoError(t, described[0].Err)
	require.Equal(t, "Stable", described[0].State)

	old := kmsg.NewPtrJoinGroupRequest()
	old.SetVersion(10)
	_, err = p.Forward(ctx, node, old)
	require.ErrorIs(t, err, peer.ErrInvalidRequest)
}

// Produces of one partition are stored in the order in which they were started.
func TestLeatOrder(t *testing.T) {
	log := leattest.New(t)
	ctx := testContext(t)
	p := newPool(t, serveLeat(t, log), peer.Config{})
	tp := topicNamed(t, ctx, log, p, "orders", 4)
	var wg sync.WaitGroup
	for partition := range int32(4) {
		wg.Go(func() {
			tp := tp
			tp.Partition = partition
			var calls []*peer.ProduceCall
			for i := range 300 {
				c, err := p.StartProduce(ctx, node, peer.ProduceRequest{TopicPartition: tp, Batch: sealed(t, fmt.Sprint(i))})
				if err != nil {
					t.Error(err)
					return
				}
				calls = append(calls, c)
			}
			for i, c := range calls {
				got, err := c.Wait(ctx)
				if err != nil || got.BaseOffset != base.Offset(i) {
					t.Errorf("partition %d: the batch %d is at %d, %v", partition, i, got.BaseOffset, err)
				}
			}
		})
	}
	wg.Wait()
}
