package leat_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leatlog/leat"
	"github.com/leatlog/leat/leattest"
)

// serveKafka serves a Log on a loopback address until the test ends.
func serveKafka(t testing.TB, log *leat.Log, opts ...leat.KafkaOption) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- log.ServeKafka(ctx, ln, opts...) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, leat.ErrClosed) {
			t.Errorf("ServeKafka: %v", err)
		}
	})
	return ln.Addr().String()
}

func kafkaClient(t testing.TB, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// consume polls until it has n records.
func consume(t testing.TB, ctx context.Context, c *kgo.Client, n int) (records []*kgo.Record) {
	t.Helper()
	for len(records) < n {
		f := c.PollFetches(ctx)
		require.NoError(t, f.Err())
		records = append(records, f.Records()...)
	}
	return records
}

func TestKafkaProduceConsume(t *testing.T) {
	log := leattest.New(t)
	ctx := testContext(t)
	_, err := log.CreateTopic(ctx, "orders", leat.TopicConfig{Partitions: 3})
	require.NoError(t, err)
	addr := serveKafka(t, log)
	for name, codec := range map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()} {
		p := kafkaClient(t, addr, kgo.ProducerBatchCompression(codec))
		for i := range 20 {
			r := &kgo.Record{Topic: "orders", Key: fmt.Appendf(nil, "%s-%d", name, i), Value: []byte("value"),
				Headers: []kgo.RecordHeader{{Key: "codec", Value: []byte(name)}}}
			require.NoError(t, p.ProduceSync(ctx, r).FirstErr())
			require.GreaterOrEqual(t, r.Offset, int64(0))
		}
	}
	c := kafkaClient(t, addr, kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	seen := make(map[string]bool)
	next := make(map[int32]int64)
	for _, r := range consume(t, ctx, c, 100) {
		require.Equal(t, next[r.Partition], r.Offset)
		next[r.Partition]++
		require.Len(t, r.Headers, 1)
		require.Equal(t, "value", string(r.Value))
		seen[string(r.Key)] = true
	}
	require.Len(t, seen, 100)

	// What clients wrote the library reads, and the other way round.
	lc, err := log.NewConsumer(leat.Assign("orders"), leat.StartAt(leat.Earliest))
	require.NoError(t, err)
	got := 0
	for got < 100 {
		records, err := lc.Poll(ctx, 1000)
		require.NoError(t, err)
		got += len(records)
	}
	require.NoError(t, lc.Close())
	lp, err := log.NewProducer()
	require.NoError(t, err)
	_, err = lp.ProduceSync(ctx, leat.Record{Topic: "orders", Value: []byte("from inside")})
	require.NoError(t, err)
	require.Equal(t, "from inside", string(consume(t, ctx, c, 1)[0].Value))
}

func TestKafkaAcks(t *testing.T) {
	log := leattest.New(t)
	ctx := testContext(t)
	_, err := log.CreateTopic(ctx, "t", leat.TopicConfig{})
	require.NoError(t, err)
	addr := serveKafka(t, log)
	for _, acks := range []kgo.Acks{kgo.NoAck(), kgo.LeaderAck(), kgo.AllISRAcks()} {
		p := kafkaClient(t, addr, kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite())
		for range 50 {
			p.Produce(ctx, &kgo.Record{Topic: "t", Value: []byte("v")}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		require.NoError(t, p.Flush(ctx))
	}
	c := kafkaClient(t, addr, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	consume(t, ctx, c, 150)
}

func TestKafkaAdmin(t *testing.T) {
	log := leattest.New(t)
	ctx := testContext(t)
	addr := serveKafka(t, log)
	adm := kadm.NewClient(kafkaClient(t, addr))

	retention := "86400000"
	created, err := adm.CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": &retention}, "a")
	require.NoError(t, err)
	require.EqualValues(t, 2, created.NumPartitions)
	_, err = adm.CreateTopic(ctx, 2, 1, nil, "a")
	require.ErrorIs(t, err, kerr.TopicAlreadyExists)
	_, err = adm.CreateTopic(ctx, -1, 3, nil, "b")
	require.ErrorIs(t, err, kerr.InvalidReplicationFactor)
	_, err = adm.CreateTopic(ctx, -1, -1, nil, "../b")
	require.ErrorIs(t, err, kerr.InvalidTopicException)
	_, err = adm.CreateTopic(ctx, -1, -1, nil, "__b")
	require.ErrorIs(t, err, kerr.InvalidTopicException)
	junk := "x"
	_, err = adm.CreateTopic(ctx, -1, -1, map[string]*string{"retention.ms": &junk}, "b")
	require.ErrorIs(t, err, kerr.InvalidConfig)
	valid, err := adm.ValidateCreateTopics(ctx, 1, 1, nil, "b")
	require.NoError(t, err)
	require.NoError(t, valid.Error())
	topics, err := adm.ListTopics(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, topics.Names())
	require.NotZero(t, topics["a"].ID)

	parts, err := adm.UpdatePartitions(ctx, 4, "a")
	require.NoError(t, err)
	require.NoError(t, parts.Error())
	parts, err = adm.UpdatePartitions(ctx, 3, "a")
	require.NoError(t, err)
	require.ErrorIs(t, parts.Error(), kerr.InvalidPartitions)

	size := "2000"
	altered, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &size}, {Op: kadm.DeleteConfig, Name: "retention.ms"}}, "a")
	require.NoError(t, err)
	require.NoError(t, altered[0].Err)
	configs, err := adm.DescribeTopicConfigs(ctx, "a")
	require.NoError(t, err)
	found := make(map[string]*kadm.Config)
	for _, c := range configs[0].Configs {
		found[c.Key] = &c
	}
	require.Equal(t, "2000", found["max.message.bytes"].MaybeValue())
	require.Equal(t, "604800000", found["retention.ms"].MaybeValue())
	require.Equal(t, "DYNAMIC_TOPIC_CONFIG", found["max.message.bytes"].Source.String())
	require.Equal(t, "DEFAULT_CONFIG", found["retention.ms"].Source.String())
	brokers, err := adm.DescribeBrokerConfigs(ctx, 1)
	require.NoError(t, err)
	require.NoError(t, brokers[0].Err)

	p := kafkaClient(t, addr, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	begin := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
	for i := range 10 {
		r := &kgo.Record{Topic: "a", Partition: 1, Value: []byte("v"), Timestamp: begin.Add(time.Duration(i) * time.Second)}
		require.NoError(t, p.ProduceSync(ctx, r).FirstErr())
	}
	err = p.ProduceSync(ctx, &kgo.Record{Topic: "a", Value: make([]byte, 3000)}).FirstErr()
	require.ErrorIs(t, err, kerr.MessageTooLarge)

	ends, err := adm.ListEndOffsets(ctx, "a")
	require.NoError(t, err)
	end, _ := ends.Lookup("a", 1)
	require.EqualValues(t, 10, end.Offset)
	after, err := adm.ListOffsetsAfterMilli(ctx, begin.Add(3*time.Second-500*time.Millisecond).UnixMilli(), "a")
	require.NoError(t, err)
	at, _ := after.Lookup("a", 1)
	require.EqualValues(t, 3, at.Offset)
	require.Equal(t, begin.Add(3*time.Second).UnixMilli(), at.Timestamp)
	latest, err := adm.ListMaxTimestampOffsets(ctx, "a")
	require.NoError(t, err)
	at, _ = latest.Lookup("a", 1)
	require.EqualValues(t, 9, at.Offset)

	var before kadm.Offsets
	before.AddOffset("a", 1, 4, -1)
	deleted, err := adm.DeleteRecords(ctx, before)
	require.NoError(t, err)
	require.NoError(t, deleted.Error())
	starts, err := adm.ListStartOffsets(ctx, "a")
	require.NoError(t, err)
	at, _ = starts.Lookup("a", 1)
	require.EqualValues(t, 4, at.Offset)

	meta, err := adm.BrokerMetadata(ctx)
	require.NoError(t, err)
	require.Len(t, meta.Brokers, 1)
	require.NotEmpty(t, meta.Cluster)

	gone, err := adm.DeleteTopics(ctx, "a", "nothing")
	require.NoError(t, err)
	require.NoError(t, gone["a"].Err)
	require.ErrorIs(t, gone["nothing"].Err, kerr.UnknownTopicOrPartition)
	_, err = log.Topic(ctx, "a")
	require.ErrorIs(t, err, leat.ErrUnknownTopic)
}

// A group of KIP-848 with two members that share, one that leaves, and commits that
// a later member begins at.
func TestKafkaGroup(t *testing.T) {
	log := leattest.New(t, leattest.WithConfig(func(c *leat.Config) {
		c.Groups = leat.GroupsConfig{HeartbeatInterval: 100 * time.Millisecond, OffsetsPartitions: 3}
	}))
	//lint:ignore SA1029 the client looks for this key
	ctx := context.WithValue(testContext(t), "opt_in_kafka_next_gen_balancer_beta", true)
	_, err := log.CreateTopic(ctx, "work", leat.TopicConfig{Partitions: 4})
	require.NoError(t, err)
	addr := serveKafka(t, log)
	p := kafkaClient(t, addr, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	for range 40 {
		require.NoError(t, p.ProduceSync(ctx, &kgo.Record{Topic: "work", Value: []byte("job")}).FirstErr())
	}
	member := func() *kgo.Client {
		return kafkaClient(t, addr, kgo.WithContext(ctx), kgo.ConsumerGroup("workers"), kgo.ConsumeTopics("work"),
			kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	}
	one := member()
	records := consume(t, ctx, one, 40)
	require.NoError(t, one.CommitRecords(ctx, records...))
	adm := kadm.NewClient(kafkaClient(t, addr))
	offsets, err := adm.FetchOffsets(ctx, "workers")
	require.NoError(t, err)
	require.NoError(t, offsets.Error())
	total := int64(0)
	offsets.Each(func(o kadm.OffsetResponse) { total += o.At })
	require.EqualValues(t, 40, total)
	groups, err := adm.ListGroups(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"workers"}, groups.Groups())
	described, err := adm.DescribeConsumerGroups(ctx, "workers")
	require.NoError(t, err)
	require.Len(t, described["workers"].Members, 1)

	// A member inside the process joins the same group.
	inside, err := log.JoinGroup(ctx, "workers", []string{"work"})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := inside.Poll(contextFor(t, 50*time.Millisecond), 1)
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		one.PollFetches(contextFor(t, 50*time.Millisecond)) // it gives up partitions as it polls
		return len(inside.Assignment()) == 2
	}, 30*time.Second, 10*time.Millisecond)
	require.NoError(t, inside.Close())
	one.Close()

	require.Eventually(t, func() bool {
		deleted, err := adm.DeleteGroup(ctx, "workers")
		return err == nil && deleted.Err == nil
	}, 30*time.Second, 20*time.Millisecond)
}

func contextFor(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestKafkaAutoCreate(t *testing.T) {
	log := leattest.New(t, leattest.WithConfig(func(c *leat.Config) { c.AutoCreateTopics = true }))
	ctx := testContext(t)
	p := kafkaClient(t, serveKafka(t, log), kgo.AllowAutoTopicCreation())
	require.NoError(t, p.ProduceSync(ctx, &kgo.Record{Topic: "new", Value: []byte("v")}).FirstErr())

	strict := leattest.New(t)
	p = kafkaClient(t, serveKafka(t, strict), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(0))
	require.ErrorIs(t, p.ProduceSync(ctx, &kgo.Record{Topic: "new", Value: []byte("v")}).FirstErr(), kerr.UnknownTopicOrPartition)
}

// A group of the classic protocol: two members share, one leaves, what is committed is
// where a later member begins.
func TestKafkaClassicGroup(t *testing.T) {
	log := leattest.New(t, leattest.WithConfig(func(c *leat.Config) { c.Groups.OffsetsPartitions = 3 }))
	ctx := testContext(t)
	_, err := log.CreateTopic(ctx, "work", leat.TopicConfig{Partitions: 4})
	require.NoError(t, err)
	addr := serveKafka(t, log)
	p := kafkaClient(t, addr, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	produce := func(n int) {
		for range n {
			require.NoError(t, p.ProduceSync(ctx, &kgo.Record{Topic: "work", Value: []byte("job")}).FirstErr())
		}
	}
	produce(40)
	assigned := make(chan int, 100)
	member := func(opts ...kgo.Opt) *kgo.Client {
		return kafkaClient(t, addr, append(opts, kgo.ConsumerGroup("classics"), kgo.ConsumeTopics("work"), kgo.DisableAutoCommit(),
			kgo.HeartbeatInterval(100*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	}
	one := member()
	records := consume(t, ctx, one, 40)
	require.NoError(t, one.CommitRecords(ctx, records...))

	two := member(kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, a map[string][]int32) { assigned <- len(a["work"]) }))
	polling, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, c := range []*kgo.Client{one, two} {
		wg.Go(func() {
			for polling.Err() == nil {
				c.PollFetches(polling)
			}
		})
	}
	total := 0
	for total < 2 { // cooperative: perhaps nothing at first
		select {
		case n := <-assigned:
			total += n
		case <-ctx.Done():
			t.Fatal("the second member gets no partitions")
		}
	}
	adm := kadm.NewClient(kafkaClient(t, addr))
	described, err := adm.DescribeGroups(ctx, "classics")
	require.NoError(t, err)
	require.NoError(t, described.Error())
	require.Len(t, described["classics"].Members, 2)
	require.Equal(t, "consumer", described["classics"].ProtocolType)
	listed, err := adm.ListGroups(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"classics"}, listed.Groups())
	_, err = adm.DeleteGroup(ctx, "classics")
	require.ErrorIs(t, err, kerr.NonEmptyGroup)
	stop()
	wg.Wait()
	one.Close() // both leave
	two.Close()

	produce(5)
	later := member()
	for _, r := range consume(t, ctx, later, 5) {
		require.GreaterOrEqual(t, r.Offset, int64(10))
	}
	later.Close()
	require.Eventually(t, func() bool {
		deleted, err := adm.DeleteGroup(ctx, "classics")
		return err == nil && deleted.Err == nil
	}, 30*time.Second, 20*time.Millisecond)
}
