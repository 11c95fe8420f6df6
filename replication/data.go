package replication

import (
	"context"
	"errors"
	"fmt"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/statemachine"

	"github.com/leatlog/leat/internal/base"
	"github.com/leatlog/leat/internal/store"
)

// DataShard is a Shard of partitions, which are read from the store.
type DataShard struct{ *Shard }

// ErrOtherReplica is returned by StartData when the shard's partitions that are
// in the store come from another replica: they must be removed first, with
// RemoveReplicaData and the store's RemoveShard.
var ErrOtherReplica = errors.New("the shard's data here are of another replica")

// StartData starts a replica of a shard of partitions.
func (n *Node) StartData(c ShardConfig) (*DataShard, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	applied, err := n.cfg.Store.AppliedIndex(c.Shard)
	if err != nil {
		return nil, fmt.Errorf("replication: start shard %d: %w", c.Shard, err)
	}
	if applied > 0 {
		_, hasState, err := n.cfg.Store.LogState(c.Shard, c.Replica)
		if err != nil {
			return nil, fmt.Errorf("replication: start shard %d: %w", c.Shard, err)
		}
		if !hasState {
			return nil, fmt.Errorf("replication: start shard %d, replica %d: %w", c.Shard, c.Replica, ErrOtherReplica)
		}
	}
	machine := &dataMachine{store: n.cfg.Store, shard: c.Shard, opened: applied, fault: n.fault, logger: n.cfg.Logger, partitions: n.cfg.OnPartitions}
	s, err := n.start(c, func(members map[uint64]dragonboat.Target, rc config.Config) error {
		return n.host.StartOnDiskReplica(members, c.Join, func(uint64, uint64) statemachine.IOnDiskStateMachine { return machine }, rc)
	})
	if err != nil {
		return nil, err
	}
	return &DataShard{s}, nil
}

// Applied returns the Raft index up to which the partitions are here.
func (s *DataShard) Applied() (base.RaftIndex, error) { return s.node.cfg.Store.AppliedIndex(s.id) }

// AppendCommand is a record batch to append to a partition of the shard.
type AppendCommand struct {
	Partition base.PartitionID
	// Epoch is the leader epoch of the batch; it never gets a lower one than the
	// batch before it.
	Epoch base.LeaderEpoch
	// NowMillis is the leader's time, in ms since 1970: producer ids expire by
	// it.
	NowMillis int64
	// Batch is a whole record batch, which has been validated: what is stored is
	// these bytes. They are not kept.
	Batch []byte
}

// AppendResult is where a batch is.
type AppendResult struct {
	// Offset is that of the first record.
	Offset base.Offset
	// Duplicate says that it was there already, as a producer's retry.
	Duplicate bool
}

// PendingAppend is an append under way. It belongs to one goroutine.
type PendingAppend struct{ pending *pending }

// Append proposes to append a batch. Batches of one goroutine are applied in the
// order of the calls. Only the leader proposes; ErrBusy says that too much is
// waiting, ErrTooLarge that the batch does not fit a frame of the transport.
func (s *DataShard) Append(c AppendCommand) (*PendingAppend, error) {
	if len(c.Batch) == 0 {
		return nil, fmt.Errorf("shard %d: partition %d: an empty batch", s.id, c.Partition)
	}
	buf := s.node.commands.Get().(*[]byte)
	defer s.node.commands.Put(buf)
	*buf = (&command{kind: kindAppend, partition: c.Partition, epoch: c.Epoch, nowMillis: c.NowMillis, batch: c.Batch}).appendTo((*buf)[:0])
	p, err := s.propose(*buf)
	if cap(*buf) > maxSpareCommandBytes {
		*buf = nil
	}
	if err != nil {
		return nil, err
	}
	return &PendingAppend{p}, nil
}

// maxSpareCommandBytes bounds the memory that is kept for the next command.
const maxSpareCommandBytes = 1 << 20

// Wait returns the outcome once the batch is durable on a majority and readable
// here. Errors of the partition are store.ErrUnknownPartition, a
// *store.SequenceError and recordbatch.ErrInvalidRecord; those of replication
// are in this package. With ErrTimeout, which ctx's end is too, and
// ErrShardStopped the outcome is unknown. After ctx's end it may be called again.
func (p *PendingAppend) Wait(ctx context.Context) (AppendResult, error) {
	if err := p.pending.wait(ctx); err != nil {
		return AppendResult{Offset: base.NoOffset}, err
	}
	at, duplicate, err := decodeResult(p.pending.result)
	if errors.Is(err, errFenced) {
		err = &NotLeaderError{Shard: p.pending.shard.id}
	}
	if err != nil {
		return AppendResult{Offset: base.NoOffset}, err
	}
	return AppendResult{Offset: at, Duplicate: duplicate}, nil
}

// CreatePartition makes an empty partition; one that the shard has stays as it is.
// store.ErrPartitionExists says that the id belongs elsewhere.
func (s *DataShard) CreatePartition(ctx context.Context, id base.PartitionID) error {
	_, err := s.run(ctx, &command{kind: kindCreatePartition, partition: id})
	return err
}

// DropPartition removes a partition with all that it holds; the id is not used
// again. One that is gone already is not an error.
func (s *DataShard) DropPartition(ctx context.Context, id base.PartitionID) error {
	_, err := s.run(ctx, &command{kind: kindDropPartition, partition: id})
	if errors.Is(err, store.ErrUnknownPartition) {
		return nil
	}
	return err
}

// Trim moves the log start of a partition up to an offset and returns where it is
// then, which may be further. An offset above the partition's end is a
// *store.OffsetOutOfRangeError.
func (s *DataShard) Trim(ctx context.Context, id base.PartitionID, to base.Offset) (logStart base.Offset, err error) {
	return s.run(ctx, &command{kind: kindTrim, partition: id, offset: to})
}

// Fence makes the shard refuse every append of a lower leader epoch from then on, with
// ErrNotLeader: what a former leader proposed and is still on its way does not count
// any more. It is also a Barrier.
func (s *DataShard) Fence(ctx context.Context, epoch base.LeaderEpoch) error {
	_, err := s.run(ctx, &command{kind: kindFence, epoch: epoch})
	return err
}

// Barrier proposes a command that changes nothing and waits until it is applied:
// all that was proposed before has an outcome then.
func (s *DataShard) Barrier(ctx context.Context) error {
	_, err := s.run(ctx, &command{kind: kindBarrier})
	return err
}

func (s *DataShard) run(ctx context.Context, c *command) (base.Offset, error) {
	p, err := s.propose(c.appendTo(nil))
	if err != nil {
		return 0, err
	}
	if err := p.wait(ctx); err != nil {
		return 0, err
	}
	at, _, err := decodeResult(p.result)
	return at, err
}
