package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// downTime is how long a node that was killed is away.
const downTime = 3 * time.Second

// outage kills a node of a cluster when its clients have sent half of what they will,
// and starts it again.
type outage struct {
	target *target
	half   int // records of all clients
	topics []string
	out    io.Writer

	mu       sync.Mutex
	progress map[string]int // by client
	due      chan struct{}  // closed at half
}

func newOutage(t *target, chosen []*client, records int, out io.Writer) *outage {
	o := &outage{target: t, out: out, progress: make(map[string]int), due: make(chan struct{})}
	for _, c := range chosen {
		if c.failover {
			o.topics = append(o.topics, c.name+"-"+failover)
		}
	}
	o.half = len(o.topics) * records / 2
	return o
}

// note takes note of what a client has sent.
func (o *outage) note(client string, records int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.progress[client] = records
	sum := 0
	for _, n := range o.progress {
		sum += n
	}
	if sum >= o.half && o.half > 0 {
		o.half = 0 // once
		close(o.due)
	}
}

// run returns once the node is back, which is true if there was an outage: with ended,
// which says that the clients have, there is none any more.
func (o *outage) run(ctx context.Context, ended <-chan struct{}) error {
	select {
	case <-o.due:
	case <-ended:
		return fmt.Errorf("the clients ended before half of the records were sent: no node was killed")
	case <-ctx.Done():
		return ctx.Err()
	}
	led, err := leaders(ctx, o.target.bootstrap(), o.topics)
	if err != nil {
		return err
	}
	victim := slices.MaxFunc(o.target.nodes, func(a, b *node) int { return led[a.id] - led[b.id] })
	fmt.Fprintf(o.out, "== node %d is killed, which leads partition 0 of %d of %d topics\n", victim.id, led[victim.id], len(o.topics))
	if err := victim.kill(); err != nil {
		return err
	}
	select {
	case <-time.After(downTime):
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := victim.start(); err != nil {
		return err
	}
	began := time.Now()
	if err := victim.ready(); err != nil {
		return err
	}
	fmt.Fprintf(o.out, "== node %d is back after %.1f s\n", victim.id, time.Since(began).Seconds())
	return nil
}

// leaders counts the topics of which each node leads partition 0.
func leaders(ctx context.Context, bootstrap string, topics []string) (map[int32]int, error) {
	cl, err := newClient(bootstrap)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	req := kmsg.NewPtrMetadataRequest()
	for _, t := range topics {
		one := kmsg.NewMetadataRequestTopic()
		one.Topic = kmsg.StringPtr(t)
		req.Topics = append(req.Topics, one)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, err
	}
	led := make(map[int32]int)
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return nil, fmt.Errorf("topic %s: %w", *t.Topic, err)
		}
		for _, p := range t.Partitions {
			if p.Partition == 0 {
				led[p.Leader]++
			}
		}
	}
	return led, nil
}
