package leat

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// ledger checks that each record of a topic is processed once and in order.
type ledger struct {
	t     *testing.T
	mu    sync.Mutex
	next  []Offset
	total int
	want  int
	done  chan struct{} // closed when all are there
}

func newLedger(t *testing.T, partitions, want int) *ledger {
	return &ledger{t: t, next: make([]Offset, partitions), want: want, done: make(chan struct{})}
}

func (l *ledger) process(r Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Offset != l.next[r.Partition] {
		l.t.Errorf("partition %d: offset %d, want %d", r.Partition, r.Offset, l.next[r.Partition])
	}
	l.next[r.Partition] = r.Offset + 1
	if l.total++; l.total == l.want {
		close(l.done)
	}
}

func (l *ledger) wait(t *testing.T) {
	t.Helper()
	select {
	case <-l.done:
	case <-within(t).Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		t.Fatalf("%d of %d processed: %v", l.total, l.want, l.next)
	}
}

func produceMany(t *testing.T, l *Log, topic string, partitions, perPartition int) {
	p, err := l.NewProducer(WithPartitioner(ManualPartitioner))
	require.NoError(t, err)
	for i := range perPartition {
		for part := range partitions {
			p.Produce(context.Background(), Record{Topic: topic, Partition: int32(part), Value: fmt.Append(nil, i)}, func(_ RecordMetadata, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		if i%8 == 0 {
			require.NoError(t, p.Flush(context.Background()))
		}
	}
	require.NoError(t, p.Close())
}

// TestGroupOfManyMembers shares a hundred partitions among twenty members that
// join at once.
func TestGroupOfManyMembers(t *testing.T) {
	const partitions, members, perPartition = 100, 20, 20
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{Partitions: partitions})
	owners, ledger := newOwners(), newLedger(t, partitions, partitions*perPartition)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var joined, wg sync.WaitGroup
	joined.Add(members)
	all := make([]*ConsumerGroup, members)
	for m := range members {
		wg.Go(func() {
			g, err := l.JoinGroup(ctx, "g", []string{"t"}, owners.options(m)...)
			joined.Done()
			if err != nil {
				t.Error(err)
				return
			}
			all[m] = g
			for {
				rs, err := g.Poll(ctx, 0)
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					break
				}
				for _, r := range rs {
					ledger.process(r)
				}
				g.Mark(rs...)
			}
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	joined.Wait()
	produceMany(t, l, "t", partitions, perPartition)
	ledger.wait(t)

	// Once it is stable everybody has the same.
	for d, err := l.DescribeGroup(ctx, "g"); ; d, err = l.DescribeGroup(ctx, "g") {
		require.NoError(t, err)
		if d.State == GroupStable {
			for _, m := range d.Members {
				require.Len(t, m.Assigned, partitions/members)
			}
			break
		}
		require.NoError(t, within(t).Err())
	}
	cancel()
	wg.Wait()
	owners.check(t)
	lags, err := l.GroupLag(t.Context(), "g")
	require.NoError(t, err)
	require.Len(t, lags, partitions)
	for _, p := range lags {
		require.Zero(t, p.Lag, "%v", p.TopicPartition)
	}
}

// TestGroupChurn: members join and leave all the time, by Poll or by Records, in
// order. No partition ever has two owners, and each record is processed once and
// in the order of its partition.
func TestGroupChurn(t *testing.T) {
	const partitions, workers, rounds, perPartition = 8, 6, 12, 400
	l := openTest(t, Config{})
	mustTopic(t, l, "t", TopicConfig{Partitions: partitions})
	owners, ledger := newOwners(), newLedger(t, partitions, partitions*perPartition)
	var wg sync.WaitGroup
	wg.Go(func() { produceMany(t, l, "t", partitions, perPartition) })
	member := func(id int, leave <-chan struct{}, records int, byPoll, marksLate bool) {
		opts := owners.options(id)
		if id%3 == 0 {
			opts = append(opts, WithAutoCommit(0))
		}
		g, err := l.JoinGroup(context.Background(), "g", []string{"t"}, opts...)
		if err != nil {
			t.Error(err)
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() { // ends with ctx
			select {
			case <-leave:
				cancel()
			case <-ctx.Done():
			}
		}()
		n := 0
		process := func(rs ...Record) bool {
			for _, r := range rs {
				ledger.process(r)
				if !marksLate {
					g.Mark(r)
				}
			}
			if marksLate {
				g.Mark(rs...)
			}
			n += len(rs)
			return records == 0 || n < records
		}
		failed := func(err error) {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if byPoll {
			for {
				rs, err := g.Poll(ctx, 16)
				if err != nil {
					failed(err)
					break
				}
				if !process(rs...) {
					break
				}
			}
		} else {
			for r, err := range g.Records(ctx) {
				if err != nil {
					failed(err)
					break
				}
				if !process(r) {
					break
				}
			}
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
	for w := range workers {
		wg.Go(func() {
			for round := range rounds {
				id := 1 + w*rounds + round
				leave := make(chan struct{})
				if round%4 == 3 {
					close(leave) // before it has got anything, perhaps
				}
				select {
				case <-ledger.done:
					return // nothing is left to read
				default:
				}
				stop := make(chan struct{})
				go func() { // ends with the member or the ledger
					select {
					case <-ledger.done:
						if round%4 != 3 {
							close(leave)
						}
					case <-stop:
					}
				}()
				member(id, leave, 1+rand.IntN(60), round%2 == 0, w%2 == 0)
				close(stop)
			}
		})
	}
	wg.Go(func() { member(0, ledger.done, 0, true, true) }) // reads what the others leave
	ledger.wait(t)
	wg.Wait()
	owners.check(t)
}
