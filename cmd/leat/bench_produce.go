package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// benchProduceConfig is what bench produce's flags say.
type benchProduceConfig struct {
	benchConfig
	producerFlags
	size              byteSize
	partitions        int32
	replicationFactor int16
	inFlight          int
	rate              float64
	linger            time.Duration
	deleteTopic       bool
}

func (a *app) benchProduceCommand() *cobra.Command {
	c := benchProduceConfig{size: 1024}
	cmd := &cobra.Command{
		Use:   "produce",
		Short: "Measure how fast records are acknowledged",
		Example: "  leat bench produce --size 100 --duration 30s\n" +
			"  leat bench produce --in-flight 1 --records 10000   # a client that waits for each",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	c.benchConfig.addFlags(cmd)
	f.VarP(&c.size, "size", "s", "value of each record; its bytes are random")
	f.Int32VarP(&c.partitions, "partitions", "p", 6, "`partitions` of the topic, if it has to be made")
	f.Int16VarP(&c.replicationFactor, "replication-factor", "r", -1, "`replicas` of the topic, if it has to be made; -1 is the brokers' default")
	f.IntVar(&c.inFlight, "in-flight", 10_000, "`records` that wait for their acknowledgement at a time")
	f.Float64Var(&c.rate, "rate", 0, "at most so many `records` a second")
	f.DurationVar(&c.linger, "linger", 0, "wait so long for more records before sending (linger.ms)")
	f.BoolVar(&c.deleteTopic, "delete", false, "delete the topic in the end, if it was made here")
	c.producerFlags.add(cmd)
	cmd.PreRunE = func(*cobra.Command, []string) error {
		switch {
		case c.size < 0 || c.size > recordBytesMaxMax:
			return usagef("--size must be from 0 to %d", recordBytesMaxMax)
		case c.inFlight < 1 || c.inFlight > 1_000_000:
			return usagef("--in-flight must be from 1 to 1000000")
		case c.rate < 0 || c.linger < 0:
			return usagef("--rate and --linger must not be negative")
		}
		return c.validate()
	}
	cmd.RunE = a.does(func(ctx context.Context, _ []string) error { return a.benchProduce(ctx, &c) })
	return cmd
}

func (a *app) benchProduce(ctx context.Context, c *benchProduceConfig) (err error) {
	opts, err := c.producerFlags.options()
	if err != nil {
		return err
	}
	client, err := a.connect(ctx, append(opts,
		kgo.DefaultProduceTopic(c.topic),
		kgo.MaxBufferedRecords(c.inFlight),
		kgo.MaxBufferedBytes(producerBufferBytes+int(c.size)),
		kgo.ProducerBatchMaxBytes(max(1_000_012, int32(c.size)+batchOverheadBytes)),
		kgo.BrokerMaxWriteBytes(max(100<<20, int32(c.size)+1<<20)),
		kgo.ProducerLinger(c.linger),
		kgo.RecordDeliveryTimeout(max(a.client.timeout, deliveryTimeoutMin)),
	)...)
	if err != nil {
		return err
	}
	defer client.Close()
	made, err := a.benchTopic(ctx, client, c.topic, c.partitions, c.replicationFactor)
	if err != nil {
		return err
	}
	if made && c.deleteTopic {
		defer func() {
			within, cancel := a.within(context.WithoutCancel(ctx))
			defer cancel()
			r, derr := kadm.NewClient(client).DeleteTopic(within, c.topic)
			err = errors.Join(err, about(derr, r.ErrMessage, "deleting topic %q", c.topic))
		}()
	}
	value := make([]byte, c.size)
	if _, err := rand.Read(value); err != nil {
		return err
	}
	l := new(latencies)
	bar := a.progress(c.total(), "records")
	defer bar.end()
	began := time.Now()
	n, err := produceLoad(ctx, client, c, value, l, bar)
	took := time.Since(began)
	bar.end()
	if err != nil {
		return err
	}
	r := newBenchResult("produce", c.topic, n, n*int64(c.size), took, l)
	return a.print(r, r.write)
}

// produceLoad produces until the time or the records are over or one fails, and waits
// for all acknowledgements. Interrupted it tells of what it did.
func produceLoad(ctx context.Context, client *kgo.Client, c *benchProduceConfig, value []byte, l *latencies, bar *progress) (n int64, err error) {
	producing, stop := c.within(ctx)
	defer stop()
	var mu sync.Mutex // guards n and err
	pace := newPace(c.rate)
	for i := int64(0); (c.records == 0 || i < c.records) && pace.wait(producing) == nil; i++ {
		begin := time.Now()
		client.Produce(producing, &kgo.Record{Value: value}, func(_ *kgo.Record, perr error) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case perr == nil:
				n++
				l.add(time.Since(begin))
				bar.add(1)
			case producing.Err() == nil:
				err = fmt.Errorf("topic %q after %d records: %w", c.topic, n, perr)
				stop()
			}
		})
	}
	flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), deliveryTimeoutMin)
	defer cancel()
	ferr := client.Flush(flushing)
	mu.Lock()
	defer mu.Unlock()
	return n, errors.Join(err, ferr)
}
