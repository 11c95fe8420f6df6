package peer_test

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/peer"
)

// poolFor returns a Pool whose node answers everything with what change makes of an
// answer without errors.
func poolFor(t testing.TB, change func(req kmsg.Request, resp kmsg.Response)) *peer.Pool {
	t.Helper()
	f := newFake(t, func(c *fakeConn) {
		for {
			r, ok := c.next()
			if !ok {
				return
			}
			resp := c.response(r)
			if r.Key() != int16(kmsg.ApiVersions) {
				change(r.Request, resp)
			}
			if !c.send(frameOf(r, resp)) {
				return
			}
		}
	})
	return newPool(t, f.addr(), peer.Config{})
}

// Who is not the leader tells who is (KIP-951).
func TestLeaderHint(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	var told atomic.Bool
	told.Store(true)
	p := poolFor(t, func(_ kmsg.Request, resp kmsg.Response) {
		switch resp := resp.(type) {
		case *kmsg.ProduceResponse:
			o := &resp.Topics[0].Partitions[0]
			o.ErrorCode = kerr.NotLeaderForPartition.Code
			if told.Load() {
				o.CurrentLeader.LeaderID, o.CurrentLeader.LeaderEpoch = 3, 7
			}
		case *kmsg.FetchResponse:
			o := &resp.Topics[0].Partitions[0]
			o.ErrorCode = kerr.FencedLeaderEpoch.Code
			o.CurrentLeader.LeaderID, o.CurrentLeader.LeaderEpoch = 2, 8
		}
	})
	var e *peer.Error
	err := produce(t, ctx, p)
	require.ErrorIs(t, err, kerr.NotLeaderForPartition)
	require.ErrorAs(t, err, &e)
	require.Equal(t, base.NodeID(3), e.Leader)
	require.Equal(t, base.LeaderEpoch(7), e.LeaderEpoch)
	require.True(t, e.Retriable())
	require.ErrorContains(t, err, "the leader is node 3 in epoch 7")
	fetched, err := p.Fetch(ctx, node, peer.FetchRequest{Partitions: []peer.FetchPartition{{TopicPartition: orders}}})
	require.NoError(t, err)
	require.ErrorAs(t, fetched[0].Err, &e)
	require.Equal(t, base.NodeID(2), e.Leader)
	told.Store(false)
	err = produce(t, ctx, p)
	require.ErrorAs(t, err, &e)
	require.Zero(t, e.Leader)
	require.Equal(t, base.LeaderEpoch(-1), e.LeaderEpoch)
}

// A last batch that is cut short is left out; one that is none is an error beside those
// before it.
func TestFetchedBatches(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	one, two := sealed(t, "a"), sealed(t, "b", "c")
	var records atomic.Pointer[[]byte]
	p := poolFor(t, func(_ kmsg.Request, resp kmsg.Response) {
		resp.(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches = *records.Load()
	})
	fetch := func(b ...[]byte) peer.Fetched {
		all := bytes.Join(b, nil)
		records.Store(&all)
		out, err := p.Fetch(ctx, node, peer.FetchRequest{Partitions: []peer.FetchPartition{{TopicPartition: orders}}})
		require.NoError(t, err)
		return out[0]
	}
	f := fetch(one, two)
	require.NoError(t, f.Err)
	require.Equal(t, [][]byte{one, two}, f.Batches)
	for cut := range two {
		f = fetch(one, two[:cut])
		require.NoError(t, f.Err)
		require.Equal(t, [][]byte{one}, f.Batches)
	}
	bad := append([]byte(nil), two...)
	bad[16] = 9 // magic
	f = fetch(one, bad)
	require.ErrorContains(t, f.Err, "9")
	require.Equal(t, [][]byte{one}, f.Batches)
	negative := append([]byte(nil), two...)
	negative[8] = 0xff // length
	f = fetch(one, negative)
	require.Error(t, f.Err)
	require.Equal(t, [][]byte{one}, f.Batches)
}

// An answer that does not tell of what was asked, or of something else, is no answer.
func TestAnswersThatDoNotFit(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	// What the peer answers: nothing, something else, or the same twice.
	var now atomic.Value
	p := poolFor(t, func(req kmsg.Request, resp kmsg.Response) {
		how := now.Load().(string)
		n := map[string]int{"nothing": 0, "something else": 1, "twice": 2}[how]
		partition, name := int32(0), "orders"
		if how == "something else" {
			partition, name = 9, "other"
		}
		for range n {
			switch resp := resp.(type) {
			case *kmsg.ProduceResponse:
				resp.Topics[0].Partitions = append(resp.Topics[0].Partitions, resp.Topics[0].Partitions[0])
				resp.Topics[0].Partitions[0].Partition = partition
			case *kmsg.FetchResponse:
				o := kmsg.NewFetchResponseTopicPartition()
				o.Partition = partition
				resp.Topics[0].Partitions = append(resp.Topics[0].Partitions, o)
			case *kmsg.ListOffsetsResponse:
				resp.Topics = append(resp.Topics, kmsg.ListOffsetsResponseTopic{Topic: name, Partitions: []kmsg.ListOffsetsResponseTopicPartition{{}}})
			case *kmsg.OffsetForLeaderEpochResponse:
				resp.Topics = append(resp.Topics, kmsg.OffsetForLeaderEpochResponseTopic{Topic: name, Partitions: []kmsg.OffsetForLeaderEpochResponseTopicPartition{{Partition: partition}}})
			case *kmsg.DeleteRecordsResponse:
				resp.Topics = append(resp.Topics, kmsg.DeleteRecordsResponseTopic{Topic: name, Partitions: []kmsg.DeleteRecordsResponseTopicPartition{{Partition: partition}}})
			case *kmsg.MetadataResponse:
				resp.Topics = append(resp.Topics, kmsg.MetadataResponseTopic{Topic: &name})
			case *kmsg.FindCoordinatorResponse:
				resp.Coordinators = append(resp.Coordinators, kmsg.FindCoordinatorResponseCoordinator{Key: name, NodeID: 1})
			case *kmsg.OffsetCommitResponse:
				resp.Topics = append(resp.Topics, kmsg.OffsetCommitResponseTopic{TopicID: orders.TopicID, Partitions: []kmsg.OffsetCommitResponseTopicPartition{{Partition: partition}}})
			case *kmsg.OffsetFetchResponse:
				resp.Groups = append(resp.Groups, kmsg.OffsetFetchResponseGroup{Group: name})
			case *kmsg.OffsetDeleteResponse:
				resp.Topics = append(resp.Topics, kmsg.OffsetDeleteResponseTopic{Topic: name, Partitions: []kmsg.OffsetDeleteResponseTopicPartition{{}}})
			case *kmsg.ConsumerGroupDescribeResponse:
				resp.Groups = append(resp.Groups, kmsg.ConsumerGroupDescribeResponseGroup{Group: name})
			case *kmsg.DescribeGroupsResponse:
				resp.Groups = append(resp.Groups, kmsg.DescribeGroupsResponseGroup{Group: name})
			case *kmsg.DeleteGroupsResponse:
				resp.Groups = append(resp.Groups, kmsg.DeleteGroupsResponseGroup{Group: name})
			}
		}
		if how == "nothing" {
			switch resp := resp.(type) {
			case *kmsg.ProduceResponse:
				resp.Topics = nil
			case *kmsg.FetchResponse:
				resp.Topics = nil
			}
		}
	})
	for name, call := range map[string]func(ctx context.Context) error{
		"Produce": func(ctx context.Context) error { return produce(t, ctx, p) },
		"Fetch": func(ctx context.Context) error {
			_, err := p.Fetch(ctx, node, peer.FetchRequest{Partitions: []peer.FetchPartition{{TopicPartition: orders}}})
			return err
		},
		"ListOffsets": func(ctx context.Context) error {
			_, err := p.ListOffsets(ctx, node, []peer.ListOffsetsPartition{{TopicPartition: orders}})
			return err
		},
		"OffsetForLeaderEpoch": func(ctx context.Context) error {
			_, err := p.OffsetForLeaderEpoch(ctx, node, orders, -1, 0)
			return err
		},
		"DeleteRecords": func(ctx context.Context) error {
			_, err := p.DeleteRecords(ctx, node, orders, 1)
			return err
		},
		"Metadata": func(ctx context.Context) error {
			_, err := p.Metadata(ctx, node, "orders")
			return err
		},
		"FindCoordinator": func(ctx context.Context) error {
			_, err := p.FindCoordinator(ctx, node, "orders")
			return err
		},
		"OffsetCommit": func(ctx context.Context) error {
			_, err := p.OffsetCommit(ctx, node, peer.CommitRequest{Group: "g", Offsets: []peer.CommitOffset{{TopicPartition: orders}}})
			return err
		},
		"OffsetFetch": func(ctx context.Context) error {
			_, err := p.OffsetFetch(ctx, node, peer.OffsetFetchRequest{Group: "orders", Epoch: -1})
			return err
		},
		"OffsetDelete": func(ctx context.Context) error {
			_, err := p.OffsetDelete(ctx, node, "g", []peer.TopicPartition{orders})
			return err
		},
		"ConsumerGroupDescribe": func(ctx context.Context) error {
			_, err := p.ConsumerGroupDescribe(ctx, node, "orders")
			return err
		},
		"DescribeGroups": func(ctx context.Context) error {
			_, err := p.DescribeGroups(ctx, node, "orders")
			return err
		},
		"DeleteGroups": func(ctx context.Context) error {
			_, err := p.DeleteGroups(ctx, node, "orders")
			return err
		},
	} {
		for _, how := range []string{"nothing", "something else", "twice"} {
			now.Store(how)
			err := call(ctx)
			require.ErrorIs(t, err, peer.ErrMalformed, "%s: %s", name, how)
			require.ErrorContains(t, err, "node 1", "%s: %s", name, how)
		}
	}
}
