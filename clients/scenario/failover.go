package scenario

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const failoverPartitions = 3

// failover sends numbered records slowly, each acknowledged by all replicas before the
// next, and reads them: whatever happens to the brokers meanwhile, each is there once
// and in order.
func (r *runner) failover(ctx context.Context, topic string) (note string, err error) {
	if err := r.client.CreateTopic(ctx, topic, failoverPartitions, nil); err != nil {
		return "", err
	}
	p, err := r.client.NewProducer(ctx)
	if err != nil {
		return "", err
	}
	defer func() {
		if closeErr := p.Close(); err == nil {
			err = closeErr
		}
	}()
	ticker := time.NewTicker(max(r.env.FailoverInterval, time.Millisecond))
	defer ticker.Stop()
	var longest time.Duration
	for i := range r.env.FailoverRecords {
		began := time.Now()
		rec := Record{Partition: i % failoverPartitions, Value: fmt.Append(nil, i), Timestamp: r.env.StartMillis + int64(i)}
		if err := p.Send(ctx, topic, rec); err != nil {
			return "", fmt.Errorf("record %d: %w", i, err)
		}
		longest = max(longest, time.Since(began))
		if (i+1)%25 == 0 {
			fmt.Fprintf(r.out, "@ progress %d\n", i+1)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	for part := range failoverPartitions {
		if err := r.checkFailover(ctx, topic, part, !p.Idempotent()); err != nil {
			return "", fmt.Errorf("partition %d: %w", part, err)
		}
	}
	return fmt.Sprintf("longest wait for an ack %d ms", longest.Milliseconds()), nil
}

// checkFailover reads one partition. One more record is sent to its end so that reading
// as many as there should be cannot miss a duplicate behind the last. With repeats a
// record may be there twice in a row, which a retry leaves behind.
func (r *runner) checkFailover(ctx context.Context, topic string, part int, repeats bool) error {
	end := Record{Partition: part, Value: []byte("end"), Timestamp: r.env.StartMillis}
	if err := r.client.Produce(ctx, topic, ProduceConfig{Codec: "none"}, []Record{end}); err != nil {
		return err
	}
	var want []string
	for i := part; i < r.env.FailoverRecords; i += failoverPartitions {
		want = append(want, fmt.Sprint(i))
	}
	want = append(want, "end")
	for n := len(want); ; {
		recs, err := r.client.Read(ctx, topic, part, Position{}, n)
		if err != nil {
			return err
		}
		got := make([]string, len(recs))
		for i, rec := range recs {
			got[i] = string(rec.Value)
		}
		distinct := slices.Compact(slices.Clone(got))
		if repeats {
			if more := len(want) + len(got) - len(distinct); more > n {
				n = more
				continue
			}
			got = distinct
		}
		return SameValues(got, want)
	}
}
