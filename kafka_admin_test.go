package leat_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/leattest"
)

// Configs that are lists, and the old way to replace a whole config.
func TestKafkaAlterConfigs(t *testing.T) {
	log := leattest.New(t)
	ctx := testContext(t)
	topic, err := log.CreateTopic(ctx, "t", leat.TopicConfig{MaxMessageBytes: 5000})
	require.NoError(t, err)
	addr := serveKafka(t, log)
	c := dial(t, addr)
	alter := func(version int16, validate bool, changes ...kmsg.IncrementalAlterConfigsRequestResourceConfig) *kmsg.IncrementalAlterConfigsResponseResource {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.Version, req.ValidateOnly = version, validate
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.Configs = kmsg.ConfigResourceTypeTopic, "t", changes
		req.Resources = append(req.Resources, r)
		return &roundTrip(t, c, req).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
	}
	change := func(op kmsg.IncrementalAlterConfigOp, name, value string) kmsg.IncrementalAlterConfigsRequestResourceConfig {
		return kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: name, Op: op, Value: &value}
	}
	policy := func() string { return topic.Config().CleanupPolicy.String() }
	const set, remove, add, subtract = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete,
		kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract
	for i, tt := range []struct {
		op    kmsg.IncrementalAlterConfigOp
		value string
		want  string
		code  int16
	}{
		{add, "compact", "compact,delete", 0},
		{add, "compact", "compact,delete", 0}, // it is there
		{subtract, "delete", "compact", 0},
		{subtract, "delete", "compact", 0}, // it is not there
		{add, "delete, compact", "compact,delete", 0},
		{add, "nonsense", "compact,delete", kerr.InvalidConfig.Code},
		{subtract, "delete,compact", "compact,delete", kerr.InvalidConfig.Code}, // nothing is left
		{remove, "", "delete", 0},
		{set, "compact", "compact", 0},
		{7, "compact", "compact", kerr.InvalidRequest.Code},
		{-1, "compact", "compact", kerr.InvalidRequest.Code},
	} {
		r := alter(int16(i%2), true, change(tt.op, "cleanup.policy", tt.value))
		require.Equal(t, tt.code, r.ErrorCode, "step %d", i)
		r = alter(int16(i%2), false, change(tt.op, "cleanup.policy", tt.value))
		require.Equal(t, tt.code, r.ErrorCode, "step %d", i)
		require.Equal(t, tt.want, policy(), "step %d", i)
		require.Equal(t, tt.code != 0, r.ErrorMessage != nil)
	}
	require.Equal(t, kerr.InvalidConfig.Code, alter(1, false, change(add, "retention.ms", "5")).ErrorCode, "not a list")
	require.Equal(t, kerr.InvalidConfig.Code, alter(1, false, change(add, "nonsense", "5")).ErrorCode)
	require.Equal(t, kerr.InvalidRequest.Code, alter(1, false, change(set, "retention.ms", "5"), change(remove, "retention.ms", "")).ErrorCode)
	require.Equal(t, kerr.InvalidRequest.Code, alter(1, false, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: "retention.ms"}).ErrorCode)
	require.Equal(t, 5000, topic.Config().MaxMessageBytes, "the others stay")

	for version := int16(0); version <= 2; version++ {
		replace := kmsg.NewPtrAlterConfigsRequest()
		replace.Version = version
		r := kmsg.NewAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, "t"
		value := "12345"
		p := kmsg.NewAlterConfigsRequestResourceConfig()
		p.Name, p.Value = "retention.ms", &value
		r.Configs = append(r.Configs, p)
		broker := kmsg.NewAlterConfigsRequestResource()
		broker.ResourceType, broker.ResourceName = kmsg.ConfigResourceTypeBroker, "1"
		gone := kmsg.NewAlterConfigsRequestResource()
		gone.ResourceType, gone.ResourceName = kmsg.ConfigResourceTypeTopic, "gone"
		replace.Resources = append(replace.Resources, r, broker, gone)
		replace.ValidateOnly = true
		before := topic.Config()
		require.Zero(t, roundTrip(t, c, replace).(*kmsg.AlterConfigsResponse).Resources[0].ErrorCode)
		require.Equal(t, before, topic.Config())
		replace.ValidateOnly = false
		answers := roundTrip(t, c, replace).(*kmsg.AlterConfigsResponse).Resources
		require.Zero(t, answers[0].ErrorCode)
		require.Equal(t, kerr.InvalidRequest.Code, answers[1].ErrorCode)
		require.Equal(t, kerr.UnknownTopicOrPartition.Code, answers[2].ErrorCode)
		require.Equal(t, "12345", topic.Config().Properties()["retention.ms"])
		require.NotEqual(t, 5000, topic.Config().MaxMessageBytes, "what is not named inherits again")
		require.Equal(t, "delete", policy())

		replace.Resources = append(replace.Resources, r)
		answers = roundTrip(t, c, replace).(*kmsg.AlterConfigsResponse).Resources
		require.Len(t, answers, 3, "each once")
		require.Equal(t, kerr.InvalidRequest.Code, answers[0].ErrorCode)
		replace.Resources = []kmsg.AlterConfigsRequestResource{r}
		replace.Resources[0].Configs[0].Value = nil
		if version == 2 {
			require.Equal(t, kerr.InvalidRequest.Code, roundTrip(t, c, replace).(*kmsg.AlterConfigsResponse).Resources[0].ErrorCode)
		}
	}
}

// What a standalone node says of replicas: it is the only one.
func TestKafkaOneNode(t *testing.T) {
	log := leattest.New(t)
	ctx := testContext(t)
	_, err := log.CreateTopic(ctx, "t", leat.TopicConfig{Partitions: 2})
	require.NoError(t, err)
	addr := serveKafka(t, log)
	adm := kadm.NewClient(kafkaClient(t, addr))

	var req kadm.AlterPartitionAssignmentsReq
	req.Assign("t", 0, []int32{1})
	req.Assign("t", 1, []int32{2})
	req.Assign("t", 2, []int32{1})
	req.Assign("gone", 0, []int32{1})
	resp, err := adm.AlterPartitionAssignments(ctx, req)
	require.NoError(t, err)
	require.NoError(t, resp["t"][0].Err)
	require.ErrorIs(t, resp["t"][1].Err, kerr.InvalidReplicaAssignment)
	require.Contains(t, resp["t"][1].ErrMessage, "one node")
	require.ErrorIs(t, resp["t"][2].Err, kerr.UnknownTopicOrPartition)
	require.ErrorIs(t, resp["gone"][0].Err, kerr.UnknownTopicOrPartition)
	req = nil
	req.CancelAssign("t", 0)
	resp, err = adm.AlterPartitionAssignments(ctx, req)
	require.NoError(t, err)
	require.ErrorIs(t, resp["t"][0].Err, kerr.NoReassignmentInProgress)
	list, err := adm.ListPartitionReassignments(ctx, nil)
	require.NoError(t, err)
	require.Empty(t, list)

	var set kadm.TopicsSet
	set.Add("t", 0, 5)
	elected, err := adm.ElectLeaders(ctx, kadm.ElectPreferredReplica, set)
	require.NoError(t, err)
	require.ErrorIs(t, elected["t"][0].Err, kerr.ElectionNotNeeded)
	require.ErrorIs(t, elected["t"][5].Err, kerr.UnknownTopicOrPartition)

	// Replicas of new topics and partitions.
	c := dial(t, addr)
	for node, want := range map[int32]error{1: nil, 2: kerr.InvalidReplicaAssignment} {
		create := kmsg.NewPtrCreateTopicsRequest()
		create.Version = 7
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = "assigned", -1, -1
		for n := range int32(2) {
			ra := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			ra.Partition, ra.Replicas = n, []int32{node}
			rt.ReplicaAssignment = append(rt.ReplicaAssignment, ra)
		}
		create.Topics = append(create.Topics, rt)
		o := roundTrip(t, c, create).(*kmsg.CreateTopicsResponse).Topics[0]
		require.ErrorIs(t, kerr.ErrorForCode(o.ErrorCode), want)
		if want == nil {
			require.EqualValues(t, 2, o.NumPartitions)
			require.EqualValues(t, 1, o.ReplicationFactor)
		}
	}
	for i, tt := range []struct {
		replicas [][]int32
		want     error
	}{
		{[][]int32{{2}}, kerr.InvalidReplicaAssignment}, {[][]int32{{1}, {1}}, kerr.InvalidReplicaAssignment},
		{[][]int32{{}}, kerr.InvalidReplicaAssignment}, {[][]int32{{1}}, nil},
	} {
		grow := kmsg.NewPtrCreatePartitionsRequest()
		grow.Version = 3
		rt := kmsg.NewCreatePartitionsRequestTopic()
		rt.Topic, rt.Count = "t", 3
		for _, replicas := range tt.replicas {
			rt.Assignment = append(rt.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: replicas})
		}
		grow.Topics = append(grow.Topics, rt)
		o := roundTrip(t, c, grow).(*kmsg.CreatePartitionsResponse).Topics[0]
		require.ErrorIs(t, kerr.ErrorForCode(o.ErrorCode), tt.want, "case %d", i)
	}
}

func TestKafkaDescribe(t *testing.T) {
	log, err := leat.Open(t.Context(), leat.Config{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	ctx := testContext(t)
	_, err = log.CreateTopic(ctx, "t", leat.TopicConfig{Partitions: 3})
	require.NoError(t, err)
	addr := serveKafka(t, log)
	p := kafkaClient(t, addr, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	for range 3 {
		require.NoError(t, p.ProduceSync(ctx, &kgo.Record{Topic: "t", Partition: 1, Value: make([]byte, 500)}).FirstErr())
	}
	adm := kadm.NewClient(kafkaClient(t, addr))
	dirs, err := adm.DescribeAllLogDirs(ctx, nil)
	require.NoError(t, err)
	size, ok := dirs[1].LookupPartition("t", 1)
	require.True(t, ok)
	require.Positive(t, size.Size)
	empty, ok := dirs[1].LookupPartition("t", 0)
	require.True(t, ok)
	require.Zero(t, empty.Size)
	logdirs := kmsg.NewPtrDescribeLogDirsRequest()
	logdirs.Version = 4
	dir := roundTrip(t, dial(t, addr), logdirs).(*kmsg.DescribeLogDirsResponse).Dirs[0]
	require.Positive(t, dir.UsableBytes)
	require.Greater(t, dir.TotalBytes, dir.UsableBytes)

	var set kadm.TopicsSet
	set.Add("t", 0, 1)
	producers, err := adm.DescribeProducers(ctx, set)
	require.NoError(t, err)
	require.Empty(t, producers["t"].Partitions[0].ActiveProducers)
	active := producers["t"].Partitions[1].ActiveProducers.Sorted()
	require.Len(t, active, 1)
	require.EqualValues(t, 2, active[0].LastSequence)

	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = 2
	described := roundTrip(t, dial(t, addr), req).(*kmsg.DescribeTopicPartitionsResponse)
	require.Len(t, described.Topics[0].Partitions, 2)
	require.Equal(t, []int32{1}, described.Topics[0].Partitions[0].ISR)
	require.NotNil(t, described.Topics[0].Partitions[0].EligibleLeaderReplicas)
	require.NotNil(t, described.Topics[0].Partitions[0].LastKnownELR)
	require.EqualValues(t, 2, described.NextCursor.Partition)

	brokers, err := adm.DescribeBrokerConfigs(ctx, 1)
	require.NoError(t, err)
	configs := make(map[string]string)
	for _, c := range brokers[0].Configs {
		configs[c.Key] = c.MaybeValue()
	}
	require.Equal(t, "false", configs["auto.create.topics.enable"])
	require.Equal(t, "1", configs["default.replication.factor"])
	require.NotEmpty(t, configs["log.dirs"])
	require.Equal(t, "4.0", configs["inter.broker.protocol.version"])
}
