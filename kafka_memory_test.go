package leat_test

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/leatlog/leat"
)

// Batches that are read from disk lie in memory that is used again once they are sent.
// Clients that read at a time, each at its own pace and over and over, get their own.
func TestKafkaFetchMemory(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	// The tail holds one batch, so that nearly everything comes from disk.
	log, err := leat.Open(ctx, leat.Config{Dir: t.TempDir(), TailCacheBytes: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	const partitions, records = 3, 36
	_, err = log.CreateTopic(ctx, "t", leat.TopicConfig{Partitions: partitions, MaxMessageBytes: 4 << 20})
	require.NoError(t, err)
	addr := serveKafka(t, log)
	value := func(partition int32, offset int64) []byte { // of sizes below, at and above those of pieces
		seed := strconv.Itoa(int(partition)) + "/" + strconv.FormatInt(offset, 10) + ";"
		return bytes.Repeat([]byte(seed), 100<<(offset%12))
	}
	p := kafkaClient(t, addr, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(2<<20), kgo.MaxBufferedRecords(1))
	for at := range int64(records) {
		for partition := range int32(partitions) {
			r := &kgo.Record{Topic: "t", Partition: partition, Value: value(partition, at)}
			require.NoError(t, p.ProduceSync(ctx, r).FirstErr())
		}
	}
	var g errgroup.Group
	for reader := range 4 {
		g.Go(func() error {
			for range 2 {
				c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
					kgo.FetchMaxBytes(int32(100_000*(1+reader*10))), kgo.FetchMaxPartitionBytes(int32(50_000*(1+reader*5))))
				if err != nil {
					return err
				}
				for n := 0; n < partitions*records; {
					f := c.PollFetches(ctx)
					if err := f.Err(); err != nil {
						c.Close()
						return err
					}
					f.EachRecord(func(r *kgo.Record) {
						n++
						if !bytes.Equal(r.Value, value(r.Partition, r.Offset)) {
							t.Errorf("partition %d offset %d: %d bytes that are another record's", r.Partition, r.Offset, len(r.Value))
						}
					})
				}
				c.Close()
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
}
