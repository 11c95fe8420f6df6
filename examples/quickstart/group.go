package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/leatlog/leat"
)

// group is the members that consume the topic.
type group struct {
	ledger *ledger
	cancel context.CancelFunc
	wg     sync.WaitGroup

	failed chan struct{} // closed by the first member that fails
	once   sync.Once

	counts [members]int // records of each member; read after stop
	errs   [members]error
}

// startGroup starts the members and returns when each has partitions. The last of
// them leaves when half is closed.
func startGroup(ctx context.Context, log *leat.Log, l *ledger, half <-chan struct{}) (*group, error) {
	running, cancel := context.WithCancel(ctx)
	g := &group{ledger: l, cancel: cancel, failed: make(chan struct{})}
	var started [members]chan struct{}
	for i := range started {
		started[i] = make(chan struct{})
		ctx, leave := context.WithCancel(running)
		if i == members-1 {
			g.wg.Go(func() {
				select {
				case <-half:
				case <-ctx.Done():
				}
				leave()
			})
		}
		g.wg.Go(func() {
			defer leave()
			if err := g.consume(ctx, log, i, started[i]); err != nil {
				g.errs[i] = fmt.Errorf("member %d: %w", i, err)
				g.once.Do(func() { close(g.failed) })
			}
		})
	}
	for _, s := range started {
		select {
		case <-s:
		case <-g.failed:
			return nil, g.stop()
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), g.stop())
		}
	}
	return g, nil
}

// consume is a member's life until ctx ends. started is closed when it has
// partitions.
func (g *group) consume(ctx context.Context, log *leat.Log, i int, started chan struct{}) (err error) {
	var once sync.Once
	m, err := log.JoinGroup(ctx, groupName, []string{topicName},
		leat.OnAssigned(func(_ context.Context, tps []leat.TopicPartition) {
			if len(tps) > 0 {
				once.Do(func() { close(started) })
			}
		}))
	if err != nil {
		return err
	}
	// Close commits what is marked before it leaves, so that who gets the
	// partitions goes on behind it. When a partition is given up to a new member
	// while this one stays, the same happens within Records.
	defer func() { err = errors.Join(err, m.Close()) }()
	for r, err := range m.Records(ctx) {
		if ctx.Err() != nil {
			return nil // this one was not entered and is not marked
		}
		if err != nil {
			return err
		}
		g.ledger.enter(&r)
		g.counts[i]++
		m.Mark(r)
	}
	return nil
}

// stop makes all members leave and returns what went wrong with them.
func (g *group) stop() error {
	g.cancel()
	g.wg.Wait()
	return errors.Join(g.errs[:]...)
}
