package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// idling is the load of group members that have nothing to consume: each is
// connected, waits for records and sends heartbeats.
type idling struct {
	consumers, groups int
	settle, watch     time.Duration
}

const (
	// idlePartitions is enough for every member of a group to have one.
	idlePartitions = 12
	// joining is how many consumers begin at a time.
	joining = 50
)

func (l idling) name() string {
	return fmt.Sprintf("KafkaIdle/consumers=%d/groups=%d", l.consumers, l.groups)
}

// run measures what the consumers cost a broker that has nothing else to do.
func (l idling) run(ctx context.Context, w *workshop, s system, r *results) (err error) {
	b, err := w.launch(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	if _, err := b.firstAck(ctx, true); err != nil {
		return err
	}
	admin, err := b.client()
	if err != nil {
		return err
	}
	defer admin.Close()
	if err := createTopic(ctx, admin, "idle", idlePartitions); err != nil {
		return err
	}
	if err := b.pause(ctx, l.settle); err != nil {
		return err
	}
	before, err := b.residentMiB()
	if err != nil {
		return err
	}
	assigned := make([]atomic.Int64, l.groups)
	clients := make([]*kgo.Client, l.consumers)
	var wg sync.WaitGroup
	defer func() {
		for _, c := range clients {
			if c != nil {
				wg.Go(c.CloseAllowingRebalance)
			}
		}
		wg.Wait()
	}()
	for i := range clients {
		group := i % l.groups
		count := func(sign int64) func(context.Context, *kgo.Client, map[string][]int32) {
			return func(_ context.Context, _ *kgo.Client, of map[string][]int32) {
				for _, partitions := range of {
					assigned[group].Add(sign * int64(len(partitions)))
				}
			}
		}
		clients[i], err = b.client(kgo.ConsumerGroup(fmt.Sprintf("idle-%d", group)), kgo.ConsumeTopics("idle"),
			kgo.OnPartitionsAssigned(count(1)), kgo.OnPartitionsRevoked(count(-1)), kgo.OnPartitionsLost(count(-1)))
		if err != nil {
			return err
		}
		if i%joining == joining-1 {
			if err := b.pause(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
	}
	for calm := 0; calm < int(l.settle/time.Second)+1; calm++ { // seconds in which all was assigned
		for g := range assigned {
			if assigned[g].Load() != idlePartitions {
				calm = 0
			}
		}
		if err := b.pause(ctx, time.Second); err != nil {
			return err
		}
	}
	busy, err := b.busy()
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := b.pause(ctx, l.watch); err != nil {
		return err
	}
	after, err := b.busy()
	if err != nil {
		return err
	}
	took := time.Since(begun)
	memory, err := b.residentMiB()
	r.add(sample{bench: l.name(), system: s.name, unit: "core-%", value: 100 * (after - busy).Seconds() / took.Seconds()})
	r.add(sample{bench: l.name(), system: s.name, unit: "KiB/consumer", value: (memory - before) * 1024 / float64(l.consumers)})
	return err
}
