package scenario

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
)

// expect checks that an error is of a kind.
func (r *runner) expect(want Failure, err error) error {
	if err == nil {
		return fmt.Errorf("no error")
	}
	if isNotApplicable(err) || r.client.Failure(err) == want {
		if isNotApplicable(err) {
			return err
		}
		return nil
	}
	return fmt.Errorf("unexpected error: %w", err)
}

// create makes a topic, sees it, and cannot make it again.
func (r *runner) create(ctx context.Context, topic string) error {
	config := map[string]string{"retention.ms": "86400000", "max.message.bytes": "200000"}
	if err := r.client.CreateTopic(ctx, topic, 3, config); err != nil {
		return err
	}
	n, err := r.client.CountPartitions(ctx, topic)
	if err != nil {
		return err
	}
	if n != 3 {
		return fmt.Errorf("%d partitions, want 3", n)
	}
	if err := r.expect(TopicExists, r.client.CreateTopic(ctx, topic, 3, config)); err != nil {
		return fmt.Errorf("made twice: %w", err)
	}
	return nil
}

// firstUse produces to a topic that is made by that.
func (r *runner) firstUse(ctx context.Context, topic string) error {
	offset, err := r.client.Simple(ctx, topic, "FOOBAR")
	if err != nil {
		return err
	}
	if offset != 0 {
		return fmt.Errorf("offset %d, want 0", offset)
	}
	n, err := r.client.CountPartitions(ctx, topic)
	if err != nil {
		return err
	}
	if n != 1 {
		return nil // it is in one of several; which one is the client's choice
	}
	recs, err := r.client.Read(ctx, topic, 0, Position{}, 1)
	if err == nil && (len(recs) != 1 || string(recs[0].Value) != "FOOBAR" || recs[0].Key != nil) {
		err = fmt.Errorf("read %v", recs)
	}
	return err
}

// roundTrip produces samples and reads them.
func (r *runner) roundTrip(ctx context.Context, topic string, cfg ProduceConfig, n int) error {
	if err := r.client.CreateTopic(ctx, topic, 1, nil); err != nil {
		return err
	}
	want := r.env.Samples(0, 0, n)
	if err := r.client.Produce(ctx, topic, cfg, want); err != nil {
		return err
	}
	got, err := r.client.Read(ctx, topic, 0, Position{}, n)
	if err != nil {
		return err
	}
	return SameAll(got, want, 0)
}

// readFrom reads a partition of 60 samples to its end from a position, which is that of
// the record first.
func (r *runner) readFrom(ctx context.Context, topic string, from Position, first int) error {
	const n = 60
	if err := r.client.CreateTopic(ctx, topic, 2, nil); err != nil {
		return err
	}
	for p := range 2 {
		if err := r.client.Produce(ctx, topic, ProduceConfig{Codec: "gzip"}, r.env.Samples(p, 0, n)); err != nil {
			return err
		}
	}
	got, err := r.client.Read(ctx, topic, 1, from, n-first)
	if err != nil {
		return err
	}
	return SameAll(got, r.env.Samples(1, first, n), int64(first))
}

// tooLarge is refused a record by its size, and goes on with a smaller one.
func (r *runner) tooLarge(ctx context.Context, topic string) error {
	if err := r.client.CreateTopic(ctx, topic, 1, map[string]string{"max.message.bytes": "5000"}); err != nil {
		return err
	}
	large := r.env.Sample(0)
	large.Value = incompressible(20_000)
	err := r.client.Produce(ctx, topic, ProduceConfig{Codec: "none"}, []Record{large})
	if err := r.expect(TooLarge, err); err != nil {
		return err
	}
	small := r.env.Samples(0, 1, 2)
	if err := r.client.Produce(ctx, topic, ProduceConfig{Codec: "none"}, small); err != nil {
		return err
	}
	got, err := r.client.Read(ctx, topic, 0, Position{}, 1)
	if err != nil {
		return err
	}
	return SameAll(got, small, 0)
}

func incompressible(n int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%016x", rng.Uint64())
	}
	return []byte(b.String())
}

// admin sets up what Client.Admin finds.
func (r *runner) admin(ctx context.Context, topic string) (string, error) {
	if err := r.client.CreateTopic(ctx, topic, 2, nil); err != nil {
		return "", err
	}
	for p := range 2 {
		if err := r.client.Produce(ctx, topic, ProduceConfig{Codec: "none"}, r.env.Samples(p, 0, 20)); err != nil {
			return "", err
		}
	}
	group := topic + "-group"
	m, err := r.client.Join(ctx, Classic, group, topic)
	if err != nil {
		return "", err
	}
	err = waitFor(ctx, "all partitions", m, func() bool { return len(m.Partitions()) == 2 })
	if err == nil {
		err = m.Commit(ctx, 0, 7)
	}
	if closeErr := m.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return "", err
	}
	calls, err := r.client.Admin(ctx, topic, group)
	return strings.Join(calls, ","), err
}
