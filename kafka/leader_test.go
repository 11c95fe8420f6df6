package kafka

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// port returns where a node of the cluster listens.
func (n *fakeNode) port(t testing.TB) int32 {
	_, port, err := splitAddr(n.addr)
	require.NoError(t, err)
	return port
}

// Metadata and DescribeCluster tell of all nodes, the node's own address among them,
// and of each partition's replicas.
func TestClusterMetadata(t *testing.T) {
	fc := newFakeCluster(t, Limits{})
	topic := fc.addTopic(t, "t", 3, 3)
	fc.lead(topic, 1, 2)
	fc.mu.Lock()
	topic.parts[1].InSync, topic.parts[1].Offline = []int32{1, 2}, []int32{3}
	topic.parts[2].Leader = NoNode
	fc.mu.Unlock()
	for _, n := range fc.nodes {
		c := n.dial(t)
		meta := kmsg.NewPtrMetadataRequest()
		meta.Version = 12
		resp := ask[*kmsg.MetadataResponse](c, meta)
		require.EqualValues(t, 3, resp.ControllerID)
		require.Equal(t, "fake", *resp.ClusterID)
		require.Len(t, resp.Brokers, 3)
		for i, b := range resp.Brokers {
			require.EqualValues(t, i+1, b.NodeID)
			require.Equal(t, "127.0.0.1", b.Host)
			require.Equal(t, fc.nodes[i].port(t), b.Port)
			require.Equal(t, fc.nodes[i].rack, *b.Rack)
		}
		parts := resp.Topics[0].Partitions
		require.EqualValues(t, 1, parts[0].Leader)
		require.Equal(t, []int32{1, 2, 3}, parts[0].ISR)
		require.EqualValues(t, 2, parts[1].Leader)
		require.EqualValues(t, 1, parts[1].LeaderEpoch)
		require.Equal(t, []int32{1, 2, 3}, parts[1].Replicas)
		require.Equal(t, []int32{1, 2}, parts[1].ISR)
		require.Equal(t, []int32{3}, parts[1].OfflineReplicas)
		require.EqualValues(t, LeaderNotAvailable, parts[2].ErrorCode)
		require.EqualValues(t, NoNode, parts[2].Leader)

		describe := kmsg.NewPtrDescribeClusterRequest()
		describe.Version = 1
		cluster := ask[*kmsg.DescribeClusterResponse](c, describe)
		require.EqualValues(t, 3, cluster.ControllerID)
		require.Len(t, cluster.Brokers, 3)
		require.Equal(t, fc.nodes[2].port(t), cluster.Brokers[2].Port)
		require.Equal(t, "c", *cluster.Brokers[2].Rack)
	}
}

// Who does not know the leader gives no hint: clients would take an epoch without a leader
// for one.
func TestNoLeaderIsNoHint(t *testing.T) {
	fc := newFakeCluster(t, Limits{})
	topic := fc.addTopic(t, "t", 2, 3)
	fc.lead(topic, 0, NoNode)
	resp := ask[*kmsg.ProduceResponse](fc.nodes[0].dial(t), produceRequest(13, topic, 0, testBatch(t, 1, 1)))
	p := resp.Topics[0].Partitions[0]
	require.EqualValues(t, NotLeaderOrFollower, p.ErrorCode)
	require.EqualValues(t, -1, p.CurrentLeader.LeaderID)
	require.EqualValues(t, -1, p.CurrentLeader.LeaderEpoch)
	require.Empty(t, resp.Brokers)
}

// Who is asked and does not lead says who does, in all versions of all APIs that only
// leaders serve.
func TestNotLeader(t *testing.T) {
	fc := newFakeCluster(t, Limits{})
	topic, alone := fc.addTopic(t, "t", 2, 3), fc.addTopic(t, "alone", 1, 1)
	fc.nodes[0].dial(t).produce(topic, 0, 3)
	fc.lead(topic, 0, 2)
	c := fc.nodes[0].dial(t)
	for version := int16(3); version <= 13; version++ {
		resp := ask[*kmsg.ProduceResponse](c, produceRequest(version, topic, 0, testBatch(t, 1, 1)))
		p := resp.Topics[0].Partitions[0]
		require.EqualValues(t, NotLeaderOrFollower, p.ErrorCode, "version %d", version)
		require.EqualValues(t, -1, p.BaseOffset)
		if version < 10 {
			continue
		}
		require.EqualValues(t, 2, p.CurrentLeader.LeaderID)
		require.EqualValues(t, 1, p.CurrentLeader.LeaderEpoch)
		require.Len(t, resp.Brokers, 1)
		require.EqualValues(t, 2, resp.Brokers[0].NodeID)
		require.Equal(t, "127.0.0.1", resp.Brokers[0].Host)
		require.Equal(t, fc.nodes[1].port(t), resp.Brokers[0].Port)
		require.Equal(t, "b", *resp.Brokers[0].Rack)
	}
	require.EqualValues(t, 3, topic.parts[0].replicas[1].HighWatermark())

	for version := int16(1); version <= 10; version++ {
		list := kmsg.NewPtrListOffsetsRequest()
		list.Version = version
		lt := kmsg.NewListOffsetsRequestTopic()
		lt.Topic = "t"
		for n := range int32(2) {
			lp := kmsg.NewListOffsetsRequestTopicPartition()
			lp.Partition, lp.Timestamp = n, offsetLatest
			lt.Partitions = append(lt.Partitions, lp)
		}
		list.Topics = append(list.Topics, lt)
		parts := ask[*kmsg.ListOffsetsResponse](c, list).Topics[0].Partitions
		require.EqualValues(t, NotLeaderOrFollower, parts[0].ErrorCode)
		require.EqualValues(t, -1, parts[0].Offset)
		require.Zero(t, parts[1].ErrorCode)
		require.Zero(t, parts[1].Offset)
	}
	end := kmsg.NewPtrOffsetForLeaderEpochRequest()
	end.Version = 4
	et := kmsg.NewOffsetForLeaderEpochRequestTopic()
	et.Topic = "t"
	et.Partitions = append(et.Partitions, kmsg.NewOffsetForLeaderEpochRequestTopicPartition())
	end.Topics = append(end.Topics, et)
	require.EqualValues(t, NotLeaderOrFollower, ask[*kmsg.OffsetForLeaderEpochResponse](c, end).Topics[0].Partitions[0].ErrorCode)
	del := kmsg.NewPtrDeleteRecordsRequest()
	dt := kmsg.NewDeleteRecordsRequestTopic()
	dt.Topic = "t"
	dt.Partitions = append(dt.Partitions, kmsg.NewDeleteRecordsRequestTopicPartition())
	del.Topics = append(del.Topics, dt)
	require.EqualValues(t, NotLeaderOrFollower, ask[*kmsg.DeleteRecordsResponse](c, del).Topics[0].Partitions[0].ErrorCode)

	// The leader serves what this node refuses.
	leader := fc.nodes[1].dial(t)
	fc.replicate(t, topic, 0, 2)
	end.Topics[0].Partitions[0].LeaderEpoch = 0
	epochs := ask[*kmsg.OffsetForLeaderEpochResponse](leader, end).Topics[0].Partitions[0]
	require.Zero(t, epochs.ErrorCode)
	require.EqualValues(t, 0, epochs.LeaderEpoch)
	require.EqualValues(t, 3, epochs.EndOffset)
	leader.produce(topic, 0, 1)

	// A Fetch by a node without a replica, and one too old for followers.
	stranger := fc.nodes[2].dial(t)
	for version := int16(4); version <= 18; version++ {
		resp := ask[*kmsg.FetchResponse](stranger, fetchRequest(version, alone, 0))
		p := resp.Topics[0].Partitions[0]
		require.EqualValues(t, NotLeaderOrFollower, p.ErrorCode)
		if version >= 12 {
			require.EqualValues(t, 1, p.CurrentLeader.LeaderID)
			require.EqualValues(t, 0, p.CurrentLeader.LeaderEpoch)
		}
		if version >= 16 {
			require.Len(t, resp.Brokers, 1)
			require.EqualValues(t, 1, resp.Brokers[0].NodeID)
			require.Equal(t, fc.nodes[0].port(t), resp.Brokers[0].Port)
			require.Equal(t, "a", *resp.Brokers[0].Rack)
		} else {
			require.Empty(t, resp.Brokers)
		}
		resp = ask[*kmsg.FetchResponse](c, fetchRequest(version, topic, 0))
		want := None
		if version < 11 {
			want = NotLeaderOrFollower
		}
		require.EqualValues(t, want, resp.Topics[0].Partitions[0].ErrorCode)
	}

	// A node that learns only from the others that it leads no longer.
	fc.mu.Lock()
	fc.deposed[1] = true
	fc.mu.Unlock()
	late := ask[*kmsg.ProduceResponse](c, produceRequest(12, topic, 1, testBatch(t, 1, 1)))
	require.EqualValues(t, NotLeaderOrFollower, late.Topics[0].Partitions[0].ErrorCode)
	require.EqualValues(t, 2, late.Topics[0].Partitions[0].CurrentLeader.LeaderID)
	require.EqualValues(t, 9, late.Topics[0].Partitions[0].CurrentLeader.LeaderEpoch)
	require.Len(t, late.Brokers, 1)
	list := kmsg.NewPtrListOffsetsRequest()
	list.Version = 7
	lt := kmsg.NewListOffsetsRequestTopic()
	lt.Topic = "t"
	for n := range int32(2) {
		lp := kmsg.NewListOffsetsRequestTopicPartition()
		lp.Partition, lp.Timestamp = n, offsetLatest
		lt.Partitions = append(lt.Partitions, lp)
	}
	list.Topics = append(list.Topics, lt)
	for _, p := range ask[*kmsg.ListOffsetsResponse](c, list).Topics[0].Partitions {
		require.EqualValues(t, NotLeaderOrFollower, p.ErrorCode)
	}
}

// The leader epoch that a client knows is compared with that of now (KIP-320).
func TestLeaderEpochs(t *testing.T) {
	fc := newFakeCluster(t, Limits{})
	topic := fc.addTopic(t, "t", 1, 3)
	c := fc.nodes[0].dial(t)
	c.produce(topic, 0, 2)
	fc.lead(topic, 0, 2)
	fc.lead(topic, 0, 1) // in epoch 2
	for epoch, want := range map[int32]Code{-1: None, 0: FencedLeaderEpoch, 1: FencedLeaderEpoch, 2: None, 3: UnknownLeaderEpoch} {
		for version := int16(9); version <= 18; version++ {
			req := fetchRequest(version, topic, 0)
			req.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
			resp := ask[*kmsg.FetchResponse](c, req)
			p := resp.Topics[0].Partitions[0]
			require.EqualValues(t, want, p.ErrorCode, "epoch %d", epoch)
			if want == FencedLeaderEpoch && version >= 12 {
				require.EqualValues(t, 1, p.CurrentLeader.LeaderID)
				require.EqualValues(t, 2, p.CurrentLeader.LeaderEpoch)
			}
			if want == FencedLeaderEpoch && version >= 16 {
				require.Len(t, resp.Brokers, 1)
				require.Equal(t, fc.nodes[0].port(t), resp.Brokers[0].Port)
			}
		}
		list := kmsg.NewPtrListOffsetsRequest()
		list.Version = 4
		lt := kmsg.NewListOffsetsRequestTopic()
		lt.Topic = "t"
		lp := kmsg.NewListOffsetsRequestTopicPartition()
		lp.Timestamp, lp.CurrentLeaderEpoch = offsetLatest, epoch
		lt.Partitions = append(lt.Partitions, lp)
		list.Topics = append(list.Topics, lt)
		o := ask[*kmsg.ListOffsetsResponse](c, list).Topics[0].Partitions[0]
		require.EqualValues(t, want, o.ErrorCode)
		if want == None {
			require.EqualValues(t, 2, o.Offset)
			require.EqualValues(t, 2, o.LeaderEpoch)
		}
		end := kmsg.NewPtrOffsetForLeaderEpochRequest()
		end.Version = 3
		et := kmsg.NewOffsetForLeaderEpochRequestTopic()
		et.Topic = "t"
		ep := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		ep.CurrentLeaderEpoch, ep.LeaderEpoch = epoch, 1
		et.Partitions = append(et.Partitions, ep)
		end.Topics = append(end.Topics, et)
		require.EqualValues(t, want, ask[*kmsg.OffsetForLeaderEpochResponse](c, end).Topics[0].Partitions[0].ErrorCode)
	}
}

// A follower serves what it has; what it does not have yet it waits for, and in the
// end the leader decides whether there is such an offset (KIP-392).
func TestFetchFromFollower(t *testing.T) {
	fc := newFakeCluster(t, Limits{})
	topic := fc.addTopic(t, "t", 1, 3)
	leader, follower := fc.nodes[0].dial(t), fc.nodes[1].dial(t)
	leader.produce(topic, 0, 2)

	// Racks: none, that of the leader, that of a follower, one where nobody is.
	for rack, want := range map[string]int32{"": -1, "a": -1, "b": 2, "c": 3, "d": -1} {
		req := fetchRequest(11, topic, 0)
		req.Rack = rack
		p := ask[*kmsg.FetchResponse](leader, req).Topics[0].Partitions[0]
		require.Zero(t, p.ErrorCode)
		require.Equal(t, want, p.PreferredReadReplica, "rack %q", rack)
		require.Equal(t, want == -1, len(p.RecordBatches) > 0)
	}
	fc.mu.Lock()
	topic.parts[0].InSync = []int32{1, 3}
	fc.mu.Unlock()
	out := fetchRequest(11, topic, 0)
	out.Rack = "b"
	require.EqualValues(t, -1, ask[*kmsg.FetchResponse](leader, out).Topics[0].Partitions[0].PreferredReadReplica, "not in sync")

	at := func(offset int64, wait int32) *kmsg.FetchRequest {
		req := fetchRequest(11, topic, 0)
		req.Topics[0].Partitions[0].FetchOffset, req.MaxWaitMillis = offset, wait
		return req
	}
	p := ask[*kmsg.FetchResponse](follower, at(0, 0)).Topics[0].Partitions[0]
	require.Zero(t, p.ErrorCode)
	require.Empty(t, p.RecordBatches)
	require.Zero(t, p.HighWatermark)
	p = ask[*kmsg.FetchResponse](follower, at(2, 50)).Topics[0].Partitions[0]
	require.EqualValues(t, OffsetOutOfRange, p.ErrorCode)
	wait := at(1, 20_000)
	begin := time.Now()
	follower.send(wait)
	fc.replicate(t, topic, 0, 2)
	p = follower.receive(wait).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	require.Zero(t, p.ErrorCode)
	require.NotEmpty(t, p.RecordBatches)
	require.EqualValues(t, 2, p.HighWatermark)
	require.Less(t, time.Since(begin), 15*time.Second)
}

// A Fetch that waits learns of a new leader at once.
func TestFetchLeaderMoves(t *testing.T) {
	fc := newFakeCluster(t, Limits{})
	topic := fc.addTopic(t, "t", 1, 3)
	c := fc.nodes[0].dial(t)
	for _, version := range []int16{10, 16} {
		req := fetchRequest(version, topic, 0)
		req.MaxWaitMillis = 20_000
		req.Topics[0].Partitions[0].CurrentLeaderEpoch = int32(topic.parts[0].Epoch)
		begin := time.Now()
		c.send(req)
		r := topic.parts[0].replicas[1]
		require.Eventually(t, func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(r.watchers) == 1
		}, 10*time.Second, time.Millisecond)
		fc.lead(topic, 0, 2)
		p := c.receive(req).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		require.EqualValues(t, FencedLeaderEpoch, p.ErrorCode)
		require.Less(t, time.Since(begin), 15*time.Second)
		r.mu.Lock()
		require.Empty(t, r.watchers)
		r.mu.Unlock()
		fc.lead(topic, 0, 1)
	}
}

func TestClusterCoordinator(t *testing.T) {
	fc := newFakeCluster(t, Limits{})
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKeys = 4, []string{"g", "h", "g"}
	old := kmsg.NewPtrFindCoordinatorRequest()
	old.Version, old.CoordinatorKey = 2, "g"
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Version, beat.Group = 4, "g"
	for i, n := range fc.nodes {
		c := n.dial(t)
		resp := ask[*kmsg.FindCoordinatorResponse](c, find)
		require.Len(t, resp.Coordinators, 2, "each key once")
		for _, o := range resp.Coordinators {
			require.Zero(t, o.ErrorCode)
			require.EqualValues(t, 2, o.NodeID)
			require.Equal(t, "127.0.0.1", o.Host)
			require.Equal(t, fc.nodes[1].port(t), o.Port)
		}
		require.EqualValues(t, 2, ask[*kmsg.FindCoordinatorResponse](c, old).NodeID)
		want := NotCoordinator
		if i == 1 {
			want = None
		}
		require.EqualValues(t, want, ask[*kmsg.HeartbeatResponse](c, beat).ErrorCode)
	}
	fc.mu.Lock()
	fc.loading = true
	fc.mu.Unlock()
	c := fc.nodes[1].dial(t)
	require.EqualValues(t, CoordinatorLoadInProgress, ask[*kmsg.HeartbeatResponse](c, beat).ErrorCode)
	for _, nobody := range []int32{NoNode, 17} { // none, and one that has just gone
		fc.mu.Lock()
		fc.coordinator = nobody
		fc.mu.Unlock()
		resp := ask[*kmsg.FindCoordinatorResponse](c, find)
		require.EqualValues(t, CoordinatorNotAvailable, resp.Coordinators[0].ErrorCode)
		require.EqualValues(t, NoNode, resp.Coordinators[0].NodeID)
		require.EqualValues(t, CoordinatorNotAvailable, ask[*kmsg.FindCoordinatorResponse](c, old).ErrorCode)
	}
	find.CoordinatorType = 1
	require.EqualValues(t, InvalidRequest, ask[*kmsg.FindCoordinatorResponse](c, find).Coordinators[0].ErrorCode)
}
