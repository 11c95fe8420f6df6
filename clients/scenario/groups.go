package scenario

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// pollInterval is how often a condition of a member is looked at, which tells no one
// when it changes.
const pollInterval = 20 * time.Millisecond

// waitFor waits for a condition, and fails with what the members have.
func waitFor(ctx context.Context, what string, m Member, cond func() bool) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for !cond() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: the member has partitions %v: %w", what, m.Partitions(), ctx.Err())
		case <-ticker.C:
		}
	}
	return nil
}

const groupPartitions = 4

// group lets one member have all partitions, a second one half of them, and when it
// has left the first one all again; what is produced meanwhile each reads from its own.
func (r *runner) group(ctx context.Context, topic string, protocol Protocol) (err error) {
	if err := r.client.CreateTopic(ctx, topic, groupPartitions, nil); err != nil {
		return err
	}
	name := topic + "-group"
	first, err := r.client.Join(ctx, protocol, name, topic)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := first.Close(); err == nil {
			err = closeErr
		}
	}()
	all := []int{0, 1, 2, 3}
	if err := waitFor(ctx, "the first member's partitions", first, func() bool { return slices.Equal(first.Partitions(), all) }); err != nil {
		return err
	}
	second, err := r.client.Join(ctx, protocol, name, topic)
	if err != nil {
		return err
	}
	left := false
	defer func() {
		if !left {
			second.Close()
		}
	}()
	halves := func() bool {
		a, b := first.Partitions(), second.Partitions()
		both := slices.Concat(a, b)
		slices.Sort(both)
		return len(a) == 2 && len(b) == 2 && slices.Equal(both, all)
	}
	if err := waitFor(ctx, "two partitions each", second, halves); err != nil {
		return fmt.Errorf("%w; the first has %v", err, first.Partitions())
	}
	shares := map[Member][]int{first: first.Partitions(), second: second.Partitions()}
	if err := r.produceToAll(ctx, topic, 0, 10); err != nil {
		return err
	}
	for m, share := range shares {
		if err := r.drain(ctx, m, share, 0, 10); err != nil {
			return err
		}
		for _, p := range share {
			if err := m.Commit(ctx, p, 10); err != nil {
				return fmt.Errorf("commit partition %d: %w", p, err)
			}
		}
	}
	left = true
	if err := second.Close(); err != nil {
		return fmt.Errorf("the second member leaves: %w", err)
	}
	if err := waitFor(ctx, "all partitions again", first, func() bool { return slices.Equal(first.Partitions(), all) }); err != nil {
		return err
	}
	if err := r.produceToAll(ctx, topic, 10, 20); err != nil {
		return err
	}
	return r.drain(ctx, first, all, 10, 20)
}

func (r *runner) produceToAll(ctx context.Context, topic string, lo, hi int) error {
	for p := range groupPartitions {
		if err := r.client.Produce(ctx, topic, ProduceConfig{Codec: "none"}, r.env.Samples(p, lo, hi)); err != nil {
			return err
		}
	}
	return nil
}

// drain takes the records [lo, hi) of each partition from a member: each once, in
// order.
func (r *runner) drain(ctx context.Context, m Member, partitions []int, lo, hi int) error {
	next := make(map[int]int, len(partitions))
	for _, p := range partitions {
		next[p] = lo
	}
	for missing := len(partitions) * (hi - lo); missing > 0; missing-- {
		rec, err := receive(ctx, m)
		if err != nil {
			return fmt.Errorf("%d records are missing, the next ones are %v: %w", missing, next, err)
		}
		i, mine := next[rec.Partition]
		if !mine {
			return fmt.Errorf("a record of partition %d came to the member of %v", rec.Partition, partitions)
		}
		want := r.env.Sample(i)
		want.Partition = rec.Partition
		if rec.Offset != int64(i) {
			return fmt.Errorf("partition %d: offset %d, want %d", rec.Partition, rec.Offset, i)
		}
		if err := Same(rec, want); err != nil {
			return fmt.Errorf("partition %d offset %d: %w", rec.Partition, rec.Offset, err)
		}
		next[rec.Partition]++
	}
	return nil
}

func receive(ctx context.Context, m Member) (Record, error) {
	select {
	case rec, ok := <-m.Records():
		if !ok {
			return Record{}, fmt.Errorf("the member ended")
		}
		return rec, nil
	case <-ctx.Done():
		return Record{}, ctx.Err()
	}
}

// commitAndResume reads a part, commits, leaves, and reads the rest as a new member.
func (r *runner) commitAndResume(ctx context.Context, topic string) error {
	const n, half = 60, 25
	if err := r.client.CreateTopic(ctx, topic, 1, nil); err != nil {
		return err
	}
	if err := r.client.Produce(ctx, topic, ProduceConfig{Codec: "none"}, r.env.Samples(0, 0, n)); err != nil {
		return err
	}
	for _, part := range []struct{ lo, hi, commit int }{{0, half, half}, {half, n, n}} {
		m, err := r.client.Join(ctx, Classic, topic+"-group", topic)
		if err != nil {
			return err
		}
		err = r.drain(ctx, m, []int{0}, part.lo, part.hi)
		if err == nil {
			err = m.Commit(ctx, 0, int64(part.commit))
		}
		if closeErr := m.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return fmt.Errorf("from %d: %w", part.lo, err)
		}
	}
	return nil
}
