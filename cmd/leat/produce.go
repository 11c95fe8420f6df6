package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	defaultRecordBytesMax = 1 << 20
	recordBytesMaxMax     = 256 << 20 // what a topic of leat can allow
	batchOverheadBytes    = 4 << 10   // what a batch of one record has besides it, amply
	producerBufferBytes   = 64 << 20
	deliveryTimeoutMin    = 2 * time.Minute // Kafka's delivery.timeout.ms
	deliveryRetries       = 50
)

// produceConfig is what produce's flags say.
type produceConfig struct {
	producerFlags
	input          string // lines or json
	delimiter      string
	keySeparator   string
	key            string
	hasKey         bool
	headers        []string // name=value
	partition      int32    // -1: by key
	emptyNull      bool
	rate           float64
	maxRecordBytes byteSize
	create         bool
	offsets        bool
}

// produced is how produce tells what it did.
type produced struct {
	Topic   string `json:"topic"`
	Records int64  `json:"records"`
	Bytes   int64  `json:"bytes"` // of keys, values and headers
}

// stored is how produce --offsets tells of a record.
type stored struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"` // -1 with --acks 0
}

func (a *app) produceCommand() *cobra.Command {
	c := produceConfig{maxRecordBytes: defaultRecordBytesMax}
	cmd := &cobra.Command{
		Use:   "produce TOPIC",
		Short: "Store records that are read from stdin",
		Long: "Produce stores the lines of stdin, each as the value of a record, or what they tell in\n" +
			"JSON, in the form in which \"leat consume --json\" prints records. It ends with stdin, when\n" +
			"all is acknowledged. The first record that fails ends it too.",
		Example: "  echo hello | leat produce orders\n" +
			"  echo ada:lamp | leat produce orders --key-separator : --header source=web\n" +
			"  leat consume orders --json --exit-at-end | leat produce copy --input json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTopic,
	}
	f := cmd.Flags()
	f.StringVarP(&c.input, "input", "i", "lines", "what stdin has: lines or json")
	f.StringVarP(&c.delimiter, "delimiter", "D", `\n`, `what is between two records; \n, \t, \0, \xHH are characters`)
	f.StringVarP(&c.keySeparator, "key-separator", "K", "", "lines are key, this `text`, value")
	f.StringVarP(&c.key, "key", "k", "", "`key` of records that have none of their own")
	f.StringArrayVarP(&c.headers, "header", "H", nil, "add the header `name=value`; may be repeated")
	f.Int32VarP(&c.partition, "partition", "p", -1, "store in this `partition`, whatever the key")
	f.BoolVar(&c.emptyNull, "empty-is-null", false, "store an empty value as null: a tombstone, in a compacted topic")
	f.Float64Var(&c.rate, "rate", 0, "at most so many `records` a second")
	f.Var(&c.maxRecordBytes, "max-record-bytes", "refuse longer records")
	f.BoolVar(&c.create, "create", false, "make the topic if it is missing")
	f.BoolVar(&c.offsets, "offsets", false, "print partition and offset of each record")
	c.producerFlags.add(cmd)
	completeWords(cmd, "input", "lines", "json")
	cmd.RunE = a.does(func(ctx context.Context, args []string) error {
		c.hasKey = f.Changed("key")
		return a.produce(ctx, args[0], &c)
	})
	return cmd
}

// reader returns what reads records from r, or a usageError.
func (c *produceConfig) reader(r io.Reader) (*recordReader, error) {
	delimiter, err := unescaped(c.delimiter)
	if err != nil {
		return nil, usagef("--delimiter: %w", err)
	}
	separator, err := unescaped(c.keySeparator)
	if err != nil {
		return nil, usagef("--key-separator: %w", err)
	}
	switch {
	case delimiter == "":
		return nil, usagef("--delimiter must not be empty")
	case c.input != "lines" && c.input != "json":
		return nil, usagef("--input %q must be lines or json", c.input)
	case c.input == "json" && (separator != "" || c.emptyNull):
		return nil, usagef("--key-separator and --empty-is-null are for --input lines")
	case separator != "" && c.hasKey:
		return nil, usagef("--key and --key-separator exclude each other")
	case c.maxRecordBytes < 1 || c.maxRecordBytes > recordBytesMaxMax:
		return nil, usagef("--max-record-bytes must be from 1 to %d", recordBytesMaxMax)
	case c.partition < -1:
		return nil, usagef("--partition must not be negative")
	case c.rate < 0:
		return nil, usagef("--rate must not be negative")
	}
	rr := newRecordReader(r, delimiter, int(c.maxRecordBytes))
	rr.json, rr.emptyNull = c.input == "json", c.emptyNull
	if separator != "" {
		rr.separator = []byte(separator)
	}
	return rr, nil
}

// patience is for how long a record is tried. The client counts from the timestamp of a
// record, which those in JSON bring along: these are tried a number of times, in which
// brokers that are away can come back.
func (c *produceConfig) patience(timeout time.Duration) kgo.Opt {
	if c.input == "json" {
		return kgo.RecordRetries(deliveryRetries)
	}
	return kgo.RecordDeliveryTimeout(max(timeout, deliveryTimeoutMin))
}

func (c *produceConfig) recordHeaders() ([]kgo.RecordHeader, error) {
	var out []kgo.RecordHeader
	for _, h := range c.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok {
			return nil, usagef("--header %q must have the form name=value", h)
		}
		out = append(out, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	return out, nil
}

func (a *app) produce(ctx context.Context, topic string, c *produceConfig) error {
	reader, err := c.reader(a.stdin)
	if err != nil {
		return err
	}
	headers, err := c.recordHeaders()
	if err != nil {
		return err
	}
	opts, err := c.producerFlags.options()
	if err != nil {
		return err
	}
	client, err := a.connect(ctx, append(opts,
		kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(byChoice{kgo.StickyKeyPartitioner(nil)}),
		kgo.ProducerBatchMaxBytes(max(1_000_012, int32(c.maxRecordBytes)+batchOverheadBytes)),
		kgo.BrokerMaxWriteBytes(max(100<<20, int32(c.maxRecordBytes)+1<<20)),
		kgo.MaxBufferedBytes(producerBufferBytes+int(c.maxRecordBytes)),
		c.patience(a.client.timeout),
	)...)
	if err != nil {
		return err
	}
	defer client.Close()
	partitions, err := a.ensureTopic(ctx, client, topic, c.create)
	if err != nil {
		return err
	}
	if int(c.partition) >= partitions {
		return fmt.Errorf("topic %q has no partition %d: it has %d", topic, c.partition, partitions)
	}

	p := production{topic: topic, bar: a.progress(-1, "records")}
	if c.offsets {
		p.tell = a.tellStored
	}
	defer p.bar.end()
	err = a.produceAll(ctx, client, reader, &p, func(r *kgo.Record) error {
		if r.Key == nil && c.hasKey {
			r.Key = []byte(c.key)
		}
		r.Headers = append(r.Headers, headers...)
		if c.partition >= 0 {
			r.Partition = c.partition
		}
		if int(r.Partition) >= partitions {
			return fmt.Errorf("record %d of the input: topic %q has no partition %d: it has %d", reader.read, topic, r.Partition, partitions)
		}
		return nil
	}, newPace(c.rate))
	p.bar.end()
	done := produced{topic, p.records, p.bytes}
	if err != nil {
		return fmt.Errorf("%w; %d records were stored", err, done.Records)
	}
	if c.offsets {
		return nil
	}
	return a.print(done, func(w io.Writer) { fmt.Fprintf(w, "stored %d records in %s\n", done.Records, topic) })
}

// production is what became of the records so far.
type production struct {
	topic string
	bar   *progress
	tell  func(*kgo.Record) error // nil: tell nothing

	mu      sync.Mutex
	records int64 // acknowledged
	bytes   int64
	err     error // the first
}

// produceAll produces what reader has, each record as prepare left it, until the input
// or ctx ends or something fails, and waits for what is under way. After ctx has ended
// that takes --timeout at most.
func (a *app) produceAll(ctx context.Context, client *kgo.Client, reader *recordReader, p *production, prepare func(*kgo.Record) error, pace pace) error {
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	type input struct {
		r   *kgo.Record
		err error
	}
	inputs, ended := make(chan input), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			r, err := reader.next()
			select {
			case inputs <- input{r, err}:
			case <-reading.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	defer func() {
		stop(nil)
		a.endInput(ended)
	}()

	err := func() error {
		for {
			var in input
			select {
			case in = <-inputs:
			case <-reading.Done():
				return context.Cause(reading)
			}
			if errors.Is(in.err, io.EOF) {
				return nil
			}
			if in.err == nil {
				in.err = prepare(in.r)
			}
			if in.err != nil {
				return in.err
			}
			if err := pace.wait(reading); err != nil {
				return context.Cause(reading)
			}
			// Not under ctx: what was read is stored when the user has seen enough.
			client.Produce(context.Background(), in.r, func(r *kgo.Record, err error) {
				if err := p.done(r, err); err != nil {
					stop(err)
				}
			})
		}
	}()
	flushing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if ctx.Err() != nil {
		flushing, cancel = a.within(flushing)
		defer cancel()
	}
	if ferr := client.Flush(flushing); ferr != nil && err == nil {
		err = fmt.Errorf("waiting for acknowledgements: %w", ferr)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		err = p.err
	}
	return err
}

// done notes what became of a record, and returns the error that ends all.
func (p *production) done(r *kgo.Record, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("topic %q partition %d: %w", p.topic, r.Partition, err)
	} else {
		p.records++
		p.bytes += payloadBytes(r)
		p.bar.add(1)
		if p.tell != nil {
			err = p.tell(r)
		}
	}
	if p.err == nil {
		p.err = err
	}
	return err
}

// payloadBytes is the length of a record's key, value and headers.
func payloadBytes(r *kgo.Record) int64 {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

func (a *app) tellStored(r *kgo.Record) error {
	if a.json {
		return json.NewEncoder(a.stdout).Encode(stored{r.Topic, r.Partition, r.Offset})
	}
	_, err := fmt.Fprintf(a.stdout, "%d\t%d\n", r.Partition, r.Offset)
	return err
}

// endInput waits for the goroutine that reads stdin, which has been told to end. A read
// of a terminal or a pipe that is under way cannot be ended; the process ends it.
func (a *app) endInput(ended <-chan struct{}) {
	if _, ok := a.stdin.(*os.File); ok {
		return
	}
	if c, ok := a.stdin.(io.Closer); ok {
		_ = c.Close() // to end a read; nobody wants the rest
	}
	<-ended
}

// ensureTopic returns the number of partitions of a topic. With create it makes a
// topic that is missing.
func (a *app) ensureTopic(ctx context.Context, client *kgo.Client, topic string, create bool) (int, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	adm := kadm.NewClient(client)
	details, err := adm.ListTopicsWithInternal(ctx, topic)
	if err != nil {
		return 0, err
	}
	d := details[topic]
	if d.Err == nil {
		return len(d.Partitions), nil
	}
	if !create || !errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
		return 0, about(d.Err, "", "topic %q", topic)
	}
	r, err := adm.CreateTopic(ctx, -1, -1, nil, topic)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return 0, about(err, r.ErrMessage, "creating topic %q", topic)
	}
	for { // until the broker that is asked has heard of it
		details, err := adm.ListTopicsWithInternal(ctx, topic)
		if d := details[topic]; err == nil && d.Err == nil && len(d.Partitions) > 0 {
			return len(d.Partitions), nil
		}
		p := pace{interval: 50 * time.Millisecond, next: time.Now().Add(50 * time.Millisecond)}
		if p.wait(ctx) != nil {
			return 0, fmt.Errorf("topic %q was created and is not there yet: %w", topic, context.Cause(ctx))
		}
	}
}
