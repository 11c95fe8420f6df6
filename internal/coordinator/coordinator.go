package coordinator

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"unicode/utf16"
)

// Coordinator coordinates the consumer groups of the partitions of
// __consumer_offsets that this node leads. Its methods may be called concurrently.
type Coordinator struct {
	opts     Options
	watchers watchers

	ctx    context.Context // of all partitions; ended by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // the partitions' goroutines

	mu         sync.Mutex
	closed     bool
	partitions map[int32]*partition // those whose goroutine runs
}

// New returns a Coordinator. It reads nothing yet: a partition is loaded by Load,
// or when a request for one of its groups comes first. It fails with
// *RequestErrors, joined, that name the options.
func New(opts Options) (*Coordinator, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	c := &Coordinator{opts: opts, partitions: make(map[int32]*partition)}
	c.watchers.by = make(map[memberName]map[*watcher]struct{})
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// PartitionFor returns the partition of __consumer_offsets that a group belongs
// to: as in Kafka, Java's hash of the id, its absolute value modulo the count.
func (c *Coordinator) PartitionFor(group string) int32 {
	var h int32
	for _, unit := range utf16.Encode([]rune(group)) {
		h = 31*h + int32(unit)
	}
	if h == math.MinInt32 {
		return 0
	}
	return max(h, -h) % c.opts.Partitions
}

// Load reads a partition, unless that is done, and returns once its groups can be
// served. It fails with ErrNotCoordinator, ErrNotAvailable (which wraps the cause:
// ErrCorrupt, say), ErrClosed or ctx's error; in the last case loading goes on.
func (c *Coordinator) Load(ctx context.Context, number int32) error {
	p, err := c.partition(number)
	if err != nil {
		return err
	}
	select {
	case <-p.ready:
		return nil
	case <-p.done:
		return p.reason()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Unload gives a partition up, as when its leadership is lost: requests that wait
// are refused with ErrNotCoordinator, an append under way is cancelled, and what was
// known is forgotten. It returns when the partition's Log is no longer used. A later
// request asks Options.Logs again.
func (c *Coordinator) Unload(number int32) {
	c.mu.Lock()
	p := c.partitions[number]
	c.mu.Unlock()
	if p != nil {
		p.stop(ErrNotCoordinator)
		<-p.done
	}
}

// Close stops everything and waits for it; later calls return ErrClosed. It may be
// called more than once. It does not close the Logs.
func (c *Coordinator) Close() error {
	c.mu.Lock()
	c.closed = true
	partitions := slices.Collect(maps.Values(c.partitions))
	c.mu.Unlock()
	for _, p := range partitions {
		p.stop(ErrClosed)
	}
	c.cancel()
	c.wg.Wait()
	c.watchers.fireAll(func(string) bool { return true })
	return nil
}

// partition returns the partition, starting to load it if it is not there.
func (c *Coordinator) partition(number int32) (*partition, error) {
	if number < 0 || number >= c.opts.Partitions {
		return nil, &RequestError{"partition", "in [0, Options.Partitions)"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	p := c.partitions[number]
	if p == nil {
		p = &partition{c: c, number: number, ops: make(chan *op, maxQueuedRequests),
			ready: make(chan struct{}), done: make(chan struct{})}
		var ctx context.Context
		ctx, p.cancel = context.WithCancel(c.ctx)
		c.partitions[number] = p
		c.wg.Go(func() { p.run(ctx) })
	}
	return p, nil
}

// remove forgets a partition whose goroutine ends.
func (c *Coordinator) remove(p *partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.partitions[p.number] == p {
		delete(c.partitions, p.number)
	}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
