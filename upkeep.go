package leat

import (
	"context"
	"errors"
	"time"
)

// upkeep is the background work that keeps a Log small: retention and
// compaction. Each has a goroutine of its own, driven by the Log's clock and
// ended by its context; what a call on demand does goes through here too.
type upkeep struct {
	// Each is held, by filling its one place, by who does that work, so that one
	// does it at a time. A waiting call gives up when its context ends.
	retaining  chan struct{}
	compacting chan struct{}
}

func newUpkeep() upkeep {
	return upkeep{retaining: make(chan struct{}, 1), compacting: make(chan struct{}, 1)}
}

// startUpkeep starts the goroutines. Their timers run when it returns.
func (l *Log) startUpkeep() {
	l.every(l.cfg.RetentionCheckInterval, roleRetention, l.retainAll)
	l.every(l.cfg.CompactionInterval, roleCompaction, l.compactAll)
}

// every calls fn on a goroutine of the Log, d after the start and d after each
// call's end, until the Log closes. A negative d means never.
func (l *Log) every(d time.Duration, r role, fn func(ctx context.Context)) {
	if d < 0 {
		return
	}
	timer := l.cfg.Clock.NewTimer(d)
	l.wg.Go(func() {
		l.label(r)
		defer timer.Stop()
		for {
			select {
			case <-timer.C():
			case <-l.ctx.Done():
				return
			}
			fn(l.ctx)
			timer.Reset(d)
		}
	})
}

// beginWork admits a call like begin, and waits for its turn at the work that
// turn stands for. The context it returns ends with the caller's or with the
// Log; endWork must follow if the error is nil.
func (l *Log) beginWork(ctx context.Context, turn chan struct{}) (work context.Context, endWork func(), err error) {
	if err := l.begin(ctx); err != nil {
		return nil, nil, err
	}
	work, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.ctx, func() { cancel(ErrClosed) })
	select {
	case turn <- struct{}{}:
	case <-work.Done():
		stop()
		cancel(nil)
		l.end()
		return nil, nil, context.Cause(work)
	}
	return work, func() {
		<-turn
		stop()
		cancel(nil)
		l.end()
	}, nil
}

// mapWorkError tells an error of work that ended with ctx as what ended it.
func (l *Log) mapWorkError(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return context.Cause(ctx)
	}
	return l.mapError(err)
}

// kept returns those of partitions that this node stores, all on a standalone Log:
// each node of a cluster compacts its own replicas.
func (l *Log) kept(partitions []*Partition) []*Partition {
	if l.cluster == nil {
		return partitions
	}
	var kept []*Partition
	for _, p := range partitions {
		if l.cluster.stored(p) != nil {
			kept = append(kept, p)
		}
	}
	return kept
}

// led returns those of partitions of which this node decides what retention removes:
// in a cluster the leader does for all replicas.
func (l *Log) led(partitions []*Partition) []*Partition {
	kept := l.kept(partitions)
	if l.cluster == nil {
		return kept
	}
	var led []*Partition
	for _, p := range kept {
		if l.cluster.leaderOf(p).Node == l.cluster.self {
			led = append(led, p)
		}
	}
	return led
}

// deferredBytesMin is how much has to wait for a shard's Raft log before the log is
// shortened for it.
const deferredBytesMin = 16 << 20

// reclaim gives space back at the end of a round of background work.
func (l *Log) reclaim(ctx context.Context) {
	if l.cluster != nil {
		l.cluster.compactLogs(ctx, deferredBytesMin)
	}
	err := l.store.ReclaimDue(ctx)
	if err != nil && ctx.Err() == nil && l.store.Failure() == nil {
		l.cfg.Logger.Warn("reclaiming space failed", "err", err)
	}
}
