package leat

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/leatlog/leat/internal/coordinator"
)

// ConsumerGroup is a member of a consumer group: it shares the partitions of its
// topics with the group's other members, and each partition has one reader at a
// time. The group remembers in the Log how far it has got. Members join and leave
// at any time, in this program's goroutines or, under the same name, in other
// clients of the Log (KIP-848).
//
// Mark a record when it is processed, and before the next Poll. Then every record
// is processed at least once, and once only as long as members come and go in
// order: a member gives a partition up in its own Poll, between two records,
// after its marks are committed, and the next reader begins there. After a crash,
// or when a member is lost (see MemberLostError), what was processed since the
// last commit comes again.
//
// All methods may be called concurrently, but one goroutine at a time polls. A
// member has one goroutine, for heartbeats and commits.
type ConsumerGroup struct {
	log      *Log
	coord    groupService
	cfg      groupConfig
	group    string
	id       string
	topics   []string
	consumer *Consumer

	ctx         context.Context // of the goroutine
	cancel      context.CancelFunc
	ended       chan struct{} // closed by the goroutine
	kick        chan struct{} // tells the goroutine to send a heartbeat; room for one
	news        <-chan struct{}
	unsubscribe func()

	// turn is held, by filling its one place, by who settles: a Poll, a step of
	// Records, Close; Close keeps it.
	turn chan struct{}
	// inside says that a Poll or a step of Records is under way, and steps counts
	// what ended: how the goroutine sees whether the program polls.
	inside atomic.Bool
	steps  atomic.Uint64
	// pending says that settle has something to do.
	pending atomic.Bool

	// talk is held during a request that changes the group, by filling its one
	// place: what is committed and what is given up have an order. Lock order:
	// turn, talk, mu, consumer.mu.
	talk chan struct{}

	mu       sync.Mutex
	state    memberState
	closing  bool
	closed   chan struct{} // closed by Close when it is done
	closeErr error
	epoch    int32
	given    []coordinator.TopicPartitions          // what the coordinator gave last
	target   map[TopicPartition]coordinator.TopicID // the same, by name
	owned    map[TopicPartition]*ownedPartition
	marked   *ownedPartition // the last one that was marked, or nil
	ack      bool            // the next heartbeat tells what is owned
	full     bool            // the next heartbeat tells everything
	trouble  error           // for the next Poll, or nil
	lost     *MemberLostError
	untold   []TopicPartition // those of them that OnLost has to be told
}

// memberState is where a member is.
type memberState uint8

const (
	memberJoining memberState = iota
	memberJoined
	memberLost // Poll has not told it yet
	memberOut  // Poll has told, the next one joins
	memberLeft
)

// ownedPartition is a partition that the member reads.
type ownedPartition struct {
	tp       TopicPartition
	topicID  coordinator.TopicID
	assigned *assignedPartition
	// next is the offset to commit, committed the one that is.
	next, committed Offset
	epoch           LeaderEpoch // of the last marked record
	revoking        bool        // OnRevoked has been called
}

// JoinGroup makes a member of a group, which is made if need be, and returns once
// the group has it. Its partitions come with the first Poll. Topics need not exist
// yet: they are read from when they do. Close ends the member, at the latest that
// of the Log.
//
// It returns an *InvalidNameError, a *ConfigError, ErrUnreleasedInstance or a
// *GroupError.
func (l *Log) JoinGroup(ctx context.Context, group string, topics []string, opts ...GroupOption) (*ConsumerGroup, error) {
	if err := l.begin(ctx); err != nil {
		return nil, err
	}
	defer l.end()
	cfg, err := checkJoin(group, topics, opts)
	if err != nil {
		return nil, err
	}
	coord, err := l.groups.service(ctx, true)
	if err != nil {
		return nil, err
	}
	if err := l.groups.sweep(ctx, coord, group); err != nil {
		return nil, l.mapGroupError(err)
	}
	g := &ConsumerGroup{
		log: l, coord: coord, cfg: cfg, group: group, id: newMemberID(), topics: slices.Clone(topics),
		consumer: l.newConsumer(cfg.consumer),
		ended:    make(chan struct{}), kick: make(chan struct{}, 1),
		turn: make(chan struct{}, 1), talk: make(chan struct{}, 1), closed: make(chan struct{}),
		owned: make(map[TopicPartition]*ownedPartition),
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.news, g.unsubscribe = coord.Watch(group, g.id)
	if err = g.heartbeat(ctx); err == nil {
		err = l.adopt(g)
	}
	if err != nil {
		if err == ErrClosed || ctx.Err() != nil {
			// It may be a member all the same.
			leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), groupCallTimeout)
			err = errors.Join(err, g.leaveTalking(leaving))
			cancel()
		}
		err = l.mapGroupError(err)
		g.unsubscribe()
		g.cancel()
		g.consumer.closeWith(ErrClosed)
		return nil, err
	}
	for _, name := range topics {
		if l.catalog.topic(name) == nil {
			l.cfg.Logger.Warn("group subscribes to a topic that does not exist; it is read when it does", "group", group, "topic", name)
		}
	}
	go g.run()
	return g, nil
}

func checkJoin(group string, topics []string, opts []GroupOption) (groupConfig, error) {
	cfg := defaultGroupConfig()
	if err := validateGroupID(group); err != nil {
		return cfg, err
	}
	if len(topics) == 0 {
		return cfg, &ConfigError{Property: "topics", Value: "none", Rule: "must name at least one topic"}
	}
	for _, t := range topics {
		if err := validateTopicName(t); err != nil {
			return cfg, err
		}
	}
	for _, o := range opts {
		if o != nil {
			o.applyToGroup(&cfg)
		}
	}
	if err := cfg.validate(); err != nil {
		return cfg, err
	}
	return cfg.withDefaults(), nil
}

// Poll returns the next records of the member's partitions, as Consumer.Poll
// does. Before that it does what the group asks for: it gives partitions up and
// takes new ones, with the callbacks. The records of the Poll before should be
// processed and marked by then.
//
// Besides the errors of Consumer.Poll it returns a *MemberLostError once when the
// member has lost its partitions, and the Poll after that joins the group anew;
// and what keeps the member from its group, such as ErrGroupNotAvailable with
// ErrStorageFailed or, when it joins anew, ErrUnreleasedInstance: it goes on
// trying.
func (g *ConsumerGroup) Poll(ctx context.Context, max int) ([]Record, error) {
	if err := g.log.begin(ctx); err != nil {
		return nil, err
	}
	defer g.log.end()
	if err := g.enter(); err != nil {
		return nil, err
	}
	defer g.exit()
	for {
		if err := g.settle(ctx); err != nil {
			return nil, err
		}
		rs, err := g.consumer.Poll(ctx, max)
		if err == nil || !g.passing(err) {
			return rs, err
		}
	}
}

// enter takes the turn.
func (g *ConsumerGroup) enter() error {
	select {
	case g.turn <- struct{}{}:
		g.inside.Store(true)
		return nil
	default:
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return ErrClosed
	}
	return ErrConcurrentPoll
}

func (g *ConsumerGroup) exit() {
	g.steps.Add(1)
	g.inside.Store(false)
	<-g.turn
}

// passing reports whether an error of the consumer is none of the program's.
func (g *ConsumerGroup) passing(err error) bool {
	if errors.Is(err, ErrTopicDeleted) {
		g.dropDeleted()
		return true
	}
	return err == errInterrupted
}

// Records returns the records one by one, as Consumer.Records does, and does
// before each what Poll does. Behind ErrClosed, ErrConcurrentPoll and the error of
// ctx the sequence ends; behind others, such as a *MemberLostError, a loop that
// goes on gets what comes next.
func (g *ConsumerGroup) Records(ctx context.Context) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		last := func(err error) bool {
			return errors.Is(err, ErrClosed) || err == ErrConcurrentPoll || ctx.Err() != nil && errors.Is(err, ctx.Err())
		}
		for {
			if err := g.step(ctx); err != nil {
				if !yield(Record{}, err) || last(err) {
					return
				}
				g.steps.Add(1)
				continue
			}
			for r, err := range g.consumer.Records(ctx) {
				if err != nil && g.passing(err) {
					break
				}
				if !yield(r, err) || err != nil && last(err) {
					return
				}
				g.steps.Add(1)
				if g.pending.Load() {
					break // between two records
				}
			}
		}
	}
}

// step settles for Records.
func (g *ConsumerGroup) step(ctx context.Context) error {
	if err := g.log.begin(ctx); err != nil {
		return err
	}
	defer g.log.end()
	if err := g.enter(); err != nil {
		return err
	}
	defer g.exit()
	return g.settle(ctx)
}

// Close ends the member: OnRevoked is called with its partitions, what is marked
// is committed, and it leaves the group, so that others get its partitions at
// once; those of a static member wait for it. On a node of a cluster that does not reach
// the group's coordinator it gives up after some seconds. A Poll that waits returns
// ErrClosed, and one in a callback is waited for. It returns the error of the commit, or the
// *MemberLostError that no Poll has told yet. It may be called more than once, but
// not in a callback.
func (g *ConsumerGroup) Close() error {
	g.mu.Lock()
	if g.closing {
		g.mu.Unlock()
		<-g.closed
		return g.closeErr
	}
	g.closing = true
	g.mu.Unlock()
	defer close(g.closed)
	g.pending.Store(true)
	g.consumer.interrupt()
	g.turn <- struct{}{} // and keep it

	// A Records in another goroutine may be between two records.
	err := g.consumer.Pause()
	err = errors.Join(err, g.depart(context.Background()))
	g.cancel()
	<-g.ended
	g.unsubscribe()
	g.consumer.closeWith(ErrClosed)
	g.log.release(g)
	g.closeErr = err
	return err
}

func (g *ConsumerGroup) closeWithLog() error { return g.Close() }

// Group returns the group's name.
func (g *ConsumerGroup) Group() string { return g.group }

// MemberID returns the member's id, which is made when it joins.
func (g *ConsumerGroup) MemberID() string { return g.id }

// Assignment returns the partitions that the member reads, sorted: those of which
// OnAssigned was told. Before the first Poll there are none.
func (g *ConsumerGroup) Assignment() []TopicPartition {
	g.mu.Lock()
	defer g.mu.Unlock()
	return sortedPartitions(g.owned, func(*ownedPartition) bool { return true })
}

// Pause keeps partitions, all when none is named, from being handed out until
// Resume. The member keeps them and must go on polling. A partition that is given
// up and comes back is not paused.
func (g *ConsumerGroup) Pause(tps ...TopicPartition) error { return g.consumer.Pause(tps...) }

// Resume ends Pause for partitions, all when none is named.
func (g *ConsumerGroup) Resume(tps ...TopicPartition) error { return g.consumer.Resume(tps...) }

// Seek sets the position of a partition that the member reads, as Consumer.Seek
// does. What is committed stays, and marks only ever go forward: CommitOffsets
// takes them back.
func (g *ConsumerGroup) Seek(tp TopicPartition, o Offset) error { return g.consumer.Seek(tp, o) }

// Position returns the offset of the next record that is handed out.
func (g *ConsumerGroup) Position(tp TopicPartition) (Offset, error) { return g.consumer.Position(tp) }

// Lag returns for each partition of the member how many offsets the position is
// behind the high watermark. Log.GroupLag is about what is committed.
func (g *ConsumerGroup) Lag() map[TopicPartition]int64 { return g.consumer.Lag() }

// count is for Metrics.
func (g *ConsumerGroup) count(m *Metrics) { m.GroupMembers++ }
