package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/pprof"
	"strconv"
	"sync"
	"time"
)

// partition coordinates the groups of one partition of __consumer_offsets. Its
// goroutine alone reads and changes the state and writes the log, so the
// requests of a partition are serial; those that wait while an append is under
// way share the next one.
type partition struct {
	c      *Coordinator
	number int32

	ops chan *op // requests; the goroutine receives
	// ready is closed by the goroutine once the state is loaded, done when the
	// goroutine ends.
	ready, done chan struct{}
	cancel      context.CancelFunc

	mu  sync.Mutex
	err error // why it stops, the first reason; what requests get after done

	// The goroutine's own:

	log       Log
	state     *state
	changed   <-chan struct{} // the next change of the topics
	nextCheck time.Time       // when offsets are looked through for old ones
}

// op is one request to a partition.
type op struct {
	ctx context.Context
	// run decides and emits; what it captures may be read once done is closed.
	run func(*tx)
	// done is closed by the partition's goroutine when run has run and its records
	// are durable, or err says why not.
	done chan struct{}
	err  error
}

// submit runs decide in the partition's goroutine and returns what it returned
// once its records, and all that it saw, are durable.
func submit[T any](ctx context.Context, c *Coordinator, number int32, decide func(*tx) (T, error)) (T, error) {
	var zero, value T
	var refused error
	o := &op{ctx: ctx, done: make(chan struct{}), run: func(t *tx) { value, refused = decide(t) }}
	for again := true; ; again = false {
		p, err := c.partition(number)
		if err != nil {
			return zero, err
		}
		ran, err := p.do(o)
		switch {
		case err != nil && !ran && again && p.lost():
			continue // an append before it failed: the partition is read anew
		case err != nil:
			return zero, err
		case refused != nil:
			return zero, refused
		}
		return value, nil
	}
}

// do hands the request in and waits for it. If it returns the ctx's error the
// request may still take effect. It reports false if it was not and will not be
// run.
func (p *partition) do(o *op) (ran bool, err error) {
	if err := o.ctx.Err(); err != nil {
		return false, err
	}
	select {
	case p.ops <- o:
	case <-p.done:
		return false, p.reason()
	case <-o.ctx.Done():
		return false, o.ctx.Err()
	}
	select {
	case <-o.done:
		return true, o.err
	case <-p.done:
		select {
		case <-o.done: // in the last round
			return true, o.err
		default:
			return false, p.reason()
		}
	case <-o.ctx.Done():
		return true, o.ctx.Err()
	}
}

// stop makes the goroutine end; requests get reason from then on.
func (p *partition) stop(reason error) {
	p.mu.Lock()
	if p.err == nil {
		p.err = reason
	}
	p.mu.Unlock()
	p.cancel()
}

func (p *partition) reason() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// lost reports whether the partition was loaded and then failed, rather than given
// up or closed.
func (p *partition) lost() bool {
	select {
	case <-p.ready:
		return errors.Is(p.reason(), ErrNotAvailable)
	default:
		return false
	}
}

// run is the goroutine.
func (p *partition) run(ctx context.Context) {
	pprof.SetGoroutineLabels(pprof.WithLabels(ctx,
		pprof.Labels("leat", "group-coordinator", "partition", strconv.Itoa(int(p.number)))))
	err := p.load(ctx)
	if err == nil {
		close(p.ready)
		err = p.loop(ctx)
	}
	p.stop(err)
	p.c.remove(p) // before done: nobody starts another one while this one appends
	close(p.done)
	p.c.watchers.fireAll(func(group string) bool { return p.c.PartitionFor(group) == p.number })
}

// load builds the state from the log.
func (p *partition) load(ctx context.Context) error {
	c := p.c
	begin := c.opts.Clock.Now()
	log, err := c.opts.Logs(ctx, p.number)
	if err != nil {
		return p.failed("opening", err)
	}
	p.log, p.state = log, newState()
	records, skipped := 0, 0
	err = log.Replay(ctx, func(key, value []byte) error {
		r, err := decodeRecord(key, value)
		if err != nil {
			return err
		}
		records++
		if r == nil {
			skipped++
			return nil
		}
		r.apply(p.state)
		return nil
	})
	if err != nil {
		return p.failed("replaying", err)
	}
	now := c.opts.Clock.Now()
	p.state.loaded(now, c.opts.SessionTimeout)
	p.nextCheck = now.Add(c.opts.OffsetsRetentionCheckInterval)
	c.opts.Logger.Info("loaded groups", "partition", p.number, "groups", len(p.state.groups),
		"records", records, "skipped", skipped, "took", now.Sub(begin))
	return nil
}

// failed makes the error that requests get when the partition's log fails.
func (p *partition) failed(doing string, err error) error {
	if errors.Is(err, ErrNotCoordinator) {
		return err
	}
	return fmt.Errorf("%w: %s partition %d of __consumer_offsets: %w", ErrNotAvailable, doing, p.number, err)
}

// loop serves until the partition is stopped or its log fails.
func (p *partition) loop(ctx context.Context) error {
	timer := p.c.opts.Clock.NewTimer(0) // at once: the topics may have changed while nobody looked
	defer timer.Stop()
	for {
		var first *op
		select {
		case <-ctx.Done():
			return ctx.Err() // stop has set the reason
		case first = <-p.ops:
		case <-timer.C():
		case <-p.changed:
		}
		if err := p.round(ctx, first); err != nil {
			if ctx.Err() == nil {
				p.c.opts.Logger.Error("group partition failed; it is read anew on the next request",
					"partition", p.number, "err", err)
			}
			return err
		}
		next := p.nextCheck
		if t := p.state.timers; len(t) > 0 && t[0].due().Before(next) {
			next = t[0].due()
		}
		if at, any := p.state.alarms.next(); any && at.Before(next) {
			next = at
		}
		timer.Reset(max(0, next.Sub(p.c.opts.Clock.Now())))
	}
}

// round handles what is due and the requests that wait, first before the others,
// makes their records durable with one append, and answers. An error says that
// the state is no longer that of the log.
func (p *partition) round(ctx context.Context, first *op) error {
	t := &tx{state: p.state, partition: p, opts: &p.c.opts, now: p.c.opts.Clock.Now()}
	p.upkeep(t)

	var ops []*op
	for o := first; o != nil; {
		if err := o.ctx.Err(); err != nil {
			o.err = err
			close(o.done)
		} else {
			o.run(t)
			ops = append(ops, o)
		}
		if o = nil; t.bytes <= t.opts.MaxBatchBytes && len(ops) < maxQueuedRequests {
			select {
			case o = <-p.ops:
			default:
			}
		}
	}

	var err error
	if len(t.records) > 0 {
		if err = p.log.Append(ctx, t.records); err != nil {
			err = p.failed("appending to", err)
			if ctx.Err() != nil {
				err = p.reason() // unloaded or closed meanwhile
			}
		}
	}
	for _, o := range ops {
		o.err = err
		close(o.done)
	}
	if err != nil {
		return err
	}
	for _, give := range t.answers {
		give()
	}
	p.announce()
	return nil
}

// upkeep does what time and the topics ask for.
func (p *partition) upkeep(t *tx) {
	t.expireMembers(func(g *group, m *member) {
		why := "its session ran out"
		if m.sessionEnds.After(t.now) {
			why = "it did not revoke partitions within its rebalance timeout"
		}
		t.opts.Logger.Warn("member removed", slog.String("group", g.id), slog.String("member", m.id),
			slog.String("instance", m.meta.instanceID), slog.Any("epoch", m.current.epoch), slog.String("why", why))
	})
	t.ringAlarms()
	more := false
	dirty := p.changed == nil
	select {
	case <-p.changed:
		dirty = true
	default:
	}
	if dirty {
		// First the channel, then the look: a change in between is not missed.
		p.changed = t.opts.Topics.Changed()
		for _, id := range sortedKeys(t.groups) {
			t.refresh(t.groups[id])
		}
		more = t.expireDeleted()
	}
	if !t.now.Before(p.nextCheck) {
		more = t.expireOffsets() || more
		p.nextCheck = t.now.Add(t.opts.OffsetsRetentionCheckInterval)
	}
	if more {
		p.nextCheck = t.now
	}
}

// announce tells the members of this process what is durable now.
func (p *partition) announce() {
	for _, name := range p.state.gone {
		p.c.watchers.fire(name)
	}
	p.state.gone = p.state.gone[:0]
	for id := range p.state.touched {
		if g := p.state.groups[id]; g != nil {
			for _, m := range g.members {
				if !m.notified && g.news(m) {
					m.notified = true
					p.c.watchers.fire(memberName{id, m.id})
				}
			}
		}
	}
	clear(p.state.touched)
}
