package kafka

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat/internal/recordbatch"
)

func TestReassignments(t *testing.T) {
	fc := newFakeCluster(t, Limits{})
	fc.addTopic(t, "t", 2, 2)
	c := fc.nodes[1].dial(t)
	move := func(version int16, replicas ...[]int32) *kmsg.AlterPartitionAssignmentsResponse {
		req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
		req.Version = version
		req.AllowReplicationFactorChange = false
		rt := kmsg.NewAlterPartitionAssignmentsRequestTopic()
		rt.Topic = "t"
		for i, list := range replicas {
			rp := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
			rp.Partition, rp.Replicas = int32(i), list
			rt.Partitions = append(rt.Partitions, rp)
		}
		req.Topics = append(req.Topics, rt)
		return ask[*kmsg.AlterPartitionAssignmentsResponse](c, req)
	}
	for name, tt := range map[string]struct {
		version  int16
		replicas [][]int32
		want     []Code
	}{
		"as they are":                   {0, [][]int32{{1, 2}}, []Code{None}},
		"a part of a shard":             {0, [][]int32{{2, 3}}, []Code{InvalidReplicaAssignment}},
		"to different nodes":            {0, [][]int32{{2, 3}, {1, 3}}, []Code{InvalidReplicaAssignment, InvalidReplicaAssignment}},
		"no replica":                    {0, [][]int32{{}, {1, 2}}, []Code{InvalidReplicaAssignment, None}},
		"a node twice":                  {0, [][]int32{{1, 1}}, []Code{InvalidReplicaAssignment}},
		"a negative node":               {0, [][]int32{{-1}}, []Code{InvalidReplicaAssignment}},
		"fewer, where that is excluded": {1, [][]int32{{1}, {1}}, []Code{InvalidReplicationFactor, InvalidReplicationFactor}},
		"an unknown partition":          {0, [][]int32{{1, 2}, {1, 2}, {1, 2}}, []Code{None, None, UnknownTopicOrPartition}},
	} {
		t.Run(name, func(t *testing.T) {
			resp := move(tt.version, tt.replicas...)
			require.Zero(t, resp.ErrorCode)
			for i, p := range resp.Topics[0].Partitions {
				require.EqualValues(t, i, p.Partition)
				require.EqualValues(t, tt.want[i], p.ErrorCode)
				require.Equal(t, tt.want[i] != None, p.ErrorMessage != nil, "the reason is told")
			}
			require.Len(t, resp.Topics[0].Partitions, len(tt.want))
		})
	}
	list := kmsg.NewPtrListPartitionReassignmentsRequest()
	require.Empty(t, ask[*kmsg.ListPartitionReassignmentsResponse](c, list).Topics)
	for _, p := range move(0, []int32{2, 3}, []int32{2, 3}).Topics[0].Partitions {
		require.Zero(t, p.ErrorCode)
	}
	moving := ask[*kmsg.ListPartitionReassignmentsResponse](c, list).Topics
	require.Len(t, moving, 1)
	require.Len(t, moving[0].Partitions, 2)
	require.Equal(t, []int32{2, 3}, moving[0].Partitions[0].Replicas)
	require.Equal(t, []int32{3}, moving[0].Partitions[0].AddingReplicas)
	require.Equal(t, []int32{1}, moving[0].Partitions[0].RemovingReplicas)
	lt := kmsg.NewListPartitionReassignmentsRequestTopic()
	lt.Topic, lt.Partitions = "t", []int32{1, 1, 9}
	list.Topics = append(list.Topics, lt)
	moving = ask[*kmsg.ListPartitionReassignmentsResponse](c, list).Topics
	require.Len(t, moving[0].Partitions, 1)
	list.Topics = []kmsg.ListPartitionReassignmentsRequestTopic{}
	require.Empty(t, ask[*kmsg.ListPartitionReassignmentsResponse](c, list).Topics, "none are asked for")

	twice := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	rt := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	rt.Topic = "t"
	rt.Partitions = make([]kmsg.AlterPartitionAssignmentsRequestTopicPartition, 2)
	twice.Topics = append(twice.Topics, rt)
	for _, p := range ask[*kmsg.AlterPartitionAssignmentsResponse](c, twice).Topics[0].Partitions {
		require.EqualValues(t, InvalidRequest, p.ErrorCode)
	}
}

func TestElectLeaders(t *testing.T) {
	fc := newFakeCluster(t, Limits{})
	topic := fc.addTopic(t, "t", 3, 3)
	c := fc.nodes[2].dial(t)
	elect := func(version int16, kind int8, topics ...kmsg.ElectLeadersRequestTopic) *kmsg.ElectLeadersResponse {
		req := kmsg.NewPtrElectLeadersRequest()
		req.Version, req.ElectionType, req.TimeoutMillis, req.Topics = version, kind, 1000, topics
		return ask[*kmsg.ElectLeadersResponse](c, req)
	}
	some := func(partitions ...int32) kmsg.ElectLeadersRequestTopic {
		return kmsg.ElectLeadersRequestTopic{Topic: "t", Partitions: partitions}
	}
	for version := int16(0); version <= 2; version++ {
		fc.lead(topic, 1, 2)
		resp := elect(version, 0, some(0, 1, 1))
		require.Zero(t, resp.ErrorCode)
		require.Len(t, resp.Topics, 1)
		require.Len(t, resp.Topics[0].Partitions, 2)
		require.EqualValues(t, ElectionNotNeeded, resp.Topics[0].Partitions[0].ErrorCode)
		require.NotNil(t, resp.Topics[0].Partitions[0].ErrorMessage)
		require.Zero(t, resp.Topics[0].Partitions[1].ErrorCode)
		fc.lead(topic, 2, 3)
		resp = elect(version, 0) // all
		require.Len(t, resp.Topics[0].Partitions, 1)
		require.EqualValues(t, 2, resp.Topics[0].Partitions[0].Partition)
		require.Empty(t, elect(version, 0).Topics)
	}
	for _, kind := range []int8{1, 2, -1} { // what the backend refuses, and what there is not
		resp := elect(2, kind, some(0))
		require.EqualValues(t, InvalidRequest, resp.ErrorCode)
		require.EqualValues(t, InvalidRequest, resp.Topics[0].Partitions[0].ErrorCode)
	}
}

func TestDescribeLogDirs(t *testing.T) {
	fc := newFakeCluster(t, Limits{})
	topic := fc.addTopic(t, "t", 3, 2)
	fc.addTopic(t, "u", 1, 1)
	fc.nodes[0].dial(t).produce(topic, 1, 5)
	req := kmsg.NewPtrDescribeLogDirsRequest()
	req.Version = 4
	resp := ask[*kmsg.DescribeLogDirsResponse](fc.nodes[0].dial(t), req)
	require.Len(t, resp.Dirs, 1)
	require.Equal(t, "/data/1", resp.Dirs[0].Dir)
	require.EqualValues(t, 100, resp.Dirs[0].TotalBytes)
	require.EqualValues(t, 50, resp.Dirs[0].UsableBytes)
	require.Len(t, resp.Dirs[0].Topics, 2)
	require.Positive(t, resp.Dirs[0].Topics[0].Partitions[1].Size)
	require.EqualValues(t, 2, resp.Dirs[0].Topics[0].Partitions[2].OffsetLag)
	resp = ask[*kmsg.DescribeLogDirsResponse](fc.nodes[1].dial(t), req)
	require.Len(t, resp.Dirs[0].Topics, 1, "the second node has no replica of the other")
	resp = ask[*kmsg.DescribeLogDirsResponse](fc.nodes[2].dial(t), req)
	require.Empty(t, resp.Dirs[0].Topics)
	for version := int16(0); version <= 5; version++ {
		req.Version = version
		req.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: "t", Partitions: []int32{2, 7}}, {Topic: "unknown"}, {Topic: "t", Partitions: []int32{2, 0}}}
		resp = ask[*kmsg.DescribeLogDirsResponse](fc.nodes[0].dial(t), req)
		require.Len(t, resp.Dirs[0].Topics, 1)
		require.Len(t, resp.Dirs[0].Topics[0].Partitions, 2)
	}
}

func TestDescribeTopicPartitions(t *testing.T) {
	fc := newFakeCluster(t, Limits{})
	for i := range 5 {
		topic := fc.addTopic(t, fmt.Sprintf("t%d", i), 3, 2)
		fc.lead(topic, 1, 2)
	}
	c := fc.nodes[2].dial(t)
	all := func(limit int32, cursor *kmsg.DescribeTopicPartitionsRequestCursor, names ...string) (pieces int, parts []string) {
		for {
			req := kmsg.NewPtrDescribeTopicPartitionsRequest()
			req.ResponsePartitionLimit, req.Cursor = limit, cursor
			for _, name := range names {
				rt := kmsg.NewDescribeTopicPartitionsRequestTopic()
				rt.Topic = name
				req.Topics = append(req.Topics, rt)
			}
			resp := ask[*kmsg.DescribeTopicPartitionsResponse](c, req)
			pieces++
			for _, topic := range resp.Topics {
				if topic.ErrorCode != 0 {
					parts = append(parts, fmt.Sprintf("%s error %d", *topic.Topic, topic.ErrorCode))
				}
				for _, p := range topic.Partitions {
					require.Equal(t, []int32{1, 2}, p.Replicas)
					require.EqualValues(t, 1+p.Partition%2, p.LeaderID)
					require.EqualValues(t, p.Partition%2, p.LeaderEpoch)
					parts = append(parts, fmt.Sprintf("%s-%d", *topic.Topic, p.Partition))
				}
			}
			if resp.NextCursor == nil {
				return pieces, parts
			}
			next := kmsg.NewDescribeTopicPartitionsRequestCursor()
			next.Topic, next.Partition = resp.NextCursor.Topic, resp.NextCursor.Partition
			cursor = &next
		}
	}
	var want []string
	for i := range 5 {
		for n := range 3 {
			want = append(want, fmt.Sprintf("t%d-%d", i, n))
		}
	}
	for limit, pieces := range map[int32]int{1: 15, 2: 8, 3: 5, 4: 4, 14: 2, 15: 1, 2000: 1, 1 << 30: 1, 0: 15, -5: 15} {
		n, parts := all(limit, nil)
		require.Equal(t, want, parts, "limit %d", limit)
		require.Equal(t, pieces, n, "limit %d", limit)
	}
	_, parts := all(100, nil, "t4", "gone", "t1", "t1")
	require.Equal(t, []string{"gone error 3", "t1-0", "t1-1", "t1-2", "t4-0", "t4-1", "t4-2"}, parts)
	cursor := func(topic string, partition int32) *kmsg.DescribeTopicPartitionsRequestCursor {
		c := kmsg.NewDescribeTopicPartitionsRequestCursor()
		c.Topic, c.Partition = topic, partition
		return &c
	}
	_, parts = all(2, cursor("t3", 2), "t1", "t3", "t4")
	require.Equal(t, []string{"t3-2", "t4-0", "t4-1", "t4-2"}, parts)
	_, parts = all(100, cursor("t31", 2), "t3", "t4")
	require.Equal(t, want[12:], parts, "a cursor of what is gone goes on behind it")
	_, parts = all(100, cursor("t4", 99))
	require.Empty(t, parts)
	_, parts = all(100, cursor("t4", -1))
	require.Equal(t, []string{"t4 error 42"}, parts)
}

func TestDescribeProducers(t *testing.T) {
	fc := newFakeCluster(t, Limits{})
	topic := fc.addTopic(t, "t", 2, 2)
	c := fc.nodes[0].dial(t)
	for id := range int64(3) {
		for seq := range int32(2) {
			b := testBatch(t, 2, 1)
			recordbatch.SetProducer(b, 7-id, 4, 2*seq)
			recordbatch.Reseal(b)
			require.Zero(t, ask[*kmsg.ProduceResponse](c, produceRequest(9, topic, 1, b)).Topics[0].Partitions[0].ErrorCode)
		}
	}
	req := kmsg.NewPtrDescribeProducersRequest()
	req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "t", Partitions: []int32{0, 1, 1, 2}}, {Topic: "gone", Partitions: []int32{0}}}
	resp := ask[*kmsg.DescribeProducersResponse](c, req)
	parts := resp.Topics[0].Partitions
	require.Len(t, parts, 3)
	require.Empty(t, parts[0].ActiveProducers)
	require.Len(t, parts[1].ActiveProducers, 3)
	for i, p := range parts[1].ActiveProducers {
		require.EqualValues(t, 5+i, p.ProducerID)
		require.EqualValues(t, 4, p.ProducerEpoch)
		require.EqualValues(t, 3, p.LastSequence)
		require.Positive(t, p.LastTimestamp)
		require.EqualValues(t, -1, p.CurrentTxnStartOffset)
	}
	require.EqualValues(t, UnknownTopicOrPartition, parts[2].ErrorCode)
	require.EqualValues(t, UnknownTopicOrPartition, resp.Topics[1].Partitions[0].ErrorCode)
	resp = ask[*kmsg.DescribeProducersResponse](fc.nodes[1].dial(t), req)
	require.EqualValues(t, NotLeaderOrFollower, resp.Topics[0].Partitions[1].ErrorCode)
}
