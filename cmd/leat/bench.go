package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const defaultBenchTopic = "leat-bench"

// benchConfig is what the benchmarks' flags say.
type benchConfig struct {
	topic    string
	records  int64
	duration time.Duration
}

func (c *benchConfig) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.topic, "topic", defaultBenchTopic, "`topic` to use")
	cmd.Flags().Int64VarP(&c.records, "records", "n", 0, "end after so many `records`")
	cmd.Flags().DurationVarP(&c.duration, "duration", "d", 0, "end after so long (default 10s, without --records)")
}

// validate returns a usageError, or sets what is not given.
func (c *benchConfig) validate() error {
	if c.records < 0 || c.duration < 0 {
		return usagef("--records and --duration must not be negative")
	}
	if c.records == 0 && c.duration == 0 {
		c.duration = 10 * time.Second
	}
	return nil
}

// within ends when the time of the benchmark is over.
func (c *benchConfig) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.duration == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.duration)
}

// total is for a progress bar.
func (c *benchConfig) total() int64 {
	if c.records == 0 {
		return -1
	}
	return c.records
}

// benchResult is how a benchmark tells what it measured.
type benchResult struct {
	Workload         string       `json:"workload"` // produce or consume
	Topic            string       `json:"topic"`
	Records          int64        `json:"records"`
	Bytes            int64        `json:"bytes"` // of keys and values
	Seconds          float64      `json:"seconds"`
	RecordsPerSecond float64      `json:"records_per_second"`
	MiBPerSecond     float64      `json:"mib_per_second"`
	Latency          benchLatency `json:"latency_ms"`
}

// benchLatency is the time until a record was acknowledged, or a fetch answered, in ms.
type benchLatency struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func newBenchResult(workload, topic string, records, bytes int64, took time.Duration, l *latencies) *benchResult {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	s := max(took.Seconds(), 1e-9)
	return &benchResult{
		Workload: workload, Topic: topic, Records: records, Bytes: bytes, Seconds: took.Seconds(),
		RecordsPerSecond: float64(records) / s, MiBPerSecond: float64(bytes) / s / (1 << 20),
		Latency: benchLatency{ms(l.quantile(0.5)), ms(l.quantile(0.99)), ms(l.quantile(0.999)), ms(l.largest())},
	}
}

func (r *benchResult) write(w io.Writer) {
	fmt.Fprintf(w, "%d records, %s in %.2f s: %.0f records/s, %.1f MiB/s\n", r.Records, formatBytes(r.Bytes), r.Seconds, r.RecordsPerSecond, r.MiBPerSecond)
	what := "acknowledged after"
	if r.Workload == "consume" {
		what = "fetches answered after"
	}
	fmt.Fprintf(w, "%s: p50 %.3f ms, p99 %.3f ms, p99.9 %.3f ms, at most %.3f ms\n", what, r.Latency.P50, r.Latency.P99, r.Latency.P999, r.Latency.Max)
}

func (a *app) benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast brokers take and hand out records",
	}
	cmd.AddCommand(a.benchProduceCommand(), a.benchConsumeCommand())
	return cmd
}

// benchTopic makes the topic if it is missing, and reports whether it did.
func (a *app) benchTopic(ctx context.Context, client *kgo.Client, topic string, partitions int32, replicationFactor int16) (made bool, err error) {
	within, cancel := a.within(ctx)
	defer cancel()
	r, err := kadm.NewClient(client).CreateTopic(within, partitions, replicationFactor, nil, topic)
	switch {
	case err == nil:
		made = true
	case r.Err != kerr.TopicAlreadyExists:
		return false, about(err, r.ErrMessage, "creating topic %q", topic)
	}
	_, err = a.ensureTopic(ctx, client, topic, true) // waits until it is known
	return made, err
}
