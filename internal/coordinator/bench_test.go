package coordinator

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/leatlog/leat/internal/base"
	"github.com/stretchr/testify/require"
)

// slowLog makes each append take as long as an fsync.
type slowLog struct {
	memLog
	fsync time.Duration
}

func (l *slowLog) Append(ctx context.Context, records []KV) error {
	time.Sleep(l.fsync)
	return l.memLog.Append(ctx, records)
}

// BenchmarkCommit is members that commit one offset each, over a log whose appends
// take 200 us.
func BenchmarkCommit(b *testing.B) {
	for _, members := range []int{1, 64} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			log := &slowLog{fsync: 200 * time.Microsecond}
			w := newWorld(b, func(o *Options) { o.Logs = func(context.Context, int32) (Log, error) { return log, nil } })
			defer w.close(b)
			w.topics.set("t", 64)
			b.SetParallelism(members)
			b.RunParallel(func(pb *testing.PB) {
				for n := base.Offset(0); pb.Next(); n++ {
					_, err := w.c.CommitOffsets(context.Background(), CommitRequest{Group: "g",
						Offsets: []OffsetCommit{{Topic: "t", Partition: int32(n % 64), Offset: n}}})
					if err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/float64(log.appendCount()), "commits/append")
		})
	}
}

// BenchmarkHeartbeat is one that brings nothing new, in a group of that size.
func BenchmarkHeartbeat(b *testing.B) {
	for _, members := range []int{10, 1000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			w, m := joined(b, members, 1000)
			defer w.close(b)
			for b.Loop() {
				_, err := m.beat(context.Background())
				require.NoError(b, err)
			}
		})
	}
}

// BenchmarkJoin is the last of so many members joining and leaving again.
func BenchmarkJoin(b *testing.B) {
	for _, members := range []int{10, 1000} {
		b.Run(fmt.Sprintf("members=%d/partitions=10000", members), func(b *testing.B) {
			w, _ := joined(b, members-1, 10_000)
			defer w.close(b)
			for b.Loop() {
				m := &client{c: w.c, group: "g", id: "last"}
				_, err := m.join(context.Background(), "t")
				require.NoError(b, err)
				require.NoError(b, m.leave(context.Background(), LeaveEpoch))
			}
		})
	}
}

// joined returns a group of so many members that is at rest, and one of them.
func joined(b *testing.B, members int, partitions int32) (*world, *client) {
	w := newWorld(b, nil)
	w.topics.set("t", partitions)
	clients := make([]*client, members)
	for i := range clients {
		clients[i] = &client{c: w.c, group: "g", id: fmt.Sprintf("m%04d", i)}
		_, err := clients[i].join(context.Background(), "t")
		require.NoError(b, err)
	}
	for range 3 {
		for _, m := range clients {
			_, err := m.beat(context.Background())
			require.NoError(b, err)
		}
	}
	d, err := w.c.DescribeGroup(context.Background(), "g")
	require.NoError(b, err)
	require.Equal(b, StateStable, d.State)
	return w, clients[0]
}

// BenchmarkReplay is a take-over of a partition with so many commits.
func BenchmarkReplay(b *testing.B) {
	w := newWorld(b, nil)
	defer w.close(b)
	for i := range 100_000 {
		r := &offsetRecord{fmt.Sprintf("g%d", i%100), "topic", int32(i % 1000), &offsetValue{offset: int64(i), topicID: TopicID{1}}}
		w.log.records = append(w.log.records, r.kv())
	}
	for b.Loop() {
		s := newState()
		require.NoError(b, w.log.Replay(context.Background(), func(key, value []byte) error {
			r, err := decodeRecord(key, value)
			if err == nil {
				r.apply(s)
			}
			return err
		}))
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
