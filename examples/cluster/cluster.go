package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// limit is when all of it has failed.
const limit = 110 * time.Second

// run is the whole story.
func run(ctx context.Context, lasting time.Duration, verbose bool) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it was not done in %v", limit))
	defer cancel()
	c, err := newCluster(verbose)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()

	c.tell("starting nodes 1, 2 and 3")
	if err := c.startFirst(ctx); err != nil {
		return err
	}
	if err := c.nodes[1].call(ctx, "CreateTopic", None{}, nil); err != nil {
		return err
	}
	var leaders []uint64
	if err := c.nodes[1].call(ctx, "Leaders", uint64(0), &leaders); err != nil {
		return err
	}
	c.tell("partitions 0 to %d of %s are led by nodes %v", len(leaders)-1, topicName, leaders)
	victim := leaders[0]
	worker := c.nodes[3] // neither the one to be killed nor the one to be removed
	if victim == 3 {
		worker = c.nodes[2]
	}

	// The worker publishes and consumes all the time.
	var published Published
	var follower, late Consumed
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return worker.call(ctx, "Publish", lasting, &published) })
	work.Go(func() error { return worker.call(ctx, "Consume", None{}, &follower) })
	failovers := 0
	work.Go(func() (err error) {
		if failovers, err = c.killAndRestart(ctx, worker, victim); err != nil {
			return err
		}
		if err := c.replace(ctx, 1, 4); err != nil {
			return err
		}
		c.tell("node 4 consumes from the start")
		return c.nodes[4].call(ctx, "Consume", None{}, &late)
	})
	if err := work.Wait(); err != nil {
		return err
	}
	c.tell("done")

	lost := follower.Lost + late.Lost
	duplicated := follower.Duplicated + late.Duplicated
	misordered := follower.Misordered + late.Misordered
	fmt.Printf("cluster: produced=%d acked=%d consumed=%d lost=%d duplicated=%d misordered=%d failovers=%d unavailable_max=%v\n",
		published.Produced, published.Acked, late.Records, lost, duplicated, misordered, failovers, published.UnavailableMax.Round(time.Millisecond))
	if published.Produced == 0 || published.Acked != published.Produced || late.Records != published.Produced ||
		lost != 0 || duplicated != 0 || misordered != 0 || failovers == 0 {
		return errors.New("not all lines were acknowledged and arrived once and in order")
	}
	return nil
}

// killAndRestart kills a node half way, waits until others lead what it led, which are
// the failovers that it returns, and starts it again.
func (c *cluster) killAndRestart(ctx context.Context, worker *process, victim uint64) (failovers int, err error) {
	if err := worker.call(ctx, "AwaitAcked", 0.5, nil); err != nil {
		return 0, err
	}
	var before, after []uint64
	if err := worker.call(ctx, "Leaders", uint64(0), &before); err != nil {
		return 0, err
	}
	for _, n := range before {
		if n == victim {
			failovers++
		}
	}
	c.tell("killing node %d, which leads %d partitions, half way", victim, failovers)
	c.nodes[victim].kill()
	delete(c.nodes, victim)
	if err := worker.call(ctx, "Leaders", victim, &after); err != nil {
		return 0, err
	}
	c.tell("they are led by nodes %v now; starting node %d again", after, victim)
	again, err := c.start(ctx, victim, false)
	if err != nil {
		return failovers, err
	}
	c.nodes[victim] = again
	return failovers, nil
}

// replace puts one node in another's place.
func (c *cluster) replace(ctx context.Context, old, by uint64) error {
	c.tell("starting node %d, which joins", by)
	joined, err := c.start(ctx, by, true)
	if err != nil {
		return err
	}
	c.nodes[by] = joined
	c.tell("draining node %d", old)
	if err := joined.call(ctx, "Drain", old, nil); err != nil {
		return err
	}
	c.tell("removing node %d", old)
	if err := joined.call(ctx, "Remove", old, nil); err != nil {
		return err
	}
	defer delete(c.nodes, old)
	return c.nodes[old].stop()
}
