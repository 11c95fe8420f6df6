package leat

import (
	"context"
	"errors"
	"iter"

	"github.com/leatlog/leat/internal/coordinator"
)

// OffsetAndMetadata is a committed offset.
type OffsetAndMetadata struct {
	// Offset is that of the next record to process: the last one plus one.
	Offset Offset
	// LeaderEpoch is the LeaderEpoch of the last processed record; -1 when it is
	// not known. Without a cluster it is 0.
	LeaderEpoch LeaderEpoch
	// Metadata is a string of the program's, at most 4096 bytes
	// (offset.metadata.max.bytes).
	Metadata string
}

// Mark says that records are processed, each with all before it in its partition:
// a Commit, in the background or not, commits the offset behind. It does not
// block. Marks go forward only. A record of a partition that the member does not
// read any more is passed over, and so is one that is not before the member's
// position.
func (g *ConsumerGroup) Mark(rs ...Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range rs {
		r := &rs[i]
		o := g.marked
		if o == nil || o.tp.Partition != r.Partition || o.tp.Topic != r.Topic {
			if o = g.owned[TopicPartition{r.Topic, r.Partition}]; o == nil {
				continue
			}
			g.marked = o
		}
		if r.Offset >= o.next && int64(r.Offset) < o.assigned.position.Load() {
			o.next, o.epoch = r.Offset+1, r.LeaderEpoch
		}
	}
}

// Commit commits what is marked and returns when it is durable. It returns a
// *MemberLostError if the member has lost its partitions: what was not committed
// will be read again, by whoever has them. After ErrGroupNotAvailable and the
// error of ctx it is not known whether the marks are committed; they are tried
// again with the next Commit.
func (g *ConsumerGroup) Commit(ctx context.Context) error {
	if err := g.log.begin(ctx); err != nil {
		return err
	}
	defer g.log.end()
	if err := g.speak(ctx); err != nil {
		return err
	}
	defer g.hush()
	if err := g.lostError(); err != nil {
		return err
	}
	return g.commitTalking(ctx, g.dirty(nil))
}

// CommitOffsets commits offsets of partitions that the member reads, all or, if
// it fails, those without an *OffsetError, and returns when they are durable.
// They may be before what is committed or marked; marks go on from there. It
// returns ErrNotAssigned, and then commits none, or what Commit returns.
func (g *ConsumerGroup) CommitOffsets(ctx context.Context, offsets map[TopicPartition]OffsetAndMetadata) error {
	if err := g.log.begin(ctx); err != nil {
		return err
	}
	defer g.log.end()
	if err := g.speak(ctx); err != nil {
		return err
	}
	defer g.hush()
	if err := g.lostError(); err != nil {
		return err
	}
	list := make([]coordinator.OffsetCommit, 0, len(offsets))
	g.mu.Lock()
	for tp, at := range offsets {
		o := g.owned[tp]
		if o == nil {
			g.mu.Unlock()
			return notAssigned(tp)
		}
		list = append(list, coordinator.OffsetCommit{Topic: tp.Topic, ID: o.topicID, Partition: tp.Partition,
			Offset: at.Offset, LeaderEpoch: at.LeaderEpoch, Metadata: at.Metadata})
	}
	g.mu.Unlock()
	results, err := g.send(ctx, list)
	errs := []error{err}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, r := range results {
		if r.Err != nil {
			errs = append(errs, g.log.mapGroupError(r.Err))
		} else if o := g.owned[TopicPartition{r.Topic, r.Partition}]; o != nil {
			o.next, o.committed = list[i].Offset, list[i].Offset
		}
	}
	return errors.Join(errs...)
}

// Committed returns what the group has committed for partitions, all that it has
// when none is named, whoever reads them. Those without a committed offset are
// left out.
func (g *ConsumerGroup) Committed(ctx context.Context, tps ...TopicPartition) (map[TopicPartition]OffsetAndMetadata, error) {
	if g.isClosed() {
		return nil, ErrClosed
	}
	m, err := fetchCommitted(ctx, g.coord, g.group, tps)
	return m, g.log.mapGroupError(err)
}

func (g *ConsumerGroup) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state == memberLeft
}

func fetchCommitted(ctx context.Context, c groupService, group string, tps []TopicPartition) (map[TopicPartition]OffsetAndMetadata, error) {
	req := coordinator.FetchRequest{Group: group}
	for _, tp := range tps {
		req.Partitions = append(req.Partitions, coordinator.TopicPartitions{Topic: tp.Topic, Partitions: []int32{tp.Partition}})
	}
	list, err := c.FetchOffsets(ctx, req)
	if err != nil {
		return nil, err
	}
	committed := make(map[TopicPartition]OffsetAndMetadata, len(list))
	for _, o := range list {
		if o.Offset >= 0 {
			committed[TopicPartition{o.Topic, o.Partition}] = OffsetAndMetadata{o.Offset, o.LeaderEpoch, o.Metadata}
		}
	}
	return committed, nil
}

// lostError returns why the member does not read, or nil.
func (g *ConsumerGroup) lostError() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.state {
	case memberLost, memberOut:
		return g.lost
	case memberLeft:
		return ErrClosed
	}
	return nil
}

// dirty returns what is marked and not committed, of some partitions or, for nil,
// of all.
func (g *ConsumerGroup) dirty(tps []TopicPartition) []coordinator.OffsetCommit {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []coordinator.OffsetCommit
	add := func(o *ownedPartition) {
		if o != nil && o.next > o.committed {
			list = append(list, coordinator.OffsetCommit{Topic: o.tp.Topic, ID: o.topicID, Partition: o.tp.Partition,
				Offset: o.next, LeaderEpoch: o.epoch})
		}
	}
	if tps == nil {
		for _, o := range g.owned {
			add(o)
		}
	}
	for _, tp := range tps {
		add(g.owned[tp])
	}
	return list
}

// commitInBackground is WithAutoCommit.
func (g *ConsumerGroup) commitInBackground() {
	if err := g.speak(g.ctx); err != nil {
		return // closing, which commits
	}
	defer g.hush()
	ctx, cancel := context.WithTimeout(g.ctx, groupCallTimeout)
	defer cancel()
	if err := g.commitTalking(ctx, g.dirty(nil)); err != nil && g.ctx.Err() == nil && !errors.Is(err, ErrMemberLost) {
		g.report(err)
	}
}

// commitTalking commits marks. Those of a topic that was deleted are dropped.
func (g *ConsumerGroup) commitTalking(ctx context.Context, list []coordinator.OffsetCommit) error {
	results, err := g.send(ctx, list)
	errs := []error{err}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, r := range results {
		if r.Err != nil && !errors.Is(r.Err, coordinator.ErrUnknownTopicOrPartition) {
			errs = append(errs, r.Err)
		} else if o := g.owned[TopicPartition{r.Topic, r.Partition}]; o != nil {
			o.committed = max(o.committed, list[i].Offset)
		}
	}
	return errors.Join(errs...)
}

// commitBytesMax bounds a request, well below what the coordinator takes.
const commitBytesMax = 256 << 10

// commitParts cuts offsets into requests.
func commitParts(group string, list []coordinator.OffsetCommit) iter.Seq[[]coordinator.OffsetCommit] {
	return func(yield func([]coordinator.OffsetCommit) bool) {
		for len(list) > 0 {
			n, size := 0, 0
			for n < len(list) && (n == 0 || size < commitBytesMax) {
				size += len(group) + len(list[n].Topic) + len(list[n].Metadata) + 100
				n++
			}
			if !yield(list[:n]) {
				return
			}
			list = list[n:]
		}
	}
}

// send commits offsets and returns the results of those that were handled. g.talk
// is held.
func (g *ConsumerGroup) send(ctx context.Context, list []coordinator.OffsetCommit) ([]coordinator.PartitionResult, error) {
	var results []coordinator.PartitionResult
	for part := range commitParts(g.group, list) {
		rs, err := g.sendSome(ctx, part)
		if err != nil {
			g.log.groups.commitErrors.Add(1)
			return results, err
		}
		g.log.groups.commits.Add(int64(len(part)))
		results = append(results, rs...)
	}
	return results, nil
}

func (g *ConsumerGroup) sendSome(ctx context.Context, list []coordinator.OffsetCommit) ([]coordinator.PartitionResult, error) {
	for again := true; ; again = false {
		g.mu.Lock()
		req := coordinator.CommitRequest{Group: g.group, Member: g.id, Epoch: g.epoch, InstanceID: g.cfg.instanceID, Offsets: list}
		g.mu.Unlock()
		results, err := g.coord.CommitOffsets(ctx, req)
		switch {
		case err == nil:
			return results, nil
		case again && errors.Is(err, coordinator.ErrStaleMemberEpoch):
			// The answer to a heartbeat was lost: the next one tells the epoch.
			g.mu.Lock()
			g.full = true
			g.mu.Unlock()
			if err := g.heartbeatTalking(ctx); err != nil {
				return nil, g.log.mapGroupError(err)
			}
			if err := g.lostError(); err != nil {
				return nil, err
			}
			continue
		case isLoss(err):
			g.lose(err)
			if lost := g.lostError(); lost != nil {
				return nil, lost
			}
		}
		return nil, g.log.mapGroupError(err)
	}
}
