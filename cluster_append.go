package leat

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/leatlog/leat/internal/peer"
	"github.com/leatlog/leat/internal/store"
	"github.com/leatlog/leat/replication"
)

// appendTimeout bounds one attempt to have a batch replicated. An attempt that was lost
// with its leader ends earlier, as a rule.
const appendTimeout = 5 * time.Second

// clusterAppender stores batches with the leaders of their partitions. A batch is
// acknowledged when a majority has fsynced it and its leader has applied it; acks=1 is
// acks=all.
type clusterAppender struct{ c *cluster }

var _ appender = clusterAppender{}

// sentAppend is a batch that was handed to its leader.
type sentAppend struct {
	a       *partitionAppend
	at      leadership
	pending *replication.PendingAppend
	remote  *peer.ProduceCall
}

// Append implements appender. Batches of one partition keep their order: the leader
// takes them one after the other, and a peer's are sent over one connection.
func (x clusterAppender) Append(appends []*partitionAppend, hooks store.AppendHooks) error {
	c := x.c
	ctx, cancel := context.WithTimeout(c.ctx, appendTimeout)
	defer cancel()
	sent := make([]sentAppend, 0, len(appends))
	for _, a := range appends {
		s := sentAppend{a: a, at: c.leaderOf(a.to)}
		if a.Err = c.send(ctx, &s); a.Err == nil {
			sent = append(sent, s)
		}
	}
	if hooks.Enqueued != nil {
		hooks.Enqueued()
	}
	for i := range sent {
		c.await(ctx, &sent[i])
	}
	if hooks.Applied != nil {
		hooks.Applied()
	}
	if hooks.Published != nil {
		hooks.Published()
	}
	return nil
}

// send hands a batch to the leader of its partition.
func (c *cluster) send(ctx context.Context, s *sentAppend) (err error) {
	to := s.a.to
	if err := c.checkInSync(to); err != nil {
		return err
	}
	switch s.at.Node {
	case 0:
		return &LeaderError{Topic: to.topic.name, Partition: to.number, Rule: "has no leader now"}
	case c.self:
		s.pending, err = c.proposeAppend(to, s.at, s.a.Batch)
	default:
		s.remote, err = c.peers.StartProduce(ctx, s.at.Node, peer.ProduceRequest{TopicPartition: c.peerName(to), Batch: s.a.Batch, Timeout: appendTimeout})
	}
	return c.appendError(s, err)
}

// proposeAppend proposes a batch to a shard that this node leads.
func (c *cluster) proposeAppend(to *Partition, at leadership, batch []byte) (*replication.PendingAppend, error) {
	sh := c.shards.get(at.Shard)
	if sh == nil {
		return nil, &replication.NotLeaderError{Shard: at.Shard}
	}
	return sh.raft.Append(replication.AppendCommand{Partition: to.id, Epoch: at.epoch(), NowMillis: c.log.cfg.Clock.Now().UnixMilli(), Batch: batch})
}

// await fills in what became of a batch.
func (c *cluster) await(ctx context.Context, s *sentAppend) {
	a := s.a
	limit := appendTimeout
	if a.timeout > 0 {
		limit = min(limit, a.timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer c.leaders.attend(s.at, cancel)()
	if s.remote != nil {
		r, err := s.remote.Wait(ctx)
		a.BaseOffset, a.Err = r.BaseOffset, c.appendError(s, err)
		return
	}
	r, err := s.pending.Wait(ctx)
	a.BaseOffset, a.Duplicate, a.Err = r.Offset, r.Duplicate, c.appendError(s, err)
}

// appendError tells an error of an attempt as the producer knows it, and takes note of
// a leader that is none.
func (c *cluster) appendError(s *sentAppend, err error) error {
	if err == nil {
		return nil
	}
	to := s.a.to
	if errors.Is(err, store.ErrUnknownPartition) {
		// Its leader has not made it yet, or has dropped it.
		if to.topic.deleted.Load() {
			return store.ErrPartitionDropped
		}
		return &LeaderError{Topic: to.topic.name, Partition: to.number, Rule: "is being created", Err: err}
	}
	var hint *peer.Error
	if errors.As(err, &hint) && hint.Leader != 0 && hint.LeaderEpoch > 0 {
		c.leaders.learn(leadership{Shard: s.at.Shard, Node: hint.Leader, Term: uint64(hint.LeaderEpoch)})
	}
	var gone *peer.UnreachableError
	if errors.As(err, &gone) || errors.Is(err, kerr.NotLeaderForPartition) {
		c.leaders.lost(s.at)
	}
	if replication.Retriable(err) || isRetriable(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &LeaderError{Topic: to.topic.name, Partition: to.number, Rule: fmt.Sprintf("was not acknowledged by node %d", s.at.Node), Err: err}
	}
	return err
}

// LeaderError says that a partition's leader could not be reached, or that there is
// none. It passes: producers and consumers try again by themselves, and return it, in
// ErrDeliveryTimeout or a context's error, when their time is over.
type LeaderError struct {
	Topic     string
	Partition int32
	// Rule completes the sentence "The partition ...".
	Rule string
	Err  error // the cause, or nil
}

func (e *LeaderError) Error() string {
	s := fmt.Sprintf("leat: topic %q partition %d %s", e.Topic, e.Partition, e.Rule)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *LeaderError) Unwrap() error { return e.Err }

// Retriable reports true.
func (e *LeaderError) Retriable() bool { return true }

// checkInSync refuses to append where fewer replicas live than min.insync.replicas
// asks for.
func (c *cluster) checkInSync(to *Partition) error {
	want := to.topic.state.Load().config.MinInSyncReplicas
	if want <= 1 {
		return nil
	}
	img := c.machine.Image()
	s := img.Shard(to.shard())
	if s == nil {
		return nil
	}
	live := 0
	for _, n := range s.Voters() {
		if b := img.Broker(n); b != nil && b.Live() {
			live++
		}
	}
	if !enoughInSync(live, len(s.Voters()), want) {
		return &NotEnoughReplicasError{Topic: to.topic.name, Partition: to.number, InSync: live, MinInSync: want}
	}
	return nil
}

// checkStoredInSync is checkInSync of a partition in the store of this node. One that
// was deleted meanwhile passes: the append finds out.
func (c *cluster) checkStoredInSync(p *store.Partition) error {
	ref, ok := c.machine.Image().PartitionIn(p.Shard(), p.ID())
	if !ok {
		return nil
	}
	t := c.log.catalog.topicByID(TopicID(ref.Topic))
	if t == nil {
		return nil
	}
	to, err := t.Partition(ref.Number)
	if err != nil {
		return nil
	}
	return c.checkInSync(to)
}

// enoughInSync tells whether as many of the voters live as min.insync.replicas asks for,
// which counts for all of them where it is more.
func enoughInSync(live, voters, minInSync int) bool { return live >= min(minInSync, voters) }

// ErrNotEnoughReplicas is what every *NotEnoughReplicasError is (Kafka's
// NOT_ENOUGH_REPLICAS).
var ErrNotEnoughReplicas = errors.New("leat: not enough replicas")

// NotEnoughReplicasError says that fewer replicas of a partition live than its topic's
// min.insync.replicas. Nothing was stored. It passes.
type NotEnoughReplicasError struct {
	Topic     string
	Partition int32
	InSync    int // replicas that live
	MinInSync int // min.insync.replicas
}

func (e *NotEnoughReplicasError) Error() string {
	return fmt.Sprintf("%v: topic %q partition %d: %d live, min.insync.replicas is %d", ErrNotEnoughReplicas, e.Topic, e.Partition, e.InSync, e.MinInSync)
}

// Is reports true for ErrNotEnoughReplicas.
func (e *NotEnoughReplicasError) Is(target error) bool { return target == ErrNotEnoughReplicas }

// Retriable reports true.
func (e *NotEnoughReplicasError) Retriable() bool { return true }

// ErrTooFewNodes is returned for a topic whose replication factor is above the number
// of nodes that live and do not drain (Kafka's INVALID_REPLICATION_FACTOR).
var ErrTooFewNodes = errors.New("leat: too few nodes")
